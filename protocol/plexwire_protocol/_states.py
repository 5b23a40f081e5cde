"""The two conversations as tables: which end may send what in which state, and what falls due.

Theory of operation
===================

Two rules keep this file honest:

- Every state, every transition and every deadline of the protocol is a row in this file.  The sessions look their
  rows up; no session has a transition of its own.
- This file does not know which end plays it.  A viewer and a gateway follow the same table, each from its side.

*States.*  A conversation is in one `State`, and both ends agree on it except for messages that are still on their
way.  It begins in `AWAITING_AUTH`, when the WebSocket handshake is done, and goes forward only:

    AWAITING_AUTH ──auth──> CHECKING_KEY ──init / authenticated──> STREAMING ──> CLOSED

Every open state can also go to `CLOSED`, which has no row and therefore no way out.

*Edges.*  An `Edge` reads: in `source`, `sender` may produce `trigger`; then both ends are in `target`.  A trigger is

- a message class: `sender` sends that message, and its peer receives it;
- `Close`: `sender` starts the WebSocket close, or vanishes, which its peer reads as code 1006;
- a `Deadline`: time has passed for `sender`, which is the only end that notices.

An edge that is `tolerated` describes a fault: `sender` never produces its trigger, but if the peer receives it, the
peer follows the edge and reports the fault.  The ends may then be in different states.

What has no edge is illegal.  To send it is a `LocalProtocolError`, and nothing changes.  To receive it moves nothing;
the session decides whether to ignore it or to close (by its own `Close` edge).

*How an edge is followed.*  An edge within one state leaves the timers of the state running: a frame does not prolong
the `timeout`.  An edge into another state stops all timers of the old state and starts those of the new one.  An edge
into `CLOSED` ends the conversation, and the end that follows it puts a `Close` into its outbox as its last item.  The
only exception is the peer's `Close`: the WebSocket library below answers that.  So an `error` that refuses a device
needs no second edge: the gateway sends `error` and closes, the device receives `error` and closes, whoever is first.

*Timers.*  A `Timer` reads: while in `state`, `owner` keeps `deadline`, for `seconds` from entering the state.  When it
falls due, `owner` follows the edge of that deadline.  A timer without such an edge never starts, and an edge for a
deadline without a timer never happens.  `code` is the close code if the edge leads to `CLOSED`.  An edge that leads
back to its own state (the heartbeat) starts the timers of that state again.

*What is not in the tables*, because it moves nothing: what the messages contain (`_messages`, `_codec`), the clause
that an illegal message breaks, and what a session reports to its embedder.

The tables render the diagrams of the specification (`render_mermaid`).  The stateful tests walk them.  A test deletes
and alters each row, at either end, and expects that the behaviour of the sessions changes.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, TypeAlias

from attrs import Factory, field, frozen

from plexwire_protocol._closing import Close, CloseCode
from plexwire_protocol._messages import (
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Init,
    Message,
    Role,
    VideoFrame,
)
from plexwire_protocol.limits import ANSWER_DEADLINE_S, AUTH_DEADLINE_S, HEARTBEAT_INTERVAL_S


class State(Enum):
    """The state of a conversation, the same for both ends."""

    AWAITING_AUTH = "awaiting auth"
    #: What a gateway does once the auth has come; a viewer or a device waits for the answer meanwhile.
    CHECKING_KEY = "checking key"
    AWAITING_ANSWER = CHECKING_KEY
    STREAMING = "streaming"
    CLOSED = "closed"


class Deadline(Enum):
    """What can fall due."""

    AUTH = "auth deadline"
    ANSWER = "answer deadline"
    TIMEOUT = "timeout"
    HEARTBEAT = "heartbeat"


#: What moves a conversation: a message, a close, or a deadline.
Trigger: TypeAlias = "type[Message | Close] | Deadline"


@frozen
class Edge:
    """In `source`, `sender` may produce `trigger`; then both ends are in `target`.  [`clause`]

    If it is `tolerated`, only the receiver follows it: the sender must not produce `trigger` here.
    """

    source: State
    sender: Role
    trigger: Trigger
    target: State
    clause: str
    tolerated: bool = False


@frozen
class Timer:
    """While in `state`, `owner` keeps `deadline`: `seconds` from entering it, or as the address says (None).

    `code` closes the stream when it falls due; None closes nothing.
    """

    state: State
    owner: Role
    deadline: Deadline
    seconds: float | None
    code: CloseCode | None
    clause: str


_AWAITING, _CHECKING, _STREAMING, _CLOSED = State
_V, _G, _D = Role

VIEWER_EDGES: Final = (
    Edge(_AWAITING,  _V, Auth,                _CHECKING,  "PW-AUTH-1"),
    Edge(_AWAITING,  _G, Deadline.AUTH,       _CLOSED,    "PW-AUTH-3"),
    Edge(_AWAITING,  _V, Close,               _CLOSED,    "PW-CONN-3"),
    Edge(_AWAITING,  _G, Close,               _CLOSED,    "PW-AUTH-5"),
    Edge(_CHECKING,  _G, Init,                _STREAMING, "PW-INIT-1"),
    Edge(_CHECKING,  _G, VideoFrame,          _STREAMING, "PW-VIEW-5", tolerated=True),
    Edge(_CHECKING,  _V, Deadline.ANSWER,     _CLOSED,    "PW-VIEW-4"),
    Edge(_CHECKING,  _V, Close,               _CLOSED,    "PW-CONN-3"),
    Edge(_CHECKING,  _G, Close,               _CLOSED,    "PW-AUTH-7"),
    Edge(_STREAMING, _G, VideoFrame,          _STREAMING, "PW-FRAME-9"),
    Edge(_STREAMING, _G, GatewayReconnecting, _STREAMING, "PW-RECON-2"),
    Edge(_STREAMING, _G, Init,                _STREAMING, "PW-VIEW-5", tolerated=True),
    Edge(_STREAMING, _G, Deadline.TIMEOUT,    _CLOSED,    "PW-TIME-1"),
    Edge(_STREAMING, _V, Close,               _CLOSED,    "PW-CONN-3"),
    Edge(_STREAMING, _G, Close,               _CLOSED,    "PW-CLOSE-2"),
)  # fmt: skip

DEVICE_EDGES: Final = (
    Edge(_AWAITING,  _D, DeviceAuth,         _CHECKING,  "PW-DEV-1"),
    Edge(_AWAITING,  _G, Deadline.AUTH,      _CLOSED,    "PW-DEV-11"),
    Edge(_AWAITING,  _G, ErrorReport,        _CLOSED,    "PW-DEV-5"),
    Edge(_AWAITING,  _D, Close,              _CLOSED,    "PW-CONN-3"),
    Edge(_AWAITING,  _G, Close,              _CLOSED,    "PW-DEV-5"),
    Edge(_CHECKING,  _G, Authenticated,      _STREAMING, "PW-DEV-2"),
    Edge(_CHECKING,  _G, ErrorReport,        _CLOSED,    "PW-DEV-5"),
    Edge(_CHECKING,  _D, Deadline.ANSWER,    _CLOSED,    "PW-DEV-14"),
    Edge(_CHECKING,  _D, Close,              _CLOSED,    "PW-CONN-3"),
    Edge(_CHECKING,  _G, Close,              _CLOSED,    "PW-DEV-5"),
    Edge(_STREAMING, _D, VideoFrame,         _STREAMING, "PW-BIN-1"),
    Edge(_STREAMING, _D, Heartbeat,          _STREAMING, "PW-DEV-7"),
    Edge(_STREAMING, _D, Deadline.HEARTBEAT, _STREAMING, "PW-DEV-13"),
    Edge(_STREAMING, _G, ErrorReport,        _STREAMING, "PW-DEV-5"),
    Edge(_STREAMING, _D, Close,              _CLOSED,    "PW-CONN-3"),
    Edge(_STREAMING, _G, Close,              _CLOSED,    "PW-CLOSE-3"),
)  # fmt: skip

VIEWER_TIMERS: Final = (
    Timer(_AWAITING,  _G, Deadline.AUTH,    AUTH_DEADLINE_S,   CloseCode.UNAUTHORIZED,   "PW-AUTH-3"),
    Timer(_CHECKING,  _V, Deadline.ANSWER,  ANSWER_DEADLINE_S, CloseCode.PROTOCOL_ERROR, "PW-VIEW-4"),
    Timer(_STREAMING, _G, Deadline.TIMEOUT, None,              CloseCode.TIMEOUT,        "PW-TIME-1"),
)  # fmt: skip

DEVICE_TIMERS: Final = (
    Timer(_AWAITING,  _G, Deadline.AUTH,      AUTH_DEADLINE_S,      CloseCode.UNAUTHORIZED,   "PW-DEV-11"),
    Timer(_CHECKING,  _D, Deadline.ANSWER,    ANSWER_DEADLINE_S,    CloseCode.PROTOCOL_ERROR, "PW-DEV-14"),
    Timer(_STREAMING, _D, Deadline.HEARTBEAT, HEARTBEAT_INTERVAL_S, None,                     "PW-DEV-13"),
)  # fmt: skip


_Case: TypeAlias = "tuple[State, Role, Trigger]"


def _index(edges: Iterable[Edge]) -> Mapping[_Case, Edge]:
    table: dict[_Case, Edge] = {}
    for edge in edges:
        if table.setdefault((edge.source, edge.sender, edge.trigger), edge) is not edge:
            raise ValueError(f"two edges for the same case: {edge}")
    return table


def _by_owner(
    timers: Iterable[Timer], index: Mapping[_Case, Edge]
) -> Mapping[tuple[State, Role], tuple[Timer, ...]]:
    table: dict[tuple[State, Role], tuple[Timer, ...]] = {}
    for timer in timers:
        owner = (timer.state, timer.owner)
        if (*owner, timer.deadline) in index:
            table[owner] = (*table.get(owner, ()), timer)
    return table


@frozen
class ConversationTable:
    """One conversation as data: its `edges`, its `timers`, and what is computed from them once.

    Raises:
        ValueError: two edges are for the same case.

    """

    name: str
    edges: tuple[Edge, ...]
    timers: tuple[Timer, ...]
    _index: Mapping[_Case, Edge] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: _index(self.edges), takes_self=True),
    )
    _known: frozenset[tuple[Role, Trigger]] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(
            lambda self: frozenset((edge.sender, edge.trigger) for edge in self.edges),
            takes_self=True,
        ),
    )
    _timers_of: Mapping[tuple[State, Role], tuple[Timer, ...]] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: _by_owner(self.timers, self._index), takes_self=True),
    )

    def edge(self, state: State, sender: Role, trigger: Trigger) -> Edge | None:
        """Return the row for this case, or None if the case is illegal."""
        return self._index.get((state, sender, trigger))

    def knows(self, sender: Role, trigger: Trigger) -> bool:
        """Whether *sender* may produce *trigger* in any state at all."""
        return (sender, trigger) in self._known

    def timers_of(self, state: State, owner: Role) -> tuple[Timer, ...]:
        """Return the timers that *owner* starts when it enters *state*: those with an edge for their deadline."""
        return self._timers_of.get((state, owner), ())


VIEWER_CONVERSATION: Final = ConversationTable("viewer", VIEWER_EDGES, VIEWER_TIMERS)
DEVICE_CONVERSATION: Final = ConversationTable("device", DEVICE_EDGES, DEVICE_TIMERS)


def render_mermaid(conversation: ConversationTable) -> str:
    """Return *conversation* as a Mermaid state diagram, in the order of its table."""
    lines = ["stateDiagram-v2", f"    [*] --> {_AWAITING.name}"]
    lines += [
        f"    {edge.source.name} --> {edge.target.name}"
        f": {edge.sender.value} {_word(edge.trigger)}{', tolerated' * edge.tolerated} [{edge.clause}]"
        for edge in conversation.edges
    ]
    lines.append(f"    {_CLOSED.name} --> [*]")
    return "\n".join(lines) + "\n"


def _word(trigger: Trigger) -> str:
    match trigger:
        case Deadline():
            return trigger.value
        case type() if issubclass(trigger, Message):
            return trigger.type
        case _:
            return "close"
