"""What was said on the wire: entries, pictures as digests, keys taken out before anything else sees them."""

import base64
import binascii
import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NoReturn

from attrs import define, field, frozen

from plexwire_conformance.recording.redaction import redact


class Way(StrEnum):
    """Who did it: we, or the gateway."""

    SENT = "sent"
    RECEIVED = "received"


class Kind(StrEnum):
    """What an entry is about."""

    HANDSHAKE = "handshake"
    TEXT = "text"
    BINARY = "binary"
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    RAW = "raw"
    #: TCP ended in order, without a close frame before it.
    EOF = "eof"
    #: TCP was reset.
    RESET = "reset"
    #: Bytes that are no WebSocket.
    GARBAGE = "garbage"
    #: We stopped or started reading.
    NOTE = "note"


@frozen(kw_only=True)
class Entry:
    """One thing that happened in a conversation.

    `at` is seconds since the run began, `peer` the connection; `size` the payload's bytes; `text` its beginning for people; `body` a JSON object
    or a device's binary frame as members, every picture in it replaced by its digest (`sha256`, `bytes`, `jpeg`, `problem`).
    """

    at: float
    peer: str
    way: Way
    kind: Kind
    text: str = ""
    size: int = 0
    code: int | None = None
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    #: At which character a text stops being JSON; None if it is JSON, or not a text.
    broken_at: int | None = None

    @property
    def type(self) -> Any:
        """The `type` of a JSON message; None where it has none."""
        return None if self.body is None else self.body.get("type")


@frozen(kw_only=True)
class RecordedConversation:
    """One connection as it was recorded: who we played, at which address, with whose key."""

    name: str
    role: str
    source_id: str
    cameras: tuple[str, ...]
    organisation: str
    entries: tuple[Entry, ...] = field(repr=False)


def pong_with(payload: bytes) -> Callable[[Entry], bool]:
    """Return what recognises the pong that carries *payload*."""
    return lambda entry: entry.kind is Kind.PONG and entry.text == payload.hex()


#: Characters of a message that a timeline shows; the longest ping fits, in hex.
_SHOWN: Final = 256
#: Characters of a text that is not JSON in which keys are looked for; nothing after them is kept.
_LOOKED_AT: Final = 4096


@define
class WireRecorder:
    """Records one conversation, with every key in *secrets* replaced before it is kept."""

    peer: str
    _secrets: tuple[str, ...] = field(repr=False)
    entries: list[Entry] = field(factory=list[Entry], init=False)

    def keep_out(self, secret: str) -> None:
        """Take *secret* out as well, of all that comes from now on."""
        self._secrets = (*self._secrets, secret)

    def text(self, at: float, way: Way, text: str) -> Entry:
        """Record a text message."""
        try:
            body = self._redacted_body(_digest_text(text, strictly=way is Way.RECEIVED))
            shown = self._redacted_head(text) if body is None else _cut_whole(_brief(body))
        except RecursionError:
            # It nests too deeply to be looked into.
            body, shown = None, self._redacted_head(text)
        broken_at = _broken_at(text) if body is None and way is Way.RECEIVED else None
        size = len(text.encode("utf-8", "replace"))
        return self._add(at, way, Kind.TEXT, shown, size, body, broken_at=broken_at)

    def binary(self, at: float, way: Way, data: bytes) -> Entry:
        """Record a binary message."""
        body = self._redacted_body(_digest_binary(data))
        shown = self._redacted_hex(data) if body is None else _cut_whole(_brief(body))
        return self._add(at, way, Kind.BINARY, shown, len(data), body)

    def event(
        self,
        at: float,
        way: Way,
        kind: Kind,
        text: str = "",
        *,
        size: int = 0,
        code: int | None = None,
    ) -> Entry:
        """Record anything that is not a message."""
        pings = kind in (Kind.PING, Kind.PONG)
        shown = self._redacted_payload(text) if pings else _cut_whole(self._redacted(text))
        return self._add(at, way, kind, shown, size, None, code)

    def _add(
        self,
        at: float,
        way: Way,
        kind: Kind,
        text: str,
        size: int,
        body: Mapping[str, Any] | None,
        code: int | None = None,
        broken_at: int | None = None,
    ) -> Entry:
        entry = Entry(
            at=at,
            peer=self.peer,
            way=way,
            kind=kind,
            text=tame(text),
            size=size,
            code=code,
            body=body,
            broken_at=broken_at,
        )
        self.entries.append(entry)
        return entry

    def _redacted(self, text: str) -> str:
        # A lone surrogate passes through JSON as an escape, but no report could hold it.
        return redact(text.encode("utf-8", "replace").decode(), self._secrets)

    def _redacted_head(self, text: str) -> str:
        # A timeline shows its beginning, and looking through megabytes takes a while.
        head = self._redacted(text[:_LOOKED_AT])
        return _cut(head, len(head if len(text) <= _LOOKED_AT else text))

    def _redacted_payload(self, text: str) -> str:
        try:
            payload = bytes.fromhex(text).decode("utf-8", "replace")
        except ValueError:
            return self._redacted(text)
        return text if self._redacted(payload) == payload else b"(a key)".hex()

    def _redacted_hex(self, data: bytes) -> str:
        # No more of it is shown.
        text = data[:_SHOWN].decode("utf-8", "replace")
        return "bytes with a key" if self._redacted(text) != text else f"{data[:24].hex(' ')}…"

    def _redacted_body(self, value: Any) -> Any:
        match value:
            case str():
                return self._redacted(value)
            case dict():
                return {self._redacted(name): self._redacted_body(v) for name, v in value.items()}
            case list():
                return [self._redacted_body(inner) for inner in value]
            case _:
                return value


# ── what no report may show ──────────────────────────────────────────────────────────────────

#: Control characters, each as a picture of itself: a timeline is made of lines, and no gateway steers a terminal.
_PICTURES: Final = {
    **{code: 0x2400 + code for code in range(0x20)},
    **dict.fromkeys(range(0x7F, 0xA0), 0x2421),
}


def tame(text: str) -> str:
    """Return *text* as it may stand in a line of a report."""
    return text.encode("utf-8", "replace").decode().translate(_PICTURES)


def _cut(text: str, length: int) -> str:
    """Return the beginning of a text of *length* characters, of which *text* is at least what is shown."""
    return text if length <= _SHOWN else f"{text[:_SHOWN]}… ({length} characters)"


def _cut_whole(text: str) -> str:
    return _cut(text, len(text))


def _brief(body: Mapping[str, Any]) -> str:
    picture = body.get("frame")
    if isinstance(picture, dict):
        body = {**body, "frame": f"<{picture['bytes']} bytes {picture['sha256'][:8]}>"}
    return json.dumps(body, ensure_ascii=False, separators=(", ", ": "))


# ── digests ──────────────────────────────────────────────────────────────────────────────────


def _refuse_constant(literal: str) -> NoReturn:
    raise ValueError(literal)


def strict_json(text: str) -> Any:
    """Return the value of *text*, which must be JSON as RFC 8259 has it.

    Raises:
        ValueError: it is not, or it is nested too deeply to tell.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _broken_at(text: str) -> int | None:
    try:
        strict_json(text)
    except json.JSONDecodeError as error:
        return error.pos
    except ValueError:
        # A literal such as NaN, or too deep a nesting, whose place the parser does not tell.
        return None
    return None


def _digest_text(text: str, *, strictly: bool) -> dict[str, Any] | None:
    # What we send may be as little JSON as what devices send; what the gateway sends must be.
    try:
        body = strict_json(text) if strictly else json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    picture = body.get("frame")
    if body.get("type") == "video_frame" and isinstance(picture, str):
        body["frame"] = _digest_base64(picture)
    elif isinstance(picture, dict):
        # Whatever is a dict from here on is a digest.
        body["frame"] = "an object"
    return body


def _digest_base64(text: str) -> dict[str, Any]:
    try:
        picture = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    else:
        # Python lets one `=` too many pass, a browser does not.
        if len(text) % 4 == 0:
            return digest(picture)
    loose = re.sub(r"[^A-Za-z0-9+/]", "", text.translate({ord("-"): "+", ord("_"): "/"}))
    usable = loose[: len(loose) - (len(loose) % 4 == 1)]
    picture = base64.b64decode(usable + "=" * (-len(usable) % 4))
    return {**digest(picture), "problem": "not padded base64 of the standard alphabet"}


#: What every JPEG begins with.
_JPEG: Final = b"\xff\xd8"


def digest(picture: bytes) -> dict[str, Any]:
    """Return what is kept of a picture; `jpeg` is whether it begins as one."""
    return {
        "sha256": hashlib.sha256(picture).hexdigest(),
        "bytes": len(picture),
        "jpeg": picture[:2] == _JPEG,
        "problem": None,
    }


def _digest_binary(data: bytes) -> dict[str, Any] | None:
    """Read a device's frame with the judge's own eyes; None where it is none."""
    try:
        version, size = data[0], data[1]
        source = data[2 : 2 + size]
        at = 2 + size
        camera = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
        width, height, timestamp = struct.unpack_from(">IIq", data, at)
        members = {"source_id": source.decode(), "camera_id": camera.decode()}
    except (IndexError, struct.error, UnicodeDecodeError):
        return None
    if version != 1:
        return None
    return {
        "type": "video_frame",
        **members,
        "frame": digest(data[at + 16 :]),
        "width": width,
        "height": height,
        "timestamp": timestamp,
    }


def merge(conversations: Iterable[RecordedConversation]) -> tuple[Entry, ...]:
    """Return the entries of all *conversations* in the order of time."""
    return tuple(sorted((e for c in conversations for e in c.entries), key=lambda e: e.at))
