"""What trio-websocket 0.12 leaves to its user, in one place: the only module that looks behind its public face.

- A ping that crosses our close on the wire asks for a pong that may not be sent any more: the library's reader dies of
  it.  Connections that are made here let it pass.
- Where a peer breaks RFC 6455 itself (text that is not UTF-8, an unknown opcode, a close code that does not exist), the
  library hands out the right code but sends no close frame, and nothing public tells such an end from a peer's close.
- A client never closes its TCP connection when the server closes first, a server closes it where it still has something
  to say: whoever opens the byte stream owns it, and closes it.
"""

from collections.abc import Sequence
from typing import Final

import trio
from trio_websocket import WebSocketConnection, WebSocketRequest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Event, Pong, Request
from wsproto.frame_protocol import CloseReason

from plexwire_protocol import Close
from plexwire_protocol.limits import MAX_MESSAGE_BYTES
from plexwire_trio._lent import LentStream

#: The library reads 4 KiB at a time unless told otherwise: 256 reads for one large frame.
RECEIVE_BYTES: Final = 65_536


class _LenientWSConnection(WSConnection):
    """Lets a pong that comes after our close go nowhere, and keeps a lost connection from passing for a closed one."""

    def send(self, event: Event) -> bytes:
        match event:
            case Pong() if self.state is not ConnectionState.OPEN:
                return b""
            case CloseConnection(code=CloseReason.ABNORMAL_CLOSURE):
                return b""
            case _:
                return super().send(event)


async def wrap_client_stream(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    host: str,
    resource: str,
    *,
    extra_headers: Sequence[tuple[bytes, bytes]] = (),
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> WebSocketConnection:
    """Do what trio-websocket's function of this name does, without its traps; *stream* stays yours to close.

    *max_message_bytes* counts bytes of binary messages and characters of text.

    Waits for ever when the peer hangs up before its answer: put it under a deadline.

    Raises:
        ConnectionRejected: out of *nursery*: the peer did not answer with 101.

    """
    ws = WebSocketConnection(
        LentStream(stream),
        _LenientWSConnection(ConnectionType.CLIENT),
        host=host,
        path=resource,
        client_extra_headers=list(extra_headers),
        max_message_size=max_message_bytes,
        receive_buffer_size=RECEIVE_BYTES,
    )
    nursery.start_soon(ws._reader_task)
    await ws._open_handshake.wait()
    return ws


async def wrap_server_stream(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    *,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> WebSocketRequest:
    """Do what trio-websocket's function of this name does, without its traps; *stream* stays yours to close.

    *max_message_bytes* counts bytes of binary messages and characters of text.

    Waits for ever when the peer sends no whole request: put it under a deadline.
    """
    ws = WebSocketConnection(
        LentStream(stream),
        _LenientWSConnection(ConnectionType.SERVER),
        max_message_size=max_message_bytes,
        receive_buffer_size=RECEIVE_BYTES,
    )
    nursery.start_soon(ws._reader_task)
    return await ws._get_request()


async def accept_upgrade(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    target: str,
    key: str,
    *,
    received: bytes = b"",
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> WebSocketConnection:
    """Answer a handshake that was read already, and return its WebSocket; *stream* stays yours to close.

    *target* and *key* (`Sec-WebSocket-Key`) are the request's; no extension and no subprotocol is accepted.  *received*
    is what came after the request: an `auth` in the same segment counts.  The library's own reader loses what comes
    between a request and the answer to it, so here it starts after the answer.

    *max_message_bytes* counts bytes of binary messages and characters of text.

    Raises:
        ConnectionClosed: the peer has gone meanwhile.

    """
    handshake = _LenientWSConnection(ConnectionType.SERVER)
    handshake.initiate_upgrade_connection(
        [
            (b"Host", b"plexwire"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", key.encode("ascii")),
            (b"Sec-WebSocket-Version", b"13"),
        ],
        target,
    )
    ws = WebSocketConnection(
        LentStream(stream),
        handshake,
        max_message_size=max_message_bytes,
        receive_buffer_size=RECEIVE_BYTES,
    )
    for event in handshake.events():
        if isinstance(event, Request):
            await WebSocketRequest(ws, event).accept()
    if received:
        handshake.receive_data(received)
    nursery.start_soon(ws._reader_task)
    return ws


def failed_by_us(ws: WebSocketConnection) -> bool:
    """Whether *ws*, which has ended, was ended from this side because of what the peer sent."""
    if ws.closed is None or ws.closed.code == CloseReason.ABNORMAL_CLOSURE:
        return False
    return ws._wsproto.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)


async def close(ws: WebSocketConnection, last_word: Close) -> None:
    """Send a close frame, unless one was sent, and wait for the peer's.

    Raises:
        ConnectionClosed: the peer has gone meanwhile.

    """
    if ws.closed is None:
        await ws.aclose(last_word.code, last_word.reason)
    elif ws._wsproto.state is ConnectionState.OPEN:
        await ws._send(CloseConnection(code=last_word.code, reason=last_word.reason))
    else:
        await trio.lowlevel.checkpoint()


async def drop(ws: WebSocketConnection) -> None:
    """End *ws* without another word."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await ws.aclose()
