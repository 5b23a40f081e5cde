"""The clauses as data: `clauses.toml`, read once and checked."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

from attrs import field, frozen


class Level(StrEnum):
    """How binding a clause is; `OPEN` is observed and reported, and never fails anybody."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"
    OPEN = "OPEN"


class Party(StrEnum):
    """Whom a clause binds."""

    GATEWAY = "gateway"
    VIEWER = "viewer"
    DEVICE = "device"


class Source(StrEnum):
    """Where a clause comes from."""

    GUIDE = "G"
    LIVE_STREAMS = "L"
    SDK = "S"
    LATER_SDK = "S+"
    RFC = "R"
    DECISION = "D"


_ID: Final = re.compile(r"PW-([A-Z]+)-([1-9][0-9]*)")


def _sources(tags: Iterable[str]) -> tuple[Source, ...]:
    return tuple(Source(tag) for tag in tags)


@frozen(kw_only=True)
class Clause:
    """One numbered sentence of the specification.

    `why` gives the reason of a decision, or how the clause follows from its sources; `untestable` why no case can judge
    it from outside.  Both are empty where there is nothing to say.
    """

    id: str
    level: Level = field(converter=Level)
    role: Party = field(converter=Party)
    text: str
    sources: tuple[Source, ...] = field(converter=_sources)
    why: str = ""
    untestable: str = ""

    def __attrs_post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise ValueError(f"{self.id!r} is no clause id; write it as PW-AREA-NUMBER")
        if not self.sources:
            raise ValueError(f"{self.id} has no source")
        only_ours = self.sources == (Source.DECISION,)
        if only_ours and not self.why:
            raise ValueError(f"{self.id} is a decision without a reason; give it a `why`")
        if only_ours and self.level is Level.MUST and self.role is Party.GATEWAY:
            raise ValueError(f"{self.id} rests on a decision of ours; it can't be a MUST")

    @property
    def area(self) -> str:
        """The part of the protocol that the clause belongs to: `AUTH` of `PW-AUTH-3`."""
        return self.id.split("-")[1]


def read_clauses(text: str) -> Mapping[str, Clause]:
    """Return the clauses in *text*, TOML as in `clauses.toml`, by id and in order.

    Raises:
        ValueError: the text is not TOML, or a clause is not well-formed; the message names it.
    """
    clauses: dict[str, Clause] = {}
    for clause_id, members in tomllib.loads(text).items():
        clauses[clause_id] = _clause(clause_id, members)
    return clauses


def _clause(clause_id: str, members: Mapping[str, Any]) -> Clause:
    try:
        return Clause(id=clause_id, **members)
    except TypeError as error:
        raise ValueError(f"{clause_id}: {error}") from None


@cache
def clauses() -> Mapping[str, Clause]:
    """Return every clause of the specification, by id and in order."""
    return read_clauses(files("plexwire_spec").joinpath("clauses.toml").read_text("utf-8"))
