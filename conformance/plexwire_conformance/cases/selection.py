"""Which cases a run has: by id, pattern, clause or area."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from plexwire_conformance.cases import CASES, Case


class NothingSelected(Exception):
    """No case is left; the text says which word matched none."""


def select(only: Sequence[str], skip: Sequence[str]) -> list[Case]:
    """Return the cases that match a word of *only* (all, without one) and none of *skip*.

    A word is a case's id, a pattern over ids (`auth.*`), a clause (`PW-AUTH-3`), or an area (`auth`).

    Raises:
        NothingSelected: a word matches no case, or no case is left.
    """
    for word in (*only, *skip):
        if not any(_matches(case, word) for case in CASES.values()):
            raise NothingSelected(f"{word!r} matches no case; see plexwire conform --list")
    chosen = [
        case for case in CASES.values() if (not only or _any(case, only)) and not _any(case, skip)
    ]
    if not chosen:
        raise NothingSelected("nothing is left after --only and --skip")
    return chosen


def _any(case: Case, words: Iterable[str]) -> bool:
    return any(_matches(case, word) for word in words)


def _matches(case: Case, word: str) -> bool:
    return fnmatchcase(case.id, word) or case.area == word.lower() or word.upper() in case.clauses
