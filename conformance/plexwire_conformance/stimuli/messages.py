"""Messages of every role and of every opcode, for every state of a conversation.

The transition tables say what a gateway does with a message in a state; this says which messages there are, and in
which ways RFC 6455 lets a peer send them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from attrs import field, frozen

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

#: The smallest picture that begins and ends like a JPEG.
_PICTURE: Final = b"\xff\xd8\xff\xd9"


class Speaker(StrEnum):
    """Which party sends such a message; nobody sends those of no party."""

    VIEWER = "viewer"
    DEVICE = "device"
    GATEWAY = "gateway"
    NOBODY = "nobody"


class Lawfulness(StrEnum):
    """What RFC 6455 says of the frames."""

    #: The frames are those of any peer: only this protocol says what becomes of the message.
    LAWFUL = "lawful"
    #: The frames end the conversation, as a close does.
    CLOSING = "closing"
    #: The gateway fails the connection (RFC 6455 section 7.1.7).
    UNLAWFUL = "unlawful"


@frozen
class RawFrame:
    """One WebSocket frame, masked by whoever sends it."""

    opcode: int
    payload: bytes = field(default=b"", repr=False)
    fin: bool = True
    rsv: int = 0


@frozen
class Stimulus:
    """Something to send in a state: *frames* in one go.

    `message` is the text of the whole message, or its bytes, for those who look its edge up in a table; `None` for control
    frames and for what is no whole message.  `kind` is its `type`, or empty.
    """

    name: str
    frames: Sequence[RawFrame]
    speaker: Speaker = Speaker.NOBODY
    kind: str = ""
    message: str | bytes | None = field(default=None, repr=False)
    lawfulness: Lawfulness = Lawfulness.LAWFUL


def stimuli(*, api_key: str, source_id: str) -> Sequence[Stimulus]:
    """Return every stimulus; `api_key` and `source_id` are those that the messages name."""
    return (
        *_messages(api_key, source_id),
        *_empty_messages(),
        *_control_frames(),
        *_closes(),
        *_unlawful(),
    )


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def _bodies(api_key: str, source_id: str) -> Mapping[Speaker, Sequence[Mapping[str, Any]]]:
    frame = {
        "type": "video_frame",
        "source_id": source_id,
        "camera_id": "front",
        "frame": "/9j/2Q==",
        "width": 640,
        "height": 480,
        "timestamp": 1746969660000,
    }
    return {
        Speaker.VIEWER: ({"type": "auth", "api_key": api_key},),
        Speaker.DEVICE: (
            {"type": "device_auth", "api_key": api_key, "source_id": source_id},
            frame,
            {"type": "heartbeat", "source_id": source_id, "agent_version": "0.7.1"},
            {"type": "telemetry", "points": [], "seq": 7},
            {"type": "command_result", "id": "7"},
            {"type": "command_status", "id": "7"},
            {"type": "command_sync", "id": "7"},
        ),
        Speaker.GATEWAY: (
            {"type": "init", "online_sources": [{"source_id": source_id, "cameras": ["front"]}]},
            frame,
            {"type": "gateway_reconnecting", "attempt": 1, "max_attempts": 5, "delay_s": 2},
            {"type": "authenticated", "source_id": source_id, "server_time_ms": 1746969660000},
            {"type": "error", "code": "unauthorized", "detail": ""},
            {"type": "telemetry_ack", "seq": 7},
        ),
        Speaker.NOBODY: ({"type": "hello"}, {"type": ""}, {"type": 7}, {}),
    }


#: Text that is no message.
_NO_MESSAGES: Final = {"no JSON": "{", "a list": "[]", "null": "null", "a blank": " "}


def _messages(api_key: str, source_id: str) -> Iterator[Stimulus]:
    for speaker, bodies in _bodies(api_key, source_id).items():
        for body in bodies:
            kind = body.get("type", "") if speaker is not Speaker.NOBODY else ""
            name = f"`{kind}` of a {speaker}" if kind else json.dumps(body)
            yield from _carried(name, json.dumps(body), speaker, kind)
    for name, text in _NO_MESSAGES.items():
        yield from _carried(name, text, Speaker.NOBODY, "")
    yield _whole("a binary frame", _binary_frame(source_id), Speaker.DEVICE, "video_frame")
    yield _in_pieces("a binary frame", _binary_frame(source_id), Speaker.DEVICE, "video_frame")
    yield _whole("a binary message that is no frame", b"\x02", Speaker.NOBODY, "")


def _binary_frame(source_id: str) -> bytes:
    ids = (source_id.encode(), b"front")
    head = b"\x01" + b"".join(bytes((len(one),)) + one for one in ids)
    numbers = ((640, 4), (480, 4), (1746969660000, 8))
    return head + b"".join(value.to_bytes(size, "big") for value, size in numbers) + _PICTURE


def _carried(name: str, text: str, speaker: Speaker, kind: str) -> Iterator[Stimulus]:
    """One message in every way to send it."""
    yield _whole(name, text, speaker, kind)
    yield _in_pieces(name, text, speaker, kind)
    yield _with_pings_between(name, text, speaker, kind)
    yield _with_empty_pieces(name, text, speaker, kind)
    yield _whole(f"{name}, as a binary message", text.encode(), speaker, kind)


def _payload(message: str | bytes) -> tuple[int, bytes]:
    return (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)


def _whole(name: str, message: str | bytes, speaker: Speaker, kind: str) -> Stimulus:
    return Stimulus(name, (RawFrame(*_payload(message)),), speaker, kind, message)


def _pieces(message: str | bytes) -> list[RawFrame]:
    """The message in frames of one byte, another byte, and the rest."""
    opcode, data = _payload(message)
    return [
        RawFrame(opcode, data[:1], fin=False),
        RawFrame(CONTINUATION, data[1:2], fin=False),
        RawFrame(CONTINUATION, data[2:]),
    ]


def _in_pieces(name: str, message: str | bytes, speaker: Speaker, kind: str) -> Stimulus:
    return Stimulus(f"{name}, in three frames", _pieces(message), speaker, kind, message)


def _with_pings_between(name: str, message: str | bytes, speaker: Speaker, kind: str) -> Stimulus:
    first, second, third = _pieces(message)
    frames = (first, RawFrame(PING, b"between"), second, RawFrame(PONG, b"between"), third)
    return Stimulus(f"{name}, with a ping and a pong between", frames, speaker, kind, message)


def _with_empty_pieces(name: str, message: str | bytes, speaker: Speaker, kind: str) -> Stimulus:
    opcode, data = _payload(message)
    frames = (
        RawFrame(opcode, fin=False),
        RawFrame(CONTINUATION, data, fin=False),
        RawFrame(CONTINUATION),
    )
    return Stimulus(f"{name}, between empty frames", frames, speaker, kind, message)


def _empty_messages() -> Iterator[Stimulus]:
    yield Stimulus("an empty text message", (RawFrame(TEXT),), message="")
    yield Stimulus("an empty binary message", (RawFrame(BINARY),), message=b"")
    empty = (RawFrame(TEXT, fin=False), RawFrame(CONTINUATION, fin=False), RawFrame(CONTINUATION))
    yield Stimulus("an empty text message, in three frames", empty, message="")
    # Nothing but the rest of it and control frames may follow.
    yield Stimulus("the beginning of a message", (RawFrame(TEXT, b"{", fin=False),))


# ── frames of WebSocket itself ───────────────────────────────────────────────────────────────


def _control_frames() -> Iterator[Stimulus]:
    yield Stimulus("a ping", (RawFrame(PING, b"still there?"),))
    yield Stimulus("an empty ping", (RawFrame(PING),))
    yield Stimulus("a ping of 125 bytes", (RawFrame(PING, bytes(range(125))),))
    yield Stimulus("ten pings", (RawFrame(PING, b"again"),) * 10)
    yield Stimulus("a pong that answers nothing", (RawFrame(PONG, b"unsolicited"),))
    yield Stimulus("an empty pong", (RawFrame(PONG),))
    yield Stimulus("ten pongs", (RawFrame(PONG),) * 10)


def _close(code: int, reason: bytes = b"") -> RawFrame:
    return RawFrame(CLOSE, code.to_bytes(2, "big") + reason)


def _closes() -> Iterator[Stimulus]:
    def closing(name: str, frame: RawFrame) -> Stimulus:
        return Stimulus(name, (frame,), lawfulness=Lawfulness.CLOSING)

    yield closing("a close without a code", RawFrame(CLOSE))
    for code in (1000, 1001, 1002, 1007, 1008, 1011, 3000, 4000, 4001, 4008, 4999):
        yield closing(f"a close {code}", _close(code))
    yield closing("a close 1000 with a reason", _close(1000, "auf Wiedersehen, Küche".encode()))
    yield closing("a close 1000 with a reason of 123 bytes", _close(1000, b"x" * 123))


def _unlawful() -> Iterator[Stimulus]:
    def unlawful(name: str, *frames: RawFrame) -> Stimulus:
        return Stimulus(name, frames, lawfulness=Lawfulness.UNLAWFUL)

    for opcode in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF):
        yield unlawful(f"a frame of opcode {opcode:#x}", RawFrame(opcode, b"?"))
    for rsv in (1, 2, 4):
        yield unlawful(f"a text frame with reserved bits {rsv}", RawFrame(TEXT, b"{}", rsv=rsv))
    yield unlawful("a continuation of nothing", RawFrame(CONTINUATION, b"{}"))
    yield unlawful(
        "a message inside a message", RawFrame(TEXT, b"{", fin=False), RawFrame(TEXT, b"}")
    )
    yield unlawful("a ping in two frames", RawFrame(PING, b"a", fin=False))
    yield unlawful("a ping of 126 bytes", RawFrame(PING, bytes(126)))
    yield unlawful("a close of one byte", RawFrame(CLOSE, b"\x03"))
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        yield unlawful(f"a close {code}", _close(code))
    yield unlawful("a close with a reason that is not UTF-8", _close(1000, b"\xff"))
    yield unlawful("text that is not UTF-8", RawFrame(TEXT, b'{"type":"\xff"}'))
    yield unlawful("text that ends inside a character", RawFrame(TEXT, b'"K\xc3'))
    yield unlawful("text with a surrogate", RawFrame(TEXT, b'"\xed\xa0\x80"'))
