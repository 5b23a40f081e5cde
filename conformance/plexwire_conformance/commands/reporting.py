"""What every judging command writes: its reports, and the comparison with the known failures."""

import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from attrs import evolve, fields, frozen
from rich.console import Console

from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, report_crash
from plexwire_conformance.commands.options import FILE, INTERRUPTED_BY, fail, run_trio
from plexwire_conformance.commands.report_files import MakesReport, report_file
from plexwire_conformance.recording.jsonlines import BadFile, read_text
from plexwire_conformance.report.all_reports import Reports
from plexwire_conformance.report.github import GithubReport
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.junit import JunitReport
from plexwire_conformance.report.markdown import MarkdownReport
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.summary import Summary, plural
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.report.transcripts import TranscriptsReport
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import Trouble
from plexwire_conformance.run.known_failures import KnownFailure, read_known, reckon, updated
from plexwire_conformance.target.target import BadTarget


@frozen(kw_only=True)
class Outputs:
    """What the options of `output_options` ask for."""

    report: Path | None
    html: Path | None
    junit: Path | None
    markdown: Path | None
    github: bool
    transcripts: Path | None
    expected_failures: Path | None
    update_expected: bool
    quiet: bool

    @property
    def files(self) -> tuple[tuple[Path, MakesReport], ...]:
        """The files to write, and the report that goes into each."""
        wanted: tuple[tuple[Path | None, MakesReport], ...] = (
            (self.report, NdjsonReport),
            (self.transcripts, TranscriptsReport),
            (self.junit, JunitReport),
            (self.markdown, MarkdownReport),
            (self.html, HtmlReport),
        )
        return tuple((path, made) for path, made in wanted if path is not None)


_OUTPUT_OPTIONS: Final = (
    click.option(
        "--report", type=FILE, help="Write the run as NDJSON, for plexwire diff and replay."
    ),
    click.option("--html", type=FILE, help="Write the run as one HTML page, for people."),
    click.option("--junit", type=FILE, help="Write the run as JUnit XML."),
    click.option(
        "--markdown", type=FILE, help="Write a summary, such as for $GITHUB_STEP_SUMMARY."
    ),
    click.option("--github", is_flag=True, help="Print GitHub annotations at the end."),
    click.option(
        "--transcripts",
        type=FILE,
        help="Write every message of the run, as NDJSON for plexwire judge.",
    ),
    click.option(
        "--expected-failures",
        type=FILE,
        help="Known failures (TOML); fail only if the run differs from them.",
    ),
    click.option(
        "--update-expected",
        is_flag=True,
        help="Add this run's failures to that file, and remove entries that no longer fail.",
    ),
    click.option("--quiet", "-q", is_flag=True, help="Print only findings."),
)


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that say what it writes; it gets them as `outputs`."""

    @wraps(command)
    def bundled(**options: Any) -> None:
        outputs = Outputs(**{each.name: options.pop(each.name) for each in fields(Outputs)})
        command(outputs=outputs, **options)

    for option in reversed(_OUTPUT_OPTIONS):
        bundled = option(bundled)
    return bundled


def judge_and_report(
    outputs: Outputs,
    judge: Callable[[Reports], Awaitable[None]],
    *,
    case_ids: Collection[str],
    unix_ms: int,
    whence: str = "",
) -> NoReturn:
    """Run *judge*, which tells its events to the reports that *outputs* ask for, and leave with the run's exit code.

    *case_ids* are the cases that a known failure may name, *unix_ms* is when the run begins, and *whence* says where the
    URL is from, if it was not given.
    """
    try:
        known = _known_failures(outputs, case_ids, unix_ms)
        with ExitStack() as stack:
            listeners = [
                stack.enter_context(report_file(path, made)) for path, made in outputs.files
            ]
            terminal = TerminalReport(
                Console(), Console(stderr=True), is_quiet=outputs.quiet, whence=whence
            )
            listeners.append(stack.enter_context(terminal).listen)
            if outputs.github:
                # The nonce is in every source's id: a gateway could say the word that lets it command.
                annotations = GithubReport(sys.stdout, secrets.token_hex(16))
                listeners.append(stack.enter_context(annotations).listen)
            reports = Reports(listeners, None if known is None else known.compare)
            crash = _judge(judge, reports)
        finished = reports.finished
        if reports.signal is not None:
            _fail_interrupted(reports.signal, nothing=finished is None)
        if crash is not None:
            _fail_for(crash)
        if finished is None:
            fail("the run ended before its time", COULD_NOT_JUDGE)
        if reports.failures:
            _fail_for(reports.failures[0])
        if known is not None and outputs.update_expected:
            known.store(finished)
    except (BadTarget, BadFile) as error:
        fail(str(error), COULD_NOT_JUDGE)
    except OSError as error:
        _fail_for(error)
    raise SystemExit(Summary.of(finished).exit_code)


def _judge(judge: Callable[[Reports], Awaitable[None]], reports: Reports) -> Exception | None:
    """Run *judge*; return what kept the suite from it, once all reports are complete."""
    crash: Exception | None = None
    try:
        run_trio(judge, reports)
    except KeyboardInterrupt:
        reports.signal = signal.SIGINT
    except Exception as error:
        crash = error
    if reports.signal is not None:
        reports.cut_short(Trouble.INTERRUPTED, "the run was interrupted before it ended")
    elif crash is not None:
        reports.cut_short(Trouble.SUITE, f"the suite failed before it ended: {crash}")
    return crash


def _fail_interrupted(number: int, *, nothing: bool) -> NoReturn:
    kept = "what was not judged by then is an error in the reports"
    what = "nothing was judged by then" if nothing else kept
    fail(f"interrupted; {what}", INTERRUPTED_BY + number)


def _fail_for(error: Exception) -> NoReturn:
    match error:
        case BadTarget() | BadFile() | CouldNotJudge():
            fail(str(error), COULD_NOT_JUDGE)
        case OSError():
            # The disk is full, or went away, while a report was written.
            fail(f"can't write a report: {error.strerror or error}", COULD_NOT_JUDGE)
        case _:
            report_crash(error)
            raise SystemExit(COULD_NOT_JUDGE)


# ── known failures ───────────────────────────────────────────────────────────────────────────


@frozen(kw_only=True)
class _KnownFailures:
    """The file of expected failures; with `renew`, this run says what is in it."""

    path: Path
    text: str
    today: date
    renew: bool
    case_ids: tuple[str, ...]

    def compare(self, event: RunFinished) -> RunFinished:
        """Return the end of the run, compared with the known failures."""
        entries = self._read(self._text(event))
        return evolve(event, reckoning=reckon(event.results, entries, self.today))

    def store(self, event: RunFinished) -> None:
        """Write the file as this run turned out.

        Raises:
            BadFile: it can't be written.
        """
        text = self._text(event)
        try:
            self.path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadFile(f"can't write {self.path}: {error.strerror}") from None
        count = len(self._read(text))
        click.echo(f"{self.path}: {plural(count, 'known failure')}", err=True)

    def _text(self, event: RunFinished) -> str:
        if not self.renew:
            return self.text
        return updated(self.text, self.path.name, event.results, self.today)

    def _read(self, text: str) -> tuple[KnownFailure, ...]:
        return read_known(text, self.path.name, self.case_ids)


def _known_failures(
    outputs: Outputs, case_ids: Collection[str], unix_ms: int
) -> _KnownFailures | None:
    path, renew = outputs.expected_failures, outputs.update_expected
    if path is None:
        if renew:
            raise BadTarget("--update-expected goes with --expected-failures FILE")
        return None
    text = read_text(path) if path.exists() or not renew else ""
    read_known(text, path.name, tuple(case_ids))
    today = datetime.fromtimestamp(unix_ms / 1000, UTC).date()
    return _KnownFailures(path=path, text=text, today=today, renew=renew, case_ids=tuple(case_ids))
