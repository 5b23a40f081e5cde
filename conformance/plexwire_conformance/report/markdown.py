"""The report as Markdown: a summary for a CI service or a comment."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from plexwire_conformance.recording.recorder import Way
from plexwire_conformance.report.causes import probable_causes
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.sentences import (
    actual_with_margin,
    expected_sentence,
    observed_sentence,
    red_sentence,
)
from plexwire_conformance.report.summary import Accusation, Summary, unjudged
from plexwire_conformance.report.wording import (
    name_some,
    replay_command,
    say,
    say_late,
    say_used,
    seen_elsewhere,
)
from plexwire_conformance.run.events import RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.known_failures import Reckoning
from plexwire_spec import clauses

_SIGNS: Final = {
    Verdict.FAIL: "❌",
    Verdict.ERROR: "💥",
    Verdict.WARN: "⚠️",
    Verdict.BLOCKED: "⛔",
    Verdict.UNTESTABLE: "➖",
    Verdict.INFO: "ℹ️",
    Verdict.PASS: "✅",
}
#: Findings told at length; services cut a summary at a megabyte.
_TOLD: Final = 50
#: Entries of a timeline that are shown.
_SHOWN: Final = 20


class MarkdownReport:
    """Writes the summary to *out* once the run is over."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._about: About | None = None

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._about = About.of(event)
            case RunFinished() if self._about is not None:
                self._out.write(render(self._about, event))
            case _:
                pass


def render(about: About, event: RunFinished) -> str:
    """Return the summary of a run that is over."""
    summary = Summary.of(event)
    sign = {0: "✅", 1: "❌"}.get(summary.exit_code, "⚠️")
    parts = [
        f"## {sign} {summary.conclusion}",
        f"{f'{_plain(about.called)}<br>' if about.called else ''}"
        f"{code(about.url)} · {about.when} · {event.seconds:.1f} s · plexwire {about.version}<br>"
        f"{about.tolerances}{f'<br>live camera {code(about.live)}' if about.live else ''}"
        f"{f'<br>{late}' if (late := say_late(event.late)) else ''}",
        _table(
            ("verdict", "cases", "observed"),
            (
                (f"{_SIGNS[v]} {v}", str(count), str(summary.observed[v] or ""))
                for v, count in summary.cases.items()
                if count or summary.observed[v]
            ),
        )
        + f"\n\n{summary.size}{f'; the run used {used}' if (used := say_used(event)) else ''}.",
        *_reckoning(event.reckoning),
        *_findings(summary, about.place),
        *_not_judged(event.results),
        *_dialect(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _reckoning(reckoning: Reckoning | None) -> Iterator[str]:
    if reckoning is None:
        return
    if reckoning.red:
        yield "### Not as expected"
        yield _table(
            ("", "why", "cases"),
            ((f"**{r.colour}**", code(red_sentence(r)), name_some(r.cases)) for r in reckoning.red),
        )
    if reckoning.accepted:
        yield "### Known failures"
        yield _table(
            ("check", "reason", "issue", "until"),
            (
                (
                    entry.check,
                    _plain(entry.reason),
                    _plain(entry.issue),
                    str(entry.expires),
                )
                for entry in reckoning.accepted
            ),
        )


def _findings(summary: Summary, place: str) -> Iterator[str]:
    accusations = summary.accusations
    if accusations:
        yield "### Findings"
    for cause in probable_causes(accusations):
        yield f"**{_plain(cause.sentence)}**<br>{', '.join(cause.checks)}"
    for accusation in accusations[:_TOLD]:
        yield _accuse(accusation, place)
    if (left := len(accusations) - _TOLD) > 0:
        yield f"… and {left} more; the HTML report has them all."


def _accuse(accusation: Accusation, place: str) -> str:
    finding = accusation.finding
    clause = clauses()[finding.clause]
    lines = [
        f"{_SIGNS[finding.verdict]} **{finding.check}** {clause.level} · found by {code(accusation.case.case)}",
        f"> {_plain(clause.text)}",
        f"- expected: {code(expected_sentence(finding))}\n- observed: {code(actual_with_margin(finding))}",
        *seen_elsewhere(accusation),
        fence(replay_command(finding, accusation.case.case, place), "sh"),
    ]
    if finding.timeline:
        shown = finding.timeline[-_SHOWN:]
        width = max(len(entry.peer) for entry in shown)
        told = [
            f"{e.at:9.3f} s  {e.peer:{width}}  {'→' if e.way is Way.SENT else '←'}  {say(e)}"
            for e in shown
        ]
        story = fence("\n".join(told), "text")
        lines.append(f"<details><summary>What happened</summary>\n\n{story}\n\n</details>")
    return "\n\n".join(lines)


def _not_judged(results: Iterable[CaseResult]) -> Iterator[str]:
    reasons = unjudged(results)
    if reasons:
        yield "### Not judged"
        yield _table(
            ("verdict", "why", "cases"),
            (
                (f"{_SIGNS[verdict]} {verdict}", code(reason), ", ".join(cases))
                for (verdict, reason), cases in reasons.items()
            ),
        )


def _dialect(summary: Summary) -> Iterator[str]:
    if summary.dialect:
        table = _table(
            ("clause", "what this gateway does where the sources are silent"),
            ((finding.clause, code(observed_sentence(finding))) for finding in summary.dialect),
        )
        yield f"<details><summary>Dialect</summary>\n\n{table}\n\n</details>"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def code(text: str) -> str:
    """Return *text* as a code span, whatever is in it."""
    text = " ".join(text.split()) or " "
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}"


def fence(text: str, language: str) -> str:
    """Return *text* as a code block, whatever is in it."""
    ticks = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _plain(text: str) -> str:
    """Return prose of the specification or of people, with nothing in it that would be HTML."""
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
