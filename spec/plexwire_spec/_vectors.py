"""The test vectors: inputs with the outcome that every implementation must have.

`vectors/README.md` says how to read them in any language; this is the reading of Python.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from plexwire_spec._clauses import Party

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

#: The files of `vectors/`, without their ending, in the order of the specification.
VECTOR_FILES: Final = (
    "address",
    "text-from-viewer",
    "text-from-gateway",
    "text-from-device",
    "frames-from-device",
    "pictures-from-device",
    "binary",
)


#: What the inputs have for a key that is good, for the id of the source, and for a JPEG.
EXAMPLE_KEY: Final = "plx_example"
EXAMPLE_SOURCE: Final = "robot-01"
EXAMPLE_PICTURE: Final = b"\xff\xd8\xff\xd9"


class Kind(StrEnum):
    """What a vector's input is."""

    TEXT = "text"
    BINARY = "binary"
    ADDRESS = "address"


def _sender(name: str | None) -> Party | None:
    return None if name is None else Party(name)


def _expanded(value: Any) -> Any:
    """Return *value* with every compact string in it written out."""
    match value:
        case list() if any(isinstance(part, dict) and "repeat" in part for part in value):
            return "".join(
                part if isinstance(part, str) else part["repeat"] * part["times"] for part in value
            )
        case list():
            return [_expanded(inner) for inner in value]
        case dict():
            return {name: _expanded(inner) for name, inner in value.items()}
        case _:
            return value


def _text(value: Any) -> str:
    expanded = _expanded(value)
    if not isinstance(expanded, str):
        raise ValueError("an input is a string or a list of parts")
    return expanded


@frozen(kw_only=True)
class Vector:
    """One input and its outcome.

    `input` is the text of a message, the hex of a binary one, or a request target.  Exactly one of `accepted` (the
    members that were read), `ignored` (the type of a message that asks for nothing) and `refused` (the reason) is there.
    `needs` names what a reader must be able to do, or is empty.
    """

    id: str
    clause: str
    kind: Kind = field(converter=Kind)
    sender: Party | None = field(default=None, converter=_sender)
    needs: str = ""
    note: str = ""
    input: str = field(converter=_text, repr=False)
    outcome: Mapping[str, Json] = field(converter=_expanded, repr=False)

    @property
    def data(self) -> str | bytes:
        """The input as it travels: `bytes` for a binary message, `str` for anything else."""
        return bytes.fromhex(self.input) if self.kind is Kind.BINARY else self.input


@cache
def vectors() -> Mapping[str, Vector]:
    """Return every vector, by id and in order."""
    folder = files("plexwire_spec").joinpath("vectors")
    found: dict[str, Vector] = {}
    for name in VECTOR_FILES:
        for members in json.loads(folder.joinpath(f"{name}.json").read_text("utf-8"))["vectors"]:
            vector = Vector(**members)
            if found.setdefault(vector.id, vector) is not vector:
                raise ValueError(f"two vectors are called {vector.id}")
    return found
