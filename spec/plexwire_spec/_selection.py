"""Which clauses a word names, as people write it: PW-AUTH-3, auth-3, PW-FRAME-*, frame."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from plexwire_spec._clauses import AREAS, clauses


def clauses_named(word: str) -> Sequence[str]:
    """Return the ids of the clauses that *word* names: one, those that a pattern has, or those of an area; in order.

    The case makes no difference, `PW-` may be left out, and an area may be in the plural, or its first three letters.
    """
    wanted = word.strip("[] ").upper()
    wanted = wanted if wanted.startswith("PW-") else f"PW-{wanted}"
    areas = _areas_named(wanted.removeprefix("PW-"))
    return [
        clause.id
        for clause in clauses().values()
        if fnmatchcase(clause.id, wanted) or clause.area in areas
    ]


def _areas_named(word: str) -> Sequence[str]:
    singular = word.removesuffix("S")
    exact = [area for area in AREAS if area in (word, singular)]
    return exact or [area for area in AREAS if len(word) >= 3 and area.startswith(word)]
