"""What the four sessions share: a state that only the table moves, an outbox, deadlines as data."""

from abc import ABC, abstractmethod
from math import inf
from typing import ClassVar, TypeAlias

from plexwire_protocol._closing import Close, CloseCode
from plexwire_protocol._codec import decode
from plexwire_protocol._errors import (
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    UnexpectedMessage,
)
from plexwire_protocol._events import (
    ConversationClosed,
    Event,
    MessageIgnored,
    PeerViolated,
)
from plexwire_protocol._messages import Message, Role
from plexwire_protocol._states import Conversation, Edge, State, Timer, Trigger

Outgoing: TypeAlias = str | bytes | Close


class Session(ABC):
    """One end of one conversation; the base of the four sessions, not for use by itself.

    The embedder owns the socket and the clock.  `now` is always in seconds on one monotonic clock of its choice.  After
    every call it must

    - send what `take_outbox()` returns, in order, and
    - wait no longer than until `next_deadline()`, then call `handle_timeout`.

    Nothing here raises for what a peer can send; `LocalProtocolError` means that the embedder called wrongly, and that
    nothing was sent and nothing changed.
    """

    _conversation: ClassVar[Conversation]
    _role: ClassVar[Role]
    _peer: ClassVar[Role]

    def __init__(self, *, now: float) -> None:
        """Begin the conversation: the WebSocket handshake is done as of *now*."""
        self._outbox: list[Outgoing] = []
        self._deadlines: dict[Timer, float] = {}
        self._enter(State.AWAITING_AUTH, now)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state.value}>"

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    # ── what the embedder does ───────────────────────────────────────────────────────────────

    def receive(self, data: str | bytes, *, now: float) -> list[Event]:
        """Take one whole WebSocket message of the peer: `str` for text, `bytes` for binary.

        A deadline that had passed before *now* is handled first, so a caller may be late.  After a close, ours or the
        peer's, whatever still arrives is passed over.
        """
        events = self.handle_timeout(now=now)
        if self._state is State.CLOSED:
            return events
        try:
            message = decode(data, sender=self._peer)
        except MalformedMessage as error:
            # Its context and traceback would keep the whole message alive, and with it perhaps a key.
            error.__context__ = error.__traceback__ = None
            return events + self._received_malformed(error, now=now)
        if not self._conversation.knows(self._peer, type(message)):
            return events + self._received_unknown(message, now=now)
        edge = self._conversation.edge(self._state, self._peer, type(message))
        if edge is None:
            return events + self._received_unexpected(message, now=now)
        return events + self._received(message, edge, now=now)

    def receive_close(self, code: int, reason: str = "", *, now: float) -> list[Event]:
        """Take the peer's close, or its disappearance as code 1006; once closed, a no-op."""
        if self._state is State.CLOSED:
            return []
        self._enter(State.CLOSED, now)
        return [ConversationClosed(Close(code, reason), self._peer)]

    def close(self, code: int = CloseCode.NORMAL, reason: str = "", *, now: float) -> list[Event]:
        """End the conversation from this side; once closed, a no-op."""
        if self._state is State.CLOSED:
            return []
        close = Close(code, reason)
        self._outbox.append(close)
        self._enter(State.CLOSED, now)
        return [ConversationClosed(close, self._role)]

    def take_outbox(self) -> list[Outgoing]:
        """Return what has to be sent, in order, and forget it: text, binary, or a `Close`, which is always the last."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_deadline(self) -> float:
        """Return when `handle_timeout` is due, on the caller's clock; `math.inf` when never."""
        return min(self._deadlines.values(), default=inf)

    def handle_timeout(self, *, now: float) -> list[Event]:
        """Do what is due at *now*; an early call is a no-op."""
        # One duty a call, not all in a loop: a clock so far ahead that `now + 30 == now` would spin here for ever.
        if not self.next_deadline() <= now < inf:
            return []
        return self._due(min(self._deadlines, key=self._deadlines.__getitem__), now=now)

    # ── what each session decides ────────────────────────────────────────────────────────────

    @abstractmethod
    def _received(self, message: Message, edge: Edge, *, now: float) -> list[Event]:
        """Take a message that has a row in the table."""

    @abstractmethod
    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        """Take a message that could not be read."""

    @abstractmethod
    def _due(self, timer: Timer, *, now: float) -> list[Event]:
        """Do what falls due with *timer*, and enter a state, the same one again perhaps."""

    def _received_unknown(self, message: Message, *, now: float) -> list[Event]:
        """Take a message that this conversation does not know."""
        return [MessageIgnored(message)]

    def _received_unexpected(self, message: Message, *, now: float) -> list[Event]:
        """Take a known message that may not come in this state."""
        return self._unexpected(message, message.clause, now=now)

    # ── what they do it with ─────────────────────────────────────────────────────────────────

    def _enter(self, state: State, now: float) -> None:
        self._state = state
        self._deadlines = {
            timer: now + seconds
            for timer in self._conversation.timers_of(state, self._role)
            if (seconds := self._seconds(timer)) is not None
        }

    def _seconds(self, timer: Timer) -> float | None:
        """How long *timer* runs; None for not at all."""
        return timer.seconds

    def _follow(self, edge: Edge, now: float) -> None:
        if edge.target is not edge.source:
            self._enter(edge.target, now)

    def _sendable(self, trigger: Trigger, what: str, clause: str) -> Edge:
        edge = self._conversation.edge(self._state, self._role, trigger)
        if edge is None:
            raise LocalProtocolError(f"can't send {what} while {self._state.value}", clause)
        return edge

    def _unexpected(self, message: Message, clause: str, *, now: float) -> list[Event]:
        problem = f"{message.type} while {self._state.value}"
        return self._violated(UnexpectedMessage(problem, clause), now=now)

    def _violated(self, error: RemoteProtocolError, *, now: float) -> list[Event]:
        return [PeerViolated(error), *self.close(error.close_code, error.clause, now=now)]
