"""`plexwire replay`: one script, one case, or whatever failed in a stored run, once more on any target."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import click
import trio
from attrs import evolve, frozen
from rich.console import Console
from rich.text import Text

from plexwire_conformance.cases import CASES
from plexwire_conformance.cases.programs import EVERY_CASE
from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.options import (
    INTERRUPTED,
    NOTHING,
    check_place,
    fail,
    faulty,
    given_or_reference,
    make_settings,
    make_target,
    place_of,
    run_trio,
    target_options,
)
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.stored_runs import StoredRun, read_run
from plexwire_conformance.report.summary import plural
from plexwire_conformance.report.terminal import show_finding
from plexwire_conformance.run.case import Case
from plexwire_conformance.run.control import CONTROL, CouldNotJudge
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts.exploring import report
from plexwire_conformance.scripts.properties import BadToken, Property, Script, read_token
from plexwire_conformance.target.description import TargetDescription
from plexwire_conformance.target.target import REFERENCE, BadTarget, Target
from plexwire_spec import Party, clauses

#: Times that a script is played, at once: one that breaks something only now and then is not fixed.
_TIMES: Final = 3
#: What playing it so often has open at most.
_CONNECTIONS: Final = 18

_BREACHES: Final = (Verdict.FAIL, Verdict.WARN)


class Fate(StrEnum):
    """What became of something that was played again."""

    FIXED = "FIXED"
    PASSES = "PASSES"
    STILL_FAILS = "STILL FAILS"
    FAILS = "FAILS"
    ERROR = "ERROR"


@frozen(kw_only=True)
class Item:
    """Something to play again: a case, and the checks that failed in it; without any, every breach counts.

    `has_failed` tells whether something failed there: only that can be fixed.
    """

    case: Case
    broken: frozenset[str] = frozenset()
    has_failed: bool = True


@frozen(kw_only=True)
class Outcome:
    """What became of an item: the findings that are still there, or why it can't be told."""

    item: Item
    fate: Fate
    findings: tuple[Finding, ...] = ()
    reason: str = ""


class UnknownItem(Exception):
    """What is to be played again is not known; the text says what it could be."""


# ── what to play ─────────────────────────────────────────────────────────────────────────────


def items_of(what: str) -> list[Item]:
    """Return what *what* names: a file with a stored run, a case, a clause (the cases that judge it), or a token.

    Raises:
        BadFile: it is a file, and holds no run.
        BadToken: it is a damaged token, or one of an unknown property.
        UnknownItem: it is nothing of that.
    """
    if Path(what).is_file():
        return items_of_run(read_run(Path(what)))
    if what in CASES or what == CONTROL.id:
        return [Item(case=CASES.get(what, CONTROL), has_failed=False)]
    if what in clauses():
        return [Item(case=case, has_failed=False) for case in _judging(what)]
    if ":" in what:
        return [Item(case=case_of_token(what))]
    if (program := EVERY_CASE.get(what)) is not None:
        raise UnknownItem(_of_program(what, clauses()[program.clauses[0]].role))
    raise UnknownItem(
        f"{what!r} is no file, no case (see plexwire conform --list), no clause, and no token"
    )


def _of_program(case_id: str, role: Party) -> str:
    return f"{case_id} is a case for a {role}: plexwire conform-{role} --only {case_id} -- COMMAND"


def _judging(clause: str) -> list[Case]:
    """Return the cases that judge *clause*; the control, if only the monitor does."""
    judging = [case for case in CASES.values() if clause in case.clauses and not case.scripted]
    return judging or [CONTROL]


def items_of_run(run: StoredRun) -> list[Item]:
    """Return whatever failed in *run* or could not be judged for an error, scripts by their tokens.

    Raises:
        BadToken: a token is of a property that this version does not know.
        UnknownItem: so is a case.
    """
    items: list[Item] = []
    for result in run.results:
        if result.verdict not in (Verdict.FAIL, Verdict.ERROR) or result.is_observation:
            continue
        tokens: dict[str, set[str]] = {}
        for finding in result.findings:
            if finding.replay:
                tokens.setdefault(finding.replay, set()).add(finding.check)
        items += [
            Item(case=case_of_token(token), broken=frozenset(broken))
            for token, broken in tokens.items()
        ]
        unscripted = frozenset(
            finding.check
            for finding in result.findings
            if finding.verdict is Verdict.FAIL and not finding.replay
        )
        if unscripted or not tokens:
            case = _known_case(result.case, run)
            items.append(Item(case=case, broken=unscripted, has_failed=bool(unscripted)))
    told = {check for item in items for check in item.broken}
    for observed in filter(_is_failure, run.results):
        if broken := frozenset(finding.check for finding in observed.findings) - told:
            (clause,) = observed.clauses
            items.append(Item(case=_judging(clause)[0], broken=broken))
    return _with_unique_ids(items)


def _is_failure(result: CaseResult) -> bool:
    return result.is_observation and result.verdict is Verdict.FAIL


def _known_case(case_id: str, run: StoredRun) -> Case:
    if case_id == CONTROL.id:
        return CONTROL
    if (program := EVERY_CASE.get(case_id)) is not None and case_id not in CASES:
        role = clauses()[program.clauses[0]].role
        raise UnknownItem(
            f"{run.name} is a run of a {role}; play again what failed in it by plexwire conform-{role} --failed-in "
            f"{run.name} -- COMMAND"
        )
    if case_id not in CASES:
        version = run.about.version
        raise UnknownItem(f"{run.name} has the case {case_id!r}, which plexwire {version} knew")
    return CASES[case_id]


def _with_unique_ids(items: Iterable[Item]) -> list[Item]:
    # A runner tells results apart by the ids of their cases.
    seen: dict[str, int] = {}
    unique = []
    for item in items:
        name = item.case.id
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            item = evolve(item, case=evolve(item.case, id=f"{name}-{seen[name]}"))
        unique.append(item)
    return unique


def case_of_token(token: str) -> Case:
    """Return a case that plays the script in *token*.

    Raises:
        BadToken: it holds none.
    """
    property_, script = read_token(token)

    async def body(stage: Stage, trial: Trial) -> None:
        await _play(trial, property_, script)

    return Case(
        id=property_.id,
        title=property_.title,
        clauses=property_.clauses,
        may_find=(),
        needs=property_.needs,
        takes=0.0,
        connections=_CONNECTIONS,
        least=_CONNECTIONS,
        scripted=False,
        body=body,
    )


async def _play(trial: Trial, property_: Property, script: Script) -> None:
    """Play *script* several times at once.

    Raises:
        Inconclusive: it broke nothing, and at least once it could not be played to its end.
    """
    found: list[tuple[Finding, ...]] = []
    could_not: list[Inconclusive] = []

    async def play() -> None:
        async with trial.branch(connections=property_.connections) as own:
            try:
                await property_.play(own.stage, own, script)
            except Inconclusive as error:
                could_not.append(error)
        found.append(tuple(f for f in own.own_findings() if f.is_breach))

    async with trio.open_nursery() as nursery:
        for _ in range(_TIMES):
            nursery.start_soon(play)
    first = {finding.check: finding for findings in reversed(found) for finding in findings}
    for finding in first.values():
        report(trial, property_, script, finding, found)
    if not first and could_not:
        raise could_not[0]


# ── playing ──────────────────────────────────────────────────────────────────────────────────


async def replay_items(
    target: Target,
    items: Sequence[Item],
    settings: Settings,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Play *items* on *target*, all at once, and *tell* each outcome in the order of the items.

    Raises:
        CouldNotJudge: there is nothing to play them on.
    """
    cases = [item.case for item in items if item.case is not CONTROL]
    finished = await Runner(target, settings).run(cases, lambda event: None)
    results = {result.case: result for result in finished.results}
    observed = [f for r in finished.results if r.is_observation for f in r.findings]
    outcomes = [outcome_of(item, results[item.case.id], observed) for item in items]
    for outcome in outcomes:
        tell(outcome)
    return outcomes


def outcome_of(item: Item, result: CaseResult, observed: Iterable[Finding] = ()) -> Outcome:
    """Return what *result* says about *item*, and what was *observed* in the run."""
    counts = (Verdict.FAIL,) if item.broken else _BREACHES
    still = tuple(
        finding
        for finding in result.findings
        if finding.verdict in counts or finding.check in item.broken
    )
    said = {finding.check for finding in still}
    still += tuple(f for f in observed if f.check in item.broken - said)
    if still:
        fate = Fate.STILL_FAILS if item.has_failed else Fate.FAILS
        return Outcome(item=item, fate=fate, findings=still)
    if not result.was_judged:
        return Outcome(item=item, fate=Fate.ERROR, reason=result.reason)
    return Outcome(item=item, fate=Fate.FIXED if item.has_failed else Fate.PASSES)


# ── the command ──────────────────────────────────────────────────────────────────────────────

_STYLES: Final = {
    Fate.FIXED: "bold green",
    Fate.PASSES: "bold green",
    Fate.STILL_FAILS: "bold red",
    Fate.FAILS: "bold red",
    Fate.ERROR: "bold magenta",
}
_SAID: Final = {
    Fate.FIXED: "fixed",
    Fate.PASSES: "passed",
    Fate.STILL_FAILS: "still failing",
    Fate.FAILS: "failed",
    Fate.ERROR: "not judged",
}


@click.command(cls=JudgingCommand)
@click.argument("what", metavar="TOKEN|FILE|CASE|CLAUSE")
@click.option(
    "--url",
    "place",
    metavar="URL|NAME",
    help="Gateway to play it on.  [default: PLEXWIRE_URL, else the reference gateway]",
)
@click.option(
    "--fault",
    metavar="ID",
    callback=faulty,
    help="Play it on the reference gateway with this fault; see plexwire selftest --list.",
)
@target_options
def replay(what: str, place: str | None, description: TargetDescription, fault: str) -> None:
    """Play again what failed: the script in a TOKEN, the failed cases of a stored run, one CASE, or the cases of a CLAUSE.

    A TOKEN is what a finding shows after "replay"; FILE is what plexwire conform --report wrote. Any gateway will do,
    not only the one on which it failed. A CLAUSE stands for the cases that judge it. Keys and targets are given as to plexwire conform.

    \b
    Is it fixed?
        plexwire replay auth.never --url wss://staging.example.com
    Everything that failed in last night's run, once more:
        plexwire replay run.ndjson --url wss://staging.example.com
    Does the reference gateway do it, too?
        plexwire replay run.ndjson

    \b
    Exit codes: 0 all is fixed or passes · 1 something fails · 2 could not judge
                3 nothing failed there, and nothing was testable
    """
    try:
        if fault:
            whence = ""
        else:
            place, whence = place_of(place, description.keys_file, os.environ)
        check_place(place, fault)
        target = None if fault else make_target(place, description)
        items = items_of(what)
        if not items:
            _nothing(what)
        cases = plural(len(items), "case")
        where = REFERENCE if target is None else target.viewers.url
        where = f"the reference gateway with the fault {fault}" if fault else where
        source = f" ({whence})" if whence else ""
        click.echo(f"playing {cases} of {what[:60]} on {where}{source}", err=True)
        with Console(stderr=True).status("waiting for what the gateway does"):
            outcomes = run_trio(_run, target, fault, items, make_settings())
    except (BadTarget, BadFile, BadToken, UnknownItem, CouldNotJudge) as error:
        fail(str(error), COULD_NOT_JUDGE)
    except KeyboardInterrupt:
        fail("interrupted; nothing was concluded", INTERRUPTED)
    _tell(outcomes, where, Console())
    fates = Counter(outcome.fate for outcome in outcomes)
    fails = Fate.STILL_FAILS in fates or Fate.FAILS in fates
    raise SystemExit(1 if fails else 2 if Fate.ERROR in fates else 0)


def _nothing(what: str) -> None:
    click.echo(f"Nothing failed in {what}: there is nothing to play again.")
    raise SystemExit(0 if read_run(Path(what)).summary.exit_code == 0 else NOTHING)


async def _run(
    target: Target | None, fault: str, items: Sequence[Item], settings: Settings
) -> list[Outcome]:
    async with given_or_reference(target, fault) as given:
        return await replay_items(given, items, settings)


def _tell(outcomes: Sequence[Outcome], where: str, console: Console) -> None:
    shown: set[str] = set()
    for outcome in outcomes:
        for finding in outcome.findings:
            if finding.check not in shown:
                shown.add(finding.check)
                console.print(show_finding(finding, f"found by {outcome.item.case.id}"))
    console.print()
    width = max(len(outcome.item.case.id) for outcome in outcomes)
    for outcome in outcomes:
        line = Text(f"{outcome.fate:12}", _STYLES[outcome.fate])
        line.append(f"{outcome.item.case.id:{width}}", "default")
        broken = sorted({f.check for f in outcome.findings} or outcome.item.broken)
        line.append(f"  {' '.join(broken)}", "dim")
        if outcome.reason:
            line.append(f"  {outcome.reason}", "default")
        console.print(line, highlight=False)
    counted = Counter(outcome.fate for outcome in outcomes)
    words = ", ".join(f"{counted[fate]} {said}" for fate, said in _SAID.items() if counted[fate])
    console.print(f"\n{words}. Played on {where}.", highlight=False)
