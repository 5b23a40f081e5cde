"""Looking for a script that breaks a property, and for the shortest that does.

Hypothesis draws in a thread of its own, a script whenever there is time for one; they are played in the one Trio loop,
several at once, so that properties overlap with everything else.  A script is drawn whole before it is played.
"""

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Final

import trio
from attrs import evolve, frozen
from hypothesis import HealthCheck, Phase, given, seed, settings

from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.stage import Inconclusive
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts.properties import MOST_CONCURRENT, Property, Script, write_token
from plexwire_conformance.scripts.shrinking import shrink

#: The shares of the usual waits that a script gets while looking, and on a second look at a silence; what is
#: found is confirmed with the whole waits.
_LOOKING: Final = 0.2
_LOOKING_AGAIN: Final = 0.6

#: Held by whoever draws: Hypothesis looks after Python's one generator of random numbers, and several would quarrel.
_DRAWING: Final = Lock()

#: Times that a broken script is played again before it is reported.
_CONFIRMATIONS: Final = 3


@frozen
class _Broken:
    """A script that broke the property, and how."""

    script: Script
    finding: Finding


async def explore(
    trial: Trial,
    property_: Property,
    *,
    examples: int,
    look_s: float = 4.0,
    shrink_s: float = 6.0,
) -> None:
    """Judge *property_* on the target of *trial*: look for *look_s* seconds, and shrink for *shrink_s* at most.

    What breaks is confirmed by playing it three times more; one that does not break each time is labelled so.

    Raises:
        Inconclusive: something failed to come, and came whenever it was tried again.
    """
    broken = await _first_broken(trial, property_, examples, until=trial.stage.now() + look_s)
    if broken is None:
        return
    shortest = await _shortest(trial, property_, broken, until=trial.stage.now() + shrink_s)
    again: list[tuple[Finding, ...]] = []
    # What was shortened under time pressure may have been shortened too far.
    for script in dict.fromkeys((shortest, broken.script)):
        again = await _play_again(trial, property_, script)
        if _showing(broken.finding.check, again):
            report(trial, property_, script, broken.finding, again)
            return
    if broken.finding.clause in property_.from_silence:
        token = write_token(property_.id, broken.script)
        raise Inconclusive(
            f"{broken.finding.check} failed twice and then passed; try `plexwire replay {token}`"
        )
    report(trial, property_, broken.script, broken.finding, again)


class _Enough(Exception):
    """No more scripts are wanted."""


def draw_scripts(
    property_: Property, examples: int, take: Callable[[Script], bool], *, seed_: int
) -> None:
    """Draw so many scripts of *property_* while *take* wants more, the same ones for the same seed; it may wait."""

    @seed(seed_)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(property_.scripts)
    def draw(script: Script) -> None:
        _DRAWING.release()
        try:
            if not take(script):
                raise _Enough
        finally:
            _DRAWING.acquire()

    with _DRAWING, suppress(_Enough):
        draw()


async def _first_broken(
    trial: Trial, property_: Property, examples: int, *, until: float
) -> _Broken | None:
    """Play so many scripts, several at once, until one breaks something or no time is left."""
    found: list[_Broken] = []

    async def play_on(scripts: trio.MemoryReceiveChannel[Script]) -> None:
        async with scripts:
            async for script in scripts:
                if (finding := await _breach(trial, property_, script)) is not None:
                    found.append(_Broken(script, finding))
                    nursery.cancel_scope.cancel()
                if trial.stage.now() > until:
                    return

    # No room in between: nothing is drawn that is not about to be played.
    drawn, scripts = trio.open_memory_channel[Script](0)
    async with trio.open_nursery() as nursery, scripts:
        nursery.start_soon(
            _draw_into, drawn, property_, examples, zlib.crc32(trial.stage.nonce.encode())
        )
        for _ in range(_concurrency(trial, property_)):
            nursery.start_soon(play_on, scripts.clone())
    return found[0] if found else None


async def _draw_into(
    drawn: trio.MemorySendChannel[Script], property_: Property, examples: int, seed_: int
) -> None:
    def take(script: Script) -> bool:
        try:
            trio.from_thread.run(drawn.send, script)
        except trio.BrokenResourceError:
            return False  # nobody plays any more
        return True

    async with drawn:
        await trio.to_thread.run_sync(partial(draw_scripts, property_, examples, take, seed_=seed_))


def _concurrency(trial: Trial, property_: Property) -> int:
    return max(1, min(MOST_CONCURRENT, trial.stage.connections // property_.connections))


async def _breach(trial: Trial, property_: Property, script: Script) -> Finding | None:
    """Return what *script* breaks, if anything; what it concludes from a silence has to show with longer waits too."""

    def from_silence(finding: Finding) -> bool:
        return finding.clause in property_.from_silence

    found = await play_script(trial, property_, script, _LOOKING)
    if found and all(map(from_silence, found)):
        found = await play_script(trial, property_, script, _LOOKING_AGAIN)
    return min(found, key=from_silence, default=None)


async def _shortest(trial: Trial, property_: Property, broken: _Broken, *, until: float) -> Script:
    async def still_breaks(script: Script) -> bool:
        if trial.stage.now() > until:
            return False
        found = await play_script(trial, property_, script, _LOOKING)
        return any(finding.check == broken.finding.check for finding in found)

    concurrency = _concurrency(trial, property_)
    return await shrink(broken.script, still_breaks, property_.simpler, concurrency=concurrency)


async def _play_again(
    trial: Trial, property_: Property, script: Script
) -> list[tuple[Finding, ...]]:
    found: list[tuple[Finding, ...]] = []
    places = trio.Semaphore(_concurrency(trial, property_))

    async def play() -> None:
        async with places:
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
    shown = _showing(first.check, again)
    confirmed = len(shown)
    if not confirmed and (first.after_loss or first.clause in property_.from_silence):
        return
    finding = shown[0] if shown else first
    trial.add(
        evolve(
            finding,
            # The first time counts as well: it was seen then.
            shown=(confirmed + 1, len(again) + 1),
            steps=tuple(map(property_.say, script)),
            replay=write_token(property_.id, script),
        )
    )


def _showing(check: str, again: Sequence[tuple[Finding, ...]]) -> list[Finding]:
    """Return the first finding of *check* from each time that it showed."""
    each = (next((f for f in found if f.check == check), None) for found in again)
    return [finding for finding in each if finding is not None]


async def play_script(
    trial: Trial, property_: Property, script: Script, wait_factor: float = 1.0
) -> tuple[Finding, ...]:
    """Play *script* in a trial of its own, and return the breaches."""
    async with trial.branch(wait_factor=wait_factor, connections=property_.connections) as own:
        with suppress(Inconclusive):
            await property_.play(own.stage, own, script)
    return tuple(f for f in own.own_findings() if f.is_breach)
