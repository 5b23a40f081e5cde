"""The one run that all items of a session share: of a gateway, or of a viewer or a device."""

from __future__ import annotations

import os
import shlex
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import define, field

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.profiles import DEFAULT, PROFILES
from plexwire_conformance.cases.programs import ProgramCase, cases_for
from plexwire_conformance.cases.selection import select, select_of
from plexwire_conformance.commands.options import make_settings, run_trio
from plexwire_conformance.program.control import control_of
from plexwire_conformance.program.monitor import MONITORED as MONITORED_PROGRAMS
from plexwire_conformance.program.program import CommandProgram, Invitation, throw_away_key
from plexwire_conformance.program.runner import ProgramRunner
from plexwire_conformance.recording.jsonlines import read_text
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.known_failures import KnownFailure, Reckoning, read_known, reckon
from plexwire_conformance.run.monitor import MONITORED
from plexwire_conformance.run.outcomes import observation
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.description import MAX_CONNECTIONS, TargetDescription
from plexwire_conformance.target.target import BadTarget, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plexwire_conformance.run.case import AnyCase
    from plexwire_conformance.run.events import RunFinished
    from plexwire_spec import Party

#: What the monitor sees in the conversations of all cases, one item per clause.
OBSERVATIONS: Final = tuple(observation(clause) for clause in MONITORED)


@define(eq=False)
class AnyRun(ABC):
    """A run that happens once, when the first verdict is asked for."""

    unix_ms: int
    control: AnyCase
    cases: Sequence[AnyCase]
    observations: Sequence[AnyCase]
    expected: Sequence[KnownFailure] | None = None
    _results: dict[str, CaseResult] = field(factory=dict[str, CaseResult], init=False)
    #: How the run compares with what was expected; None where nothing was.
    reckoning: Reckoning | None = field(default=None, init=False)
    #: A control that failed, and that no selected item tells of.
    untold: CaseResult | None = field(default=None, init=False)

    @property
    @abstractmethod
    def called(self) -> str:
        """What is judged, for people."""

    @property
    @abstractmethod
    def place(self) -> str:
        """The options by which the command line names it."""

    @abstractmethod
    async def run(self, cases: Sequence[AnyCase]) -> RunFinished:
        """Judge it by *cases*."""

    @property
    def is_vain(self) -> bool:
        """Whether there was a run, and nothing in it could be tested."""
        verdicts = {r.verdict for r in self._results.values() if r.case != CONTROL.id}
        return verdicts == {Verdict.UNTESTABLE}

    def judge(self, selected: Sequence[AnyCase]) -> None:
        """Judge by the *selected* cases, once.

        Raises:
            CouldNotJudge: there was nothing to judge.
            KeyboardInterrupt: somebody had enough.
        """
        if self._results:
            return
        chosen = [case for case in selected if case in self.cases]
        finished = run_trio(self.run, chosen)
        self._results = {result.case: result for result in finished.results}
        if self.expected is not None:
            today = datetime.fromtimestamp(self.unix_ms / 1000, UTC).date()
            self.reckoning = reckon(finished.results, self.expected, today)
        control = self._results[CONTROL.id]
        if self.control not in selected and control.verdict not in (Verdict.PASS, Verdict.INFO):
            self.untold = control

    def result(self, case: AnyCase) -> CaseResult:
        """Return the result of a case that was judged; what no item tells of is told by the first that asks."""
        if self.untold is not None:
            told, self.untold = self.untold, None
            return told
        return self._results.get(case.id) or _nothing_observed(case)


def _nothing_observed(case: AnyCase) -> CaseResult:
    """Return the result of an observation that the monitor did not make."""
    return CaseResult(case=case.id, title=case.title, clauses=case.clauses, verdict=Verdict.PASS)


@define(eq=False, kw_only=True)
class GatewayRun(AnyRun):
    """A run against a gateway."""

    target: Target
    settings: Settings

    @classmethod
    def at(cls, description: TargetDescription, wanted: Sequence[str]) -> GatewayRun:
        """Prepare a run against the target of *description*, by the cases that its words select, or those that are *wanted*.

        Raises:
            BadTarget, BadFile, NothingSelected: it can't be; the text says why.
        """
        target = description.target(os.environ)
        if target is None:
            raise BadTarget("no URL: give --plexwire-url, or --plexwire-target")
        only = [word for word in wanted if word != CONTROL.id]
        cases = [] if wanted and not only else select(only or description.only, description.skip)
        expected = None
        if description.expected_failures is not None:
            path = description.expected_failures
            expected = read_known(read_text(path), path.name, (CONTROL.id, *CASES))
        settings = make_settings(max_connections=description.max_connections or MAX_CONNECTIONS)
        return cls(
            target=target,
            settings=settings,
            unix_ms=settings.unix_ms,
            control=CONTROL,
            cases=cases,
            observations=OBSERVATIONS,
            expected=expected,
        )

    @property
    def called(self) -> str:
        """The gateway's URL."""
        return self.target.viewers.url

    @property
    def place(self) -> str:
        """The option with the gateway's URL."""
        return f"--url {self.called}"

    async def run(self, cases: Sequence[AnyCase]) -> RunFinished:
        """Judge the gateway by *cases*."""
        chosen = [case for case in cases if isinstance(case, Case)]
        return await Runner(self.target, self.settings).run(chosen, lambda event: None)


@define(eq=False, kw_only=True)
class ProgramRun(AnyRun):
    """A run against a viewer or a device that a command starts."""

    role: Party
    command: tuple[str, ...]

    @classmethod
    def of(cls, role: Party, command: str, wanted: Sequence[str]) -> ProgramRun:
        """Prepare a run against the program of *role* that *command* starts, by the cases that are *wanted*, or all.

        Raises:
            BadTarget: there is no command.
            NothingSelected: a word names no case.
        """
        words = tuple(shlex.split(command))
        if not words:
            raise BadTarget(f"no command: give --plexwire-{role} the command that starts it")
        only = [word for word in wanted if word != CONTROL.id]
        every = cases_for(role)
        cases = [] if wanted and not only else select_of(every, only, (), PROFILES[DEFAULT])
        return cls(
            role=role,
            command=words,
            unix_ms=make_settings().unix_ms,
            control=control_of(role),
            cases=cases,
            observations=tuple(observation(clause) for clause in MONITORED_PROGRAMS[role]),
        )

    @property
    def called(self) -> str:
        """The command, as it is typed."""
        return shlex.join(self.command)

    @property
    def place(self) -> str:
        """The command, as the end of a command line."""
        return f"-- {self.called}"

    async def run(self, cases: Sequence[AnyCase]) -> RunFinished:
        """Judge the program by *cases*."""
        runner = ProgramRunner(
            program=CommandProgram(self.role, self.command),
            invitation=Invitation(api_key=throw_away_key()),
            unix_ms=self.unix_ms,
        )
        chosen = [case for case in cases if isinstance(case, ProgramCase)]
        return await runner.run(chosen, lambda event: None)
