"""The two conversations as tables: who may send what, when, and what falls due.

Each conversation is one flat tuple of edges and one of timers, shared by both of its ends.  What has no row is illegal.
The tables drive the sessions, render the diagrams of the specification, and are what the stateful tests walk.  They do
not know which end plays them.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, TypeAlias

from attrs import field, frozen

from plexwire_protocol._closing import CloseCode
from plexwire_protocol._limits import (
    ANSWER_DEADLINE_S,
    AUTH_DEADLINE_S,
    HEARTBEAT_INTERVAL_S,
)
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


class State(Enum):
    """Where a conversation stands, the same for both ends."""

    AWAITING_AUTH = "awaiting auth"
    CHECKING_KEY = "checking key"
    STREAMING = "streaming"
    CLOSED = "closed"


class Deadline(Enum):
    """What can fall due."""

    AUTH = "auth deadline"
    ANSWER = "answer deadline"
    TIMEOUT = "timeout"
    HEARTBEAT = "heartbeat"


class Closing(Enum):
    """The close of either side, as an input to the table."""

    CLOSE = "close"


Trigger: TypeAlias = "type[Message] | Deadline | Closing"


@frozen
class Edge:
    """In `source`, `sender` may send (or feel the end of) `trigger`; then both ends are in `target`.  [`clause`]"""

    source: State
    sender: Role
    trigger: Trigger
    target: State
    clause: str


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
_CLOSE = Closing.CLOSE

VIEWER_EDGES: Final = (
    Edge(_AWAITING,  _V, Auth,                _CHECKING,  "PW-AUTH-1"),
    Edge(_AWAITING,  _G, Deadline.AUTH,       _CLOSED,    "PW-AUTH-3"),
    Edge(_AWAITING,  _V, _CLOSE,              _CLOSED,    "PW-CONN-3"),
    Edge(_AWAITING,  _G, _CLOSE,              _CLOSED,    "PW-AUTH-5"),
    Edge(_CHECKING,  _G, Init,                _STREAMING, "PW-INIT-1"),
    Edge(_CHECKING,  _V, Deadline.ANSWER,     _CLOSED,    "PW-VIEW-4"),
    Edge(_CHECKING,  _V, _CLOSE,              _CLOSED,    "PW-CONN-3"),
    Edge(_CHECKING,  _G, _CLOSE,              _CLOSED,    "PW-AUTH-7"),
    Edge(_STREAMING, _G, VideoFrame,          _STREAMING, "PW-FRAME-9"),
    Edge(_STREAMING, _G, GatewayReconnecting, _STREAMING, "PW-RECON-2"),
    Edge(_STREAMING, _G, Deadline.TIMEOUT,    _CLOSED,    "PW-TIME-1"),
    Edge(_STREAMING, _V, _CLOSE,              _CLOSED,    "PW-CONN-3"),
    Edge(_STREAMING, _G, _CLOSE,              _CLOSED,    "PW-CLOSE-2"),
)  # fmt: skip

DEVICE_EDGES: Final = (
    Edge(_AWAITING,  _D, DeviceAuth,         _CHECKING,  "PW-DEV-1"),
    Edge(_AWAITING,  _G, Deadline.AUTH,      _CLOSED,    "PW-DEV-11"),
    Edge(_AWAITING,  _G, ErrorReport,        _CLOSED,    "PW-DEV-5"),
    Edge(_AWAITING,  _D, _CLOSE,             _CLOSED,    "PW-CONN-3"),
    Edge(_AWAITING,  _G, _CLOSE,             _CLOSED,    "PW-DEV-5"),
    Edge(_CHECKING,  _G, Authenticated,      _STREAMING, "PW-DEV-2"),
    Edge(_CHECKING,  _G, ErrorReport,        _CLOSED,    "PW-DEV-5"),
    Edge(_CHECKING,  _D, Deadline.ANSWER,    _CLOSED,    "PW-DEV-14"),
    Edge(_CHECKING,  _D, _CLOSE,             _CLOSED,    "PW-CONN-3"),
    Edge(_CHECKING,  _G, _CLOSE,             _CLOSED,    "PW-DEV-5"),
    Edge(_STREAMING, _D, VideoFrame,         _STREAMING, "PW-BIN-1"),
    Edge(_STREAMING, _D, Heartbeat,          _STREAMING, "PW-DEV-7"),
    Edge(_STREAMING, _D, Deadline.HEARTBEAT, _STREAMING, "PW-DEV-13"),
    Edge(_STREAMING, _G, ErrorReport,        _STREAMING, "PW-DEV-5"),
    Edge(_STREAMING, _D, _CLOSE,             _CLOSED,    "PW-CONN-3"),
    Edge(_STREAMING, _G, _CLOSE,             _CLOSED,    "PW-CLOSE-3"),
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


def _index(edges: Iterable[Edge]) -> Mapping[tuple[State, Role, Trigger], Edge]:
    table: dict[tuple[State, Role, Trigger], Edge] = {}
    for edge in edges:
        if table.setdefault((edge.source, edge.sender, edge.trigger), edge) is not edge:
            raise ValueError(f"two edges for the same case: {edge}")
    return table


@frozen
class Conversation:
    """One conversation: its edges, its timers, and the index over them."""

    name: str
    edges: tuple[Edge, ...]
    timers: tuple[Timer, ...]
    index: Mapping[tuple[State, Role, Trigger], Edge] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "index", _index(self.edges))

    def edge(self, state: State, sender: Role, trigger: Trigger) -> Edge | None:
        """Return the row for this case, or None where it is illegal."""
        return self.index.get((state, sender, trigger))

    def knows(self, sender: Role, trigger: Trigger) -> bool:
        """Whether *sender* may send *trigger* in any state at all."""
        return any(edge.sender is sender and edge.trigger is trigger for edge in self.edges)

    def timers_of(self, state: State, owner: Role) -> tuple[Timer, ...]:
        """Return what *owner* has to keep while in *state*."""
        return tuple(t for t in self.timers if t.state is state and t.owner is owner)


VIEWER_CONVERSATION: Final = Conversation("viewer", VIEWER_EDGES, VIEWER_TIMERS)
DEVICE_CONVERSATION: Final = Conversation("device", DEVICE_EDGES, DEVICE_TIMERS)


def render_mermaid(conversation: Conversation) -> str:
    """Return *conversation* as a Mermaid state diagram, in the order of its table."""
    lines = ["stateDiagram-v2", f"    [*] --> {_AWAITING.name}"]
    lines += [
        f"    {edge.source.name} --> {edge.target.name}"
        f": {edge.sender.value} {_word(edge.trigger)} [{edge.clause}]"
        for edge in conversation.edges
    ]
    lines.append(f"    {_CLOSED.name} --> [*]")
    return "\n".join(lines) + "\n"


def _word(trigger: Trigger) -> str:
    return trigger.type if isinstance(trigger, type) else trigger.value
