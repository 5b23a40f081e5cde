"""`plexwire conform`."""

import os
import secrets
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

import click
import trio
from attrs import evolve, frozen
from rich.console import Console

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.profiles import DEFAULT, PROFILES, part_of
from plexwire_conformance.cases.selection import NothingSelected, select
from plexwire_conformance.commands.config_file import resolve
from plexwire_conformance.commands.judging_command import (
    COULD_NOT_JUDGE,
    JudgingCommand,
    report_crash,
)
from plexwire_conformance.commands.options import (
    FILE,
    INTERRUPTED_BY,
    NOTHING,
    check_place,
    fail,
    faulty,
    given_or_reference,
    make_settings,
    place_of,
    run_trio,
    target_options,
)
from plexwire_conformance.commands.report_files import MakesReport, report_file
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
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import Trouble
from plexwire_conformance.run.known_failures import (
    KnownFailure,
    read_known,
    reckon,
    updated,
)
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.description import (
    LEAST_CONNECTIONS,
    MAX_CONNECTIONS,
    MOST_CONNECTIONS,
    MOST_STREAMS,
    TargetDescription,
)
from plexwire_conformance.target.target import BadTarget, Target


@click.command(cls=JudgingCommand)
@click.argument("place", metavar="[URL|NAME]", required=False)
@target_options
@click.option(
    "--fault",
    metavar="ID",
    callback=faulty,
    help="Judge the reference gateway with this fault; see plexwire selftest --list.",
)
@click.option(
    "--only", multiple=True, metavar="WORD", help="Cases to run, by id, area, pattern or clause."
)
@click.option("--skip", multiple=True, metavar="WORD", help="Cases not to run, likewise.")
@click.option("--list", "listing", is_flag=True, help="List the cases and their clauses, run none.")
@click.option("--report", type=FILE, help="Write the run as NDJSON, for plexwire diff and replay.")
@click.option("--html", type=FILE, help="Write the run as one HTML page, for people.")
@click.option("--junit", type=FILE, help="Write the run as JUnit XML.")
@click.option("--markdown", type=FILE, help="Write a summary, such as for $GITHUB_STEP_SUMMARY.")
@click.option("--github", is_flag=True, help="Print GitHub annotations at the end.")
@click.option(
    "--transcripts", type=FILE, help="Write every message of the run, as NDJSON for plexwire judge."
)
@click.option(
    "--expected-failures",
    "expected_file",
    type=FILE,
    help="Known failures (TOML); fail only if the run differs from them.",
)
@click.option(
    "--update-expected",
    is_flag=True,
    help="Add this run's failures to that file, and remove entries that no longer fail.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(LEAST_CONNECTIONS, MOST_CONNECTIONS),
    help=f"Most sockets open at the same time.  [default: {MAX_CONNECTIONS}]",
)
@click.option(
    "--streams",
    type=click.IntRange(1, MOST_STREAMS),
    metavar="N",
    help="How many streams of one key the gateway allows at once: then so many end in each manner, and every seat has to "
    "be free again.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds that one case may take beyond its own waits.",
)
@click.option(
    "--profile",
    "profile_name",
    type=click.Choice(tuple(PROFILES)),
    default=DEFAULT,
    show_default=True,
    help="How much to judge. "
    + " ".join(
        f"{each.name} (about {each.seconds} s): {each.judges}." for each in PROFILES.values()
    ),
)
@click.option("--quiet", "-q", is_flag=True, help="Print only findings.")
def conform(
    place: str | None,
    description: TargetDescription,
    fault: str,
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
    streams: int | None,
    budget: float,
    profile_name: str,
    quiet: bool,
) -> None:
    """Judge the gateway at URL, clause by clause; without a URL, the reference gateway itself.

    \b
    See how it looks, with nothing to set up:
        plexwire conform --html report.html
    See how a failing report looks:
        plexwire conform --fault auth.policy-violation --html report.html
    A gateway, its report for people, and the run for later:
        plexwire conform wss://staging.example.com --html report.html --report run.ndjson
    One area, or one case:
        plexwire conform wss://staging.example.com --only auth --only flow.stalled-viewer

    URL is the base, such as wss://gateway.example.com: what comes before /v1/sources/… . NAME is that of a
    target in plexwire.toml, or in [tool.plexwire] of pyproject.toml; options override what is set there.

    Without URL, PLEXWIRE_URL in the environment or in --keys-file names the gateway, as plexwire serve --write-keys
    writes it. In CI ($CI is set, or --github) one of them is needed: the reference gateway is not judged there.

    Keys come from the environment or from --keys-file, never from the command line:

    \b
        PLEXWIRE_API_KEY         a key that may watch (needed)
        PLEXWIRE_DEVICE_KEY      a key that may publish, if it is another
        PLEXWIRE_FOREIGN_KEY     a key of a second organisation
        PLEXWIRE_NO_ACCESS_KEY   a key whose plan has no API access
        PLEXWIRE_REVOKED_KEY     a revoked key
        PLEXWIRE_OTHER_KEY       a second key of the same organisation
        PLEXWIRE_READ_KEY        a key whose scopes allow reading only

    Without the last five a few cases are untestable. If no key may publish, --live names a camera that runs there:
    it is watched, and nothing is published.

    \b
    Exit codes: 0 conformant · 1 violations · 2 could not judge
                3 nothing selected, or nothing testable
                130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP

    With --expected-failures, 0 means that exactly the listed failures are there, and 1 that something differs: a
    new failure, an entry whose failure no longer shows, or an entry whose date has passed.
    """
    said = evolve(
        description,
        only=only,
        skip=skip,
        max_connections=max_connections,
        streams=streams,
        expected_failures=expected_file,
    )
    try:
        place, whence = (
            (place, "")
            if listing or fault
            else place_of(place, description.keys_file, os.environ, is_ci=github)
        )
        description = resolve(place, said)
        profile = PROFILES[profile_name]
        cases = select(description.only, description.skip, profile)
    except NothingSelected as error:
        fail(str(error), NOTHING)
    except (BadFile, BadTarget) as error:
        fail(str(error), COULD_NOT_JUDGE)
    if listing:
        for case in cases or [CONTROL]:
            click.echo(f"{case.id:32} {' '.join(case.clauses)}\n    {case.title}")
        return
    settings = make_settings(
        max_connections=description.max_connections or MAX_CONNECTIONS,
        case_budget=budget,
        thorough=profile.thorough,
        part=part_of(cases, description.only, description.skip, profile),
    )
    files: tuple[tuple[Path | None, MakesReport], ...] = (
        (report, NdjsonReport),
        (transcripts, TranscriptsReport),
        (junit, JunitReport),
        (markdown, MarkdownReport),
        (html, HtmlReport),
    )
    try:
        check_place(place, fault)
        target = None if fault else description.target(os.environ)
        known = _known_failures(description.expected_failures, update_expected, settings)
        with ExitStack() as stack:
            listeners = [
                stack.enter_context(report_file(path, made))
                for path, made in files
                if path is not None
            ]
            terminal = TerminalReport(
                Console(), Console(stderr=True), is_quiet=quiet, whence=whence
            )
            listeners.append(stack.enter_context(terminal).listen)
            if github:
                # The nonce is in every source's id: a gateway could say the word that lets it command.
                annotations = GithubReport(sys.stdout, secrets.token_hex(16))
                listeners.append(stack.enter_context(annotations).listen)
            reports = Reports(listeners, None if known is None else known.compare)
            crash = _judge(target, fault, cases, settings, reports)
        finished = reports.finished
        if reports.signal is not None:
            _fail_interrupted(reports.signal, nothing=finished is None)
        if crash is not None:
            _fail_for(crash)
        if finished is None:
            fail("the run ended before its time", COULD_NOT_JUDGE)
        if reports.failures:
            _fail_for(reports.failures[0])
        if known is not None and update_expected:
            known.store(finished)
    except (BadTarget, BadFile) as error:
        fail(str(error), COULD_NOT_JUDGE)
    except OSError as error:
        _fail_for(error)
    raise SystemExit(Summary.of(finished).exit_code)


def _judge(
    target: Target | None, fault: str, cases: list[Case], settings: Settings, reports: Reports
) -> Exception | None:
    """Judge *target*, or the reference gateway with *fault*; return what kept the suite from it, once all reports are complete."""
    crash: Exception | None = None
    try:
        run_trio(_run, target, fault, cases, settings, reports)
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


async def _run(
    target: Target | None,
    fault: str,
    cases: list[Case],
    settings: Settings,
    reports: Reports,
) -> None:
    # A reference gateway outlives the judge, which then closes its connections as at any other gateway.
    async with given_or_reference(target, fault) as given, trio.open_nursery() as nursery:
        await nursery.start(heed_interrupt, reports, nursery.cancel_scope)
        await Runner(given, settings).run(cases, reports.listen)
        nursery.cancel_scope.cancel()


# ── known failures ───────────────────────────────────────────────────────────────────────────


@frozen(kw_only=True)
class _KnownFailures:
    """The file of expected failures; with `renew`, this run says what is in it."""

    path: Path
    text: str
    today: date
    renew: bool

    def compare(self, event: RunFinished) -> RunFinished:
        """Return the end of the run, compared with the known failures."""
        entries = _read(self._text(event), self.path)
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
        count = len(_read(text, self.path))
        click.echo(f"{self.path}: {plural(count, 'known failure')}", err=True)

    def _text(self, event: RunFinished) -> str:
        if not self.renew:
            return self.text
        return updated(self.text, self.path.name, event.results, self.today)


def _read(text: str, path: Path) -> tuple[KnownFailure, ...]:
    return read_known(text, path.name, (CONTROL.id, *CASES))


def _known_failures(path: Path | None, renew: bool, settings: Settings) -> _KnownFailures | None:
    if path is None:
        if renew:
            raise BadTarget("--update-expected goes with --expected-failures FILE")
        return None
    text = read_text(path) if path.exists() or not renew else ""
    _read(text, path)
    today = datetime.fromtimestamp(settings.unix_ms / 1000, UTC).date()
    return _KnownFailures(path=path, text=text, today=today, renew=renew)
