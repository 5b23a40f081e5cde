"""Every case as a pytest item; all that are selected run at once, when the first of them is due."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from inspect import unwrap
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Final

import pytest
from attrs import define, field

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.selection import select
from plexwire_conformance.commands.options import make_settings, run_trio
from plexwire_conformance.pytest_plugin import ROOT, ConformanceWarning
from plexwire_conformance.pytest_plugin.failure_text import breaches, tell
from plexwire_conformance.pytest_plugin.option_names import in_pytest
from plexwire_conformance.recording.jsonlines import read_text
from plexwire_conformance.report.summary import plural
from plexwire_conformance.report.wording import say_finding
from plexwire_conformance.run.control import CONTROL, CouldNotJudge
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.known_failures import KnownFailure, Reckoning, read_known, reckon
from plexwire_conformance.run.monitor import MONITORED
from plexwire_conformance.run.outcomes import observation
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.description import MAX_CONNECTIONS, TargetDescription
from plexwire_conformance.target.target import BadTarget, Target

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from plexwire_conformance.run.events import RunFinished


#: What the monitor sees in the conversations of all cases, one item per clause.
OBSERVATIONS: Final = tuple(observation(clause) for clause in MONITORED)


@define(eq=False)
class Run:
    """The one run that all items share; it happens once, when the first verdict is asked for."""

    target: Target
    settings: Settings
    cases: Sequence[Case]
    expected: Sequence[KnownFailure] | None = None
    _results: dict[str, CaseResult] = field(factory=dict[str, CaseResult], init=False)
    #: How the run compares with what was expected; None where nothing was.
    reckoning: Reckoning | None = field(default=None, init=False)
    #: A control that failed, and that no selected item tells of.
    untold: CaseResult | None = field(default=None, init=False)

    @classmethod
    def at(cls, description: TargetDescription, wanted: Sequence[str]) -> Run:
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
        return cls(target, settings, cases, expected)

    @property
    def is_vain(self) -> bool:
        """Whether there was a run, and nothing in it could be tested."""
        verdicts = {r.verdict for r in self._results.values() if r.case != CONTROL.id}
        return verdicts == {Verdict.UNTESTABLE}

    @property
    def url(self) -> str:
        """The gateway, for people."""
        return self.target.viewers.url

    def judge(self, selected: Sequence[Case]) -> None:
        """Judge the target by the *selected* cases, once.

        Raises:
            CouldNotJudge: there was nothing to judge.
            KeyboardInterrupt: somebody had enough.
        """
        if self._results:
            return
        chosen = [case for case in selected if case is not CONTROL and case not in OBSERVATIONS]
        finished = run_trio(self._run, chosen)
        self._results = {result.case: result for result in finished.results}
        if self.expected is not None:
            today = datetime.fromtimestamp(self.settings.unix_ms / 1000, UTC).date()
            self.reckoning = reckon(finished.results, self.expected, today)
        control = self._results[CONTROL.id]
        if CONTROL not in selected and control.verdict not in (Verdict.PASS, Verdict.INFO):
            self.untold = control

    async def _run(self, cases: Sequence[Case]) -> RunFinished:
        return await Runner(self.target, self.settings).run(cases, lambda event: None)

    def result(self, case: Case) -> CaseResult:
        """Return the result of a case that was judged; what no item tells of is told by the first that asks."""
        if self.untold is not None:
            told, self.untold = self.untold, None
            return told
        return self._results.get(case.id) or _nothing_observed(case)


def _nothing_observed(case: Case) -> CaseResult:
    """Return the result of an observation that the monitor did not make."""
    return CaseResult(case=case.id, title=case.title, clauses=case.clauses, verdict=Verdict.PASS)


class Cases(pytest.Collector):
    """The collector of all cases; its setup is the run."""

    def __init__(self, *, run: Run, **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]
        self.run = run

    def collect(self) -> Iterator[CaseItem]:
        """Yield the control and the cases."""
        for case in (CONTROL, *self.run.cases, *OBSERVATIONS):
            yield CaseItem.from_parent(self, name=case.id, case=case)

    def setup(self) -> None:
        """Judge the gateway by every item that is left of the session."""
        items = [item for item in self.session.items if isinstance(item, CaseItem)]
        try:
            self.run.judge([item.case for item in items])
        except CouldNotJudge as error:
            pytest.exit(
                f"plexwire could not judge: {in_pytest(str(error))}", pytest.ExitCode.USAGE_ERROR
            )


class CaseItem(pytest.Item):
    """One case."""

    #: Other plugins look at what an item calls; as with a doctest, there is no such function here.
    obj: object = None

    def __init__(self, *, case: Case, parent: Cases, **others: object) -> None:
        super().__init__(parent=parent, **others)  # type: ignore[arg-type]
        self.case = case
        self.run = parent.run
        self.seconds = 0.0
        self.extra_keyword_matches |= {case.area, *case.clauses}
        self.user_properties.append(("clauses", " ".join(case.clauses)))

    def setup(self) -> None:
        """Look up the result; where the suite itself failed, that is an error, not a failure."""
        self.result = self.run.result(self.case)
        self.seconds = self.result.seconds
        if self.result.verdict is Verdict.ERROR:
            pytest.fail(in_pytest(self.result.reason), pytrace=False)

    def runtest(self) -> None:
        """Report the verdict."""
        result, run = self.result, self.run
        chosen = [say_finding(f) for f in result.findings if f.verdict is Verdict.INFO]
        if chosen:
            self.add_report_section("call", "plexwire", "\n".join(chosen))
        red = () if run.reckoning is None else run.reckoning.of_case(result.case)
        if red:
            pytest.fail(tell(result, run.url, red), pytrace=False)
        match result.verdict:
            case Verdict.FAIL if run.reckoning is not None:
                self._fail_as_expected(run.reckoning)
            case Verdict.FAIL:
                pytest.fail(tell(result, run.url), pytrace=False)
            case Verdict.BLOCKED:
                pytest.skip(f"blocked by {result.blocked_by}: {in_pytest(result.reason)}")
            case Verdict.UNTESTABLE:
                pytest.skip(in_pytest(result.reason))
            case _:
                self._warn()

    def _fail_as_expected(self, reckoning: Reckoning) -> None:
        entries = [reckoning.accepts(self.result.case, f) for f in self.result.findings]
        reasons = [f"{e.check}: {e.reason} {e.issue}".rstrip() for e in entries if e is not None]
        self.add_report_section("call", "plexwire", tell(self.result, self.run.url))
        pytest.xfail("; ".join(reasons))

    def _warn(self) -> None:
        with suppress(ConformanceWarning):
            for finding in breaches(self.result):
                self.warn(ConformanceWarning(say_finding(finding)))
            return
        # Where warnings are errors, this one needs no traceback either.
        pytest.fail(tell(self.result, self.run.url), pytrace=False)

    @property
    def _heading(self) -> str:
        # Not the end of the node id, in which pytest would take the dots for those of a class and its method.
        return f"{ROOT} {self.case.id}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the case is written."""
        body = unwrap(self.case.body)
        if isinstance(body, FunctionType):
            code = body.__code__
            return Path(code.co_filename), code.co_firstlineno - 1, self._heading
        return self.path, 0, self._heading

    def shape(self, report: pytest.TestReport) -> None:
        """Give *report* the case's own duration, and fold what is skipped for the same reason."""
        carries = report.when == "call" or (report.when == "setup" and report.failed)
        report.duration = self.seconds if carries else 0.0
        if report.skipped and isinstance(report.longrepr, tuple):
            # There is no line of anybody's code to point at.
            report.longrepr = (ROOT, None, report.longrepr[2])  # type: ignore[assignment]


@define(eq=False)
class CasesPlugin:
    """What pytest is told once a gateway is given."""

    run: Run

    def pytest_report_header(self) -> str:
        """Say what is judged."""
        cases = plural(len(self.run.cases), "case")
        watched = plural(len(OBSERVATIONS), "clause")
        return f"plexwire: {self.run.url}, {cases}, the control, and {watched} watched throughout"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add the items, before anybody deselects."""
        cases = Cases.from_parent(session, name=ROOT, nodeid=ROOT, run=self.run)
        items.extend(session.genitems(cases))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let each item have a hand in its report."""
        report = yield
        if isinstance(item, CaseItem):
            item.shape(report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Leave no session green in which nothing could be tested."""
        if self.run.is_vain and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why it is not."""
        if self.run.is_vain:
            terminalreporter.write_line(
                "plexwire: nothing could be tested; see -rs for what to provide"
            )
