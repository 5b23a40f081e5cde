"""The byte stream that the WebSocket library gets: its request again, and then what came behind it."""

import trio


class ReplayStream(trio.abc.Stream):
    """*stream* as if *head* had just arrived on it, and *rest* right after our answer.

    The library loses what reaches it between a request and the answer to it; here nothing does, so that an `auth` in the
    same segment as the handshake counts.

    A writer of finished frames, built once for all viewers, has its place here: beneath the library, with a lock that it
    shares with `send_all`.
    """

    def __init__(self, stream: trio.abc.Stream, head: bytes, rest: bytes) -> None:
        self._stream = stream
        self._head = head
        self._rest = rest
        self._answered = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*; the first time it is the answer to the request."""
        await self._stream.send_all(data)
        self._answered.set()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive the head, then the rest, then what comes."""
        if self._head:
            await trio.lowlevel.checkpoint()
            data, self._head = self._head[:max_bytes], self._head[max_bytes or len(self._head) :]
            return data
        if not self._answered.is_set():
            await self._answered.wait()
        if self._rest:
            await trio.lowlevel.checkpoint()
            data, self._rest = self._rest[:max_bytes], self._rest[max_bytes or len(self._rest) :]
            return data
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
