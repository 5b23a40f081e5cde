"""What an outside peer can send in each state of a conversation, and which deadline is pending there.

The specification has the same as tables of transitions (section 4 and its diagrams).  This is the judge's own copy, since a
judge that reads the tables of the gateway under test sees no fault in them; a test compares the two.
"""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen

from plexwire_conformance.wire.framing import Opcode


class Conversation(Enum):
    """Who talks with the gateway."""

    VIEWER = "viewer"
    DEVICE = "device"


class Moment(Enum):
    """Where a conversation is."""

    AWAITING_AUTH = "before its auth"
    CHECKING_KEY = "while its key is checked"
    STREAMING = "on its stream"


class Pending(Enum):
    """A deadline of the gateway."""

    AUTH = "auth deadline"
    TIMEOUT = "timeout"


@frozen(kw_only=True)
class Row:
    """In this moment the peer may send messages of these types, and this deadline of the gateway is pending, if any."""

    conversation: Conversation
    moment: Moment
    may_send: frozenset[str]
    pending: Pending | None = None


_VIEWER, _DEVICE = Conversation
_AWAITING, _CHECKING, _STREAMING = Moment

ROWS: Final = (
    Row(
        conversation=_VIEWER,
        moment=_AWAITING,
        may_send=frozenset({"auth"}),
        pending=Pending.AUTH,
    ),
    Row(conversation=_VIEWER, moment=_CHECKING, may_send=frozenset()),
    Row(
        conversation=_VIEWER,
        moment=_STREAMING,
        may_send=frozenset(),
        pending=Pending.TIMEOUT,
    ),
    Row(
        conversation=_DEVICE,
        moment=_AWAITING,
        may_send=frozenset({"device_auth"}),
        pending=Pending.AUTH,
    ),
    Row(conversation=_DEVICE, moment=_CHECKING, may_send=frozenset()),
    Row(
        conversation=_DEVICE,
        moment=_STREAMING,
        may_send=frozenset({"video_frame", "heartbeat"}),
    ),
)


@frozen
class Stimulus:
    """Frames that a peer sends at once: opcode, payload, and whether it is the last of its message.

    One that is `harmless` changes nothing in any state, whoever sends it; what becomes of others is for the state to say.
    """

    name: str
    frames: tuple[tuple[Opcode, bytes, bool], ...]
    harmless: bool = False


def _message(name: str, opcode: Opcode, payload: bytes) -> Stimulus:
    return Stimulus(name, ((opcode, payload, True),))


def _text(name: str, **members: object) -> Stimulus:
    return _message(name, Opcode.TEXT, json.dumps(members).encode())


#: Every opcode, and a message of every type of either role, of the gateway's too.
STIMULI: Final[Mapping[str, Stimulus]] = {
    one.name: one
    for one in (
        Stimulus(
            "pongs that answer no ping",
            (
                (Opcode.PONG, b"plexwire", True),
                (Opcode.PONG, b"", True),
                (Opcode.PONG, b"x" * 125, True),
            ),
            harmless=True,
        ),
        Stimulus(
            "pings",
            ((Opcode.PING, b"", True), (Opcode.PING, b"x" * 125, True)),
            harmless=True,
        ),
        Stimulus(
            "a text in three fragments, with a ping and a pong between them",
            (
                (Opcode.TEXT, b'{"type":', False),
                (Opcode.PING, b"between", True),
                (Opcode.CONTINUATION, b"", False),
                (Opcode.PONG, b"between", True),
                (Opcode.CONTINUATION, b' "hello"}', True),
            ),
        ),
        _message("an empty text", Opcode.TEXT, b""),
        _message("an empty binary message", Opcode.BINARY, b""),
        _message("a text that is not JSON", Opcode.TEXT, b"hello"),
        _text("a message of an unknown type", type="hello"),
        _text("an auth with an unknown key", type="auth", api_key="plx_nobody_has_this_key"),
        _text(
            "a device_auth with an unknown key",
            type="device_auth",
            api_key="plx_nobody_has_this_key",
            source_id="plexwire-nobody",
        ),
        _text("a heartbeat", type="heartbeat"),
        _text("an init", type="init", online_sources=[]),
        _text("an authenticated", type="authenticated"),
        _text("an error", type="error", code="INVALID_MESSAGE", message="no"),
        _text(
            "a gateway_reconnecting",
            type="gateway_reconnecting",
            attempt=1,
            max_attempts=5,
            delay_s=2,
        ),
    )
}
