"""The sans-IO core on Twisted: a viewer by Autobahn.

    PLEXWIRE_API_KEY=plx_… python examples/twisted_viewer.py ws://127.0.0.1:8700 robot-01 front

It prints a line a frame, until the gateway closes or ten frames came.  For a URL with wss:// give `connectWS` an
`optionsForClientTLS(host)`.
"""

import os
import sys
import time
from typing import Any, cast

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    connectWS,
)
from twisted.internet import reactor as installed

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

# Which interfaces it has is known only once it is installed.
reactor = cast("Any", installed)


class Viewer(WebSocketClientProtocol):
    """One stream; whatever Twisted calls goes into the session, and what the session has to say goes out."""

    def onOpen(self) -> None:
        """Send the key."""
        self.frames = 0
        self.session = ViewerSession(now=time.monotonic())
        self.session.send(Auth(api_key=os.environ["PLEXWIRE_API_KEY"]), now=time.monotonic())
        self.go_on([])

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Hear a message."""
        data = payload if isBinary else payload.decode()
        self.go_on(self.session.receive(data, now=time.monotonic()))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Hear the end."""
        if self.session.state is not State.CLOSED:
            self.go_on(self.session.receive_close(code or 1006, reason or "", now=time.monotonic()))
        reactor.stop()

    def go_on(self, events: list[Event]) -> None:
        """Show *events*, say what is to be said, and come back when the session's time is up."""
        for event in events:
            match event:
                case MessageReceived(message=Init() as init):
                    print("online:", [list(source.cameras) for source in init.online_sources])
                case MessageReceived(message=VideoFrame() as frame):
                    self.frames += 1
                    print(f"{frame.camera_id} {frame.width}x{frame.height} {len(frame.jpeg)} bytes")
                case ConversationClosed(close=close):
                    print(describe_close(close.code))
                case _:
                    pass
        if self.frames >= self.factory.most and self.session.state is not State.CLOSED:
            self.session.close(now=time.monotonic())
        for item in self.session.take_outbox():
            if isinstance(item, Close):
                self.sendClose(int(item.code), item.reason)  # Autobahn takes no subclass of int
            elif isinstance(item, str):
                self.sendMessage(item.encode())
            else:
                self.sendMessage(item, isBinary=True)
        wait = self.session.seconds_left(now=time.monotonic())
        if wait is not None:
            reactor.callLater(wait, self.time_is_up)

    def time_is_up(self) -> None:
        """Let the session look at the clock: it gives up if no `init` came."""
        self.go_on(self.session.handle_timeout(now=time.monotonic()))


class Viewers(WebSocketClientFactory):
    """Makes the viewer, once."""

    protocol = Viewer

    def __init__(self, url: str, most: int) -> None:
        super().__init__(url)
        self.most = most

    def clientConnectionFailed(self, connector: object, reason: object) -> None:
        """Say why there is no connection."""
        print(reason, file=sys.stderr)
        reactor.stop()


def main(url: str, source_id: str, camera: str, most: str = "10") -> None:
    """Watch one camera until so many frames came, at *most*."""
    address = StreamAddress(source_id=source_id, cameras=(camera,))
    # Autobahn takes what stands in the URL as it is, escapes included.
    connectWS(Viewers(url + address.target(), int(most)))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
