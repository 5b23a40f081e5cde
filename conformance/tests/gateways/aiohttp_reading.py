"""How the gateway on `aiohttp` reads addresses and messages, by the specification's text alone."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import urllib.parse
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aiohttp_choices import Choices

#: Bytes of a message.
LIMIT: Final = 1_048_576
SOURCE_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,255}")
TIMEOUT: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
NUMBERS: Final = Struct(">IIq")
JPEG: Final = b"\xff\xd8"


class Unreadable(Exception):
    """What came can't be read as what it should be."""


# ── addresses ────────────────────────────────────────────────────────────────────────────────


class Refused(Exception):
    """A handshake is answered by an HTTP status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class WrongPath(Refused):
    """The path is neither endpoint."""


@dataclass(frozen=True)
class Address:
    """What a viewer asks for."""

    source: str
    cameras: tuple[str, ...]
    timeout: int | None


@dataclass(frozen=True)
class AddressReader:
    """Reads request targets."""

    choices: Choices

    def viewer(self, path: str, query: str) -> Address:
        """Return what a viewer's address asks for; `Refused` where it is none."""
        parts = path.split("/")
        match parts:
            case ["", "v1", "sources", segment, "video", "stream"]:
                source = self._source(segment)
            case _:
                raise WrongPath(404, "no such path")
        cameras: list[str] = []
        timeouts: list[str] = []
        for name, value in self._parameters(query):
            match name:
                case "camera_id":
                    cameras.append(self._decoded(value))
                case "timeout":
                    timeouts.append(self._decoded(value))
                case _ if self.choices.unknown_parameter_refused:
                    raise Refused(400, f"what is {name}?")
        return Address(source, self._cameras(cameras), self._timeout(timeouts))

    def _parameters(self, query: str) -> list[tuple[str, str]]:
        if self.choices.semicolon_separates:
            query = query.replace(";", "&")
        pieces = [piece.partition("=") for piece in query.split("&") if piece]
        return [(self._decoded(name), value) for name, _, value in pieces]

    def _decoded(self, text: str, *, plus: bool = True) -> str:
        if plus and self.choices.plus_is_space:
            text = text.replace("+", " ")
        if self.choices.bad_escape == "replaced":
            return urllib.parse.unquote(text, errors="replace")
        try:
            if BROKEN_ESCAPE.search(text):
                raise ValueError("an escape without two digits")
            return urllib.parse.unquote_to_bytes(text).decode()
        except ValueError as error:
            if self.choices.bad_escape == "stands":
                return text
            raise Refused(400, str(error)) from None

    def _source(self, segment: str) -> str:
        source = self._decoded(segment, plus=False)
        if not segment:
            raise Refused(404, "no source")
        if self.choices.bad_source is not None and not SOURCE_ID.fullmatch(source):
            raise Refused(self.choices.bad_source, "no device can have this source id")
        return source

    def _cameras(self, named: list[str]) -> tuple[str, ...]:
        match self.choices.empty_camera:
            case "refused" if "" in named:
                raise Refused(400, "an empty camera_id")
            case "none":
                named = [camera for camera in named if camera]
        different = tuple(dict.fromkeys(named)) or ("default",)
        if self.choices.doubled_camera_refused and len(different) < len(named):
            raise Refused(400, "a camera_id twice")
        if len(different) > self.choices.cameras_of_address:
            raise Refused(400, "too many cameras")
        if any(len(camera.encode()) > self.choices.longest_camera_id for camera in different):
            raise Refused(400, "a camera_id too long")
        return different

    def _timeout(self, given: list[str]) -> int | None:
        if not given:
            return None
        good = len(given) == 1 and TIMEOUT.fullmatch(given[0]) and 0 < int(given[0]) < 2**31
        if good:
            return int(given[0])
        if self.choices.odd_timeout_refused:
            raise Refused(400, "timeout is no whole number of seconds, or given twice")
        return None


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Frame:
    """A picture on its way, with whatever came along with it."""

    camera: str
    picture: str
    width: int
    height: int
    timestamp: int
    more: dict[str, Any]


class _LeftOut:
    """Stands where a device wrote something that is not JSON."""


LEFT_OUT: Final = _LeftOut()


@dataclass(frozen=True)
class MessageReader:
    """Reads what viewers and devices say."""

    choices: Choices

    def message(self, text: str, *, of_device: bool = False) -> dict[str, Any]:
        """Return the object that *text* holds; `Unreadable` where it holds none with a `type`."""
        if len(text) > LIMIT or self._depth(text) > self.choices.deepest:
            raise Unreadable("too large or too deep")
        try:
            value = json.loads(
                text,
                object_pairs_hook=self._members,
                parse_float=_strictly_finite if self.choices.unreadable_values_refused else _finite,
                parse_constant=self._constant if of_device else _refuse,
            )
        except (ValueError, RecursionError) as error:
            raise Unreadable(str(error)) from None
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            raise Unreadable("no object with a type")
        return value

    def _depth(self, text: str) -> int:
        if text.count("[") + text.count("{") <= self.choices.deepest:
            return 0
        depth = deepest = 0
        for bracket in BRACKETS.findall(text):
            if bracket in ("[", "{"):
                depth += 1
                deepest = max(deepest, depth)
            elif bracket in ("]", "}"):
                depth -= 1
        return deepest

    def _members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if self.choices.names_in_any_capitals:
            pairs = [(n.lower() if n.lower() in ("type", "api_key") else n, v) for n, v in pairs]
        match self.choices.doubled_member:
            case "first":
                return dict(reversed(pairs))
            case "malformed" if len(dict(pairs)) < len(pairs):
                raise ValueError("a doubled member")
            case _:
                return dict(pairs)

    def _constant(self, literal: str) -> _LeftOut | None:
        match self.choices.not_json:
            case "null":
                return None
            case "left-out":
                return LEFT_OUT
            case _:
                raise ValueError(literal)

    def text_frame(self, message: dict[str, Any]) -> Frame:
        """Return the frame in a device's `video_frame`."""
        more = {name: value for name, value in message.items() if not _holds_left_out(value)}
        members = [more.pop(name, None) for name in ("camera_id", "frame", "type", "source_id")]
        camera, picture, _, source = members
        if not isinstance(camera, str) or not isinstance(picture, str):
            raise Unreadable("camera_id or frame is no string")
        if "source_id" in message and not isinstance(source, str):
            raise Unreadable("source_id is no string")
        try:
            jpeg = base64.b64decode(picture, validate=True)
        except (ValueError, binascii.Error):
            raise Unreadable("no base64") from None
        if len(picture) % 4:
            raise Unreadable("no padded base64")
        size = [self._whole(more.pop(name, None), 0, 2**32 - 1) for name in ("width", "height")]
        stamp = self._whole(more.pop("timestamp", None), -(2**63), 2**63 - 1)
        return self._checked(Frame(camera, picture, size[0], size[1], stamp, more), jpeg)

    def _whole(self, value: object, least: int, most: int) -> int:
        if isinstance(value, float) and value.is_integer() and self.choices.spelled_numbers:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Unreadable("a number is missing, of another type or out of range")
        return value

    def binary_frame(self, data: bytes) -> Frame:
        """Return the frame in a device's binary message."""
        if data[:1] != b"\x01":
            raise Unreadable("not version 1")
        source, rest = _length_prefixed(data[1:])
        camera, rest = _length_prefixed(rest)
        if len(rest) < NUMBERS.size:
            raise Unreadable("truncated")
        width, height, timestamp = NUMBERS.unpack_from(rest)
        self._id(source)
        jpeg = rest[NUMBERS.size :]
        picture = base64.b64encode(jpeg).decode()
        return self._checked(
            Frame(self._id(camera), picture, width, height, timestamp, {}), bytes(jpeg[:2])
        )

    def _id(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            # Only what a cut at 255 bytes can leave behind is forgiven: a character that began and did not end.
            if len(data) == 255 and error.reason == "unexpected end of data":
                match self.choices.cut_id:
                    case "left-out":
                        return data[: error.start].decode()
                    case "replaced":
                        return data.decode(errors="replace")
            raise Unreadable("an id is not UTF-8") from None

    def _checked(self, frame: Frame, jpeg: bytes) -> Frame:
        if not jpeg.startswith(JPEG):
            raise Unreadable("no JPEG")
        try:
            size = len(frame.camera.encode())
        except UnicodeEncodeError:
            raise Unreadable("half a surrogate pair") from None
        if size > self.choices.longest_camera_id:
            raise Unreadable("a camera_id too long")
        return frame


def _finite(literal: str) -> float | None:
    value = float(literal)
    return value if math.isfinite(value) else None


def _strictly_finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError(f"{literal} is beyond a double")
    return value


def _refuse(literal: str) -> object:
    raise ValueError(literal)


def _holds_left_out(value: object) -> bool:
    match value:
        case _LeftOut():
            return True
        case list():
            return any(map(_holds_left_out, value))
        case dict():
            return any(map(_holds_left_out, value.values()))
        case _:
            return False


def _length_prefixed(data: bytes) -> tuple[bytes, bytes]:
    if not data or len(data) < 1 + data[0]:
        raise Unreadable("truncated")
    return data[1 : 1 + data[0]], data[1 + data[0] :]
