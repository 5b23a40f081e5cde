"""One peer of a `Hub`, played over one WebSocket of trio-websocket."""

from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection

from plexwire_protocol import Abort, AnyPeer, Close, CloseCode, Event, ViewerPeer
from plexwire_trio import _websocket
from plexwire_trio.fastlane import FastStream, text_frame

#: Seconds in which a peer answers a ping.
PONG_TIMEOUT_S: Final = 20.0


class Player:
    """Plays a peer of a `Hub` over *ws* until its conversation has ended.

    Give `wake` to the hub, set `peer`, and keep one task in `run`, from the handshake to the end.  Once that has returned,
    close the byte stream under *ws*, which is yours, and cancel the nursery that *ws* lives in.

    *fast* is the stream under *ws*.  If its gateway has a fast lane, call `use_fast_lane` once `peer` is set and before
    `run`: then the hub's `finish` has to be `text_frame`.  With a *ping_interval* (seconds) the peer is pinged, and one
    that answers nothing for *pong_timeout* (seconds) has vanished.
    """

    peer: AnyPeer

    def __init__(
        self,
        ws: WebSocketConnection,
        fast: FastStream,
        *,
        ping_interval: float = inf,
        pong_timeout: float = PONG_TIMEOUT_S,
    ) -> None:
        self._ws = ws
        self._fast = fast
        self._ping_interval = ping_interval
        self._pong_timeout = pong_timeout
        self._in_lane = False
        #: Whether `wake` had more to write than frames.
        self._own_message = False
        self._bell = trio.Event()
        self._waiting = trio.CancelScope()
        self._listening = False
        #: The close that is next to be sent, once everything before it is out.
        self._close: Close | None = None
        self._error: Exception | None = None

    def use_fast_lane(self) -> None:
        """Let what the peer says go out through the fast lane, without a task of its own."""
        self._in_lane = True
        self._fast.pull = self._pull
        if isinstance(self.peer, ViewerPeer):
            self.peer.offer = self._fast.offer

    def wake(self) -> None:
        """Take note that the peer may have something to say, or that its deadline has moved; from any task."""
        if self._in_lane:
            self._own_message = False
            self._fast.kick()
            if not (self._own_message or self._fast.blocked or self.peer.ended):
                return  # a frame went out, and moves no deadline
        else:
            self._bell.set()
        self._waiting.deadline = self.peer.next_deadline()
        if self.peer.ended or (self._listening and self.peer.closed is not None):
            self._waiting.cancel()

    async def run(self, handle: Callable[[Event], None]) -> None:
        """Read and write until the conversation has ended; call *handle*, which must not wait, with each event.

        Nothing that a peer does raises.

        Raises:
            ExceptionGroup: *handle* or the peer raised.  Close the peer, and call `run` again to let the close out.

        """
        self.wake()
        async with trio.open_nursery() as nursery:
            if not self._in_lane:
                nursery.start_soon(self._write)
            if self._ping_interval < inf:
                nursery.start_soon(self._ping)
            while not self.peer.ended:
                for event in await self._next_events():
                    handle(event)
            nursery.cancel_scope.cancel()
        if self.peer.aborted:
            await _websocket.drop(self._ws)

    async def _next_events(self) -> list[Event]:
        peer = self.peer
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        with trio.CancelScope(deadline=peer.next_deadline()) as self._waiting:
            if self._close is not None:
                await self._send_close(self._close)
                return []
            if peer.closed is not None:
                await trio.sleep_forever()  # for the writer to come to the close
            self._listening = True
            try:
                data = await self._ws.get_message()
            except ConnectionClosed as error:
                return self._hear_end(error.reason)
            finally:
                self._listening = False
            return peer.receive(data, now=trio.current_time())
        return peer.handle_timeout(now=trio.current_time())

    def _hear_end(self, reason: CloseReason | None) -> list[Event]:
        now, excess = trio.current_time(), self._fast.excess
        if excess is not None:
            return self.peer.receive_close(excess.code, excess.reason, failed=True, now=now)
        code = CloseCode.ABNORMAL if reason is None else reason.code
        text = "" if reason is None else reason.reason or ""
        if _websocket.failed_by_us(self._ws):
            return self.peer.close(code, text, now=now)
        return self.peer.receive_close(code, text, now=now)

    async def _send_close(self, close: Close) -> None:
        with suppress(ConnectionClosed):  # the peer may have gone meanwhile
            await _websocket.close(self._ws, close)
        self.peer.next_outgoing(now=trio.current_time())

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        while self._close is None:
            self._bell = trio.Event()
            match self.peer.next_outgoing(now=trio.current_time()):
                case None:
                    await self._bell.wait()
                case Close() as close:
                    self._hand_close(close)
                case Abort():
                    return
                case message:
                    try:
                        await self._ws.send_message(message)
                    except ConnectionClosed:
                        # The reader is about to hear of it, unless it is itself stuck in answering the peer's close.
                        self.peer.write_failed(now=trio.current_time())
                        return

    def _pull(self) -> bytes | None:
        """Return the next frame for the lane, finished; an error of ours is the reader's to raise."""
        if self._close is not None or self._error is not None:
            return None
        try:
            item = self.peer.next_outgoing(now=trio.current_time())
        except Exception as error:
            self._error = error
            self._waiting.cancel()
            return None
        match item:
            case None | bytes():
                return item
            case str(text):
                self._own_message = True
                return text_frame(text.encode())
            case Close():
                self._own_message = True
                self._hand_close(item)
                return None
            case Abort():
                return None

    def _hand_close(self, close: Close) -> None:
        """Leave *close* to the reader, which knows the deadline."""
        self._close = close
        self._waiting.cancel()

    # ── keepalive ────────────────────────────────────────────────────────────────────────────

    async def _ping(self) -> None:
        while True:
            await trio.sleep(self._ping_interval)
            with trio.move_on_after(self._pong_timeout) as patience:
                try:
                    await self._ws.ping()
                except ConnectionClosed:
                    # The reader hears of it, unless it is itself stuck in answering the peer's close.
                    self.peer.write_failed(now=trio.current_time())
                    self._waiting.deadline = self.peer.next_deadline()
                    return
            if patience.cancelled_caught:
                self.peer.receive_close(CloseCode.ABNORMAL, now=trio.current_time())
                return
