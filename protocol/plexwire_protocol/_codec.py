"""Between messages and what travels: `encode` and `decode`.

`decode` takes whatever a peer can send and raises `MalformedMessage` or returns a message, never anything else.
"""

import json
import math
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias

from attrs import Factory, field, frozen

from plexwire_protocol._binary import decode_device_frame
from plexwire_protocol._errors import LocalProtocolError, MalformedMessage, Refusal
from plexwire_protocol._messages import (
    AnyMessage,
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Init,
    JsonValue,
    Message,
    OnlineSource,
    Role,
    Unknown,
    VideoFrame,
    fault_of_text,
)
from plexwire_protocol.limits import MAX_CONTAINERS, MAX_MESSAGE_BYTES, MAX_NESTING

#: The bytes of a message, or of a part of one.
Buffer: TypeAlias = bytes | bytearray | memoryview

#: Makes of the parts of a text, in UTF-8, what all viewers of a frame share.
Finish: TypeAlias = Callable[..., str | bytes]

_stdlib_b64encode: Final = partial(b2a_base64, newline=False)


def _stdlib_b64decode(text: str) -> bytes:
    data = a2b_base64(text, strict_mode=True)
    # The strict mode of some Python releases accepts more `=` than are due.
    if len(text) % 4 or len(data) != len(text) // 4 * 3 - text.count("="):
        raise ValueError("more padding than is due")
    return data


#: Base64 without line breaks, both ways: by pybase64 where that is installed, up to 40 times faster.
b64encode: Callable[[Buffer], bytes] = _stdlib_b64encode
b64decode: Callable[[str], bytes] = _stdlib_b64decode
try:
    import pybase64
except ImportError:  # pragma: no cover
    pass
else:
    b64encode = pybase64.b64encode
    b64decode = partial(pybase64.b64decode, validate=True)


def as_text(*parts: Buffer) -> str:
    """Return the text that *parts*, in UTF-8, are together."""
    return b"".join(parts).decode()


@frozen(eq=False)
class EncodedFrame:
    """A frame of one camera as all its viewers get it, built once however many they are.

    `text` is its message, or what the `finish` of a `Relay` or `Hub` made of that; `size` is the size of the message in
    bytes.  `came` is when the frame came, on the clock of whoever published it.
    """

    camera_id: str
    text: str | bytes
    came: float = 0.0
    size: int = field(default=Factory(lambda self: len(self.text), takes_self=True), kw_only=True)

    @classmethod
    def of(cls, frame: VideoFrame) -> "EncodedFrame":
        """Encode *frame* once."""
        return cls(frame.camera_id, encode(frame))


# ── encode ───────────────────────────────────────────────────────────────────────────────────


def encode(message: Message) -> str:
    """Return *message* as the text of a WebSocket message, pure ASCII.

    NaN and infinities, which JSON does not have, become `null`.  [PW-THERM-2]

    Raises:
        LocalProtocolError: it is not a message, or its `extra` or `members` hold what JSON can't.

    """
    if not isinstance(message, Message):
        raise LocalProtocolError(f"{type(message).__name__} is not a message", _NOT_JSON)
    match message:
        case VideoFrame():
            return as_text(*encode_parts(message))
        case Unknown():
            return _dump({"type": message.name, **message.members})
        case Init():
            sources = [
                {"source_id": source.source_id, "cameras": source.cameras}
                for source in message.online_sources
            ]
            return _dump({"type": message.type, "online_sources": sources})
        case DeviceAuth():
            named = {"api_key": message.api_key, "source_id": message.source_id}
            return _dump({"type": message.type, **named, **message.extra})
        case _:
            named = {name: getattr(message, name) for name in message.wire_names()}
            return _dump({"type": message.type, **named})


def start_of(source_id: str, camera_id: str) -> bytes:
    """Return what the text of each frame of a camera begins with, up to the picture."""
    start = (
        f'{{"type":"video_frame","source_id":{json.dumps(source_id)}'
        f',"camera_id":{json.dumps(camera_id)},"frame":"'
    )
    return start.encode("ascii")


def encode_parts(frame: VideoFrame) -> tuple[bytes, bytes, bytes]:
    """Return the text of *frame* in three parts, the picture being the second.

    Raises:
        LocalProtocolError: `extra` holds what JSON can't.

    """
    # The picture is most of the message and needs no escaping, so no serialiser walks over it.
    rest = _dump(
        {
            "width": frame.width,
            "height": frame.height,
            "timestamp": frame.timestamp,
            **frame.extra,
        }
    )
    start = start_of(frame.source_id, frame.camera_id)
    return start, b64encode(frame.jpeg), f'",{rest[1:]}'.encode("ascii")


#: The clause that a message breaks which has no JSON.
_NOT_JSON: Final = "PW-VIEW-3"


def _dump(value: Mapping[str, Any]) -> str:
    try:
        try:
            return json.dumps(value, separators=(",", ":"), allow_nan=False)
        except ValueError:
            return json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise LocalProtocolError(
            f"a member is not what JSON can hold: {error}", _NOT_JSON
        ) from None


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: _finite(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case _:
            return value


# ── decode ───────────────────────────────────────────────────────────────────────────────────


def decode(
    data: str | Buffer,
    *,
    sender: Role,
    source_id: str | None = None,
    max_bytes: int = MAX_MESSAGE_BYTES,
) -> AnyMessage:
    """Return the message in *data*, a text (`str`) or binary (bytes-like) WebSocket message that *sender* sent.

    A type that *sender* does not send is `Unknown`; unknown members are ignored, those of a `VideoFrame` or
    `DeviceAuth` kept in `extra`.  A whole number may be written as `640.0` or `6.4e2`.  Of doubled members the last
    counts.  [PW-AUTH-14, PW-VIEW-1]  With *source_id*, a frame of a device gets this id, which its sender
    authenticated, instead of the one that it carries.  [PW-BIN-2]  A viewer or a device may send *max_bytes*.

    Raises:
        MalformedMessage: the message can't be read; nothing else, whatever a peer can send.
        LocalProtocolError: *data* is neither text nor bytes.

    """
    if not isinstance(data, str):
        data = as_bytes(data)
    if sender is not Role.GATEWAY and _size(data) > max_bytes:
        raise MalformedMessage(
            f"is over {max_bytes} bytes", "PW-LIM-3", "message", Refusal.TOO_LARGE
        )
    if isinstance(data, bytes) and sender is Role.DEVICE:
        return decode_device_frame(data, source_id=source_id)
    name, members = open_message(data, sender)
    if sender is Role.DEVICE and name == VideoFrame.type:
        return _read_frame_of_device(_Members(members), source_id)
    return read_members(name, members, sender)


def open_message(data: str | bytes, sender: Role) -> tuple[str, dict[str, JsonValue]]:
    """Return the `type` of the text message in *data*, and its other members as they came.

    Raises:
        MalformedMessage: it is not text, not a JSON object, or has no type.

    """
    if isinstance(data, bytes):
        raise MalformedMessage(
            "must be text; only frames of devices are binary",
            "PW-AUTH-12",
            "message",
            Refusal.BINARY,
        )
    members = _parse(data, sender)
    name = members.pop("type", None)
    if not isinstance(name, str):
        raise MalformedMessage(
            "must be there and a string", _FIRST_CLAUSE[sender], "type", Refusal.NO_TYPE
        )
    return name, members


def read_members(name: str, members: dict[str, JsonValue], sender: Role) -> AnyMessage:
    """Return the message of type *name* with *members*, which are used up.

    Raises:
        MalformedMessage: a member is missing or wrong.

    """
    read = _READERS.get((sender, name))
    return Unknown(name=name, members=members) if read is None else read(_Members(members))


def as_bytes(data: Buffer) -> bytes:
    """Return the bytes of *data*.

    Raises:
        LocalProtocolError: it has none.

    """
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise LocalProtocolError(
        f"a WebSocket message is text or bytes, not {type(data).__name__}", "PW-CONN-2"
    )


def _size(data: str | bytes) -> int:
    if isinstance(data, str) and not data.isascii():
        return len(data.encode("utf-8", "surrogatepass"))
    return len(data)


#: The clause that a message breaks which is not even an object with a type.
_FIRST_CLAUSE: Final = {
    Role.VIEWER: "PW-AUTH-6",
    Role.GATEWAY: "PW-VIEW-3",
    Role.DEVICE: "PW-TXT-2",
}


def _parse(text: str, sender: Role) -> dict[str, JsonValue]:
    clause = _FIRST_CLAUSE[sender]
    # Before it is decoded: the text is short, and what it would become is not.
    containers = text.count("{") + text.count("[")
    if sender is not Role.GATEWAY and containers > MAX_CONTAINERS:
        raise MalformedMessage(
            f"has more than {MAX_CONTAINERS} objects and lists",
            "PW-LIM-7",
            "message",
            Refusal.NOT_JSON,
        )
    try:
        value = (_lenient if sender is Role.DEVICE else _strict).decode(text)
    except (ValueError, RecursionError):
        raise MalformedMessage("is not JSON", clause, "message", Refusal.NOT_JSON) from None
    if not isinstance(value, dict):
        raise MalformedMessage("must be a JSON object", clause, "message", Refusal.NOT_AN_OBJECT)
    # Few messages have so many brackets at all.
    if containers > MAX_NESTING and _is_too_deep(value):
        raise MalformedMessage(
            f"nests more than {MAX_NESTING} deep", "PW-LIM-7", "message", Refusal.NOT_JSON
        )
    return value


_CONTAINERS: Final = frozenset((dict, list))


def _is_too_deep(value: dict[str, Any]) -> bool:
    # Layer by layer: a recursion is what the limit is there to spare everybody.
    layer: list[Any] = [value]
    for _ in range(MAX_NESTING):
        layer = [
            inner
            for outer in layer
            if outer
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
    return bool(layer)


def _no_constant(literal: str) -> NoReturn:
    raise ValueError(literal)


def _nulled(literal: str) -> None:
    """Devices write NaN and Infinity, which are not JSON; viewers get `null`.  [PW-THERM-2]"""


def _float(literal: str) -> float | None:
    value = float(literal)
    return value if math.isfinite(value) else None


_strict: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_float)
_lenient: Final = json.JSONDecoder(parse_constant=_nulled, parse_float=_float)


class _Members:
    """The members of a JSON object, taken out one by one; what is left is extra."""

    def __init__(self, members: dict[str, JsonValue]) -> None:
        self._members = members

    def take(self, name: str, clause: str) -> Any:
        try:
            return self._members.pop(name)
        except KeyError:
            raise MalformedMessage("is missing", clause, name, Refusal.MISSING_MEMBER) from None

    def take_or(self, name: str, default: Any) -> Any:
        return self._members.pop(name, default)

    def take_whole(self, name: str, clause: str) -> Any:
        value = self.take(name, clause)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def rest(self) -> dict[str, JsonValue]:
        return self._members


def _read_auth(members: _Members) -> Auth:
    return Auth(api_key=members.take("api_key", Auth.clause))


def _read_init(members: _Members) -> Init:
    listed = members.take("online_sources", Init.clause)
    if not isinstance(listed, list):
        raise _wrong_type("must be a list", Init.clause, "online_sources")
    return Init(online_sources=[_read_online_source(source) for source in listed])


def _read_online_source(value: JsonValue) -> OnlineSource:
    clause = OnlineSource.clause
    if not isinstance(value, dict):
        raise _wrong_type("must hold objects", clause, "online_sources")
    members = _Members(value)
    cameras = members.take("cameras", clause)
    if not isinstance(cameras, list):
        raise _wrong_type("must be a list", clause, "cameras")
    return OnlineSource(source_id=members.take("source_id", clause), cameras=cameras)


def _read_frame_of_device(members: _Members, source_id: str | None) -> VideoFrame:
    carried = members.take_or("source_id", "")
    if source_id is None:
        source_id = carried
    elif (fault := fault_of_text(carried)) is not None:
        refusal, problem = fault
        raise MalformedMessage(problem, VideoFrame.clause, "source_id", refusal)
    return _read_frame(members, source_id, "PW-TXT-2")


def _read_frame_of_gateway(members: _Members) -> VideoFrame:
    clause = VideoFrame.clause
    return _read_frame(members, members.take("source_id", clause), clause)


def _read_frame(members: _Members, source_id: Any, clause: str) -> VideoFrame:
    return VideoFrame(
        source_id=source_id,
        camera_id=members.take("camera_id", clause),
        jpeg=_from_base64(members.take("frame", clause)),
        width=members.take_whole("width", clause),
        height=members.take_whole("height", clause),
        timestamp=members.take_whole("timestamp", clause),
        extra=members.rest(),
    )


def _from_base64(value: Any) -> bytes:
    clause = "PW-FRAME-11"
    if not isinstance(value, str):
        raise _wrong_type("must be a string", clause, "frame")
    try:
        return b64decode(value)
    except ValueError:
        raise MalformedMessage("is not base64", clause, "frame", Refusal.NOT_BASE64) from None


def _read_reconnecting(members: _Members) -> GatewayReconnecting:
    clause = GatewayReconnecting.clause
    return GatewayReconnecting(
        attempt=members.take_whole("attempt", clause),
        max_attempts=members.take_whole("max_attempts", clause),
        delay_s=members.take("delay_s", clause),
    )


def _read_device_auth(members: _Members) -> DeviceAuth:
    clause = DeviceAuth.clause
    return DeviceAuth(
        api_key=members.take("api_key", clause),
        source_id=members.take("source_id", clause),
        extra=members.rest(),
    )


def _read_authenticated(members: _Members) -> Authenticated:
    clause = Authenticated.clause
    return Authenticated(
        source_id=members.take("source_id", clause),
        server_time_ms=members.take_whole("server_time_ms", clause),
    )


def _read_error(members: _Members) -> ErrorReport:
    code = members.take("code", ErrorReport.clause)
    detail = members.take_or("detail", None) or members.take_or("message", None) or ""
    # Nothing says whether `code` is a word or a number; either serves.
    return ErrorReport(code=str(code) if type(code) is int else code, detail=detail)


def _read_heartbeat(members: _Members) -> Heartbeat:
    return Heartbeat(
        source_id=members.take_or("source_id", ""),
        agent_version=members.take_or("agent_version", ""),
    )


def _wrong_type(problem: str, clause: str, where: str) -> MalformedMessage:
    return MalformedMessage(problem, clause, where, Refusal.WRONG_TYPE)


_READERS: Final[Mapping[tuple[Role, str], Callable[[_Members], AnyMessage]]] = {
    (Role.VIEWER, Auth.type): _read_auth,
    (Role.GATEWAY, Init.type): _read_init,
    (Role.GATEWAY, VideoFrame.type): _read_frame_of_gateway,
    (Role.GATEWAY, GatewayReconnecting.type): _read_reconnecting,
    (Role.GATEWAY, Authenticated.type): _read_authenticated,
    (Role.GATEWAY, ErrorReport.type): _read_error,
    (Role.DEVICE, DeviceAuth.type): _read_device_auth,
    (Role.DEVICE, Heartbeat.type): _read_heartbeat,
}
