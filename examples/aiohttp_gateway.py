"""The sans-IO core in aiohttp: a whole gateway beside the pages of a web application.

    PLEXWIRE_API_KEY=plx_… python examples/aiohttp_gateway.py

It knows the one key of its environment, prints its URL, and serves until its standard input closes.  All rules of the
protocol are in the core's `Hub`; what is written here is reading, writing and waiting.
"""

import asyncio
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Final

from aiohttp import ClientConnectionResetError, WSMsgType, web

from plexwire_protocol import Abort, AddressRefused, AnyPeer, Close, CloseCode, Hub
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

#: Old video that may lie in the kernel for a viewer that stalls, in bytes.
SEND_BUFFER: Final = 262_144

#: Bytes beyond which a send waits for the viewer instead of keeping them.
WRITER_LIMIT: Final = 65_536

HUB: Final = web.AppKey("HUB", Hub)
API_KEY: Final = web.AppKey("API_KEY", str)


async def play(request: web.Request) -> web.StreamResponse:
    """Serve one viewer or device to its end."""
    hub = request.app[HUB]
    try:
        hub.check_target(request.raw_path)
    except AddressRefused as error:
        return web.Response(status=error.status, text=f"{error}\n")
    ws = web.WebSocketResponse(
        max_msg_size=MAX_MESSAGE_BYTES, compress=False, writer_limit=WRITER_LIMIT
    )
    await ws.prepare(request)
    bell = asyncio.Event()
    peer = hub.connect(request.raw_path, wake=bell.set, now=now())
    writing = asyncio.create_task(write(peer, ws, bell))
    try:
        while not peer.ended:
            try:
                async with asyncio.timeout(peer.seconds_left(now=now())):
                    await read(peer, ws)
            except TimeoutError:
                peer.handle_timeout(now=now())
            if peer.api_key is not None:  # a real gateway would ask a database here
                good = peer.api_key == request.app[API_KEY]
                peer.judge("ours" if good else CloseCode.UNAUTHORIZED, now=now())
    finally:
        peer.receive_close(CloseCode.ABNORMAL, now=now())
        writing.cancel()
        if peer.aborted and request.transport is not None:
            # With a reset: the kernel would keep what the peer does not read.
            request.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            request.transport.abort()
    return ws


async def read(peer: AnyPeer, ws: web.WebSocketResponse) -> None:
    """Pass on what comes next: a message, a close frame, or the end without one."""
    message = await ws.receive()
    match message.type:
        case WSMsgType.TEXT | WSMsgType.BINARY:
            peer.receive(message.data, now=now())
        case WSMsgType.ERROR:  # aiohttp has closed, because the peer broke RFC 6455
            peer.receive_close(ws.close_code or CloseCode.ABNORMAL, failed=True, now=now())
        case _:
            peer.receive_close(ws.close_code or CloseCode.ABNORMAL, now=now())


async def write(peer: AnyPeer, ws: web.WebSocketResponse, bell: asyncio.Event) -> None:
    """Send what there is to send, one item at a time, as fast as the peer takes it."""
    with suppress(ClientConnectionResetError):
        while True:
            bell.clear()
            match peer.next_outgoing(now=now()):
                case None:
                    await bell.wait()
                case Close() as close:
                    await ws.close(code=close.code, message=close.reason.encode())
                case Abort():
                    return
                case str() as text:
                    await ws.send_str(text)
                case data:
                    await ws.send_bytes(data)


def now() -> float:
    """Seconds on the clock that asyncio waits by."""
    return asyncio.get_running_loop().time()


async def main() -> None:
    """Serve on a free port until standard input closes."""
    app = web.Application()
    app[API_KEY] = os.environ["PLEXWIRE_API_KEY"]
    app[HUB] = Hub(unix_ms=lambda: time.time_ns() // 1_000_000)
    # One route for every path: what is an address, the hub says.
    app.router.add_get("/{path:.*}", play)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    print(f"ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
