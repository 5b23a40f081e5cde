"""The sans-IO core in another stack: a whole gateway on asyncio and `websockets`.

    PLEXWIRE_API_KEY=plx_… python examples/asyncio_gateway.py

It knows the one key of its environment, prints its URL, and serves until its standard input closes.  All rules of the
protocol are the core's; what is written here is reading, writing and waiting.
"""

import asyncio
import math
import os
import sys
import time
from http import HTTPStatus
from typing import Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from plexwire_protocol import (
    DEVICE_PATH,
    AddressRefused,
    AuthReceived,
    Close,
    CloseCode,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    MessageReceived,
    Publisher,
    Refusal,
    Relay,
    Session,
    State,
    StreamAddress,
    Subscriber,
    VideoFrame,
)
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

ORGANISATION: Final = "ours"


class Peer:
    """One connection: a session of the core, and the WebSocket that it is played over."""

    def __init__(self, gateway: "Gateway", session: Session, ws: ServerConnection) -> None:
        self.gateway = gateway
        self.session = session
        self.ws = ws
        self._sending = asyncio.Lock()

    async def play(self) -> None:
        """Read until the conversation is over, never longer than the session's next deadline."""
        try:
            while self.session.state is not State.CLOSED:
                due = self.session.next_deadline()
                try:
                    async with asyncio.timeout_at(None if due == math.inf else due):
                        message = await self.ws.recv()
                except TimeoutError:
                    events = self.session.handle_timeout(now=now())
                else:
                    events = self.session.receive(message, now=now())
                for event in events:
                    await self.handle(event)
                await self.flush()
        except ConnectionClosed as error:
            code = CloseCode.ABNORMAL if error.rcvd is None else error.rcvd.code
            self.session.receive_close(code, now=now())

    async def flush(self) -> None:
        """Send what the session has to say, in order."""
        async with self._sending:
            for item in self.session.take_outbox():
                if isinstance(item, Close):
                    await self.ws.close(item.code, item.reason)
                else:
                    await self.ws.send(item)

    async def handle(self, event: Event) -> None:
        """Take one event of the session."""
        raise NotImplementedError

    def is_ours(self, api_key: str) -> bool:
        """Whether the key is the one that this gateway knows; a real one would ask a database here."""
        return api_key == self.gateway.api_key


class ViewerPeer(Peer):
    """A viewer: frames wait for it in the relay, and a task of its own writes them."""

    def __init__(self, gateway: "Gateway", address: StreamAddress, ws: ServerConnection) -> None:
        self.viewer = GatewayViewerSession(address, now=now())
        super().__init__(gateway, self.viewer, ws)
        self.subscriber: Subscriber | None = None
        self.bell = asyncio.Event()

    async def handle(self, event: Event) -> None:
        """Let the viewer in or turn it away."""
        match event:
            case AuthReceived() if self.is_ours(event.api_key):
                address, relay = self.viewer.address, self.gateway.relay
                self.viewer.grant(relay.online(ORGANISATION, address.source_id), now=now())
                self.subscriber = relay.subscribe(ORGANISATION, address.source_id, address.cameras)
                self.gateway.viewers[self.subscriber] = self
            case AuthReceived():
                self.viewer.refuse(now=now())
            case _:
                pass

    async def write(self) -> None:
        """Write frame after frame, as fast as the viewer takes them."""
        while True:
            await self.bell.wait()
            self.bell.clear()
            while self.subscriber is not None and self.viewer.state is State.STREAMING:
                frame = self.gateway.relay.next_for(self.subscriber)
                if frame is None:
                    break
                self.viewer.send(frame, now=now())
                await self.flush()

    async def play(self) -> None:
        """Read and write until the conversation is over."""
        writing = asyncio.create_task(self.write())
        try:
            await super().play()
        finally:
            writing.cancel()
            if self.subscriber is not None:
                del self.gateway.viewers[self.subscriber]
                self.gateway.relay.unsubscribe(self.subscriber)


class DevicePeer(Peer):
    """A device: its frames go to the relay."""

    def __init__(self, gateway: "Gateway", ws: ServerConnection) -> None:
        self.device = GatewayDeviceSession(now=now())
        super().__init__(gateway, self.device, ws)
        self.publisher: Publisher | None = None

    async def handle(self, event: Event) -> None:
        """Let the device in or turn it away; hand out its frames."""
        match event:
            case AuthReceived() if self.is_ours(event.api_key):
                unix_ms = time.time_ns() // 1_000_000
                self.device.grant(server_time_ms=unix_ms, now=now())
                self.publisher = self.gateway.relay.join(ORGANISATION, self.device.source_id)
            case AuthReceived():
                self.device.refuse(now=now())
            case MessageReceived(message=VideoFrame() as frame) if self.publisher is not None:
                for subscriber in self.gateway.relay.publish(self.publisher, frame):
                    self.gateway.viewers[subscriber].bell.set()
            case _:
                pass

    async def play(self) -> None:
        """Read until the conversation is over."""
        try:
            await super().play()
        finally:
            if self.publisher is not None:
                self.gateway.relay.leave(self.publisher)


class Gateway:
    """What the connections share."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        self.relay = Relay()
        self.viewers: dict[Subscriber, ViewerPeer] = {}

    async def serve_one(self, ws: ServerConnection) -> None:
        """Serve one WebSocket to its end."""
        target = "" if ws.request is None else ws.request.path
        if target.partition("?")[0] == DEVICE_PATH:
            await DevicePeer(self, ws).play()
        else:
            await ViewerPeer(self, StreamAddress.parse(target), ws).play()

    def refuse(self, ws: ServerConnection, request: Request) -> Response | None:
        """Answer what is no address by an HTTP error, before the handshake is done."""
        if request.path.partition("?")[0] == DEVICE_PATH:
            return None
        try:
            StreamAddress.parse(request.path)
        except AddressRefused as error:
            wrong = error.refusal is Refusal.WRONG_PATH
            status = HTTPStatus.NOT_FOUND if wrong else HTTPStatus.BAD_REQUEST
            return ws.respond(status, f"{error}\n")
        return None


def now() -> float:
    """Seconds on the clock that asyncio waits by."""
    return asyncio.get_running_loop().time()


async def main() -> None:
    """Serve on a free port until standard input closes."""
    gateway = Gateway(os.environ["PLEXWIRE_API_KEY"])
    async with serve(
        gateway.serve_one,
        "127.0.0.1",
        0,
        process_request=gateway.refuse,
        max_size=MAX_MESSAGE_BYTES,
        compression=None,
        write_limit=65_536,
    ) as server:
        print(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
