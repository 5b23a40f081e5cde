"""The report in the terminal: progress while it runs, then findings, then the verdict table."""

from collections.abc import Mapping, Sequence
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from plexwire_conformance.recording.recorder import Entry, Way
from plexwire_conformance.report.causes import probable_causes
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.sentences import (
    actual_with_margin,
    expected_sentence,
    observed_sentence,
    red_sentence,
)
from plexwire_conformance.report.summary import Accusation, Summary, plural, unjudged
from plexwire_conformance.report.wording import (
    name_some,
    replay_command,
    say,
    say_late,
    say_used,
    seen_elsewhere,
    waited,
)
from plexwire_conformance.run.events import (
    CaseFinished,
    RunEvent,
    RunFinished,
    RunInterrupted,
    RunStarted,
)
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import KnownFailure, Reckoning
from plexwire_spec import Party, clauses

_STYLES: Final = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.WARN: "yellow",
    Verdict.INFO: "cyan",
    Verdict.BLOCKED: "magenta",
    Verdict.UNTESTABLE: "dim",
    Verdict.ERROR: "bold magenta",
}
#: Of so few cases left, it is shown what is waited for.
_WAITING: Final = 4
#: What is said after the first Ctrl-C.
_CLOSING: Final = "closing connections"
#: Characters that a narrow terminal has beside the bar.
_ROOM: Final = 32
#: Entries of a timeline that the terminal shows; the files have them all.
_SHOWN: Final = 14


class TerminalReport:
    """Shows the run: to *progress* while it lasts, to *out* when it is over.

    A quiet one shows only findings, and why there is no verdict if there is none.
    """

    def __init__(
        self, out: Console, progress: Console, *, is_quiet: bool = False, whence: str = ""
    ) -> None:
        self._out = out
        #: Where the URL is from, if it was not given.
        self._whence = f" ({whence})" if whence else ""
        self._progress = progress
        self._is_quiet = is_quiet
        self._bar = Progress(
            TextColumn("judging"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=progress,
        )
        self._live = Live(self._bar, console=progress, transient=True, refresh_per_second=8)
        #: Where lines of progress go if nothing can be shown in place.
        self._plain = None if progress.is_terminal or is_quiet else progress
        self._is_live = progress.is_terminal
        self._task = self._bar.add_task("control", total=None)
        self._left: dict[str, None] = {}
        self._done = 0
        self._told = 0
        self._place = ""
        self._called = ""

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._live.stop()

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                about = About.of(event)
                self._place, self._called = about.place, about.called
                self._left = dict.fromkeys(case.id for case in event.cases)
                self._bar.update(self._task, total=len(event.cases), description="")
                called = f", {about.called}," if about.called else ""
                self._say(f"judging {about.url}{called}{self._whence} by {len(event.cases)} cases")
                if about.live:
                    self._say(f"watching {about.live}")
                if about.role is Party.GATEWAY:
                    self._say(f"{event.tolerances}")
            case CaseFinished():
                verdict = event.result.verdict
                if verdict is Verdict.ERROR and not event.transcripts:
                    return  # It was never begun, and is told of at the end.
                self._done += 1
                failed = verdict in (Verdict.FAIL, Verdict.ERROR)
                word = f"{event.result.case} {verdict}" if failed else ""
                self._left.pop(event.result.case, None)
                if word or len(self._left) <= _WAITING:
                    shown = word or f"waiting for {', '.join(self._left)}"
                    self._bar.update(self._task, description=escape(shown[:_ROOM]))
                self._bar.update(self._task, advance=1)
                if word:
                    self._say(word)
                elif self._done >= self._told + 20:
                    self._told = self._done
                    self._say(f"{self._done} cases done")
            case RunInterrupted():
                self._bar.update(self._task, description=_CLOSING)
                self._say(_CLOSING)
            case RunFinished():
                self._bar.update(self._task, description="")
                self.__exit__()
                self._finish(event)

    def _say(self, text: str) -> None:
        if self._plain is not None:
            self._plain.print(text, markup=False, highlight=False, soft_wrap=True)

    def _finish(self, event: RunFinished) -> None:
        summary = Summary.of(event)
        for cause in probable_causes(summary.accusations):
            self._out.print(
                Text(f"\n{cause.sentence}\n", "bold").append(f"  {name_some(cause.checks)}", "dim")
            )
        for accusation in summary.accusations:
            self._accuse(accusation, event.reckoning)
        if self._is_quiet:
            if event.reckoning is not None and event.reckoning.red:
                self._out.print(_reckoning(event.reckoning))
            if summary.exit_code not in (0, 1):
                self._progress.print(summary.conclusion, markup=False, highlight=False)
            return
        if summary.dialect:
            self._out.print(_dialect(summary.dialect))
        self._out.print(_table(event.results))
        if reasons := unjudged(event.results):
            self._out.print(_not_judged(reasons))
        if event.reckoning is not None:
            self._out.print(_reckoning(event.reckoning))
        if late := say_late(event.late):
            self._out.print(Text(late, "yellow"))
        if used := say_used(event):
            self._out.print(Text(f"\nused {used}", "dim"))
        # In one piece each: what limits a verdict stays in its line.
        self._out.print(_conclusion(summary, event.seconds), soft_wrap=True)
        if self._called:
            self._out.print(Text(f"Judged: {self._called}."), soft_wrap=True)

    def _accuse(self, accusation: Accusation, reckoning: Reckoning | None) -> None:
        case, finding = accusation.case.case, accusation.finding
        accepted = None if reckoning is None else reckoning.accepts(case, finding)
        self._out.print(show_finding(finding, f"found by {case}", accepted))
        for line in seen_elsewhere(accusation):
            self._out.print(Text(f"  {line}", "dim"))
        # In one piece, however long, so that it can be copied.
        command = replay_command(finding, case, self._place)
        self._out.print(Text("  replay    ", "dim").append(command, "default"), soft_wrap=True)


def show_finding(finding: Finding, by: str, accepted: KnownFailure | None = None) -> RenderableType:
    """Return *finding* as the terminal shows it; *by* says what found it, *accepted* that it was expected."""
    clause = clauses()[finding.clause]
    style = _STYLES[finding.verdict if accepted is None else Verdict.INFO]
    head = Text(f"\n{finding.verdict.upper()} ", style)
    head.append(f"{finding.check} ", "bold")
    head.append(f"{clause.level} · {by}", "dim")
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    if accepted is not None:
        known = Text(f"{accepted.reason} {accepted.issue}".rstrip())
        rows.add_row("known", known.append(f" (until {accepted.expires})", "dim"))
    if expected := expected_sentence(finding):
        rows.add_row("expected", Text(expected))
    rows.add_row("observed", Text(actual_with_margin(finding), style))
    indented = (Padding(part, (0, 0, 0, 2)) for part in (Text(clause.text), rows))
    return Group(head, *indented, _timeline(finding.timeline, finding.at))


def _timeline(entries: tuple[Entry, ...], judged_at: float | None) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for column in ("at", "peer", "way", "what"):
        table.add_column(
            column,
            justify="right" if column == "at" else "left",
            no_wrap=column != "what",
            overflow="fold",
            style="dim" if column != "what" else "",
        )
    left_out = len(entries) - _SHOWN
    if left_out > 0:
        table.add_row("", "", "", f"… {left_out} earlier")
    for entry in entries[-_SHOWN:]:
        arrow = "→" if entry.way is Way.SENT else "←"
        table.add_row(f"  {entry.at:8.3f} s", entry.peer, arrow, Text(say(entry)))
    silence = waited(entries, judged_at)
    if silence is not None:
        words = Text(f"nothing more in {silence:.2f} s", "dim italic")
        table.add_row(f"  {entries[-1].at + silence:8.3f} s", "", "", words)
    return table


def _dialect(findings: list[Finding]) -> RenderableType:
    table = Table(
        title="Dialect: what this gateway does where the sources are silent",
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1),
        show_header=False,
    )
    table.add_column("clause", style="cyan", no_wrap=True)
    table.add_column("choice", overflow="fold")
    for finding in findings:
        table.add_row(finding.clause, Text(observed_sentence(finding)))
    return Group("", table)


def _table(results: tuple[CaseResult, ...]) -> RenderableType:
    table = Table(
        title="\nVerdicts", title_justify="left", title_style="bold", box=None, padding=(0, 1)
    )
    table.add_column("case", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("clauses", overflow="fold")
    table.add_column("seconds", justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.case,
            Text(result.verdict, _STYLES[result.verdict]),
            Text(" ".join(c.removeprefix("PW-") for c in result.clauses), "dim"),
            f"{result.seconds:.2f}",
        )
    return table


def _not_judged(reasons: Mapping[tuple[Verdict, str], Sequence[str]]) -> RenderableType:
    table = Table(
        title="\nNot judged", title_justify="left", title_style="bold", box=None, padding=(0, 1)
    )
    table.show_header = False
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    for (verdict, reason), cases in reasons.items():
        why = Text(reason).append(f"\n{name_some(cases)}", "dim")
        table.add_row(Text(verdict, _STYLES[verdict]), why)
    return table


def _reckoning(reckoning: Reckoning) -> RenderableType:
    text = Text("\n")
    text.append(f"{plural(len(reckoning.accepted), 'known failure')}, as expected\n", "dim")
    for red in reckoning.red:
        text.append(f"{red.colour.upper()} ", "bold red")
        text.append(f"{red_sentence(red)}\n")
        if red.cases:
            text.append(f"  {name_some(red.cases)}\n", "dim")
    text.rstrip()
    return text


def _conclusion(summary: Summary, seconds: float) -> RenderableType:
    text = Text("\n")
    counted = [(count, verdict) for verdict, count in summary.cases.items() if count]
    for number, (count, verdict) in enumerate(counted):
        text.append(" · " if number else "")
        text.append(f"{count} {verdict}", _STYLES[verdict])
    observed = [f"{count} {verdict}" for verdict, count in summary.observed.items() if count]
    if observed:
        text.append(f"  and {', '.join(observed)} observed", "dim")
    text.append(f"  {summary.size}, {seconds:.1f} s\n")
    style = {0: "bold green", 1: "bold red"}.get(summary.exit_code, "bold yellow")
    text.append(summary.conclusion, style)
    if summary.advice:
        text.append(f"\n{summary.advice}")
    return text
