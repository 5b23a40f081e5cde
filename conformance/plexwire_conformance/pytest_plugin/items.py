"""Every case as a pytest item; all that are selected run at once, when the first of them is due."""

from __future__ import annotations

from contextlib import suppress
from inspect import unwrap
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import pytest
from attrs import define

from plexwire_conformance.pytest_plugin import ROOT, ConformanceWarning
from plexwire_conformance.pytest_plugin.failure_text import breaches, tell
from plexwire_conformance.pytest_plugin.option_names import in_pytest
from plexwire_conformance.report.summary import plural
from plexwire_conformance.report.wording import say_finding
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from plexwire_conformance.pytest_plugin.runs import AnyRun
    from plexwire_conformance.run.case import AnyCase
    from plexwire_conformance.run.known_failures import Reckoning


class Cases(pytest.Collector):
    """The collector of all cases; its setup is the run."""

    def __init__(self, *, run: AnyRun, **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]
        self.run = run

    def collect(self) -> Iterator[CaseItem]:
        """Yield the control and the cases."""
        for case in (self.run.control, *self.run.cases, *self.run.observations):
            yield CaseItem.from_parent(self, name=case.id, case=case)

    def setup(self) -> None:
        """Judge by every item that is left of the session."""
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

    def __init__(self, *, case: AnyCase, parent: Cases, **others: object) -> None:
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
            pytest.fail(tell(result, run.place, red), pytrace=False)
        match result.verdict:
            case Verdict.FAIL if run.reckoning is not None:
                self._fail_as_expected(run.reckoning)
            case Verdict.FAIL:
                pytest.fail(tell(result, run.place), pytrace=False)
            case Verdict.BLOCKED:
                pytest.skip(f"blocked by {result.blocked_by}: {in_pytest(result.reason)}")
            case Verdict.UNTESTABLE:
                pytest.skip(in_pytest(result.reason))
            case _:
                self._warn()

    def _fail_as_expected(self, reckoning: Reckoning) -> None:
        entries = [reckoning.accepts(self.result.case, f) for f in self.result.findings]
        reasons = [f"{e.check}: {e.reason} {e.issue}".rstrip() for e in entries if e is not None]
        self.add_report_section("call", "plexwire", tell(self.result, self.run.place))
        pytest.xfail("; ".join(reasons))

    def _warn(self) -> None:
        with suppress(ConformanceWarning):
            for finding in breaches(self.result):
                self.warn(ConformanceWarning(say_finding(finding)))
            return
        # Where warnings are errors, this one needs no traceback either.
        pytest.fail(tell(self.result, self.run.place), pytrace=False)

    @property
    def _heading(self) -> str:
        # Not the end of the node id, in which pytest would take the dots for those of a class and its method.
        return f"{ROOT} {self.case.id}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the case is written."""
        body = getattr(self.case, "body", None)
        function = unwrap(body) if callable(body) else None
        if isinstance(function, FunctionType):
            code = function.__code__
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
    """What pytest is told once there is something to judge."""

    run: AnyRun

    def pytest_report_header(self) -> str:
        """Say what is judged."""
        cases = plural(len(self.run.cases), "case")
        watched = plural(len(self.run.observations), "clause")
        return (
            f"plexwire: {self.run.called}, {cases}, the control, and {watched} watched throughout"
        )

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
