"""aiohttp_server PORT: aiohttp's server on asyncio; a task and a short queue for each viewer."""

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

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

registry = Registry[asyncio.Queue[bytes]]()


def hand_out(source_id: str, data: bytes) -> None:
    """Relay one picture; a full queue misses it."""
    picture = read_picture(data)
    queues = registry.watching(source_id, picture.camera_id)
    if queues:
        text = video_frame(source_id, picture)
        for queue in queues:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(text)


async def write(socket: web.WebSocketResponse, queue: asyncio.Queue[bytes]) -> None:
    """Write what comes into *queue*."""
    with suppress(ConnectionError):
        while True:
            await socket.send_frame(await queue.get(), WSMsgType.TEXT)


async def serve_connection(request: web.Request) -> web.WebSocketResponse:
    """Serve one viewer or device to its end."""
    stream = stream_of(request.raw_path)
    socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES)
    await socket.prepare(request)
    auth = None
    with suppress(TimeoutError):
        first = await socket.receive(AUTH_S)
        auth = read_auth(first.data, "auth" if stream else "device_auth")
    if auth is None:
        await socket.close(code=4001)
    elif stream is not None:
        await socket.send_str(registry.init(stream))
        queue = asyncio.Queue[bytes](MAX_WAITING)
        registry.add(queue, stream)
        writer = asyncio.create_task(write(socket, queue))
        try:
            async for _ in socket:
                pass
        finally:
            registry.remove(queue, stream)
            writer.cancel()
    else:
        await socket.send_str(authenticated(auth["source_id"]))
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                hand_out(auth["source_id"], message.data)
    return socket


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/{path:.*}", serve_connection)
    web.run_app(app, host="127.0.0.1", port=port(), print=None, access_log=None)
