"""Write `docs/blind-spots.md` anew: `python tools/mutants/blind_spots.py [--check]`.

With `--check` nothing is written; the exit code is 1 if the page is not what it would be.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from mutant_survivors import MEANINGS, Reason, Survivor, read_survivors
from mutants import SUMMARY, SURVIVORS
from plexwire_conformance.faults import FAULTS, RETIRED
from plexwire_spec import Party, clauses

PAGE: Final = Path(__file__).parents[2] / "docs" / "blind-spots.md"

_INTRODUCTION: Final = """\
# What the suite cannot see, and why

<!-- Written by `make mutants`; change `clauses.toml` or `tools/mutants/survivors.toml` instead. -->

A run that passes found no breach; it does not prove that there is none. The suite sees only what a gateway sends, and when,
in answer to what its cases and scripts send. This page lists the gaps that we know, each with its reason. Three sources
feed it: the clauses, the faulty gateways of `plexwire selftest`, and mutants of the reference gateway (`make mutants`).
`plexwire selftest --coverage` prints the figures per clause."""

_MUTANTS: Final = """\
A mutant is the reference gateway with one small change in its source: a comparison turned round, a number one higher, a
statement left out. The suite judges each of them in memory and in virtual time.

- **killed**: a clause is accused.
- **reported**: no clause is accused, but the report differs: another choice, or a case that could not be judged.
- **stillborn**: the change leaves no gateway that starts.
- **not run**: nothing that the suite sends reaches the changed line.
- every other column is a reason why a mutant survives."""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _of_clauses() -> Iterator[str]:
    yield "## Clauses that no test from outside can judge"
    for party, whose in (
        (Party.GATEWAY, "gateway"),
        (Party.VIEWER, "viewer"),
        (Party.DEVICE, "device"),
    ):
        rows = [
            (each.id, str(each.level), each.text, each.untestable)
            for each in clauses().values()
            if each.role is party and each.untestable
        ]
        if rows:
            yield f"Those that bind a {whose}:"
            yield _table(("clause", "level", "what it says", "why no test judges it"), rows)
    silent = [
        each.id
        for each in clauses().values()
        if each.role is Party.GATEWAY
        and each.level in ("MUST", "SHOULD")
        and not each.untestable
        and not any(each.id in {f.clause, *f.also} for f in FAULTS.values())
    ]
    if silent:
        yield "## Clauses without a faulty gateway"
        yield (
            "A case judges these clauses, but no faulty gateway shows that the case would notice a breach: "
            f"{', '.join(silent)}."
        )


def _of_faults() -> Iterator[str]:
    yield "## Faults that are not held against a gateway"
    yield "These were once among the faults of `plexwire selftest`:"
    yield _table(("fault", "why it is none"), [(f"`{name}`", why) for name, why in RETIRED.items()])


def _of_mutants(summary: dict[str, Any] | None, entries: Sequence[Survivor]) -> Iterator[str]:
    yield "## Mutants of the reference gateway"
    yield _MUTANTS
    if summary is not None:
        yield (
            f"{summary['judged']} of the {summary['reached']} mutants that the suite reaches were judged; "
            f"{summary['not_run']} more are in lines that nothing reaches."
        )
        for title, key in (("module", "by_module"), ("operator", "by_operator")):
            yield _counts(title, summary[key])
    for reason in Reason:
        own = [entry for entry in entries if entry.reason is reason]
        if own:
            yield f"### {reason}: {MEANINGS[reason]}"
            yield "\n".join(_lines(own))


def _counts(title: str, table: dict[str, dict[str, int]]) -> str:
    usual = ["killed", "reported", "stillborn"]
    columns = usual + sorted(
        {c for counts in table.values() for c in counts} - set(usual),
        key=lambda c: (c == "not run", c),
    )
    rows = [
        (name, *(str(counts.get(column, "")) for column in columns))
        for name, counts in table.items()
    ]
    total = [str(sum(counts.get(c, 0) for counts in table.values())) for c in columns]
    return _table((title, *columns), [*rows, ("**all**", *total)])


def _lines(entries: Iterable[Survivor]) -> Iterator[str]:
    by_why: dict[str, list[Survivor]] = {}
    for entry in entries:
        by_why.setdefault(entry.why, []).append(entry)
    for why, own in by_why.items():
        named = sorted({_named(entry) for entry in own})
        where = ", ".join(named)
        cited = sorted({clause for entry in own for clause in entry.clauses})
        yield f"- {why} ({where}{'; ' if cited else ''}{', '.join(cited)})"


def _named(entry: Survivor) -> str:
    module = entry.module.removeprefix("plexwire_")
    return f"`{module}`" if not entry.function else f"`{module}: {entry.function}`"


def page() -> str:
    """Return the page."""
    summary = json.loads(SUMMARY.read_text("utf-8")) if SUMMARY.exists() else None
    entries = read_survivors(SURVIVORS)
    parts = [_INTRODUCTION, *_of_clauses(), *_of_faults(), *_of_mutants(summary, entries)]
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    """Do it, and return the exit code."""
    made = page()
    if PAGE.exists() and PAGE.read_text("utf-8") == made:
        return 0
    if "--check" in arguments:
        print(f"docs/{PAGE.name} is out of date; run tools/mutants/blind_spots.py", file=sys.stderr)
        return 1
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
