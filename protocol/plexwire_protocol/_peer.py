"""One viewer or one device of a `Hub`: what it sent goes in, what its one writer has to send comes out.

A peer's writer asks `next_outgoing` for one item at a time and asks again only when that item has been written.  So the
peer knows when its writer is blocked, and every frame is chosen at the moment at which it can be written.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, final

from plexwire_protocol._closing import Abort, Close, CloseCode
from plexwire_protocol._codec import Buffer, as_bytes
from plexwire_protocol._errors import LocalProtocolError, Refusal
from plexwire_protocol._events import (
    AuthReceived,
    ConversationClosed,
    Event,
    MessageReceived,
    MessageRefused,
)
from plexwire_protocol._gateway import GatewayDeviceSession, GatewayViewerSession
from plexwire_protocol._messages import OnlineSource, Role, VideoFrame
from plexwire_protocol._session import Outgoing, seconds_until
from plexwire_protocol._states import State

if TYPE_CHECKING:
    from plexwire_protocol._hub import Hub

S = TypeVar("S", bound=GatewayViewerSession | GatewayDeviceSession)
T = TypeVar("T")


class Peer(ABC, Generic[S]):
    """The gateway's end of one conversation; made by `Hub.connect`.

    Your duties, for as long as `ended` is false:

    - tell it what comes: `receive` a message, `receive_close`, and `handle_timeout` when `next_deadline` has passed;
    - when `api_key` is not None, check that key and `judge` it;
    - let one writer send what `next_outgoing` returns, and ask again when that has been written, until it returns None;
      then wait for `wake`.

    Then close the connection; after an `Abort`, or if `aborted`, without waiting for anything.

    `frames` and `frame_bytes` count the frames that a device sent, or that a viewer was sent, and `dropped` those that
    got lost.  `organisation` and `key_name` are empty before `judge`.  `closed` is how the conversation ended, and
    `closed_by` which side ended it.

    For subclasses
    --------------

    The names that the classes list below "what a subclass may do differently" are as stable as the public ones.  The hub
    calls them with its lock held; `session` and `hub.relay` may be used there.
    """

    role: ClassVar[Role]

    def __init__(self, hub: "Hub", session: S, wake: Callable[[], None]) -> None:
        self.hub = hub
        self.session: S = session
        self.wake = wake
        self.organisation = ""
        self.key_name = ""
        self.closed: Close | None = None
        self.closed_by: Role | None = None
        self.frames = 0
        self.frame_bytes = 0
        self._own: deque[Outgoing] = deque()
        self._api_key: str | None = None
        self._admitted = False
        #: Until when the close has to be out, and answered.
        self._close_due = inf
        #: Whether the writer has nothing to write and waits to be woken.
        self._rests = False
        self._ended = False
        self._aborted = False
        with hub.lock:
            self._collect(session.take_outbox(), now=0.0)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session.state.value}>"

    # ── what it is asked ─────────────────────────────────────────────────────────────────────

    @property
    def api_key(self) -> str | None:
        """The key that waits to be judged; keep it out of logs."""
        return self._api_key

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do but to close the connection."""
        return self._ended

    @property
    def aborted(self) -> bool:
        """Whether the connection is to be dropped without a close frame: its writer has been blocked for too long."""
        return self._aborted

    @final
    def next_deadline(self) -> float:
        """Return when `handle_timeout` is due, on the caller's clock; `math.inf` when never."""
        return min(self.session.next_deadline(), self._close_due)

    @final
    def seconds_left(self, *, now: float) -> float | None:
        """Return how many seconds `handle_timeout` is away, 0 if it is due, and None when never."""
        return seconds_until(self.next_deadline(), now)

    # ── what it is told ──────────────────────────────────────────────────────────────────────

    @final
    def receive(self, data: str | Buffer, *, now: float) -> list[Event]:
        """Take one whole WebSocket message, `str` for text and bytes-like for binary; return what a log might want.

        Frames of devices are handed to the viewers and not returned.

        Raises:
            LocalProtocolError: *data* is neither text nor bytes.

        """
        hub = self.hub
        if not isinstance(data, str):
            data = as_bytes(data)
        with hub.lock:
            events = self._receive(data, now)
            woken = hub.take_woken()
        for peer in woken:
            peer.wake()
        return events

    @final
    def receive_close(
        self, code: int, reason: str = "", *, failed: bool = False, now: float
    ) -> list[Event]:
        """Take the end of the connection: the peer's close, or its disappearance as code 1006.

        Nothing more can be sent.  With *failed* the WebSocket library ended the connection, with this code, because of
        what the peer sent.  A second call is a no-op.
        """

        def end() -> list[Event]:
            by = self.session.close if failed else self.session.receive_close
            events = self._follow_up(by(code, reason, now=now), now)
            self._end()
            return events

        return self._locked(end)

    @final
    def write_failed(self, *, now: float) -> None:
        """Take note that an item could not be written: the connection has ended, and the reader is about to see how.

        If the reader sees nothing for as long as a close may take, the peer counts as lost.
        """

        def fail() -> None:
            self._own.clear()
            self._close_due = min(self._close_due, now + self.hub.limits.close_grace_s)
            self.hub.wake_later(self)

        self._locked(fail)

    @final
    def handle_timeout(self, *, now: float) -> list[Event]:
        """Do what is due at *now*; an early call is a no-op."""

        def handle() -> list[Event]:
            events = self._follow_up(self.session.handle_timeout(now=now), now)
            if self._close_due <= now < inf and not self._ended:
                events += self._follow_up(
                    self.session.receive_close(CloseCode.ABNORMAL, now=now), now
                )
                self._aborted = True
                self._end()
            return events

        return self._locked(handle)

    @final
    def close(self, code: int = CloseCode.NORMAL, reason: str = "", *, now: float) -> list[Event]:
        """End the conversation from this side; once closed, a no-op."""
        return self._locked(lambda: self._follow_up(self.session.close(code, reason, now=now), now))

    @final
    def judge(
        self,
        decision: str | CloseCode,
        *,
        key: str = "",
        online: Iterable[OnlineSource] | None = None,
        now: float,
    ) -> list[Event]:
        """Accept the peer into the organisation *decision*, or refuse it with the close code *decision*.

        *key* is the key's name, unique in its organisation: the limits of the hub are counted by it.  *online* is what a
        viewer's `init` lists if not this hub knows it.  Does nothing if the peer has left meanwhile.

        Raises:
            LocalProtocolError: no key is waiting to be judged, or *decision* is neither.

        """
        if not isinstance(decision, str | CloseCode):
            raise LocalProtocolError(
                f"a decision is an organisation or a CloseCode, not {decision!r}", "PW-AUTH-7"
            )

        def settle() -> list[Event]:
            code = CloseCode.TRY_AGAIN_LATER
            self._api_key = None
            if isinstance(decision, CloseCode):
                code = decision
            elif self.session.state is not State.CHECKING_KEY:
                if self.session.state is not State.CLOSED:
                    raise LocalProtocolError("no key is waiting to be judged", "PW-AUTH-7")
                return []
            elif self.hub.has_room_for(decision, key):
                self.organisation, self.key_name = decision, key
                self._admit(online, now)
                self._admitted = True
                self.hub.opened(self)
                return self._follow_up([], now)
            return self._follow_up(self.session.refuse(code, now=now), now)

        return self._locked(settle)

    # ── what it has to send ──────────────────────────────────────────────────────────────────

    @final
    def next_outgoing(self, *, now: float) -> str | bytes | Close | Abort | None:
        """Return what to send next; the item before it has been written.

        Its own messages come first, then the newest frame of the camera that waited longest.  A `Close` overtakes
        frames: send it, wait for the peer's answer, and ask again.  None: nothing; wait for `wake`.
        """
        hub = self.hub
        with hub.lock:
            if self._aborted:
                return Abort()
            self._note_written(now)
            item: str | bytes | Close | None = None
            if self._admitted and not self._own:
                item = self._next_frame(now)
            if item is None and self._own:
                item = self._own.popleft()
            self._rests = item is None
            if self._rests and self.session.state is State.CLOSED:
                self._end()
            woken = hub.take_woken() if hub.to_wake else ()
        for peer in woken:
            peer.wake()
        return item

    # ── what a subclass may do differently ───────────────────────────────────────────────────

    @abstractmethod
    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        """Accept the peer, in one step: nothing of the relay may happen between the answer and the joining."""

    @abstractmethod
    def _leave(self) -> None:
        """Undo `_admit`."""

    def _handle(self, event: Event, now: float) -> list[Event]:
        """Take one event of the session and return the events that follow from it."""
        match event:
            case AuthReceived():
                self._api_key = event.api_key
            case ConversationClosed():
                self._api_key = None
                self.closed, self.closed_by = event.close, event.by
            case MessageRefused(error) if error.refusal is Refusal.TOO_LARGE:
                return self.session.close(CloseCode.TOO_BIG, error.clause, now=now)  # [PW-LIM-4]
            case _:
                pass
        return []

    def _next_frame(self, now: float) -> str | bytes | None:
        """Return the next frame to send, or None; what else is to be said goes to `say`."""
        return None

    def _note_written(self, now: float) -> None:
        """Take note that what `_next_frame` returned has been written."""

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        """Take one message."""
        return self._follow_up(self.session.receive(data, now=now), now)

    @final
    def say(self, *items: Outgoing, now: float) -> None:
        """Send *items* before all frames, whatever the tables say."""

        def add() -> None:
            self._collect(list(items), now)

        self._locked(add)

    # ── how it does it ───────────────────────────────────────────────────────────────────────

    def _locked(self, do: Callable[[], T]) -> T:
        hub = self.hub
        with hub.lock:
            result = do()
            woken = hub.take_woken()
        for peer in woken:
            peer.wake()
        return result

    def _follow_up(self, events: list[Event], now: float) -> list[Event]:
        """Take *events* and what follows from them, and return all that a log might want."""
        told: list[Event] = []
        waiting = deque(events)
        while waiting:
            event = waiting.popleft()
            if not (isinstance(event, MessageReceived) and isinstance(event.message, VideoFrame)):
                told.append(event)
            waiting.extendleft(reversed(self._handle(event, now)))
        self._collect(self.session.take_outbox(), now)
        if self._admitted and self.session.state is State.CLOSED:
            self._admitted = False
            self.hub.closed(self)
            self._leave()
        return told

    def _collect(self, outbox: list[Outgoing], now: float) -> None:
        if outbox:
            self._own.extend(outbox)
            if isinstance(outbox[-1], Close):
                self._close_due = min(self._close_due, now + self.hub.limits.close_grace_s)
            self.hub.wake_later(self)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._own.clear()
            self._close_due = inf
            self.hub.wake_later(self)
