"""Looking for a script that breaks a property, and for the shortest that does.

Hypothesis thinks in a thread of its own and the scripts run in the one Trio loop, so that properties overlap with everything
else.  Nothing is drawn while a script talks.
"""

import zlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import trio
from attrs import evolve
from hypothesis import HealthCheck, Phase, given, seed, settings

from plexwire_conformance._trial import Inconclusive, Trial
from plexwire_conformance._verdict import Finding, Verdict
from plexwire_conformance.scripts._property import Property, Script, write_token
from plexwire_conformance.scripts._shrink import shrink

#: So much of the usual patience is spent on a script while looking; what is found is confirmed with all of it.
_HASTE = 0.2

#: Times that a broken script is played again before it is reported.
_CONFIRMATIONS = 3

#: Plays one script and returns what it broke.
Play: TypeAlias = Callable[[Script], Awaitable[tuple[Finding, ...]]]


class _Broken(Exception):
    """A script broke the property."""

    def __init__(self, script: Script, findings: tuple[Finding, ...]) -> None:
        super().__init__(findings[0].actual)
        self.script = script
        self.findings = findings


async def explore(
    trial: Trial, property_: Property, *, examples: int = 120, budget: float = 4.0
) -> None:
    """Judge *property_* on the target of *trial*: look for *budget* seconds, and shrink as long again at most.

    What breaks is confirmed by playing it three times more; one that does not break each time is labelled so.
    """

    async def play(script: Script) -> tuple[Finding, ...]:
        return await play_script(trial, property_, script, _HASTE)

    until = trial.now() + budget

    def look() -> _Broken | None:
        return find_broken(
            property_,
            lambda script: trio.from_thread.run(play, script),
            examples=examples,
            seed_=zlib.crc32(trial.nonce.encode()),
            enough=lambda: trio.from_thread.run_sync(trial.now) > until,
        )

    broken = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    if broken is None:
        return
    clause, until = broken.findings[0].clause, trial.now() + budget

    async def still_breaks(script: Script) -> bool:
        if trial.now() > until:
            return False
        return any(finding.clause == clause for finding in await play(script))

    script = await shrink(broken.script, still_breaks, property_.simpler)
    again = await _play_again(trial, property_, script)
    report(trial, property_, script, broken.findings[0], again)


def find_broken(
    property_: Property,
    play: Callable[[Script], tuple[Finding, ...]],
    *,
    examples: int,
    seed_: int,
    enough: Callable[[], bool] = lambda: False,
) -> _Broken | None:
    """Return the first script drawn that breaks *property_*; None if none did before there were *enough*."""

    @seed(seed_)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(property_.scripts)
    def holds(script: Script) -> None:
        if not found and not enough() and (broken := play(script)):
            found.append(_Broken(script, broken))
            raise found[0]

    found: list[_Broken] = []
    # Hypothesis plays a failure again to be sure; that is done elsewhere here, so to Hypothesis it is flaky.
    try:
        holds()
    except Exception:
        if not found:
            raise
    return found[0] if found else None


async def _play_again(
    trial: Trial, property_: Property, script: Script
) -> list[tuple[Finding, ...]]:
    found: list[tuple[Finding, ...]] = []

    async def play() -> None:
        found.append(await play_script(trial, property_, script))

    async with trio.open_nursery() as nursery:
        for _ in range(_CONFIRMATIONS):
            nursery.start_soon(play)
    return found


def report(
    trial: Trial,
    property_: Property,
    script: Script,
    first: Finding,
    again: Sequence[tuple[Finding, ...]],
) -> None:
    """Put what *script* broke at *first* and *again* into the findings of *trial*, with its steps and its token."""
    shown = [[f for f in found if f.clause == first.clause] for found in again]
    confirmed = sum(map(bool, shown))
    if not confirmed and first.clause in property_.from_silence:
        return
    finding = next((found[0] for found in shown if found), first)
    flaky = "" if confirmed == len(again) else f"FLAKY, {confirmed} of {len(again)} times: "
    steps = "; ".join(f"{n}. {property_.say(step)}" for n, step in enumerate(script, 1))
    trial.add(
        evolve(
            finding,
            actual=f"{flaky}{finding.actual} — after {len(script)} steps: {steps or 'none'}",
            replay=write_token(property_.id, script),
        )
    )


async def play_script(
    trial: Trial, property_: Property, script: Script, haste: float = 1.0
) -> tuple[Finding, ...]:
    """Play *script* in a trial of its own, and return the breaches."""
    async with trial.branch(haste=haste) as own:
        with suppress(Inconclusive):
            await property_.play(own, script)
    return tuple(f for f in own.all_findings() if f.verdict in (Verdict.FAIL, Verdict.WARN))
