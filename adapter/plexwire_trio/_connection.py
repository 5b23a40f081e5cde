"""One session of the core, played over one WebSocket of trio-websocket."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeVar

import trio
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


class Connection(Generic[S]):
    """Plays *session* over *ws* until the conversation is over.

    The session lives on Trio's clock: every `now` is `trio.current_time()`.  Your duties:

    - keep one task in `run`, from the handshake to the end: it reads always, else pings stay unanswered;
    - call `flush` (or `flush_soon`) after `session.send`, `grant`, `refuse` or `close`;
    - once `run` is over, close the byte stream under *ws*, which is yours, and cancel the nursery that *ws* lives in.

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
        self._give_up_at = inf
        self._close: Close | None = None
        self._close_is_ours = False
        self._over = False

    async def run(self, handle: Callable[[Event], None]) -> Close:
        """Read until the conversation is over, call *handle* with each event, and return how it ended.

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
            while self._close is None:
                events = await self._next_events()
                self.flush_soon()  # what falls due may have something to send and nothing to tell
                for event in events:
                    if isinstance(event, ConversationClosed):
                        self._close = event.close
                    handle(event)
                    self.flush_soon()
            await self._finish()
            nursery.cancel_scope.cancel()
        return self._close

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
        with trio.CancelScope(deadline=self._deadline()) as self._waiting:
            try:
                data = await self._ws.get_message()
            except ConnectionClosed as error:
                return self._ended(error.reason)
            return self.session.receive(data, now=trio.current_time())
        now = trio.current_time()
        if self._give_up_at <= now:
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
        if self._close is None:
            self._close = Close(code, text)
        return events

    def _deadline(self) -> float:
        return min(self.session.next_deadline(), self._give_up_at)

    def _give_up(self, *, within: float) -> None:
        """Let the reader find the end by itself for *within* seconds; then call it an end."""
        self._give_up_at = min(self._give_up_at, trio.current_time() + within)
        self._waiting.deadline = self._deadline()

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def _collect(self) -> None:
        for item in self.session.take_outbox():
            self._queue.append(item)
            if isinstance(item, Close):
                self._close = item
                self._close_is_ours = True
                self._waiting.cancel()
        self._waiting.deadline = self._deadline()

    async def _write_what_waits(self) -> None:
        while True:
            await self._filled.wait()
            self._filled = trio.Event()
            await self._drain()

    async def _drain(self) -> None:
        async with self._lock:
            with trio.CancelScope() as self._sending:
                while self._queue and not self._over:
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

    async def _finish(self) -> None:
        # A peer that has gone is owed nothing.
        with trio.move_on_after(self._close_grace if self._close_is_ours else 0) as grace:
            await self._drain()
        self._over = True
        if grace.cancelled_caught:
            self._sending.cancel()
            await _websocket.drop(self._ws)

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
