"""The clauses as text for a terminal."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from plexwire_spec._clauses import AREAS, Clause, Source
from plexwire_spec._vectors import vectors

_SOURCES: Final[Mapping[Source, str]] = {
    Source.GUIDE: "the guide",
    Source.LIVE_STREAMS: "the live-streams reference",
    Source.SDK: "device SDK 0.7.1",
    Source.LATER_SDK: "later SDK releases",
    Source.RFC: "an RFC",
    Source.DECISION: "a decision of this specification",
}

_INDENT: Final = 26


def list_clauses(found: Iterable[Clause], width: int) -> str:
    """Return the clauses *found*, one after the other under the title of their area."""
    lines: list[str] = []
    area = ""
    for clause in found:
        if clause.area != area:
            area = clause.area
            lines += ["", f"{area} · {AREAS[area].replace('`', '')}"]
        head = f"  {clause.id:<11} {clause.level.value:<6} "
        head += f"{clause.role.value:<7}"
        lines.append(_wrapped(head, clause.text, width))
    return "\n".join(lines).lstrip("\n")


def show_clause(clause: Clause, judged_by: str, width: int) -> str:
    """Return everything about *clause*; *judged_by* says which cases there are."""
    resting = [vector.id for vector in vectors().values() if vector.clause == clause.id]
    facts = {
        "sources": ", ".join(f"{_SOURCES[source]} ({source.value})" for source in clause.sources),
        "why": clause.why,
        "instead": clause.instead,
        "untestable": clause.untestable,
        "judged by": judged_by,
        "vectors": ", ".join(resting),
    }
    title = f"{clause.id} · {clause.level.value}, binds the {clause.role.value} · {AREAS[clause.area].replace('`', '')}"
    lines = [title, *textwrap.wrap(clause.text, width), ""]
    lines += [_wrapped(f"{name + ':':<12}", fact, width) for name, fact in facts.items() if fact]
    return "\n".join(lines)


def list_coverage(
    found: Iterable[Clause], cases: Mapping[str, Sequence[str]], width: int
) -> tuple[str, Sequence[str]]:
    """Return clause × cases as text, and the ids of those with neither a case nor a reason."""
    lines: list[str] = []
    bare: list[str] = []
    counts = {"with a case": 0, "with a reason": 0, "with neither": 0}
    for clause in found:
        judging = cases.get(clause.id, ())
        if judging:
            kind, words = "with a case", ", ".join(judging)
        elif clause.untestable:
            kind, words = "with a reason", f"untestable: {clause.untestable}"
        else:
            kind, words = "with neither", "NO CASE AND NO REASON"
            bare.append(clause.id)
        counts[kind] += 1
        lines.append(_wrapped(f"{clause.id:<12} {clause.level.value:<6} ", words, width))
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return "\n".join([*lines, "", f"{sum(counts.values())} clauses: {summary}"]), bare


def list_checks(found: Iterable[Clause], checks: Mapping[str, Sequence[str]], width: int) -> str:
    """Return the *checks* of the clauses *found*, by id with their sentences, as text."""
    lines: list[str] = []
    for clause in found:
        for check, sentences in checks.items():
            if check.startswith(f"{clause.id}/"):
                lines.append(check)
                lines += [_wrapped("   ", sentence, width) for sentence in sentences]
    return "\n".join(lines)


def _wrapped(head: str, text: str, width: int) -> str:
    return textwrap.fill(
        text,
        max(width, _INDENT + 30),
        initial_indent=f"{head} ",
        subsequent_indent=" " * (len(head) + 1),
        break_on_hyphens=False,
        break_long_words=False,
    )
