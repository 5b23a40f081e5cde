"""`plexwire conform`."""

import os
import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias

import click
import trio
from attrs import evolve, frozen
from rich.console import Console

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.selection import NothingSelected, select
from plexwire_conformance.commands.config_file import resolve
from plexwire_conformance.commands.options import (
    COULD_NOT_JUDGE,
    FILE,
    INTERRUPTED,
    NOTHING,
    fail,
    given_or_reference,
    make_settings,
    run_trio,
    target_options,
)
from plexwire_conformance.recording.jsonlines import BadFile, read_text
from plexwire_conformance.report.all_reports import Reports, heed_interrupt
from plexwire_conformance.report.github import GithubReport
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.junit import JunitReport
from plexwire_conformance.report.markdown import MarkdownReport
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.summary import Summary, plural
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.report.transcripts import TranscriptsReport
from plexwire_conformance.run.control import CONTROL, CouldNotJudge
from plexwire_conformance.run.known_failures import (
    Expected,
    read_expected,
    reckon,
    update,
    write_expected,
)
from plexwire_conformance.run.runner import RunEvent, RunFinished, Runner, Settings
from plexwire_conformance.target.description import (
    LEAST_CONNECTIONS,
    MAX_CONNECTIONS,
    MOST_CONNECTIONS,
    TargetDescription,
)
from plexwire_conformance.target.target import BadTarget, Target


@click.command()
@click.argument("place", metavar="[URL|NAME]", required=False)
@target_options
@click.option(
    "--only", multiple=True, metavar="WORD", help="Only these: id, pattern, clause, area."
)
@click.option("--skip", multiple=True, metavar="WORD", help="Not these.")
@click.option("--list", "listing", is_flag=True, help="List the cases and their clauses, run none.")
@click.option("--report", type=FILE, help="Write the run as NDJSON, for plexwire diff and replay.")
@click.option("--html", type=FILE, help="Write the run as one HTML page, for people.")
@click.option("--junit", type=FILE, help="Write the run as JUnit XML.")
@click.option("--markdown", type=FILE, help="Write a summary, such as for $GITHUB_STEP_SUMMARY.")
@click.option("--github", is_flag=True, help="Print GitHub annotations at the end.")
@click.option(
    "--transcripts", type=FILE, help="Write all that was said, as NDJSON for plexwire judge."
)
@click.option(
    "--expected-failures",
    "expected_file",
    type=FILE,
    help="Fail only where the run differs from this list (TOML).",
)
@click.option(
    "--update-expected", is_flag=True, help="Write that list anew, as this run turned out."
)
@click.option(
    "--max-connections",
    type=click.IntRange(LEAST_CONNECTIONS, MOST_CONNECTIONS),
    help=f"Sockets open at once, at most.  [default: {MAX_CONNECTIONS}]",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds that one case may take beyond its own waits.",
)
@click.option("--quiet", "-q", is_flag=True, help="No table of all cases, only findings.")
def conform(
    place: str | None,
    description: TargetDescription,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    listing: bool,
    report: Path | None,
    html: Path | None,
    junit: Path | None,
    markdown: Path | None,
    github: bool,
    transcripts: Path | None,
    expected_file: Path | None,
    update_expected: bool,
    max_connections: int | None,
    budget: float,
    quiet: bool,
) -> None:
    """Judge the gateway at URL, clause by clause; without URL, the reference gateway itself.

    \b
    See how it looks, with nothing to set up:
        plexwire conform --html report.html
    A gateway, its report for people, and the run for later:
        plexwire conform wss://staging.example.com --html report.html --report run.ndjson
    One area, or one case:
        plexwire conform wss://staging.example.com --only auth --only flow.stalled-viewer

    URL is the base, such as wss://gateway.example.com: what stands in front of /v1/sources/… . NAME is that of a
    target in plexwire.toml, or in [tool.plexwire] of pyproject.toml; options stand above what it says there.

    Keys come from the environment or from --keys-file, never from the command line:

    \b
        PLEXWIRE_API_KEY         a key that may watch (needed)
        PLEXWIRE_DEVICE_KEY      one that may publish, if another
        PLEXWIRE_FOREIGN_KEY     one of a second organisation
        PLEXWIRE_NO_ACCESS_KEY   one whose plan has no API access
        PLEXWIRE_REVOKED_KEY     a revoked one

    Without the last three a few cases are untestable, and said to be. Where no key may publish, --live names a camera
    that runs there: it is watched, and nothing is published.

    \b
    Exit codes: 0 conformant · 1 violations · 2 could not judge
                3 nothing selected, or nothing testable

    With --expected-failures, 0 means that exactly the listed failures are there, and 1 that something differs: a
    failure that is new or looks otherwise, an entry whose failure is gone or whose date is over.
    """
    said = evolve(
        description,
        only=only,
        skip=skip,
        max_connections=max_connections,
        expected_failures=expected_file,
    )
    try:
        description = resolve(place, said, Path.cwd())
        cases = select(description.only, description.skip)
    except NothingSelected as error:
        fail(str(error), NOTHING)
    except BadFile as error:
        fail(str(error), COULD_NOT_JUDGE)
    if listing:
        for case in cases:
            click.echo(f"{case.id:32} {' '.join(case.clauses)}\n    {case.title}")
        return
    settings = make_settings(
        max_connections=description.max_connections or MAX_CONNECTIONS, case_budget=budget
    )
    files: tuple[tuple[Path | None, _MakesReport], ...] = (
        (report, NdjsonReport),
        (transcripts, TranscriptsReport),
        (junit, JunitReport),
        (markdown, MarkdownReport),
        (html, HtmlReport),
    )
    try:
        target = description.target(os.environ)
        known = _known_failures(description.expected_failures, update_expected, settings)
        with ExitStack() as stack:
            listeners = [
                made(_open(stack, path)).listen for path, made in files if path is not None
            ]
            terminal = TerminalReport(Console(), Console(stderr=True), every_case=not quiet)
            listeners.append(stack.enter_context(terminal).listen)
            if github:
                # The nonce is in every source's id: a gateway could say the word that lets it command.
                annotations = GithubReport(sys.stdout, secrets.token_hex(16))
                listeners.append(stack.enter_context(annotations).listen)
            reports = Reports(listeners, None if known is None else known.compare)
            try:
                run_trio(_run, target, cases, settings, reports)
            except KeyboardInterrupt:
                reports.cut_short()
        finished = reports.finished
        if finished is None:
            fail("interrupted; nothing was judged by then", INTERRUPTED)
        if reports.interrupted:
            fail("interrupted; what was not judged by then is an error in the reports", INTERRUPTED)
        if known is not None and update_expected:
            known.store(finished)
    except (BadTarget, BadFile, CouldNotJudge) as error:
        fail(str(error), COULD_NOT_JUDGE)
    except OSError as error:
        # The disk is full, or went away, while a report was written.
        fail(f"can't write a report: {error.strerror or error}", COULD_NOT_JUDGE)
    raise SystemExit(Summary.of(finished.results, finished.reckoning).exit_code)


class _Listens(Protocol):
    """A report."""

    def listen(self, event: RunEvent) -> None: ...


_MakesReport: TypeAlias = Callable[[TextIO], _Listens]


def _open(stack: ExitStack, path: Path) -> TextIO:
    # What is left empty, since nothing could be judged, is no report.
    stack.callback(_drop_if_empty, path)
    try:
        return stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
    except OSError as error:
        raise BadTarget(f"can't write {path}: {error.strerror}") from None


def _drop_if_empty(path: Path) -> None:
    if path.is_file() and not path.stat().st_size:
        path.unlink()


async def _run(
    target: Target | None,
    cases: list[Case],
    settings: Settings,
    reports: Reports,
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(heed_interrupt, reports, nursery.cancel_scope)
        async with given_or_reference(target) as given:
            await Runner(given, settings).run(cases, reports.listen)
        nursery.cancel_scope.cancel()


# ── known failures ───────────────────────────────────────────────────────────────────────────


@frozen(kw_only=True)
class _KnownFailures:
    """The file of expected failures; with `renew`, this run says what is in it."""

    path: Path
    entries: tuple[Expected, ...]
    today: date
    renew: bool

    def compare(self, event: RunFinished) -> RunFinished:
        """Return the end of the run, held against what was expected."""
        entries = self._entries(event)
        return evolve(event, reckoning=reckon(event.results, entries, self.today))

    def store(self, event: RunFinished) -> None:
        """Write the file as this run turned out.

        Raises:
            BadFile: it can't be written.
        """
        entries = self._entries(event)
        try:
            self.path.write_text(write_expected(entries), encoding="utf-8")
        except OSError as error:
            raise BadFile(f"can't write {self.path}: {error.strerror}") from None
        click.echo(f"{self.path}: {plural(len(entries), 'known failure')}", err=True)

    def _entries(self, event: RunFinished) -> tuple[Expected, ...]:
        return update(event.results, self.entries, self.today) if self.renew else self.entries


def _known_failures(path: Path | None, renew: bool, settings: Settings) -> _KnownFailures | None:
    if path is None:
        if renew:
            raise BadTarget("--update-expected goes with --expected-failures FILE")
        return None
    entries: tuple[Expected, ...] = ()
    if path.exists() or not renew:
        entries = read_expected(read_text(path), path.name, (CONTROL.id, *CASES))
    today = datetime.fromtimestamp(settings.unix_ms / 1000, UTC).date()
    return _KnownFailures(path=path, entries=entries, today=today, renew=renew)
