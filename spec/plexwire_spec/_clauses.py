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


#: The parts of the protocol that clauses are grouped by, in order.
AREAS: Final[Mapping[str, str]] = {
    "ADDR": "Connections and addresses",
    "CONN": "What both ends owe as WebSocket peers",
    "AUTH": "Authentication of viewers",
    "INIT": "`init`",
    "FRAME": "`video_frame` to viewers",
    "ISO": "Scope and isolation",
    "TIME": "`timeout`",
    "FLOW": "Viewers that cannot keep up",
    "RECON": "`gateway_reconnecting`",
    "CLOSE": "Closing",
    "VIEW": "What viewers owe",
    "DEV": "Devices: authentication and life",
    "BIN": "Devices: binary frames",
    "TXT": "Devices: text frames",
    "THERM": "Devices: thermal frames",
    "LIM": "Limits",
    "ROB": "Robustness",
}

_ID: Final = re.compile(r"PW-([A-Z]+)-([1-9][0-9]*)")


def _sources(tags: Iterable[str]) -> tuple[Source, ...]:
    return tuple(Source(tag) for tag in tags)


@frozen(kw_only=True)
class Clause:
    """One numbered sentence of the specification.

    `why` gives the reason of a decision, or how the clause follows from its sources; `instead` what else the bound
    party may legitimately do where the decision is ours; `untestable` why no case can judge it from outside.  Each is
    empty where there is nothing to say.
    """

    id: str
    level: Level = field(converter=Level)
    role: Party = field(converter=Party)
    text: str
    sources: tuple[Source, ...] = field(converter=_sources)
    why: str = ""
    instead: str = ""
    untestable: str = ""

    def __attrs_post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise ValueError(f"{self.id!r} is no clause id; write it as PW-AREA-NUMBER")
        if self.area not in AREAS:
            raise ValueError(f"{self.id} is in no known area; they are {', '.join(AREAS)}")
        if not self.sources:
            raise ValueError(f"{self.id} has no source")
        if self.is_decision and not self.why:
            raise ValueError(f"{self.id} is a decision without a reason; give it a `why`")
        if self.is_decision and self.level is Level.MUST and self.role is Party.GATEWAY:
            raise ValueError(f"{self.id} rests on a decision of ours; it can't be a MUST")

    @property
    def is_decision(self) -> bool:
        """Whether the sources are silent and the clause is ours alone."""
        return self.sources == (Source.DECISION,)

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
