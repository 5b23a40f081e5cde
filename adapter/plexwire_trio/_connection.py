"""One session of the core, played over one WebSocket of trio-websocket."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeAlias, TypeVar

import trio
from attrs import frozen
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection

from plexwire_protocol import (
    Close,
    CloseCode,
    ConversationClosed,
    Event,
    Outgoing,
    Session,
)
from plexwire_trio import _websocket

S = TypeVar("S", bound=Session)

#: Seconds in which a close that fell due gets past a blocked writer and is answered by the peer.
CLOSE_GRACE_S: Final = 2.0
#: Seconds in which a peer answers a ping.
PONG_TIMEOUT_S: Final = 20.0


# A connection goes through these phases, from left to right:
#
#     _Open ──> _Failing ──> _Ended ──> _Over        the peer closes, or the connection breaks
#     _Open ──> _Failing ──> _Closing ──> _Over      the session closes
#
# `_Failing` may be skipped.  The reader reads in the first two.


@frozen
class _Open:
    """Messages go both ways."""


@frozen
class _Failing:
    """A write failed or was cut, or a ping was not answered.

    The reader has until `give_up_at` (Trio's clock) to hear how the connection ended; after that, it has broken.
    """

    give_up_at: float


@frozen
class _Closing:
    """The session closed with `close`: what waits is still sent, `close` last, within the grace."""

    close: Close


@frozen
class _Ended:
    """The peer closed with `close`, or has gone: it gets nothing more."""

    close: Close


@frozen
class _Over:
    """The conversation ended with `close`, and no task sends any more."""

    close: Close


_Phase: TypeAlias = _Open | _Failing | _Closing | _Ended | _Over


class Connection(Generic[S]):
    """Plays *session* over *ws* until the conversation has ended.

    The session lives on Trio's clock: every `now` is `trio.current_time()`.  Your duties:

    - keep one task in `run`, from the handshake to the end: it reads always, else pings stay unanswered;
    - call `flush` (or `flush_soon`) after `session.send`, `grant`, `refuse` or `close`;
    - once `run` has returned, close the byte stream under *ws*, which is yours, and cancel the nursery that *ws* lives in.

    `close_grace` (seconds) bounds the end: a close that falls due waits no longer than that for a writer that is
    blocked by a peer that does not read, nor for the peer's answer.  With a `ping_interval` (seconds) the peer is
    pinged, and one that answers nothing for `pong_timeout` (seconds) has vanished.
    """

    def __init__(
        self,
        session: S,
        ws: WebSocketConnection,
        *,
        close_grace: float = CLOSE_GRACE_S,
        ping_interval: float = inf,
        pong_timeout: float = PONG_TIMEOUT_S,
    ) -> None:
        self.session: S = session
        self._ws = ws
        self._close_grace = close_grace
        self._ping_interval = ping_interval
        self._pong_timeout = pong_timeout
        self._queue: deque[Outgoing] = deque()
        self._lock = trio.StrictFIFOLock()
        self._filled = trio.Event()
        # The reader waits in `_waiting`; whoever holds the lock sends in `_sending`.
        self._waiting = trio.CancelScope()
        self._sending = trio.CancelScope()
        self._phase: _Phase = _Open()

    async def run(self, handle: Callable[[Event], None]) -> Close:
        """Read until the conversation has ended, call *handle* with each event, and return how it ended.

        *handle* must not wait; what it put into the outbox goes out without a `flush`.  The events that
        `session.close` or `session.refuse` return to their caller are not repeated here.  A peer that vanished ends
        with code 1006.  Nothing that a peer does raises.

        Raises:
            ExceptionGroup: *handle* raised.  The conversation may then be closed: close the session, and call `run`
                again to let the close out.

        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_what_waits)
            nursery.start_soon(self._ping)
            self.flush_soon()
            while isinstance(self._phase, _Open | _Failing):
                events = await self._next_events()
                self.flush_soon()  # what falls due may have something to send and nothing to tell
                for event in events:
                    if isinstance(event, ConversationClosed):
                        self._hear_end(event.close)
                    handle(event)
                    self.flush_soon()
            close = await self._finish(self._phase)
            nursery.cancel_scope.cancel()
        return close

    async def flush(self) -> None:
        """Send what waits in the session's outbox, in order, and move the reader's deadline.

        Waits while the peer does not read.  Raises nothing when the conversation ends meanwhile: `run` tells.  A
        cancelled `flush` may have cut a message in two, so it ends the conversation with 1006.
        """
        self._collect()
        await self._drain()

    def flush_soon(self) -> None:
        """Do what `flush` does, but leave the sending to the task in `run`, and don't wait."""
        self._collect()
        if self._queue:
            self._filled.set()

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def _next_events(self) -> list[Event]:
        with trio.CancelScope() as self._waiting:
            self._move_deadline()
            try:
                data = await self._ws.get_message()
            except ConnectionClosed as error:
                return self._ended(error.reason)
            return self.session.receive(data, now=trio.current_time())
        now = trio.current_time()
        match self._phase:
            case _Failing(give_up_at) if give_up_at <= now:
                return self._ended(self._ws.closed)
        return self.session.handle_timeout(now=now)

    def _ended(self, reason: CloseReason | None) -> list[Event]:
        now = trio.current_time()
        code = CloseCode.ABNORMAL if reason is None else reason.code
        text = "" if reason is None else reason.reason or ""
        if _websocket.failed_by_us(self._ws):
            events = self.session.close(code, text, now=now)
        else:
            events = self.session.receive_close(code, text, now=now)
        self._collect()
        self._hear_end(Close(code, text))
        return events

    def _hear_end(self, close: Close) -> None:
        if isinstance(self._phase, _Open | _Failing):
            self._phase = _Ended(close)

    def _move_deadline(self) -> None:
        due = self.session.next_deadline()
        match self._phase:
            case _Failing(give_up_at):
                due = min(due, give_up_at)
            case _Closing():
                due = -inf  # nothing more is read
        self._waiting.deadline = due

    def _give_up(self, *, within: float) -> None:
        """Let the reader hear of the end by itself for *within* seconds; after that, the connection has broken."""
        at = trio.current_time() + within
        match self._phase:
            case _Open():
                self._phase = _Failing(at)
            case _Failing(sooner):
                self._phase = _Failing(min(at, sooner))
        self._move_deadline()

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def _collect(self) -> None:
        for item in self.session.take_outbox():
            self._queue.append(item)
            if isinstance(item, Close):
                self._phase = _Closing(item)
        self._move_deadline()

    async def _write_what_waits(self) -> None:
        while True:
            await self._filled.wait()
            self._filled = trio.Event()
            await self._drain()

    async def _drain(self) -> None:
        async with self._lock:
            with trio.CancelScope() as self._sending:
                while self._queue and not isinstance(self._phase, _Over):
                    await self._send(self._queue.popleft())

    async def _send(self, item: Outgoing) -> None:
        try:
            if isinstance(item, Close):
                with trio.move_on_after(self._close_grace):
                    await _websocket.close(self._ws, item)
            else:
                await self._ws.send_message(item)
        except ConnectionClosed:
            # The reader is about to hear of it, unless it is itself stuck in answering the peer's close.
            self._queue.clear()
            self._give_up(within=self._close_grace)
        except trio.Cancelled:
            self._give_up(within=0)
            raise

    async def _finish(self, phase: _Closing | _Ended | _Over) -> Close:
        with trio.move_on_after(self._close_grace if isinstance(phase, _Closing) else 0) as grace:
            await self._drain()
        self._phase = _Over(phase.close)
        if grace.cancelled_caught:
            self._sending.cancel()
            await _websocket.drop(self._ws)
        return phase.close

    # ── keepalive ────────────────────────────────────────────────────────────────────────────

    async def _ping(self) -> None:
        while self._ping_interval < inf:
            await trio.sleep(self._ping_interval)
            with trio.move_on_after(self._pong_timeout) as patience:
                try:
                    await self._ws.ping()
                except ConnectionClosed:
                    await trio.sleep_forever()  # the reader tells, or time tells
            if patience.cancelled_caught:
                self._give_up(within=0)
                return
