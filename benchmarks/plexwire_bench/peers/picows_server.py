"""picows_server PORT: picows on asyncio, the peer that is hardest to beat; all of its work is in Cython callbacks."""

import asyncio
import logging

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from plexwire_bench.peers.relaying import (
    AUTH_S,
    MAX_MESSAGE_BYTES,
    MAX_WAITING,
    Registry,
    Stream,
    authenticated,
    port,
    read_auth,
    read_picture,
    stream_of,
    video_frame,
)

registry = Registry[WSTransport]()


def hand_out(source_id: str, data: memoryview) -> None:
    """Relay one picture; a transport with too much unsent misses it."""
    picture = read_picture(data)
    viewers = registry.watching(source_id, picture.camera_id)
    if viewers:
        text = video_frame(source_id, picture)
        most = (MAX_WAITING - 1) * len(text)
        for viewer in viewers:
            if viewer.underlying_transport.get_write_buffer_size() <= most:
                viewer.send(WSMsgType.TEXT, text)


class Connection(WSListener):
    """One viewer or device."""

    def __init__(self, stream: Stream | None) -> None:
        super().__init__()
        self._stream = stream
        self._source_id: str | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start the time for auth."""
        self._patience = asyncio.get_running_loop().call_later(AUTH_S, self._refuse, transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Forget the viewer."""
        self._patience.cancel()
        if self._stream is not None:
            registry.remove(transport, self._stream)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        match frame.msg_type:
            case WSMsgType.CLOSE:
                transport.send_close(WSCloseCode.OK)
                transport.disconnect()
            case WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            case WSMsgType.BINARY if self._source_id is not None and self._stream is None:
                hand_out(self._source_id, frame.get_payload_as_memoryview())
            case WSMsgType.TEXT if self._source_id is None:
                self._answer(transport, frame.get_payload_as_bytes())

    def _answer(self, transport: WSTransport, text: bytes) -> None:
        auth = read_auth(text, "auth" if self._stream else "device_auth")
        if auth is None:
            self._refuse(transport)
            return
        self._patience.cancel()
        if self._stream is not None:
            self._source_id = self._stream.source_id
            transport.send(WSMsgType.TEXT, registry.init(self._stream).encode())
            registry.add(transport, self._stream)
        else:
            self._source_id = auth["source_id"]
            transport.send(WSMsgType.TEXT, authenticated(auth["source_id"]).encode())

    def _refuse(self, transport: WSTransport) -> None:
        transport.send_close(4001, b"unauthorized")
        transport.disconnect()


def accept(request: WSUpgradeRequest) -> Connection:
    """Return what plays the gateway's side of a new connection."""
    return Connection(stream_of(request.path.decode()))


async def main() -> None:
    """Serve for ever."""
    # It reports each pause of a slow viewer, which costs time that the other peers don't spend.
    logging.getLogger("picows").setLevel(logging.ERROR)
    server = await ws_create_server(accept, "127.0.0.1", port(), max_frame_size=MAX_MESSAGE_BYTES)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
