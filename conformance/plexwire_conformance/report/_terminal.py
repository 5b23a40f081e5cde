"""The report in the terminal: progress while it runs, then findings, then the verdict table."""

from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from plexwire_conformance._expected import Expected, Reckoning
from plexwire_conformance._record import Entry, Way
from plexwire_conformance._runner import CaseFinished, RunEvent, RunFinished, RunStarted
from plexwire_conformance._verdict import CaseResult, Finding, Verdict
from plexwire_conformance.report._summary import Accusation, Summary, plural
from plexwire_conformance.report._words import off_by, replay_command, say, seen_elsewhere
from plexwire_spec import clauses

_STYLES: Final = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.WARN: "yellow",
    Verdict.INFO: "cyan",
    Verdict.UNTESTABLE: "dim",
    Verdict.ERROR: "bold magenta",
}
#: Entries of a timeline that the terminal shows; the files have them all.
_SHOWN: Final = 14


class TerminalReport:
    """Shows the run: to *progress* while it lasts, to *out* when it is over."""

    def __init__(self, out: Console, progress: Console, *, every_case: bool = True) -> None:
        self._out = out
        self._every_case = every_case
        self._bar = Progress(
            TextColumn("judging"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=progress,
        )
        self._live = Live(self._bar, console=progress, transient=True, refresh_per_second=8)
        self._plain = None if progress.is_terminal else progress
        self._task = self._bar.add_task("control", total=None)
        self._done = 0
        self._told = 0
        self._url = ""

    def __enter__(self) -> Self:
        if self._plain is None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._plain is None:
            self._live.stop()

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._url = event.target.viewers.url
                self._bar.update(self._task, total=len(event.cases))
                self._say(f"judging {event.target.viewers.url} by {len(event.cases)} cases")
                self._say(f"{event.patience}")
            case CaseFinished():
                self._done += 1
                failed = event.result.verdict in (Verdict.FAIL, Verdict.ERROR)
                word = f"{event.result.case} {event.result.verdict}" if failed else ""
                self._bar.update(self._task, advance=1)
                if word:
                    self._bar.update(self._task, description=escape(word))
                    self._say(word)
                elif self._done >= self._told + 20:
                    self._told = self._done
                    self._say(f"{self._done} cases done")
            case RunFinished():
                self._bar.update(self._task, description="")
                self.__exit__()
                self._finish(event)

    def _say(self, text: str) -> None:
        if self._plain is not None:
            self._plain.print(text, markup=False, highlight=False)

    def _finish(self, event: RunFinished) -> None:
        summary = Summary.of(event.results, event.reckoning)
        for accusation in summary.accusations:
            self._accuse(accusation, event.reckoning)
        if summary.dialect:
            self._out.print(_dialect(summary.dialect))
        if self._every_case:
            self._out.print(_table(event.results))
        if event.reckoning is not None:
            self._out.print(_reckoning(event.reckoning))
        self._out.print(_conclusion(summary, event.seconds))

    def _accuse(self, accusation: Accusation, reckoning: Reckoning | None) -> None:
        case, finding = accusation.case.case, accusation.finding
        accepted = None if reckoning is None else reckoning.accepts(case, finding)
        self._out.print(show_finding(finding, f"found by {case}", accepted))
        for line in seen_elsewhere(accusation):
            self._out.print(Text(f"  {line}", "dim"))
        if finding.replay:
            # In one piece, however long, so that it can be copied.
            command = replay_command(finding.replay, self._url)
            self._out.print(Text(f"  replay    {command}"), soft_wrap=True)


def show_finding(finding: Finding, by: str, accepted: Expected | None = None) -> RenderableType:
    """Return *finding* as the terminal shows it; *by* says what found it, *accepted* that it was expected."""
    clause = clauses()[finding.clause]
    style = _STYLES[finding.verdict if accepted is None else Verdict.INFO]
    head = Text()
    head.append(f"\n{finding.verdict.upper()} ", style)
    head.append(f"{finding.clause} ", "bold")
    head.append(f"{clause.level} · {by}\n", "dim")
    head.append(f"  {clause.text}\n")
    if accepted is not None:
        head.append("  known     ", "dim")
        head.append(f"{accepted.reason} {accepted.issue}".rstrip())
        head.append(f" (until {accepted.expires})\n", "dim")
    head.append("  expected  ", "dim").append(f"{finding.expected}\n")
    head.append("  actual    ", "dim").append(finding.actual, style)
    head.append(off_by(finding), "dim")
    return Group(head, _timeline(finding.timeline))


def _timeline(entries: tuple[Entry, ...]) -> RenderableType:
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
        table.add_row(finding.clause, Text(finding.actual))
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
        if result.reason:
            table.add_row("", "", Text(result.reason, "dim"), "")
    return table


def _reckoning(reckoning: Reckoning) -> RenderableType:
    text = Text("\n")
    text.append(f"{plural(len(reckoning.accepted), 'known failure')}, as expected\n", "dim")
    for red in reckoning.red:
        text.append(f"{red.colour.upper()} ", "bold red")
        text.append(f"{red.case} {red.clause} ", "bold")
        text.append(f"{red.sentence}\n")
    text.rstrip()
    return text


def _conclusion(summary: Summary, seconds: float) -> RenderableType:
    text = Text("\n")
    counted = [(count, verdict) for verdict, count in summary.cases.items() if count]
    for number, (count, verdict) in enumerate(counted):
        text.append(" · " if number else "")
        text.append(f"{count} {verdict}", _STYLES[verdict])
    text.append(
        f"  {len(summary.results)} cases, {len(summary.clauses)} clauses, {seconds:.1f} s\n"
    )
    style = {0: "bold green", 1: "bold red"}.get(summary.exit_code, "bold yellow")
    text.append(summary.conclusion, style)
    return text
