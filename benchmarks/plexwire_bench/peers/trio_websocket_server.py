"""trio_websocket_server PORT: trio-websocket as its documentation shows it; a task and a short queue for each viewer."""

from contextlib import suppress

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from plexwire_bench.peers.relaying import (
    AUTH_S,
    MAX_MESSAGE_BYTES,
    MAX_WAITING,
    Registry,
    authenticated,
    port,
    read_auth,
    read_picture,
    stream_of,
    video_frame,
)

registry = Registry[trio.MemorySendChannel[str]]()


def hand_out(source_id: str, data: bytes) -> None:
    """Relay one picture; a full queue misses it."""
    picture = read_picture(data)
    queues = registry.watching(source_id, picture.camera_id)
    if queues:
        text = video_frame(source_id, picture).decode()
        for queue in queues:
            with suppress(trio.WouldBlock):
                queue.send_nowait(text)


async def write(ws: WebSocketConnection, queue: trio.MemoryReceiveChannel[str]) -> None:
    """Write what comes into *queue*."""
    with suppress(ConnectionClosed):
        async for text in queue:
            await ws.send_message(text)


async def serve_connection(request: WebSocketRequest) -> None:
    """Serve one viewer or device to its end."""
    stream = stream_of(request.path)
    ws = await request.accept()
    auth = None
    with suppress(ConnectionClosed):
        with trio.move_on_after(AUTH_S):
            auth = read_auth(await ws.get_message(), "auth" if stream else "device_auth")
        if auth is None:
            await ws.aclose(4001)
            return
        if stream is None:
            await ws.send_message(authenticated(auth["source_id"]))
            while True:
                message = await ws.get_message()
                if isinstance(message, bytes):
                    hand_out(auth["source_id"], message)
        await ws.send_message(registry.init(stream))
        sending, receiving = trio.open_memory_channel[str](MAX_WAITING)
        registry.add(sending, stream)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, ws, receiving)
                with suppress(ConnectionClosed):
                    while True:
                        await ws.get_message()
                nursery.cancel_scope.cancel()
        finally:
            registry.remove(sending, stream)


async def main() -> None:
    """Serve for ever."""
    await serve_websocket(
        serve_connection, "127.0.0.1", port(), None, max_message_size=MAX_MESSAGE_BYTES
    )


if __name__ == "__main__":
    trio.run(main)
