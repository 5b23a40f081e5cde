"""Where byte streams come from: TCP, TLS, or memory with a bounded buffer."""

import ssl
from collections.abc import Awaitable, Callable
from operator import index
from typing import TypeAlias

import trio
from attrs import define, field

from plexwire_trio import GatewayUrl

#: Opens a byte stream to the gateway; `narrow` asks for small receive buffers, for viewers that stall.
Dial: TypeAlias = Callable[[bool], Awaitable[trio.abc.Stream]]

#: Bytes of the receive buffer of a viewer that is going to stall: little, and several segments of a loopback all the
#: same, as a sender waits for seconds with a segment that does not fit.
NARROW_BUFFER = 262_144


async def dial_tcp(
    host: str, port: int, *, ssl_context: ssl.SSLContext | None, narrow: bool
) -> trio.abc.Stream:
    """Open a TCP connection, or TLS with *ssl_context*.

    Raises:
        OSError: nothing listens there, or the name is unknown.
        trio.BrokenResourceError: TLS failed; the cause says why.
    """
    tcp = await _open_narrow(host, port) if narrow else await trio.open_tcp_stream(host, port)
    tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    if ssl_context is None:
        return tcp
    # A zone of IPv6 means something only on this machine; no certificate has it.
    name = host.partition("%")[0]
    stream = trio.SSLStream(tcp, ssl_context, server_hostname=name, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def _open_narrow(host: str, port: int) -> trio.SocketStream:
    # The buffer must be small before the connection is made, or the window is negotiated without it.
    family, kind, protocol, _, address = (
        await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    )[0]
    sock = trio.socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, NARROW_BUFFER)
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def url_of(listener: trio.SocketListener) -> str:
    """Return the ws:// URL of what listens there."""
    host, port, *_ = listener.socket.getsockname()
    return str(GatewayUrl(host=host, port=port, secure=False))


@define
class _Turn:
    """Lets in one task at a time, as the stream of a socket does."""

    _taken: bool = field(default=False, init=False)

    def __enter__(self) -> None:
        if self._taken:
            raise trio.BusyResourceError("another task is using this end of the connection")
        self._taken = True

    def __exit__(self, *_: object) -> None:
        self._taken = False


@define(eq=False)
class _Pipe:
    """One direction: at most `capacity` bytes wait, then the sender does."""

    capacity: int
    data: bytearray = field(factory=bytearray, init=False)
    sender_closed: bool = field(default=False, init=False)
    receiver_closed: bool = field(default=False, init=False)
    _changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _sending: _Turn = field(factory=_Turn, init=False)
    _receiving: _Turn = field(factory=_Turn, init=False)

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sender()
            while rest:
                await self._wait_for_room()
                room = self.capacity - len(self.data)
                self.data += rest[:room]
                rest = rest[room:]
                self.wake()

    async def wait_sendable(self) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint()
            await self._wait_for_room()

    async def finish(self) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint()
            self.sender_closed = True
            self.wake()

    async def _wait_for_room(self) -> None:
        self._check_sender()
        while len(self.data) >= self.capacity:
            await self._changed.park()
            self._check_sender()

    def _check_sender(self) -> None:
        if self.sender_closed:
            raise trio.ClosedResourceError
        if self.receiver_closed:
            raise trio.BrokenResourceError

    async def receive(self, max_bytes: int | None) -> bytes:
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while True:
                if self.receiver_closed:
                    raise trio.ClosedResourceError
                if self.data:
                    chunk = bytes(self.data[:max_bytes])
                    del self.data[:max_bytes]
                    self.wake()
                    return chunk
                if self.sender_closed:
                    return b""
                await self._changed.park()

    def wake(self) -> None:
        self._changed.unpark_all()


@define(eq=False)
class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory; it pushes back as TCP does."""

    _incoming: _Pipe
    _outgoing: _Pipe

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of *data*, waiting for room."""
        await self._outgoing.send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for a byte."""
        await self._outgoing.wait_sendable()

    async def send_eof(self) -> None:
        """Say that nothing more comes from here."""
        await self._outgoing.finish()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what is there, at most *max_bytes*; empty at the end."""
        return await self._incoming.receive(max_bytes)

    async def aclose(self) -> None:
        """Close both directions."""
        self._outgoing.sender_closed = True
        self._incoming.receiver_closed = True
        self._outgoing.wake()
        self._incoming.wake()
        await trio.lowlevel.checkpoint()


def memory_connection(capacity: int = 262_144) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a connection in memory that holds *capacity* bytes each way."""
    there, back = _Pipe(capacity), _Pipe(capacity)
    return MemoryStream(back, there), MemoryStream(there, back)
