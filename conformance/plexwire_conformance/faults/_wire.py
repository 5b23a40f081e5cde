"""The bytes between the gateway and one peer, for faults that no library would let happen higher up."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import trio
from attrs import frozen

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_END_OF_HEAD: Final = b"\r\n\r\n"


@frozen
class ClientFrame:
    """One frame of a peer, its payload unmasked."""

    opcode: int
    fin: bool
    payload: bytes

    def encode(self) -> bytes:
        """Return its bytes; a mask of zeros leaves the payload as it is."""
        return encode_frame(self.opcode, self.payload, fin=self.fin, mask=bytes(4))


def encode_frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = b"") -> bytes:
    """Return the bytes of a frame; a gateway's have no *mask*."""
    size = len(payload)
    first = (0x80 if fin else 0) | opcode
    masked = 0x80 if mask else 0
    if size < 126:
        head = bytes((first, masked | size))
    elif size < 1 << 16:
        head = bytes((first, masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, masked | 127)) + size.to_bytes(8, "big")
    return head + mask + payload


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a whole *frame* of the gateway."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class Wire(trio.abc.HalfCloseableStream):
    """A stream that a faulty gateway serves instead of *stream*; what a subclass does otherwise has a method.

    The gateway writes its answer to the handshake in one piece, and then frame after frame.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._answered = False

    def answer(self, head: bytes) -> bytes:
        """Return what goes out instead of the answer to the handshake."""
        return head

    def says(self, opcode: int, frame: bytes) -> bytes:
        """Return what goes out instead of one *frame* of the gateway.

        Raises:
            trio.BrokenResourceError: the connection is dropped instead.

        """
        return frame

    def hears(self, data: bytes) -> bytes:
        """Return what the gateway gets instead of *data*; where nothing is left, it waits for more."""
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*, or something else."""
        frame = bytes(data)
        try:
            if not self._answered:
                self._answered = True
                frame = self.answer(frame)
            elif frame:
                frame = self.says(frame[0] & 0x0F, frame)
        except trio.BrokenResourceError:
            await self._stream.aclose()
            raise
        await self._stream.send_all(frame)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive what comes, or something else."""
        while data := await self._stream.receive_some(max_bytes):
            if heard := self.hears(bytes(data)):
                return heard
        return b""

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Say that nothing more comes from here."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with suppress(trio.ClosedResourceError):
                await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


class FrameWire(Wire):
    """A wire that understands what the peer says, frame by frame."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self._unread = bytearray()
        self._upgraded = False

    def hears_frame(self, frame: ClientFrame) -> bytes:
        """Return what the gateway gets instead of *frame*."""
        return frame.encode()

    def hears(self, data: bytes) -> bytes:
        """Take the head of the handshake as it is, and the frames behind it one by one."""
        self._unread += data
        head = b""
        if not self._upgraded:
            before, end, behind = bytes(self._unread).partition(_END_OF_HEAD)
            if not end:
                return b""
            head, self._unread, self._upgraded = before + end, bytearray(behind), True
        return head + b"".join(map(self.hears_frame, self._frames()))

    def _frames(self) -> Iterator[ClientFrame]:
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> ClientFrame | None:
        data = self._unread
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        masked = bool(data[1] & 0x80)
        start = at + 4 * masked
        if len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        if masked:
            mask = (bytes(data[at:start]) * (size // 4 + 1))[:size]
            xor = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
            payload = xor.to_bytes(size, "big")
        frame = ClientFrame(data[0] & 0x0F, bool(data[0] & 0x80), payload)
        del data[: start + size]
        return frame
