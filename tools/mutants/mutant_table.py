"""What came of a run of mutants: rows, one JSON object per line, and the tables that are made of them."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TextIO

from attrs import frozen

from mutant_sites import Mutant
from mutant_survivors import Survivor, reason_of


class Outcome(StrEnum):
    """What came of one mutant."""

    #: A clause is accused.
    KILLED = "killed"
    #: No clause is accused, and yet the report is another one: a choice, a case that could not be judged, exit code 2.
    REPORTED = "reported"
    SURVIVED = "survived"
    #: No gateway came of it.
    STILLBORN = "stillborn"


@frozen
class Row:
    """One mutant and what came of it: the clauses that are accused, or what else the report says."""

    mutant: Mutant
    outcome: Outcome
    words: tuple[str, ...]

    def write(self, out: TextIO, *, sockets: bool) -> None:
        """Write the row as a line of JSON."""
        mutant = self.mutant
        row = {
            "id": mutant.id,
            "module": mutant.module,
            "function": mutant.function,
            "operator": mutant.operator,
            "statement": mutant.statement,
            "which": mutant.which,
            "outcome": self.outcome,
            "words": self.words,
            "over": "sockets" if sockets else "memory",
        }
        out.write(json.dumps(row) + "\n")
        out.flush()


def read_rows(path: Path, mutants: Iterable[Mutant]) -> list[Row]:
    """Return the rows of the file whose mutants still exist; the last one of each counts."""
    by_key = {_key_of(mutant): mutant for mutant in mutants}
    rows: dict[tuple[Any, ...], Row] = {}
    if not path.exists():
        return []
    for line in path.read_text("utf-8").splitlines():
        each = json.loads(line)
        key = tuple(each[k] for k in ("module", "function", "operator", "statement", "which"))
        if key in by_key:
            rows[key] = Row(by_key[key], Outcome(each["outcome"]), tuple(each["words"]))
    return list(rows.values())


def _key_of(mutant: Mutant) -> tuple[Any, ...]:
    return (mutant.module, mutant.function, mutant.operator, mutant.statement, mutant.which)


def classify(mutant: Mutant, said: dict[str, Any], usual: frozenset[str]) -> Row:
    """Return what came of *mutant*; *usual* is what reports of the gateway as it is say besides."""
    if "stillborn" in said:
        return Row(mutant, Outcome.STILLBORN, (said["stillborn"],))
    if "stopped" in said:
        return Row(mutant, Outcome.REPORTED, (said["stopped"],))
    if said["breaches"]:
        return Row(mutant, Outcome.KILLED, tuple(dict.fromkeys(c for c, _ in said["breaches"])))
    other = [word for word in said["other"] if word not in usual]
    return Row(mutant, Outcome.REPORTED if other else Outcome.SURVIVED, tuple(other[:6]))


#: The columns of a table that are outcomes; the others are the reasons of survivors.
_OUTCOMES: Final = (Outcome.KILLED, Outcome.REPORTED, Outcome.STILLBORN)


def summarise(
    rows: Sequence[Row], entries: Sequence[Survivor], not_run: Sequence[Mutant]
) -> dict[str, Any]:
    """Return the tables as JSON: by module and by operator how many, and by clause how many were killed."""
    return {
        "judged": len(rows),
        "not_run": len(not_run),
        "killed_by_clause": dict(
            sorted(Counter(c for r in rows if r.outcome is Outcome.KILLED for c in r.words).items())
        ),
        "by_module": _table(rows, entries, lambda mutant: mutant.module, not_run),
        "by_operator": _table(rows, entries, lambda mutant: mutant.operator, not_run),
    }


def _table(
    rows: Iterable[Row], entries: Sequence[Survivor], of: Any, not_run: Iterable[Mutant]
) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = {}
    for row in rows:
        column = str(row.outcome)
        if row.outcome is Outcome.SURVIVED:
            entry = reason_of(entries, row.mutant)
            column = "unlisted" if entry is None else str(entry.reason)
        table.setdefault(of(row.mutant), Counter())[column] += 1
    for mutant in not_run:
        table.setdefault(of(mutant), Counter())["not run"] += 1
    return {name: dict(counts) for name, counts in sorted(table.items())}


def as_text(table: dict[str, dict[str, int]]) -> str:
    """Return *table* in columns."""
    usual = [str(outcome) for outcome in _OUTCOMES]
    columns = usual + sorted(
        {c for counts in table.values() for c in counts} - set(usual),
        key=lambda c: (c == "not run", c),
    )
    width = max((len(name) for name in table), default=0)
    lines = [" ".join([" " * width, *(f"{c:>11}" for c in columns)])]
    for name, counts in table.items():
        lines.append(
            " ".join([f"{name:{width}}", *(f"{counts.get(c, 0) or '':>11}" for c in columns)])
        )
    total = [sum(counts.get(c, 0) for counts in table.values()) for c in columns]
    lines.append(" ".join([f"{'all':{width}}", *(f"{n:>11}" for n in total)]))
    return "\n".join(lines)
