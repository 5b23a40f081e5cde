"""How sensitive the suite is, per clause: its cases, the faults that they find, and the mutants that were killed."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen
from rich.table import Table

from plexwire_conformance.cases import CASES
from plexwire_conformance.cases.programs import DEVICE_CASES, VIEWER_CASES
from plexwire_conformance.faults import FAULTS, PROGRAM_FAULTS
from plexwire_conformance.run.control import CONTROL
from plexwire_spec import Clause, clauses

#: Where `make mutants` leaves its summary, from the root of the repository.
MUTANTS: Final = Path("tools/mutants/summary.json")


class BadSummary(Exception):
    """A file is not the summary of a run of mutants; the text says why."""


@frozen
class Sensitivity:
    """One clause: how many cases cite it, how many faults break it, and how many mutants were killed under it.

    `killed` is None if no run of mutants is known.
    """

    clause: Clause
    cases: int
    faults: int
    killed: int | None


def sensitivity(killed: Mapping[str, int] | None) -> list[Sensitivity]:
    """Return a row per clause.

    *killed* is how many mutants were killed under each clause, if that is known.
    """
    every = (CONTROL, *CASES.values(), *VIEWER_CASES.values(), *DEVICE_CASES.values())
    cases = Counter(c for case in every for c in case.clauses)
    faults = Counter(c for fault in FAULTS.values() for c in {fault.clause, *fault.also})
    faults.update(c for fault in PROGRAM_FAULTS.values() for c in {fault.clause, *fault.also})
    return [
        Sensitivity(
            clause=clause,
            cases=cases[clause.id],
            faults=faults[clause.id],
            killed=None if killed is None else killed.get(clause.id, 0),
        )
        for clause in clauses().values()
    ]


def read_killed(path: Path) -> Mapping[str, int]:
    """Return how many mutants were killed under each clause, from the summary in *path*.

    Raises:
        BadSummary: the file can't be read, or is something else.
    """
    try:
        counts = json.loads(path.read_text("utf-8"))["killed_by_clause"]
        return {str(clause): int(count) for clause, count in counts.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSummary(f"{path} is not a summary of `make mutants`: {error}") from error


def as_table(rows: list[Sensitivity]) -> Table:
    """Return *rows* as a table for the terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("clause")
    table.add_column("level")
    for column in ("cases", "faults", "mutants killed"):
        table.add_column(column, justify="right")
    for row in rows:
        killed = "" if row.killed is None else str(row.killed)
        unseen = not row.cases and not row.clause.untestable
        table.add_row(
            row.clause.id,
            str(row.clause.level),
            str(row.cases) if row.cases or unseen else "untestable",
            str(row.faults),
            killed,
        )
    return table
