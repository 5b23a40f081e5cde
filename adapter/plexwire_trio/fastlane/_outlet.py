"""What one connection writes: our finished frames and the WebSocket library's own, in order, none cut in two."""

import os
from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, field
from trio.socket import SocketType

from plexwire_trio.fastlane._framing import CLOSE, FINAL, Buffer

_CLOSE_FRAME: Final = FINAL | CLOSE
#: Bytes that may lie unsent in the kernel before a frame is begun: what Trio asks for.
_UNSENT: Final = 16_384
#: Bytes of a begun frame that are better left to the kernel than written in pieces.  Smaller ones are not: a peer's kernel
#: that gets more at a time keeps more, and a slow viewer of 100 kB pictures would see some of them 0.4 s old instead of 0.27.
_LARGE: Final = 262_144


@define(eq=False)
class _Item:
    """Something that `send_all` was given."""

    data: Buffer
    begun: bool = False
    done: trio.Event = field(factory=trio.Event)


class Outlet:
    """One writer for all that goes to one peer.

    The order is: the rest of what has begun, then what the library sends, then what `pull` gives.  After a close frame
    nothing is pulled any more.  With *socket* all writes are tried without waiting, and `resume` is called when there is
    room again; without it `drive` writes.
    """

    def __init__(self, socket: SocketType | None, on_error: Callable[[], None]) -> None:
        #: Gives the next finished frame, or None.  Must not wait; an error in it costs this connection.
        self.pull: Callable[[], Buffer | None] | None = None
        self.error: Exception | None = None
        #: Whether the peer does not read: something waits that the socket did not take.
        self.blocked = False
        self.broken = False
        #: Whether a close frame was given to `send_all`.
        self.closing = False
        # Asked for its number at each write: a closed socket must not be taken for the next one with its number.
        self._socket = socket
        self._on_error = on_error
        self._items: deque[_Item] = deque()
        self._item: _Item | None = None
        self._offered: Buffer | None = None
        self._rest: Buffer | None = None
        self._writing = False
        self._wake = trio.Event()

    def kick(self) -> None:
        """Write what there is, without waiting; what the socket does not take is written later."""
        if not self.blocked and not self.write_now():
            self.blocked = True
            self._wake.set()

    def offer(self, frame: Buffer) -> float | None:
        """Write *frame* as if `pull` had given it; return when that was done, None if some of it has to wait."""
        if self.closing or self.broken:
            return None
        if self.blocked or self._writing or self._socket is None:
            self._offered = frame
            self.kick()
            return None
        self.blocked = not self._write_data(self._socket, frame)
        return None if self.blocked or self.broken else trio.current_time()

    def resume(self) -> None:
        """Go on: the socket takes more."""
        if self.blocked and self.write_now():
            self.blocked = False

    async def send_all(self, data: Buffer) -> None:
        """Write *data* before anything is pulled, and wait until the kernel has all of it.

        Cancelled before its first byte was written, *data* is withdrawn; later it goes out all the same, so that the
        peer never sees half a frame.

        Raises:
            BrokenResourceError: the connection is lost.

        """
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise trio.BrokenResourceError("the connection is lost")
        if not data:
            return
        if data[0] == _CLOSE_FRAME:
            self.closing = True
        item = _Item(data if isinstance(data, bytes) else bytes(data))
        self._items.append(item)
        self.kick()
        try:
            await item.done.wait()
        finally:
            if not item.begun and not item.done.is_set():
                self._items.remove(item)
        if self.broken:
            raise trio.BrokenResourceError("the connection is lost")

    def break_off(self) -> None:
        """Write nothing any more."""
        self.broken = True
        self.pull = None
        self._offered = self._rest = None
        if self._item is not None:
            self._item.done.set()
            self._item = None
        while self._items:
            self._items.popleft().done.set()

    def _next(self) -> Buffer | None:
        if self.broken:
            return None
        if self._items:
            self._item = self._items.popleft()
            self._item.begun = True
            return self._item.data
        if self.closing or self.pull is None:
            return None
        if self._offered is not None:
            frame, self._offered = self._offered, None
            return frame
        try:
            return self.pull()
        except Exception as error:
            self.error = error
            self.break_off()
            self._on_error()
            return None

    def _finished(self) -> None:
        self._rest = None
        if self._item is not None:
            self._item.done.set()
            self._item = None

    def write_now(self) -> bool:
        """Write until nothing is left (True) or the socket takes no more (False)."""
        if self._socket is None:
            return False
        if self._writing:
            return True  # `pull` has led back here; what it gives is written next
        self._writing = True
        try:
            return self._write(self._socket)
        finally:
            self._writing = False

    def _write(self, socket: SocketType) -> bool:
        while True:
            data = self._next() if self._rest is None else self._rest
            if data is None:
                return True
            if not self._write_data(socket, data):
                return False
            self._finished()

    def _write_data(self, socket: SocketType, data: Buffer) -> bool:
        """Write *data*; return whether the socket took all of it, or is broken.  Else what it did not take is the rest."""
        self._rest = data
        try:
            size = os.write(socket.fileno(), data)
            if size == len(data):
                self._rest = None
                return True
            self._rest = data = memoryview(data)[size:]
            if len(data) < _LARGE:
                return False
            # What has begun is not replaced any more: let the kernel have it.  It refuses about as much as it had unsent
            # before, and so tells us when the next frame may begin.
            _allow_unsent(socket, _UNSENT + len(data))
            try:
                size = os.write(socket.fileno(), data)
            finally:
                _allow_unsent(socket, _UNSENT)
        except BlockingIOError:
            return False
        except OSError:
            self.break_off()  # the reader finds out why
            return True
        self._rest = data[size:] if size < len(data) else None
        return self._rest is None

    async def drive(self, stream: trio.abc.Stream) -> None:
        """Write to *stream*, which can't be written without waiting, whenever `kick` says so."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while (data := self._next()) is not None:
                try:
                    await stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.break_off()
                else:
                    self._finished()
            self.blocked = False


def _allow_unsent(socket: SocketType, size: int) -> None:
    socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, size)
