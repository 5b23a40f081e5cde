"""The byte stream under trio-websocket, with a lane beside it for pictures."""

import os
from collections.abc import Callable
from typing import Final

import trio
from trio.socket import SO_RCVLOWAT, SOL_SOCKET, SocketType

from plexwire_trio.fastlane._budget import Budget, Excess
from plexwire_trio.fastlane._cutter import LARGE_READ, PIECE_BYTES, Binary, Cutter
from plexwire_trio.fastlane._framing import Buffer, Unmask, close_frame
from plexwire_trio.fastlane._outlet import Outlet

#: Bytes that are worth one wake-up less.
_LOW_WATER: Final = 16_384
#: Seconds that a peer which has exceeded its budget gets to read its close frame.
_LAST_FRAME_S: Final = 1.0


class FastStream(trio.abc.Stream):
    """Give it to trio-websocket's `wrap_server_stream`; made by `FastLane.attach`.

    For a viewer set `pull`, and call `kick` when there may be a frame.  For a device set `on_binary`.  Once the peer is
    authenticated, set `budget`.  Close it in the end: that closes the stream beneath, too.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        socket: SocketType | None,
        *,
        budget: Budget,
        unmask: Unmask,
        already: bytes,
        upgraded: bool,
        detach: Callable[["FastStream"], None],
    ) -> None:
        #: Why the peer was thrown out, if it was: it has exceeded its budget.  trio-websocket calls that 1006.
        self.excess: Excess | None = None
        self.driver = trio.CancelScope()
        self._stream = stream
        self._socket = socket
        #: The socket's number when it was attached.
        self.number = None if socket is None else socket.fileno()
        self._detach = detach
        self._reading = trio.CancelScope()
        self._on_binary: Callable[[bytes], None] | None = None
        self._cutter = Cutter(budget, unmask=unmask, already=already, upgraded=upgraded)
        self._low_water = 1
        self._closed = False
        self.outlet = Outlet(self._socket, self._reader_raises)
        #: Writes a frame that `pull` would give next, at once and without waiting; returns when all of it was written, on
        #: Trio's clock, or None if some of it has to wait: then `pull` is asked after it.  From any task.
        self.offer: Final = self.outlet.offer

    # ── for the gateway ──────────────────────────────────────────────────────────────────────

    @property
    def budget(self) -> Budget:
        """What the peer may cost from now on."""
        return self._cutter.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._cutter.budget = budget

    @property
    def on_binary(self) -> Callable[[bytes], None] | None:
        """Gets the payload of each whole binary message, in the reader's task, instead of trio-websocket.

        It must not wait.  What it raises leaves `receive_some`.
        """
        return self._on_binary

    @on_binary.setter
    def on_binary(self, handle: Callable[[bytes], None] | None) -> None:
        self._on_binary = handle
        self._cutter.binary = handle is not None

    @property
    def pull(self) -> Callable[[], Buffer | None] | None:
        """Gives the next finished frame to write, or None; is asked when the socket has room, and after `kick`.

        So a frame that a newer one has replaced meanwhile is never written.  It must not wait.  What it raises leaves
        `receive_some`: it costs this connection only.
        """
        return self.outlet.pull

    @pull.setter
    def pull(self, pull: Callable[[], Buffer | None] | None) -> None:
        self.outlet.pull = pull

    @property
    def blocked(self) -> bool:
        """Whether something waits that the socket did not take: the peer does not read, or not fast enough."""
        return self.outlet.blocked

    def kick(self) -> None:
        """Write what `pull` gives, as far as the socket takes it; from any task, and it does not wait."""
        self.outlet.kick()

    # ── for trio-websocket ───────────────────────────────────────────────────────────────────

    async def send_all(self, data: Buffer) -> None:
        """Write *data*, one or more whole frames, before anything is pulled.

        Cancelled before its first byte was written, *data* is withdrawn; later it goes out all the same, so that the
        peer never gets half a frame.

        Raises:
            BrokenResourceError: the connection is lost.
            ClosedResourceError: this stream was closed before.

        """
        if self._closed:
            raise trio.ClosedResourceError
        await self.outlet.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what trio-websocket has to read; whole binary messages go to `on_binary` on the way.

        Raises:
            BrokenResourceError: the connection is lost, or the peer has exceeded its budget: see `excess`.
            ClosedResourceError: this stream was closed.

        """
        if self._closed:
            raise trio.ClosedResourceError
        if self.excess is not None:
            raise trio.BrokenResourceError(self.excess.reason)
        with trio.CancelScope() as self._reading:
            if self.outlet.error is None:
                return await self._receive(PIECE_BYTES if max_bytes is None else max_bytes)
        raise self.outlet.error or trio.ClosedResourceError

    async def aclose(self) -> None:
        """Close this stream and the one beneath."""
        self._closed = True
        self.outlet.break_off()
        self.driver.cancel()
        self._reading.cancel()
        self._detach(self)
        await self._stream.aclose()

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def _receive(self, most: int) -> bytes:
        owed = True  # a turn for all others, since the last picture
        while True:
            piece = self._cutter.take(trio.current_time(), most)
            if isinstance(piece, Binary):
                if owed:
                    await trio.lowlevel.checkpoint()
                owed = True
                if self._on_binary is not None:
                    self._on_binary(piece.payload)
            elif piece is None:
                size, waited = await self._fill()
                owed = owed and not waited
                if not size:
                    return b""
            else:
                if owed:
                    await trio.lowlevel.checkpoint()
                if not isinstance(piece, Excess):
                    return piece.data
                self.excess = piece
                if not self.outlet.closing:
                    with trio.move_on_after(_LAST_FRAME_S):
                        await self.outlet.send_all(close_frame(piece.code, piece.reason))
                raise trio.BrokenResourceError(piece.reason)

    async def _fill(self) -> tuple[int, bool]:
        """Read once; return how much, and whether others had a turn meanwhile."""
        if self._socket is None:
            self._cutter.rest()
            data = await self._stream.receive_some(self._cutter.read_bytes)
            self._cutter.room(len(data))[: len(data)] = data
            self._cutter.filled(len(data))
            return len(data), True
        waited = False
        while True:
            try:
                size = os.readv(self._socket.fileno(), (self._cutter.room(),))
            except BlockingIOError:
                self._want(min(self._cutter.missing, LARGE_READ))
                self._cutter.rest()
                await trio.lowlevel.wait_readable(self._socket)
                waited = True
            except OSError as error:
                raise trio.BrokenResourceError("the connection is lost") from error
            else:
                self._cutter.filled(size)
                return size, waited

    def _want(self, size: int) -> None:
        """Be woken only when *size* bytes are there, if that is worth it."""
        low_water = size if size >= _LOW_WATER else 1
        if low_water != self._low_water and self._socket is not None:
            self._low_water = low_water
            self._socket.setsockopt(SOL_SOCKET, SO_RCVLOWAT, low_water)

    def _reader_raises(self) -> None:
        self._reading.cancel()
