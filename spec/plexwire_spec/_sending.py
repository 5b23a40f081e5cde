"""A vector as a live judge sends it: with a key and a source of its own, and with a picture that it recognises."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from plexwire_spec._clauses import Party
from plexwire_spec._vectors import (
    EXAMPLE_KEY,
    EXAMPLE_PICTURE,
    EXAMPLE_SOURCE,
    Json,
    Kind,
    Vector,
)

#: No input has so many of one letter but for its size.
_PADDING: Final = "x" * 1000
_RUNS: Final = re.compile("x+")
_LARGE: Final = 1000

#: The example's source id with its first letter and its hyphen percent-encoded.
_ESCAPED_SOURCE: Final = "%72obot%2D01"


@frozen
class Sending:
    """What to send, and what the viewers get if it is relayed.

    `picture` is the JPEG in `data`, or `None` if that has none to recognise.  `relayed` holds the members of the outcome
    as a viewer gets them; numbers compare by value, and `frame` by the bytes that it stands for.  It is empty if the
    outcome is another one.
    """

    data: str | bytes
    picture: bytes | None = None
    relayed: Mapping[str, Json] = field(factory=dict[str, Json], repr=False)


def sending(vector: Vector, *, api_key: str, source_id: str, picture: bytes) -> Sending:
    """Return *vector* with *api_key*, *source_id* and *picture*, a JPEG, in the place of the examples.

    An input that is padded to a certain size keeps its size.  The `source_id` of a frame stays, as it is a courtesy.
    """
    match vector.kind, vector.sender:
        case Kind.ADDRESS, _:
            target = vector.input.replace(EXAMPLE_SOURCE, source_id, 1)
            return Sending(target.replace(_ESCAPED_SOURCE, _percent_encoded(source_id), 1))
        case Kind.BINARY, Party.DEVICE:
            return _relayed(vector, _binary_frame(vector, picture), source_id)
        case Kind.BINARY, _:
            data = bytes.fromhex(vector.input)
            return Sending(data.replace(EXAMPLE_KEY.encode(), _escaped(api_key).encode()))
        case _, Party.DEVICE if "video_frame" in vector.input:
            return _relayed(vector, _text_frame(vector, picture), source_id)
        case _:
            text = vector.input.replace(EXAMPLE_KEY, _escaped(api_key))
            if vector.sender is Party.DEVICE:
                text = text.replace(EXAMPLE_SOURCE, source_id, 1)
            return Sending(_of_size(text, len(vector.input)))


def _percent_encoded(source_id: str) -> str:
    return f"%{ord(source_id[0]):02x}{source_id[1:].replace('-', '%2D')}"


def _escaped(api_key: str) -> str:
    return json.dumps(api_key)[1:-1]


def _of_size(text: str, size: int) -> str:
    """Return *text* with as much of its padding as gives it *size* characters again; as it is without padding."""
    return text.replace(_PADDING, "x" * (len(_PADDING) - len(text) + size), 1)


def _binary_frame(vector: Vector, picture: bytes) -> Sending:
    data = bytes.fromhex(vector.input)
    old = _accepted_picture(vector) or EXAMPLE_PICTURE
    new = _replaced(old, picture)
    if new is None or not data.endswith(old):
        return Sending(data)
    return Sending(data[: len(data) - len(old)] + new, new)


def _text_frame(vector: Vector, picture: bytes) -> Sending:
    old = _accepted_picture(vector) or EXAMPLE_PICTURE
    new = _replaced(old, picture)
    if new is None:
        return Sending(vector.input)
    before, after = (f'"{b64encode(one).decode()}"' for one in (old, new))
    for escape in ("/", "\\/"):
        literal = before.replace("/", escape)
        if literal in vector.input:
            text = vector.input.replace(literal, after.replace("/", escape), 1)
            return Sending(_of_size(text, len(vector.input)), new)
    return Sending(vector.input)


def _relayed(vector: Vector, sent: Sending, source_id: str) -> Sending:
    """Return *sent* with what a viewer gets of it, under the authenticated source."""
    members = vector.outcome.get("accepted")
    if not isinstance(members, Mapping) or members["type"] != "video_frame":
        return sent
    relayed: dict[str, Json] = {**members, "source_id": source_id}
    if sent.picture is not None:
        relayed["frame"] = b64encode(sent.picture).decode()
    if isinstance(sent.data, str):
        padding: str = max(_RUNS.findall(sent.data), key=len, default="")
        for name, value in members.items():
            if str(value).startswith(_PADDING):
                relayed[name] = padding
    return evolve(sent, relayed=relayed)


def _accepted_picture(vector: Vector) -> bytes | None:
    match vector.outcome.get("accepted"):
        case {"frame": str(frame)}:
            return b64decode(frame)
        case _:
            return None


def _replaced(old: bytes, picture: bytes) -> bytes | None:
    """The picture of an input with *picture* in the place of the example; what follows the example stays."""
    if old.startswith(EXAMPLE_PICTURE):
        return picture + old[len(EXAMPLE_PICTURE) :]
    if len(old) > _LARGE:
        return picture.ljust(len(old), b"\0")
    return None
