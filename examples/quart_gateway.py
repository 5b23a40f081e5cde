"""The sans-IO core in Quart: a whole gateway beside the routes of an application, on hypercorn.

    PLEXWIRE_API_KEY=plx_… python examples/quart_gateway.py

It knows the one key of its environment, prints its URL, and serves until its standard input closes.  All rules of the
protocol are in the core's `Hub`; what is written here is reading, writing and waiting.  ASGI has no way to drop a
connection: a viewer that stalls keeps its socket.
"""

import asyncio
import os
import socket
import sys
import time
from contextlib import suppress
from typing import Final

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response, websocket

from plexwire_protocol import Abort, AddressRefused, AnyPeer, Close, CloseCode, Hub
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

#: Old video that may lie in the kernel for a viewer that stalls, in bytes.
SEND_BUFFER: Final = 262_144

app: Final = Quart(__name__)
hub: Final = Hub(unix_ms=lambda: time.time_ns() // 1_000_000)


@app.websocket("/")
@app.websocket("/<path:path>")  # what is an address, the hub says
async def play(path: str = "") -> Response | None:
    """Serve one viewer or device to its end."""
    scope = websocket.scope
    target = b"?".join(filter(None, (scope["raw_path"], scope["query_string"]))).decode()
    try:
        hub.check_target(target)
    except AddressRefused as error:
        return Response(f"{error}\n", error.status, content_type="text/plain")
    await websocket.accept()
    bell = asyncio.Event()
    peer = hub.connect(target, wake=bell.set, now=now())
    writing = asyncio.create_task(write(peer, bell))
    try:
        while not peer.ended:
            try:
                async with asyncio.timeout(peer.seconds_left(now=now())):
                    peer.receive(await websocket.receive(), now=now())
            except TimeoutError:
                peer.handle_timeout(now=now())
            if peer.api_key is not None:  # a real gateway would ask a database here
                good = peer.api_key == os.environ["PLEXWIRE_API_KEY"]
                peer.judge("ours" if good else CloseCode.UNAUTHORIZED, now=now())
        await writing
    finally:  # Quart cancels this task when the peer leaves
        peer.receive_close(CloseCode.ABNORMAL, now=now())
        writing.cancel()
    return None


async def write(peer: AnyPeer, bell: asyncio.Event) -> None:
    """Send what there is to send, one item at a time, as fast as the peer takes it."""
    with suppress(RuntimeError):  # it has gone; or it closed before we did
        while True:
            bell.clear()
            match peer.next_outgoing(now=now()):
                case None if peer.ended:
                    return
                case None:
                    await bell.wait()
                case Close() as close:
                    await websocket.close(int(close.code), close.reason)
                    return
                case Abort():
                    return
                case data:
                    await websocket.send(data)


def now() -> float:
    """Seconds on the clock that asyncio waits by."""
    return asyncio.get_running_loop().time()


async def main(listener: socket.socket) -> None:
    """Serve on *listener* until standard input closes."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.websocket_max_message_size = MAX_MESSAGE_BYTES
    config.graceful_timeout = 2
    config.loglevel = "WARNING"

    async def until_closed() -> None:
        await asyncio.to_thread(sys.stdin.read)

    await serve(app, config, shutdown_trigger=until_closed)


if __name__ == "__main__":
    ours = socket.create_server(("127.0.0.1", 0))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    print(f"ws://127.0.0.1:{ours.getsockname()[1]}", flush=True)
    asyncio.run(main(ours))
