"""trio_fastlane PORT: trio-websocket with our fast lane beneath, and as little of a gateway as the other peers have."""

from contextlib import suppress

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from plexwire_bench.peers.relaying import (
    AUTH_S,
    MAX_MESSAGE_BYTES,
    Registry,
    Stream,
    authenticated,
    port,
    read_auth,
    read_picture,
    stream_of,
    video_frame,
)
from plexwire_trio.fastlane import DEVICE, FastLane, FastStream, keep_heap, open_fast_lane


class Viewer:
    """One place per camera: a newer picture replaces one that waits."""

    def __init__(self, fast: FastStream) -> None:
        self._waiting: dict[str, bytes] = {}
        self._fast = fast
        fast.pull = self._pull

    def put(self, camera_id: str, frame: bytes) -> None:
        """Write *frame*, or let it wait."""
        self._waiting[camera_id] = frame
        self._fast.kick()

    def _pull(self) -> bytes | None:
        return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None


registry = Registry[Viewer]()


def hand_out(source_id: str, data: bytes) -> None:
    """Relay one picture."""
    picture = read_picture(data)
    viewers = registry.watching(source_id, picture.camera_id)
    if viewers:
        frame = video_frame(source_id, picture, framed=True)
        for viewer in viewers:
            viewer.put(picture.camera_id, frame)


async def serve_viewer(ws: WebSocketConnection, fast: FastStream, stream: Stream) -> None:
    """Let *ws* watch until it ends."""
    await ws.send_message(registry.init(stream))
    viewer = Viewer(fast)
    registry.add(viewer, stream)
    try:
        while True:
            await ws.get_message()
    finally:
        registry.remove(viewer, stream)


async def serve_device(ws: WebSocketConnection, fast: FastStream, source_id: str) -> None:
    """Relay what *ws* sends until it ends."""
    fast.budget = DEVICE
    fast.on_binary = lambda data: hand_out(source_id, data)
    await ws.send_message(authenticated(source_id))
    while True:
        await ws.get_message()


async def serve_connection(ws: WebSocketConnection, fast: FastStream) -> None:
    """Serve one viewer or device to its end."""
    assert ws.path is not None
    stream = stream_of(ws.path)
    auth = None
    with trio.move_on_after(AUTH_S):
        auth = read_auth(await ws.get_message(), "auth" if stream else "device_auth")
    if auth is None:
        await ws.aclose(4001)
    elif stream is not None:
        await serve_viewer(ws, fast, stream)
    else:
        await serve_device(ws, fast, auth["source_id"])


async def main() -> None:
    """Serve for ever."""
    async with open_fast_lane() as lane:

        async def serve_stream(lane: FastLane, stream: trio.SocketStream) -> None:
            async with lane.attach(stream) as fast, trio.open_nursery() as nursery:
                request = await wrap_server_stream(
                    nursery, fast, max_message_size=MAX_MESSAGE_BYTES
                )
                with suppress(ConnectionClosed):
                    await serve_connection(await request.accept(), fast)
                nursery.cancel_scope.cancel()

        await trio.serve_tcp(lambda stream: serve_stream(lane, stream), port(), host="127.0.0.1")


if __name__ == "__main__":
    keep_heap()
    trio.run(main)
