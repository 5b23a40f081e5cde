"""The end of a byte stream whose last word is to be read."""

import trio

_READ_BYTES = 65_536


async def linger(stream: trio.abc.Stream, *, within: float) -> None:
    """Let the peer read our last word, for *within* seconds at most; closing *stream* stays with you.

    Closed over unread bytes a TCP connection is reset, and the reset takes back what is still on its way.

    Raises:
        trio.BrokenResourceError: the connection is lost.

    """
    with trio.move_on_after(within):
        if isinstance(stream, trio.abc.HalfCloseableStream):
            await stream.send_eof()
        while await stream.receive_some(_READ_BYTES):
            pass
