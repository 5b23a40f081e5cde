"""websockets_uvloop PORT: the asyncio server of websockets, on uvloop; one message for all by `broadcast`."""

import asyncio
from contextlib import suppress

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

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

registry = Registry[ServerConnection]()


def hand_out(source_id: str, data: bytes) -> None:
    """Relay one picture; `broadcast` has no back-pressure, so viewers with too much unsent are skipped."""
    picture = read_picture(data)
    viewers = registry.watching(source_id, picture.camera_id)
    if viewers:
        text = video_frame(source_id, picture)
        most = (MAX_WAITING - 1) * len(text)
        broadcast(
            [each for each in viewers if each.transport.get_write_buffer_size() <= most],
            text,
            text=True,
        )


async def serve_connection(connection: ServerConnection) -> None:
    """Serve one viewer or device to its end."""
    assert connection.request is not None
    stream = stream_of(connection.request.path)
    auth = None
    with suppress(TimeoutError):
        first = await asyncio.wait_for(connection.recv(), AUTH_S)
        auth = read_auth(first, "auth" if stream else "device_auth")
    if auth is None:
        await connection.close(4001)
    elif stream is not None:
        await connection.send(registry.init(stream))
        registry.add(connection, stream)
        try:
            await connection.wait_closed()
        finally:
            registry.remove(connection, stream)
    else:
        await connection.send(authenticated(auth["source_id"]))
        with suppress(ConnectionClosed):
            async for message in connection:
                if isinstance(message, bytes):
                    hand_out(auth["source_id"], message)


async def main() -> None:
    """Serve for ever."""
    async with serve(
        serve_connection, "127.0.0.1", port(), compression=None, max_size=MAX_MESSAGE_BYTES
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
