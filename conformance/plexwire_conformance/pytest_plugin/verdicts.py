"""The suite's verdicts, for a test that judges its own gateway."""

import warnings
from collections.abc import Sequence
from typing import Self

import pytest
from attrs import define, evolve, field

from plexwire_conformance.cases import Case
from plexwire_conformance.cases.selection import select
from plexwire_conformance.commands.options import make_settings
from plexwire_conformance.pytest_plugin import ConformanceWarning
from plexwire_conformance.pytest_plugin.failure_text import breaches, tell
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.wording import say_finding
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.runner import Runner
from plexwire_conformance.target.target import Target


@define(eq=False)
class Verdicts:
    """The verdicts on a gateway; the suite runs when they are first asked for, which takes about twelve seconds.

    `only` and `skip` narrow it down: `plexwire_verdicts.only("auth").skip("PW-AUTH-3").assert_conformant()`.
    """

    _target: Target
    _thread: TrioThread
    _only: tuple[str, ...] = ()
    _skip: tuple[str, ...] = ()
    _finished: RunFinished | None = field(default=None, init=False)

    def only(self, *words: str) -> Self:
        """Return the verdicts of these alone: id, pattern, clause or area."""
        return evolve(self, only=words)

    def skip(self, *words: str) -> Self:
        """Return the verdicts without these."""
        return evolve(self, skip=(*self._skip, *words))

    @property
    def results(self) -> tuple[CaseResult, ...]:
        """What every case said, the control first and the observations of the run last.

        Raises:
            NothingSelected: a word matches no case, or none is left.
            CouldNotJudge: the gateway can't be reached, or refuses the key.
        """
        return self._run_once().results

    def _run_once(self) -> RunFinished:
        if self._finished is None:
            self._finished = self._thread.call(self._run, select(self._only, self._skip))
        return self._finished

    @property
    def dialect(self) -> list[Finding]:
        """What the gateway chose where the sources leave it open."""
        return Summary.of(self._run_once()).dialect

    def assert_conformant(self) -> None:
        """Fail the test unless the gateway keeps every promise; a SHOULD that it does not keep is a warning."""
        __tracebackhide__ = True
        try:
            summary = Summary.of(self._run_once())
        except CouldNotJudge as error:
            pytest.fail(f"could not judge: {error}", pytrace=False)
        for result in summary.results:
            for finding in breaches(result):
                if finding.verdict is Verdict.WARN:
                    warnings.warn(ConformanceWarning(say_finding(finding)), stacklevel=2)
        if summary.exit_code != 0:
            pytest.fail(_tell_all(summary, f"--url {self._target.viewers.url}"), pytrace=False)

    async def _run(self, cases: Sequence[Case]) -> RunFinished:
        try:
            runner = Runner(self._target, make_settings())
            return await runner.run(cases, lambda event: None)
        except* CouldNotJudge as group:
            could_not = group.exceptions[0]
        raise could_not


def _tell_all(summary: Summary, place: str) -> str:
    parts = [summary.conclusion]
    parts += [tell(result, place) for result in summary.results if result.verdict is Verdict.FAIL]
    for result in summary.results:
        if result.verdict is Verdict.ERROR or (summary.exit_code == 3 and result.reason):
            parts.append(f"{result.case}: {result.reason}")
    return "\n\n".join(parts)
