"""Which cases a run has: by id, pattern, clause or area."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.profiles import DEFAULT, PROFILES, Profile
from plexwire_conformance.run.case import AnyCase
from plexwire_conformance.run.control import CONTROL
from plexwire_spec import AREAS, clauses, clauses_named

C = TypeVar("C", bound=AnyCase)

#: Letters that are enough of an id.
_ENOUGH: Final = 3


class NothingSelected(Exception):
    """No case is left; the text names the word that matched none, and what there is."""


def select(
    only: Sequence[str], skip: Sequence[str], profile: Profile = PROFILES[DEFAULT]
) -> list[Case]:
    """Return the cases for gateways that `select_of` chooses.

    Raises:
        NothingSelected: a word matches no case, or no case is left.
    """
    return select_of(CASES, only, skip, profile)


def select_of(
    cases: Mapping[str, C], only: Sequence[str], skip: Sequence[str], profile: Profile
) -> list[C]:
    """Return those of *cases* in *profile* that match a word of *only* (all, without one) and none of *skip*.

    A word is a case's id or its beginning, an area (`frame`), a pattern (`auth.*`), or names clauses as `plexwire spec`
    takes them (`AUTH-3`, `PW-FRAME-*`).  `control` stands for the control, which every run has.

    Raises:
        NothingSelected: a word matches no case, or no case is left.
    """
    wanted = [word for word in only if not _is_control(word)]
    kept = set().union(*(_named(cases, word) for word in wanted)) if only else set(cases)
    dropped = set().union(*(_named(cases, word) for word in skip))
    named = [case for name, case in cases.items() if name in kept - dropped]
    chosen = [case for case in named if profile.has(case)]
    if not chosen and len(wanted) == len(only):
        if named:
            raise NothingSelected(
                f"--profile {profile.name} has none of those cases: each waits longer than {profile.longest:g} s"
            )
        raise NothingSelected("nothing is left after --only and --skip")
    return chosen


def cited_by(word: str) -> list[str]:
    """Return the clauses of the cases that *word* names, in order; none if it names no case."""
    if _is_control(word):
        return list(CONTROL.clauses)
    try:
        cases = select([word], [])
    except NothingSelected:
        return []
    cited = {clause for case in cases for clause in case.clauses}
    return [clause for clause in clauses() if clause in cited]


def _is_control(word: str) -> bool:
    return word.strip().lower() == CONTROL.id


def _named(cases: Mapping[str, AnyCase], word: str) -> set[str]:
    """Return the ids of the cases that *word* names.

    Raises:
        NothingSelected: there are none.
    """
    if _is_control(word):
        raise NothingSelected("the control can't be skipped: without it nothing can be judged")
    wanted = word.strip().lower()
    for matches in (_by_area, _by_id, _by_clause):
        if found := matches(cases, wanted):
            return found
    ids = {*cases, *(name.lower() for name in clauses())}
    close = get_close_matches(wanted, ids, 2)
    hint = f"did you mean {' or '.join(close)}? There" if close else "there"
    areas = ", ".join(dict.fromkeys(case.area for case in cases.values()))
    raise NothingSelected(
        f"{word!r} matches no case; {hint} are the areas {areas}, and the clauses PW-{'-*, PW-'.join(AREAS)}-*; "
        "--list has every case"
    )


def _by_area(cases: Mapping[str, AnyCase], word: str) -> set[str]:
    return {name for name, case in cases.items() if case.area == word}


def _by_id(cases: Mapping[str, AnyCase], word: str) -> set[str]:
    if word in cases:
        return {word}
    begins = word if len(word) >= _ENOUGH else f"{word}."
    return {name for name in cases if fnmatchcase(name, word) or name.startswith(begins)}


def _by_clause(cases: Mapping[str, AnyCase], word: str) -> set[str]:
    named = set(clauses_named(word))
    return {name for name, case in cases.items() if not named.isdisjoint(case.clauses)}
