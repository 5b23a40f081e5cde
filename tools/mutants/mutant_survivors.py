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
    """One entry: mutants of one function that survive for one reason.

    Each of `mutants` is a key as `key_of` makes it; without any the entry is about the whole function, and without
    `function` about the whole module.  `clauses` are those that a case which found them would judge.
    """

    module: str
    reason: Reason
    why: str
    function: str | None = None
    mutants: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    _keys: frozenset[str] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_keys", frozenset(self.mutants))

    @property
    def is_wide(self) -> bool:
        """Whether it is about a whole function or module."""
        return not self.mutants

    @property
    def name(self) -> str:
        """What a message calls it."""
        return self.module if self.function is None else f"{self.module} | {self.function}"

    def covers(self, mutant: Mutant) -> bool:
        """Whether the entry is about *mutant*."""
        return (
            fnmatchcase(mutant.module, self.module)
            and (self.function is None or fnmatchcase(mutant.function, self.function))
            and (not self._keys or key_of(mutant) in self._keys)
        )


def key_of(mutant: Mutant) -> str:
    """Return what names *mutant* in its function: its operator, which one of those it is, and its statement."""
    return f"{mutant.operator}#{mutant.which} | {mutant.statement}"


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
            raise ValueError(f"{path.name}: {entry.name}: {entry.reason} needs its mutants listed")
        entries.append(entry)
    return entries


@frozen
class Problem:
    """One thing that is wrong with the list: `what` is unlisted, killed or stale."""

    what: str
    name: str


def stale(entries: Iterable[Survivor], mutants: Sequence[Mutant]) -> Iterator[Problem]:
    """Give the entries, or what is listed in them, that no mutant of today's source has."""
    for entry in entries:
        covered = {key_of(mutant) for mutant in mutants if entry.covers(mutant)}
        if not covered and entry.is_wide:
            yield Problem("stale", entry.name)
        for key in entry.mutants:
            if key not in covered:
                yield Problem("stale", f"{entry.name} | {key}")


def unlisted(entries: Sequence[Survivor], survived: Iterable[Mutant]) -> Iterator[Problem]:
    """Give the survivors that have no entry."""
    for mutant in survived:
        if reason_of(entries, mutant) is None:
            where = f"{mutant.module} | {mutant.function}"
            yield Problem("unlisted", f"{where} | {key_of(mutant)} ({mutant.id})")


def killed(entries: Sequence[Survivor], found: Sequence[Mutant]) -> Iterator[Problem]:
    """Give what is listed one by one although it is found; a whole function may have some that are found."""
    for mutant in found:
        entry = reason_of(entries, mutant)
        if entry is not None and not entry.is_wide:
            yield Problem("killed", f"{entry.name} | {key_of(mutant)}")


def reason_of(entries: Iterable[Survivor], mutant: Mutant) -> Survivor | None:
    """Return the entry of *mutant*: one that lists it before one for its whole function or module."""
    covering = [entry for entry in entries if entry.covers(mutant)]
    return min(covering, key=lambda entry: entry.is_wide, default=None)
