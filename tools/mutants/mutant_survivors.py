"""The list of survivors: which mutants the suite does not find, and why, each with one reason and one sentence."""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import cattrs
from attrs import field, frozen

from mutant_sites import Mutant


class Reason(StrEnum):
    """Why a mutant may survive."""

    EQUIVALENT = "equivalent"
    NOT_ON_WIRE = "not-on-wire"
    OPEN = "open"
    NO_CLAUSE = "no-clause"
    UNTESTABLE = "untestable"
    TOLERANCE = "tolerance"
    TODO = "todo"


#: What each reason means, for the pages that are made of the list.
MEANINGS: Final = {
    Reason.EQUIVALENT: "the changed gateway does the same",
    Reason.NOT_ON_WIRE: "no peer can see it: logs, metrics, names in memory",
    Reason.OPEN: "the sources leave the choice to the gateway",
    Reason.NO_CLAUSE: "no clause asks for it",
    Reason.UNTESTABLE: "a test from outside can't bring it about",
    Reason.TOLERANCE: "the difference is within what is tolerated",
    Reason.TODO: "a case should find it, and none does yet",
}

#: The reasons that may be given for a whole module or function.
_WIDE: Final = (Reason.NOT_ON_WIRE, Reason.UNTESTABLE, Reason.TODO, Reason.NO_CLAUSE)


@frozen(kw_only=True)
class Survivor:
    """One entry; without `function`, `operators` or `statement` it is about all of them.

    `which` are the mutants of this key that survive, counted from 1 in the order of the source; none given means all.
    """

    module: str
    reason: Reason
    why: str
    function: str | None = None
    operators: tuple[str, ...] = ()
    statement: str | None = None
    which: tuple[int, ...] = ()
    clauses: tuple[str, ...] = field(default=())

    @property
    def is_wide(self) -> bool:
        """Whether it is about a whole function or module."""
        return self.statement is None

    @property
    def name(self) -> str:
        """What a message calls it."""
        parts = (self.module, self.function, ",".join(self.operators), self.statement)
        return " | ".join(part for part in parts if part)

    def covers(self, mutant: Mutant) -> bool:
        """Whether the entry is about *mutant*."""
        return (
            fnmatchcase(mutant.module, self.module)
            and (self.function is None or fnmatchcase(mutant.function, self.function))
            and (not self.operators or mutant.operator in self.operators)
            and (self.statement is None or mutant.statement == self.statement)
            and (not self.which or mutant.which in self.which)
        )


def read_survivors(path: Path) -> list[Survivor]:
    """Return the entries of the file.

    Raises:
        ValueError: an entry is not as it should be; the text says which.
    """
    table = tomllib.loads(path.read_text("utf-8"))
    converter = cattrs.Converter(forbid_extra_keys=True)
    entries: list[Survivor] = []
    for number, each in enumerate(table.get("survivor", []), 1):
        try:
            entry = converter.structure(each, Survivor)
        except Exception as error:
            problem = "; ".join(cattrs.transform_error(error))
            raise ValueError(f"{path.name}: entry {number}: {problem}") from error
        if not entry.why:
            raise ValueError(f"{path.name}: {entry.name}: give the reason in one sentence (why)")
        if entry.is_wide and entry.reason not in _WIDE:
            raise ValueError(f"{path.name}: {entry.name}: {entry.reason} needs a statement")
        entries.append(entry)
    return entries


@frozen
class Problem:
    """One thing that is wrong with the list: `what` is unlisted, killed or stale."""

    what: str
    name: str


def stale(entries: Iterable[Survivor], mutants: Sequence[Mutant]) -> Iterator[Problem]:
    """Give the entries that no mutant of today's source has."""
    for entry in entries:
        covered = [mutant for mutant in mutants if entry.covers(mutant)]
        if not covered or (entry.which and len({m.which for m in covered}) < len(entry.which)):
            yield Problem("stale", entry.name)


def unlisted(entries: Sequence[Survivor], survived: Iterable[Mutant]) -> Iterator[Problem]:
    """Give the survivors that have no entry."""
    for mutant in survived:
        if not any(entry.covers(mutant) for entry in entries):
            parts = (mutant.module, mutant.function, mutant.operator, mutant.statement)
            yield Problem(
                "unlisted", f"{' | '.join(parts)} (which = [{mutant.which}]; {mutant.id})"
            )


def killed(entries: Iterable[Survivor], found: Sequence[Mutant]) -> Iterator[Problem]:
    """Give the entries that list a mutant that was found; a wide entry may cover some."""
    for entry in entries:
        if entry.is_wide:
            continue
        for mutant in found:
            if entry.covers(mutant):
                yield Problem("killed", f"{entry.name} (which = [{mutant.which}])")


def reason_of(entries: Iterable[Survivor], mutant: Mutant) -> Survivor | None:
    """Return the entry of *mutant*; one with a statement before one without."""
    covering = [entry for entry in entries if entry.covers(mutant)]
    return min(covering, key=lambda entry: entry.is_wide, default=None)
