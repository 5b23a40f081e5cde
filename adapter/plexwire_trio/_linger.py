"""The end of a byte stream whose last word is to be read."""

import struct
from typing import Final

import trio
from trio.socket import SO_LINGER, SOL_SOCKET

_READ_BYTES = 65_536

#: On, for 0 seconds.
_NOT_AT_ALL: Final = struct.pack("ii", 1, 0)


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


def reset_on_close(stream: trio.abc.Stream) -> None:
    """Have *stream* reset when it is closed, so that the kernel keeps nothing of what its peer does not read.

    Closed as usual, a TCP connection to a peer that stalls holds its send buffer for a minute or more.
    """
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if isinstance(stream, trio.SocketStream):
        stream.setsockopt(SOL_SOCKET, SO_LINGER, _NOT_AT_ALL)
