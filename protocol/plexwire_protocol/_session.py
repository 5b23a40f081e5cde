"""What the four sessions share: a state that only the table moves, an outbox, and deadlines as data."""

from abc import ABC, abstractmethod
from math import inf
from typing import ClassVar, Final, TypeAlias

from plexwire_protocol._closing import Close, CloseCode
from plexwire_protocol._codec import Buffer, as_bytes, decode, encode
from plexwire_protocol._errors import (
    AnswerMissing,
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    UnexpectedMessage,
)
from plexwire_protocol._events import (
    ConversationClosed,
    Event,
    MessageIgnored,
    MessageRefused,
    PeerViolated,
)
from plexwire_protocol._messages import AnyMessage, Message, Role
from plexwire_protocol._states import (
    ConversationTable,
    Edge,
    State,
    Timer,
    Trigger,
)
from plexwire_protocol.limits import MAX_OUTBOX

Outgoing: TypeAlias = str | bytes | Close

#: The clause that a session breaks whose outbox is never taken: what it says does not reach the peer.
_OUTBOX: Final = "PW-AUTH-1"


def seconds_until(deadline: float, now: float) -> float | None:
    """Return how many seconds there are until *deadline*, at least 0; None if it is `math.inf`."""
    return None if deadline == inf else max(0.0, deadline - now)


class Session(ABC):
    """One end of one conversation; the base of the four sessions, not for use by itself.

    The embedder owns the socket and the clock.  `now` is always in seconds on one monotonic clock of its choice.  After
    every call it must

    - send what `take_outbox()` returns, in order, and
    - wait no longer than until `next_deadline()`, then call `handle_timeout`.

    Nothing here raises for what a peer can send; `LocalProtocolError` means that the embedder called wrongly, and that
    nothing was sent and nothing changed.

    For subclasses
    --------------

    A session that deviates, such as a deliberately faulty one, overrides or calls the following names and the public
    methods.  They are as stable as the public ones; all other names with an underscore may change.

    - `_table`: the `ConversationTable` that the session follows, a class attribute;
    - `_receive(data, now=…)`: take one whole message, text or bytes;
    - `_timer_seconds(timer)`: how long a timer runs;
    - `_closing(close)`: the close that ends the conversation from this side;
    - `_received_malformed(error, now=…)`, `_received_unknown(message, now=…)`, `_received_unexpected(message, now=…)`:
      what happens with a message that can't be read, that the peer never sends, or that the peer may not send now;
    - `_put(*items)`: send something that the table does not allow;
    - `_restart_timers(now)`: count the deadline of the present state from *now*.
    """

    _table: ClassVar[ConversationTable]
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
        """The state of the conversation."""
        return self._state

    # ── what the embedder does ───────────────────────────────────────────────────────────────

    def receive(self, data: str | Buffer, *, now: float) -> list[Event]:
        """Take one whole WebSocket message of the peer: `str` for text, bytes-like for binary.

        A deadline that had passed before *now* is handled first, so a caller may be late.  After a close, ours or the
        peer's, whatever still arrives is ignored.

        Raises:
            LocalProtocolError: *data* is neither text nor bytes.

        """
        return self._receive(data if isinstance(data, str) else as_bytes(data), now=now)

    def receive_close(self, code: int, reason: str = "", *, now: float) -> list[Event]:
        """Take the peer's close, or its disappearance as code 1006; once closed, a no-op."""
        edge = self._table.edge(self._state, self._peer, Close)
        if edge is None:
            return []
        self._enter(edge.target, now)
        return [ConversationClosed(Close(code, reason), self._peer)]

    def close(self, code: int = CloseCode.NORMAL, reason: str = "", *, now: float) -> list[Event]:
        """End the conversation from this side; once closed, a no-op."""
        edge = self._table.edge(self._state, self._role, Close)
        return [] if edge is None else self._end(edge, Close(code, reason), now)

    def take_outbox(self) -> list[Outgoing]:
        """Return what has to be sent, in order, and forget it: text, binary, or a `Close`, which is always the last."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_deadline(self) -> float:
        """Return when `handle_timeout` is due, on the caller's clock; `math.inf` when never."""
        return min(self._deadlines.values(), default=inf)

    def seconds_left(self, *, now: float) -> float | None:
        """Return how many seconds `handle_timeout` is away, 0 if it is due, and None when never.

        This is what `asyncio.timeout`, `socket.settimeout` and `queue.get` take.
        """
        return seconds_until(self.next_deadline(), now)

    def handle_timeout(self, *, now: float) -> list[Event]:
        """Do what is due at *now*; an early call is a no-op."""
        # One duty a call, not all in a loop: a clock so far ahead that `now + 30 == now` would spin here for ever.
        if not self.next_deadline() <= now < inf:
            return []
        timer = min(self._deadlines, key=self._deadlines.__getitem__)
        edge = self._allowed(timer.deadline, f"keep the {timer.deadline.value}", timer.clause)
        events = self._due(timer)
        if timer.code is not None:
            return events + self._end(edge, Close(timer.code, timer.clause), now)
        self._enter(edge.target, now)
        return events

    # ── for subclasses: to do something differently ──────────────────────────────────────────

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        """Take one whole message."""
        events = self.handle_timeout(now=now)
        if self._state is State.CLOSED:
            return events
        try:
            message = self._decode(data)
        except MalformedMessage as error:
            # Its context and traceback would keep the whole message alive, and with it perhaps a key.
            error.__context__ = error.__traceback__ = None
            return events + self._received_malformed(error, now=now)
        edge = self._table.edge(self._state, self._peer, type(message))
        if edge is not None:
            return events + self._received(message, edge, now=now)
        if self._table.knows(self._peer, type(message)):
            return events + self._received_unexpected(message, now=now)
        return events + self._received_unknown(message, now=now)

    def _timer_seconds(self, timer: Timer) -> float | None:
        """Return how many seconds *timer* runs from entering its state; None if it does not run."""
        return timer.seconds

    def _closing(self, close: Close) -> Close:
        """Return the close to send instead of *close*, which ends the conversation from this side."""
        return close

    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        """Take a message that could not be read."""
        return [MessageRefused(error)]

    def _received_unknown(self, message: AnyMessage, *, now: float) -> list[Event]:
        """Take a message that the peer can't send in any state of this conversation."""
        return [MessageIgnored(message)]

    def _received_unexpected(self, message: AnyMessage, *, now: float) -> list[Event]:
        """Take a message that the peer may send in another state, but not in this one."""
        return self._unexpected(message, message.clause, now=now)

    # ── for subclasses: to do something in addition ──────────────────────────────────────────

    def _put(self, *items: Outgoing) -> None:
        """Send *items*, whatever the table says."""
        self._outbox += items

    def _restart_timers(self, now: float) -> None:
        """Start the timers of the present state again, as if it had been entered at *now*."""
        self._deadlines = {
            timer: now + seconds
            for timer in self._table.timers_of(self._state, self._role)
            if (seconds := self._timer_seconds(timer)) is not None
        }

    # ── what each of the four sessions decides ───────────────────────────────────────────────

    @abstractmethod
    def _received(self, message: AnyMessage, edge: Edge, *, now: float) -> list[Event]:
        """Take a message that has a row in the table, and follow the row."""

    @abstractmethod
    def _due(self, timer: Timer) -> list[Event]:
        """Send and report what falls due with *timer*; the row of its deadline is followed after that."""

    def _missing(self, answer: str, timer: Timer) -> PeerViolated:
        """Report that no *answer* came; the auth may never have been sent."""
        problem = f"no {answer} within {timer.seconds:g} s of the auth"
        if self._outbox:
            problem += ", which is still in the outbox: send what take_outbox() returns"
        return PeerViolated(AnswerMissing(problem, timer.clause))

    def _decode(self, data: str | bytes) -> AnyMessage:
        return decode(data, sender=self._peer)

    # ── how they do it ───────────────────────────────────────────────────────────────────────

    def _enter(self, state: State, now: float) -> None:
        self._state = state
        self._restart_timers(now)

    def _follow(self, edge: Edge, now: float) -> None:
        if edge.target is not edge.source:
            self._enter(edge.target, now)

    def _end(self, edge: Edge, close: Close, now: float) -> list[Event]:
        """Follow *edge*, which ends the conversation, with *close* as the last item that this side sends."""
        close = self._closing(close)
        self._put(close)
        self._enter(edge.target, now)
        return [ConversationClosed(close, self._role)]

    def _allowed(self, trigger: Trigger, deed: str, clause: str) -> Edge:
        """Return the row for *trigger* from this side in the present state.

        Raises:
            LocalProtocolError: there is none: *deed* breaks *clause*.

        """
        edge = self._table.edge(self._state, self._role, trigger)
        if edge is None or edge.tolerated:
            raise self._cannot(deed, clause)
        return edge

    def _cannot(self, deed: str, clause: str) -> LocalProtocolError:
        return LocalProtocolError(f"can't {deed} while {self._state.value}", clause)

    def _sendable(self, kind: type[Message], clause: str) -> Edge:
        # The sentence for the error is built only if there is an error: this is done for every frame of every viewer.
        edge = self._table.edge(self._state, self._role, kind)
        if edge is None or edge.tolerated:
            raise self._cannot(f"send {getattr(kind, 'type', kind.__name__)}", clause)
        if len(self._outbox) >= MAX_OUTBOX:
            problem = f"{MAX_OUTBOX} items wait: call take_outbox() after every call"
            raise LocalProtocolError(problem, _OUTBOX)
        return edge

    def _say(self, message: Message, clause: str) -> Edge:
        """Send *message* if it has a row, and return the row, which is still to be followed."""
        edge = self._sendable(type(message), clause)
        self._outbox.append(encode(message))
        return edge

    def _unexpected(self, message: Message, clause: str, *, now: float) -> list[Event]:
        problem = f"{message.type} while {self._state.value}"
        return self._violated(UnexpectedMessage(problem, clause), now=now)

    def _violated(self, error: RemoteProtocolError, *, now: float) -> list[Event]:
        return [PeerViolated(error), *self.close(error.close_code, error.clause, now=now)]
