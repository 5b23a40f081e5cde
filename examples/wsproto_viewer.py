"""The sans-IO core on a bare socket: a viewer with wsproto, which is sans-IO too, and nothing between them and the kernel.

    PLEXWIRE_API_KEY=plx_… python examples/wsproto_viewer.py ws://127.0.0.1:8700 robot-01 front

It prints a line a frame, until the gateway closes or ten frames came.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.events import Event as WebSocketEvent

from plexwire_protocol import (
    Auth,
    Close,
    ConversationClosed,
    Event,
    Init,
    MessageReceived,
    State,
    StreamAddress,
    VideoFrame,
    ViewerSession,
    describe_close,
)


class Wire:
    """One WebSocket on a socket of its own."""

    def __init__(self, url: str, target: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._parts: list[Any] = []
        self._send(Request(host=parts.netloc, target=parts.path.rstrip("/") + target))

    def _send(self, event: WebSocketEvent) -> None:
        self._socket.sendall(self._ws.send(event))

    def flush(self, session: ViewerSession) -> None:
        """Send what *session* has to say."""
        for item in session.take_outbox():
            match item:
                case Close(code, reason):
                    self._send(CloseConnection(code, reason))
                case str() as text:
                    self._send(TextMessage(text))
                case data:
                    self._send(BytesMessage(data))

    def hear(self, session: ViewerSession, wait: float | None) -> Iterator[Event]:
        """Read once, for *wait* seconds at most, and pass on what came."""
        self._socket.settimeout(wait)
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            yield from session.handle_timeout(now=time.monotonic())
            return
        self._ws.receive_data(data or None)
        for event in self._ws.events():
            yield from self._pass_on(event, session)

    def _pass_on(self, event: WebSocketEvent, session: ViewerSession) -> Iterator[Event]:
        now = time.monotonic()
        match event:
            case AcceptConnection():
                session.send(Auth(api_key=os.environ["PLEXWIRE_API_KEY"]), now=now)
            case RejectConnection(status_code=status):
                sys.exit(f"the gateway answered {status}")
            case TextMessage() | BytesMessage():
                self._parts.append(event.data)
                if event.message_finished:
                    whole = type(event.data)().join(self._parts)
                    self._parts.clear()
                    yield from session.receive(whole, now=now)
            case Ping():
                self._send(event.response())
            case CloseConnection(code=code, reason=reason):
                if self._ws.state is ConnectionState.REMOTE_CLOSING:
                    self._send(event.response())
                yield from session.receive_close(code, reason or "", now=now)
            case _:
                pass


def main(url: str, source_id: str, camera: str, most: str = "10") -> None:
    """Watch one camera until so many frames came, at *most*."""
    address = StreamAddress(source_id=source_id, cameras=(camera,))
    wire = Wire(url, address.target())
    session = ViewerSession(now=time.monotonic())
    frames = 0
    while session.state is not State.CLOSED:
        wait = session.seconds_left(now=time.monotonic())
        for event in wire.hear(session, None if wait is None else max(0.001, wait)):
            match event:
                case MessageReceived(message=Init() as init):
                    print("online:", [list(source.cameras) for source in init.online_sources])
                case MessageReceived(message=VideoFrame() as frame):
                    frames += 1
                    print(f"{frame.camera_id} {frame.width}x{frame.height} {len(frame.jpeg)} bytes")
                case ConversationClosed(close=close):
                    print(describe_close(close.code))
                case _:
                    pass
        if frames >= int(most):
            session.close(now=time.monotonic())
        wire.flush(session)


if __name__ == "__main__":
    main(*sys.argv[1:])
