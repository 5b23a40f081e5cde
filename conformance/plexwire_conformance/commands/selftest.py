"""`plexwire selftest`: the judge on trial, over streams in memory and in virtual time."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import click
import trio
import trio.testing
from attrs import evolve, field, frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from plexwire_conformance.cases import CASES as ALL_CASES
from plexwire_conformance.cases.programs import ProgramCase, cases_for
from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.sensitivity import (
    MUTANTS,
    BadSummary,
    as_table,
    read_killed,
    sensitivity,
)
from plexwire_conformance.faults import (
    FAULTS,
    PROGRAM_FAULTS,
    Fault,
    FaultyGateway,
    ModelDevice,
    ModelProgram,
    ModelViewer,
    ProgramFault,
)
from plexwire_conformance.program.program import Invitation
from plexwire_conformance.program.runner import ProgramRunner
from plexwire_conformance.report.sentences import lacking
from plexwire_conformance.run.case import AnyCase
from plexwire_conformance.run.control import CONTROL, CouldNotJudge
from plexwire_conformance.run.findings import CaseResult, Trouble, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import memory_gateway

#: Stands for the reference gateway itself, where nothing must be found, and for the models of a viewer and a device.
NO_FAULT: Final = "no fault"
SOUND_PROGRAMS: Final[Mapping[str, type[ModelViewer] | type[ModelDevice]]] = {
    "no fault of a viewer": ModelViewer,
    "no fault of a device": ModelDevice,
}
SOUND: Final = (NO_FAULT, *SOUND_PROGRAMS)

#: Every fault, whoever is faulty.
EVERY_FAULT: Final[Mapping[str, Fault | ProgramFault]] = {**FAULTS, **PROGRAM_FAULTS}

#: All cases but those that think in a thread, which can't be while virtual time stands still for it.
CASES: Final = tuple(case for case in ALL_CASES.values() if not case.scripted)

#: When all devices' clocks begin, in Unix ms; which day it is makes no difference.
_UNIX_MS: Final = 1_750_000_000_000

_ID_WIDTH: Final = max(map(len, EVERY_FAULT))
_ACCUSING: Final = (Verdict.FAIL, Verdict.WARN)
_NOTHING: Final = 3

#: Which cases have a finding, by the clause that they find broken.
Accusations = Mapping[str, tuple[str, ...]]


@frozen(kw_only=True)
class Outcome:
    """What the judge says of one fault, or of `NO_FAULT`; `problem` is what the suite itself stumbled over."""

    fault: str
    accused: Accusations = field(factory=dict)
    problem: str = ""

    @property
    def found_by(self) -> tuple[str, ...]:
        """The cases that find the fault under its own clause."""
        fault = EVERY_FAULT.get(self.fault)
        return () if fault is None else self.accused.get(fault.clause, ())

    @property
    def found(self) -> bool:
        """Whether the fault was found; the reference gateway has none to find."""
        return self.fault in SOUND or bool(self.found_by)

    @property
    def unrelated(self) -> Accusations:
        """What is said under clauses that this fault does not break."""
        fault = EVERY_FAULT.get(self.fault)
        broken = frozenset[str]() if fault is None else {fault.clause, *fault.also}
        return {clause: cases for clause, cases in self.accused.items() if clause not in broken}

    @property
    def good(self) -> bool:
        """Whether the judge said what it had to say, and nothing else."""
        return self.found and not self.unrelated and not self.problem


# ── judging ──────────────────────────────────────────────────────────────────────────────────


def examine(fault_id: str) -> Outcome:
    """Judge whoever has this fault, or one of the `SOUND`, by every case: a second or two of computing."""
    if fault_id in PROGRAM_FAULTS:
        return _examine_program(fault_id, PROGRAM_FAULTS[fault_id].build())
    if fault_id in SOUND_PROGRAMS:
        return _examine_program(fault_id, ModelProgram(SOUND_PROGRAMS[fault_id]))
    fault = None if fault_id == NO_FAULT else FAULTS[fault_id]
    gateway = FaultyGateway() if fault is None else fault.build()
    clock = trio.testing.MockClock(autojump_threshold=0)
    thorough = fault is not None and fault.thorough
    results, problem = trio.run(_judge, gateway, thorough, clock=clock)
    problems = [problem] if problem else []
    problems += [f"{r.case}: {r.reason}" for r in results if r.trouble is Trouble.SUITE]
    problems += contradictions(results)
    if crashes := gateway.metrics.crashes:
        # What a broken fault does is not what its docstring says.
        problems.append(f"the gateway had {crashes} internal errors")
    return Outcome(fault=fault_id, accused=accusations(results), problem="; ".join(problems))


def _examine_program(fault_id: str, program: ModelProgram) -> Outcome:
    clock = trio.testing.MockClock(autojump_threshold=0)
    cases = cases_for(program.role)
    results, problem = trio.run(_judge_program, program, tuple(cases.values()), clock=clock)
    problems = [problem] if problem else []
    problems += [f"{r.case}: {r.reason}" for r in results if r.trouble is Trouble.SUITE]
    problems += contradictions(results, cases)
    return Outcome(fault=fault_id, accused=accusations(results), problem="; ".join(problems))


async def _judge_program(
    program: ModelProgram, cases: Sequence[ProgramCase]
) -> tuple[tuple[CaseResult, ...], str]:
    """Return the results, or why there are none."""
    invitation = Invitation(api_key=f"plx_{'selftest' * 3}")
    runner = ProgramRunner(program=program, invitation=invitation, unix_ms=_UNIX_MS, plays=1)
    try:
        return (await runner.run(cases, lambda event: None)).results, ""
    except CouldNotJudge as error:
        return (), str(error)


def contradictions(
    results: Iterable[CaseResult], whole: Mapping[str, AnyCase] = ALL_CASES
) -> Iterator[str]:
    """Yield what can't be in the results of any run of cases from *whole*, in a sentence each."""
    results = list(results)
    cases = {case.id: (*case.clauses, *case.may_find) for case in (CONTROL, *whole.values())}
    found = {finding.check for result in results for finding in result.findings}
    for result in results:
        answers_for = cases.get(result.case, result.clauses)
        for finding in result.findings:
            if finding.clause not in answers_for:
                yield f"{result.case} can't answer for {finding.check}"
            if names := lacking(finding):
                yield f"{result.case}: {finding.check} lacks {', '.join(names)}"
        if result.blocked_by and result.blocked_by not in found:
            yield f"{result.case} is blocked by {result.blocked_by}, which nothing found"
        if not {f.clause for f in result.findings} <= {*result.judged}:
            yield f"{result.case} has a finding about a clause that it did not judge"


async def _judge(gateway: FaultyGateway, thorough: bool) -> tuple[tuple[CaseResult, ...], str]:
    """Return the results, or why there are none."""
    async with memory_gateway(gateway, gateway.given) as target:
        settings = Settings(nonce="selftest", unix_ms=_UNIX_MS, thorough=thorough)
        runner = Runner(evolve(target, streams=gateway.streams), settings)
        try:
            return (await runner.run(CASES, lambda event: None)).results, ""
        except CouldNotJudge as error:
            return (), str(error)


def accusations(results: Iterable[CaseResult]) -> Accusations:
    """Return which cases have a finding, by the clause that they find broken."""
    accused: dict[str, tuple[str, ...]] = {}
    for result in results:
        for finding in result.findings:
            if finding.verdict in _ACCUSING:
                accused[finding.clause] = (*accused.get(finding.clause, ()), result.case)
    return accused


def examine_all(fault_ids: Iterable[str], jobs: int) -> Iterator[Outcome]:
    """Judge each of *fault_ids*, *jobs* at a time in processes of their own, and give what is ready first.

    Raises:
        BrokenProcessPool: somebody killed one of the processes.
    """
    # Spawned, as a fork would take along whatever threads the caller has.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_be_quiet)
    try:
        futures = {pool.submit(examine, fault_id): fault_id for fault_id in fault_ids}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                raise
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                yield Outcome(fault=futures[future], problem=problem)
    finally:
        pool.shutdown(cancel_futures=True)


def _be_quiet() -> None:
    # What a faulty gateway logs is counted, and nobody wants to read it.
    logging.getLogger("plexwire_server").setLevel(logging.CRITICAL + 1)


# ── the command ──────────────────────────────────────────────────────────────────────────────


@click.command(cls=JudgingCommand)
@click.argument("words", nargs=-1, metavar="[FAULT]...")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="one a core",
    help="Faults that are judged at once.",
)
@click.option("--list", "listing", is_flag=True, help="List the faults and what is wrong in each.")
@click.option(
    "--coverage",
    is_flag=True,
    help="Judge nothing; print only the cases, faults and killed mutants per clause.",
)
@click.option(
    "--mutants",
    "summary",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    show_default=f"{MUTANTS}, if it is there",
    help="The summary of a run of mutants, for the table per clause.",
)
def selftest(
    words: tuple[str, ...], jobs: int, listing: bool, coverage: bool, summary: Path | None
) -> None:
    """Put the judge on trial: what does it find in a gateway, a viewer or a device with one promise broken at a time?

    FAULT is an id, a pattern over ids (`auth.*`, `viewer.*`), a clause, or an area; without one it is every fault, and
    the reference gateway, a viewer and a device as they are, and a table per clause follows.

    \b
    Exit codes: 0 each fault was found under its own clause, and nothing else
                1 one was missed, or a clause accused that it does not break
                2 could not judge
                3 nothing selected
    """
    if summary is None and MUTANTS.exists():
        summary = MUTANTS
    try:
        killed = None if summary is None else read_killed(summary)
    except BadSummary as error:
        raise click.UsageError(str(error)) from None
    out = Console()
    if coverage:
        out.print(as_table(sensitivity(killed)))
        return
    chosen = [fault for fault in EVERY_FAULT.values() if not words or _matches(fault, words)]
    if not chosen:
        click.echo(
            f"Error: {' '.join(words)} matches no fault; see plexwire selftest --list", err=True
        )
        raise SystemExit(_NOTHING)
    if listing:
        for fault in chosen:
            broken = " ".join((fault.clause, *sorted(fault.also)))
            click.echo(f"{fault.id:{_ID_WIDTH}}  {broken}\n    {fault.title}")
        return
    fault_ids = [fault.id for fault in chosen] if words else [*SOUND, *EVERY_FAULT]
    try:
        outcomes = list(_watched(examine_all(fault_ids, jobs), len(fault_ids)))
    except BrokenProcessPool:
        click.echo("Error: one of the processes was killed; nothing was concluded", err=True)
        raise SystemExit(COULD_NOT_JUDGE) from None
    outcomes.sort(key=lambda outcome: fault_ids.index(outcome.fault))
    for outcome in outcomes:
        out.print(_line(outcome), soft_wrap=True)
    if not words:
        out.print(as_table(sensitivity(killed)))
    out.print(conclusion(outcomes), highlight=False, soft_wrap=True)
    raise SystemExit(not all(outcome.good for outcome in outcomes))


def _matches(fault: Fault | ProgramFault, words: Iterable[str]) -> bool:
    return any(
        fnmatchcase(fault.id, word) or word.lower() == fault.area or word.upper() == fault.clause
        for word in words
    )


def _watched(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    """Give *outcomes* as they come, and show on stderr how far it is."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(TextColumn("judging faults"), *columns, console=console, transient=True)
    bar.disable = not console.is_terminal
    with bar:
        for outcome in bar.track(outcomes, total=total):
            if not outcome.good:
                console.print(f"{outcome.fault}: {_verdict(outcome)}", highlight=False)
            yield outcome


def _verdict(outcome: Outcome) -> str:
    if outcome.problem:
        return "error"
    if not outcome.found:
        return "MISSED"
    if outcome.unrelated:
        return "false alarm"
    return "clean" if outcome.fault in SOUND else "found"


def _line(outcome: Outcome) -> Text:
    fault = EVERY_FAULT.get(outcome.fault)
    clause = "" if fault is None else fault.clause
    line = Text(f"{_verdict(outcome):12}", "green" if outcome.good else "bold red")
    line.append(f"{outcome.fault:{_ID_WIDTH}}  {clause:12}", "default")
    if outcome.found_by:
        first, *others = outcome.found_by
        line.append(f"{first}{f' +{len(others)}' if others else ''}", "dim")
    for accused, cases in outcome.unrelated.items():
        line.append(f"\n    accuses {accused} by {', '.join(cases)}", "red")
    if outcome.problem:
        line.append(f"\n    {outcome.problem}", "red")
    line.rstrip()
    return line


def conclusion(outcomes: Sequence[Outcome]) -> str:
    """Return the last line: how many were found, and what was said without reason."""
    faulty = [outcome for outcome in outcomes if outcome.fault not in SOUND]
    found = sum(outcome.found for outcome in faulty)
    alarms = sum(len(outcome.unrelated) for outcome in outcomes)
    errors = sum(bool(outcome.problem) for outcome in outcomes)
    each = "each under its own clause" if found == len(faulty) else "the others missed"
    said = (
        f"{found} of {len(faulty)} faults found, {each}, {alarms} false alarm{'s'[: alarms != 1]}"
    )
    return f"{said}, {errors} error{'s'[: errors != 1]}" if errors else said
