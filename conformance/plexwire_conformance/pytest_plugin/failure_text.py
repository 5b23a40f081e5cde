"""What a failing pytest item shows: the findings of its case, in plain text."""

from collections.abc import Iterable

from plexwire_conformance.recording.recorder import Entry, Way
from plexwire_conformance.report.sentences import (
    actual_with_margin,
    expected_sentence,
    red_sentence,
)
from plexwire_conformance.report.wording import replay_command, say, say_finding
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import Red
from plexwire_spec import clauses

#: Entries of a timeline that are shown, the last ones.
_SHOWN = 30
_BREACHES = (Verdict.FAIL, Verdict.WARN)


def tell(result: CaseResult, place: str, red: Iterable[Red] = ()) -> str:
    """Return everything against what was judged in *result*; the first line stands for all of it.

    *place* are the options by which the command line names it, *red* is what is not as expected, where failures are expected.
    """
    reds = list(map(red_sentence, red))
    found = sorted(breaches(result), key=lambda finding: finding.verdict is not Verdict.FAIL)
    heads = [say_finding(found[0])] if found else []
    parts = [*(reds or heads), f"{result.case}: {result.title}"]
    parts += [tell_finding(finding, result.case, place) for finding in found]
    return "\n\n".join(parts)


def breaches(result: CaseResult) -> list[Finding]:
    """Return the findings against the gateway."""
    return [finding for finding in result.findings if finding.verdict in _BREACHES]


def tell_finding(finding: Finding, case_id: str, place: str) -> str:
    """Return one finding in full, and how to see it again."""
    lines = [
        f"{finding.level} {finding.check}  {clauses()[finding.clause].text}",
        f"  expected  {expected_sentence(finding)}",
        f"  observed  {actual_with_margin(finding)}",
        f"  again     {replay_command(finding, case_id, place)}",
        *_timeline(finding.timeline),
    ]
    return "\n".join(lines)


def _timeline(entries: tuple[Entry, ...]) -> list[str]:
    left_out = len(entries) - _SHOWN
    lines = [f"  … {left_out} earlier"] if left_out > 0 else []
    width = max((len(entry.peer) for entry in entries), default=0)
    for entry in entries[-_SHOWN:]:
        arrow = "→" if entry.way is Way.SENT else "←"
        lines.append(f"  {entry.at:8.3f} s  {entry.peer:{width}}  {arrow}  {say(entry)}")
    return lines
