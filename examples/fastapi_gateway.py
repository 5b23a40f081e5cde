"""The sans-IO core in FastAPI: a whole gateway beside the routes of an application, on uvicorn or on hypercorn.

    PLEXWIRE_API_KEY=plx_… python examples/fastapi_gateway.py [uvicorn|hypercorn]

It knows the one key of its environment, prints its URL, and serves until its standard input closes.  All rules of the
protocol are in the core's `Hub`; what is written here is reading, writing and waiting.  ASGI has no way to drop a
connection: `Droppable` adds one to uvicorn, and on hypercorn a viewer that stalls keeps its socket.
"""

import asyncio
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Final

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse
from hypercorn.asyncio import serve
from hypercorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from plexwire_protocol import Abort, AddressRefused, AnyPeer, Close, CloseCode, Hub
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

#: Old video that may lie in the kernel for a viewer that stalls, in bytes.
SEND_BUFFER: Final = 262_144

#: The connection of the application's task, where the server tells of it.
TRANSPORT: Final = ContextVar[asyncio.Transport | None]("TRANSPORT", default=None)

app: Final = FastAPI()
hub: Final = Hub(unix_ms=lambda: time.time_ns() // 1_000_000)


@app.websocket("/{path:path}")  # what is an address, the hub says
async def play(ws: WebSocket) -> None:
    """Serve one viewer or device to its end."""
    target = b"?".join(filter(None, (ws.scope["raw_path"], ws.scope["query_string"]))).decode()
    try:
        hub.check_target(target)
    except AddressRefused as error:
        await ws.send_denial_response(PlainTextResponse(f"{error}\n", error.status))
        return
    await ws.accept()
    bell = asyncio.Event()
    peer = hub.connect(target, wake=bell.set, now=now())
    writing = asyncio.create_task(write(peer, ws, bell))
    try:
        while not peer.ended:
            try:
                async with asyncio.timeout(peer.seconds_left(now=now())):
                    await read(peer, ws)
            except TimeoutError:
                peer.handle_timeout(now=now())
            if peer.api_key is not None:  # a real gateway would ask a database here
                good = peer.api_key == os.environ["PLEXWIRE_API_KEY"]
                peer.judge("ours" if good else CloseCode.UNAUTHORIZED, now=now())
    finally:
        peer.receive_close(CloseCode.ABNORMAL, now=now())
        writing.cancel()
        transport = TRANSPORT.get()
        if peer.aborted and transport is not None:
            # With a reset: the kernel would keep what the peer does not read.
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            transport.abort()


async def read(peer: AnyPeer, ws: WebSocket) -> None:
    """Pass on what comes next: a message, or the end."""
    message = await ws.receive()
    if message["type"] == "websocket.disconnect":
        peer.receive_close(message.get("code") or CloseCode.ABNORMAL, now=now())
    else:
        text = message.get("text")
        peer.receive(message["bytes"] if text is None else text, now=now())


async def write(peer: AnyPeer, ws: WebSocket, bell: asyncio.Event) -> None:
    """Send what there is to send, one item at a time, as fast as the peer takes it."""
    with suppress(WebSocketDisconnect, RuntimeError):  # it has gone; or it closed before we did
        while True:
            bell.clear()
            match peer.next_outgoing(now=now()):
                case None:
                    await bell.wait()
                case Close() as close:
                    await ws.close(close.code, close.reason)
                case Abort():
                    return
                case str() as text:
                    await ws.send_text(text)
                case data:
                    await ws.send_bytes(data)


def now() -> float:
    """Seconds on the clock that asyncio waits by."""
    return asyncio.get_running_loop().time()


class Droppable(WebSocketsSansIOProtocol):
    """Leaves its transport to the task of the application, which it starts in here."""

    def data_received(self, data: bytes) -> None:
        """Take *data*; the first of it starts that task."""
        TRANSPORT.set(self.transport)
        super().data_received(data)


async def on_uvicorn(listener: socket.socket) -> None:
    """Serve on *listener* until standard input closes."""
    config = uvicorn.Config(
        app,
        ws=Droppable,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


async def on_hypercorn(listener: socket.socket) -> None:
    """Serve on *listener* until standard input closes."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.websocket_max_message_size = MAX_MESSAGE_BYTES
    config.graceful_timeout = 2
    config.loglevel = "WARNING"

    async def until_closed() -> None:
        await asyncio.to_thread(sys.stdin.read)

    await serve(app, config, shutdown_trigger=until_closed)  # type: ignore[arg-type]  # its own types of ASGI


if __name__ == "__main__":
    ours = socket.create_server(("127.0.0.1", 0))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    print(f"ws://127.0.0.1:{ours.getsockname()[1]}", flush=True)
    asyncio.run(on_hypercorn(ours) if sys.argv[1:] == ["hypercorn"] else on_uvicorn(ours))
