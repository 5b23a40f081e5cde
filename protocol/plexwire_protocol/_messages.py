"""The messages: one frozen class a wire message, its values guarded, free of any encoding.

What is wrong with a value is said by `MalformedMessage`, whoever builds the message: the codec from the wire, or you.
"""

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from sys import float_info
from typing import Any, ClassVar, Final, TypeAlias

from attrs import Attribute, field, fields, frozen

from plexwire_protocol._errors import MalformedMessage, Refusal
from plexwire_protocol.limits import MAX_ID_BYTES, PIXELS, SOURCE_ID, TIMESTAMPS_MS

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)

_Validator: TypeAlias = "Callable[[Any, Attribute[Any], Any], None]"


class Role(Enum):
    """Who speaks."""

    VIEWER = "viewer"
    GATEWAY = "gateway"
    DEVICE = "device"


def _refuse(
    instance: "Message", attribute: "Attribute[Any]", refusal: Refusal, problem: str
) -> MalformedMessage:
    return MalformedMessage(problem, instance.clause, attribute.name, refusal)


def fault_of_text(value: Any) -> tuple[Refusal, str] | None:
    """Return why *value* can't be the text of a message, or None if it can."""
    if not isinstance(value, str):
        return Refusal.WRONG_TYPE, "must be a string"
    if not value.isascii() and _SURROGATE.search(value):
        return Refusal.NOT_UNICODE, "has a lone surrogate"
    return None


def _text(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    if (fault := fault_of_text(value)) is not None:
        raise _refuse(instance, attribute, *fault)


def _camera_id(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    _text(instance, attribute, value)
    if len(value.encode()) > MAX_ID_BYTES:
        raise _refuse(
            instance, attribute, Refusal.ID_TOO_LONG, f"is over {MAX_ID_BYTES} bytes of UTF-8"
        )


def _source_id(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    _text(instance, attribute, value)
    if SOURCE_ID.fullmatch(value) is None:
        raise _refuse(
            instance, attribute, Refusal.BAD_SOURCE_ID, f"does not match {SOURCE_ID.pattern}"
        )


def _whole(low: int, high: int) -> _Validator:
    def whole(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
        # `True` is an int to Python; to the protocol it is not.
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refuse(instance, attribute, Refusal.WRONG_TYPE, "must be a whole number")
        if not low <= value <= high:
            raise _refuse(
                instance, attribute, Refusal.OUT_OF_RANGE, f"must be from {low} to {high}"
            )

    return whole


def _seconds(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _refuse(instance, attribute, Refusal.WRONG_TYPE, "must be a number")
    # Compared with the largest float, as 10**400 is finite to Python until somebody adds it to a clock.
    if not 0 <= value <= float_info.max:
        raise _refuse(instance, attribute, Refusal.OUT_OF_RANGE, "must be finite, 0 or more")


def _jpeg(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    if not isinstance(value, bytes):
        raise _refuse(instance, attribute, Refusal.WRONG_TYPE, "must be bytes")
    if not value.startswith(JPEG_START):
        raise _refuse(instance, attribute, Refusal.NOT_JPEG, "does not begin like a JPEG (FF D8)")


def _cameras(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    for camera in value:
        _text(instance, attribute, camera)


def _extra(instance: "Message", attribute: "Attribute[Any]", value: Mapping[str, Any]) -> None:
    taken = sorted({"type", *instance.wire_names()} & set(value))
    if taken:
        raise _refuse(
            instance, attribute, Refusal.OUT_OF_RANGE, f"repeats {', '.join(taken)} of the message"
        )


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


#: A lone surrogate passes through JSON as an escape, but no UTF-8 can carry it.
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

#: The two bytes that every JPEG begins with.
JPEG_START: Final = b"\xff\xd8"

_count: Final = _whole(0, 2**31 - 1)
_pixels: Final = _whole(*PIXELS)
_timestamp_ms: Final = _whole(*TIMESTAMPS_MS)


@frozen(kw_only=True)
class Message:
    """The base of all messages: `type` is the word on the wire, `clause` the one that asks for the message."""

    type: ClassVar[str] = ""
    clause: ClassVar[str] = ""

    @classmethod
    def wire_names(cls) -> tuple[str, ...]:
        """Return the members that this message has on the wire beside `type` and those in `extra`."""
        names: tuple[str, ...] = tuple(field.name for field in fields(cls))
        return tuple(_WIRE_NAMES.get(name, name) for name in names if name != "extra")


#: Fields that are called otherwise on the wire.
_WIRE_NAMES: Final = {"jpeg": "frame"}


@frozen(kw_only=True)
class Auth(Message):
    """A viewer's first frame.  The key never shows in a repr.  [PW-AUTH-1]"""

    type: ClassVar[str] = "auth"
    clause: ClassVar[str] = "PW-AUTH-6"

    api_key: str = field(validator=_text, repr=False)


@frozen(kw_only=True)
class OnlineSource(Message):
    """One source of `Init` with its cameras that are online."""

    clause: ClassVar[str] = "PW-INIT-4"

    source_id: str = field(validator=_text)
    cameras: tuple[str, ...] = field(converter=_strings, validator=_cameras)


def _sources(values: Iterable[OnlineSource]) -> tuple[OnlineSource, ...]:
    return tuple(values)


def _online_sources(instance: "Message", attribute: "Attribute[Any]", value: Any) -> None:
    if not all(isinstance(source, OnlineSource) for source in value):
        raise _refuse(instance, attribute, Refusal.WRONG_TYPE, "must hold sources")


@frozen(kw_only=True)
class Init(Message):
    """The gateway's answer to a viewer's auth: what is online now.  [PW-INIT-1, PW-INIT-4]"""

    type: ClassVar[str] = "init"
    clause: ClassVar[str] = "PW-INIT-4"

    online_sources: tuple[OnlineSource, ...] = field(converter=_sources, validator=_online_sources)


@frozen(kw_only=True)
class VideoFrame(Message):
    """One picture of one camera, from a device to the gateway and on to the viewers.  [PW-FRAME-1, PW-BIN-1]

    `width` and `height` are pixels, 0 where the device could not tell; `timestamp` is the device's stamp in Unix
    milliseconds.  `source_id` is empty where a device left it out.  `extra` holds further members, in order; do not
    change it.  Neither the picture nor what is in `extra` shows in the repr.
    """

    type: ClassVar[str] = "video_frame"
    clause: ClassVar[str] = "PW-FRAME-1"

    source_id: str = field(default="", validator=_text)
    camera_id: str = field(validator=_camera_id)
    jpeg: bytes = field(validator=_jpeg, repr=lambda jpeg: f"<{len(jpeg)} bytes>")
    width: int = field(validator=_pixels)
    height: int = field(validator=_pixels)
    timestamp: int = field(validator=_timestamp_ms)
    extra: Mapping[str, JsonValue] = field(
        factory=dict[str, JsonValue], validator=_extra, repr=lambda extra: f"<{len(extra)} members>"
    )


@frozen(kw_only=True)
class GatewayReconnecting(Message):
    """The gateway lost its upstream and retries; viewers stay.  `delay_s` is seconds.  [PW-RECON-1]"""

    type: ClassVar[str] = "gateway_reconnecting"
    clause: ClassVar[str] = "PW-RECON-1"

    attempt: int = field(validator=_count)
    max_attempts: int = field(validator=_count)
    delay_s: float = field(validator=_seconds)


@frozen(kw_only=True)
class DeviceAuth(Message):
    """A device's first message.  The key never shows in a repr.  [PW-DEV-1]

    `extra` holds the optional members (`platform`, `agent_version`, `cameras`, ...) as they came.
    """

    type: ClassVar[str] = "device_auth"
    clause: ClassVar[str] = "PW-DEV-1"

    api_key: str = field(validator=_text, repr=False)
    source_id: str = field(validator=_source_id)
    extra: Mapping[str, JsonValue] = field(
        factory=dict[str, JsonValue], validator=_extra, repr=False
    )


@frozen(kw_only=True)
class Authenticated(Message):
    """The gateway's answer to a good `DeviceAuth`; the time is Unix milliseconds.  [PW-DEV-2, PW-DEV-3]"""

    type: ClassVar[str] = "authenticated"
    clause: ClassVar[str] = "PW-DEV-2"

    source_id: str = field(validator=_text)
    server_time_ms: int = field(validator=_timestamp_ms)


@frozen(kw_only=True)
class ErrorReport(Message):
    """The gateway's word to a device that something was refused.  [PW-DEV-5]"""

    type: ClassVar[str] = "error"
    clause: ClassVar[str] = "PW-DEV-5"

    code: str = field(validator=_text)
    detail: str = field(default="", validator=_text)


@frozen(kw_only=True)
class Heartbeat(Message):
    """A device's sign of life.  [PW-DEV-13]"""

    type: ClassVar[str] = "heartbeat"
    clause: ClassVar[str] = "PW-DEV-13"

    source_id: str = field(default="", validator=_text)
    agent_version: str = field(default="", validator=_text)


@frozen(kw_only=True)
class Unknown(Message):
    """A message of a type that this protocol does not know: kept, and ignored.  [PW-VIEW-1, PW-DEV-9]

    `name` is its type on the wire, shortened in the repr.  The members do not show there: they may hold anything, a
    key included.
    """

    clause: ClassVar[str] = "PW-VIEW-1"

    name: str = field(repr=reprlib.repr)
    members: Mapping[str, JsonValue] = field(factory=dict[str, JsonValue], repr=False)


#: Every message that `decode` returns and sessions report: `match` on it, and close with `assert_never`.
AnyMessage: TypeAlias = (
    Auth
    | Init
    | VideoFrame
    | GatewayReconnecting
    | DeviceAuth
    | Authenticated
    | ErrorReport
    | Heartbeat
    | Unknown
)
