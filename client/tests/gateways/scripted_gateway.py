"""Gateways made of the core that play scripts, over memory or TCP, for the tests of viewer and device.

A script is what the gateway does on one connection once the auth has come.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

import trio
import trio.testing

from plexwire_client import GatewayUrl
from plexwire_protocol import (
    AuthReceived,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    Heartbeat,
    MessageIgnored,
    MessageReceived,
    Session,
    StreamAddress,
    VideoFrame,
)
from plexwire_trio import Connection, wrap_server_stream

S = TypeVar("S", bound=Session)

ViewerScript: TypeAlias = Callable[[Connection[GatewayViewerSession]], Awaitable[None]]
DeviceScript: TypeAlias = Callable[[Connection[GatewayDeviceSession]], Awaitable[None]]


class ScriptedGateway(ABC, Generic[S]):
    """Plays one script per connection; the last one also on all that follow."""

    def __init__(
        self, nursery: trio.Nursery, *scripts: Callable[[Connection[S]], Awaitable[None]]
    ) -> None:
        self._nursery = nursery
        self._scripts = list(scripts)
        self.targets: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.connected_at: list[float] = []
        self.auths: list[AuthReceived] = []
        self.closes: list[int] = []

    @abstractmethod
    def session(self, target: str) -> S:
        """Return the rules for a connection to *target*."""

    def heard(self, event: Event) -> None:
        """Note an event of a connection."""

    def connection_in_memory(self) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        """Return the gateway's end and the client's."""
        return trio.testing.memory_stream_pair()

    async def open_stream(self, url: GatewayUrl) -> trio.abc.Stream:
        """Be a client's `opener`."""
        ours, theirs = self.connection_in_memory()
        self._nursery.start_soon(self.serve, ours)
        return theirs

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection, also of `trio.serve_tcp`."""
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream)
                self.targets.append(request.path)
                self.headers += request.headers
                self.connected_at.append(trio.current_time())
                websocket = await request.accept()
                connection = Connection(self.session(request.path), websocket)

                def handle(event: Event) -> None:
                    if isinstance(event, AuthReceived):
                        self.auths.append(event)
                        nursery.start_soon(script, connection)
                    self.heard(event)

                self.closes.append((await connection.run(handle)).code)
                nursery.cancel_scope.cancel()
        except* trio.BrokenResourceError:
            pass  # the client has gone
        await stream.aclose()


class ViewerGateway(ScriptedGateway[GatewayViewerSession]):
    """Lets viewers connect."""

    def session(self, target: str) -> GatewayViewerSession:
        """Return the rules towards one viewer."""
        return GatewayViewerSession(StreamAddress.parse(target), now=trio.current_time())


class DeviceGateway(ScriptedGateway[GatewayDeviceSession]):
    """Lets devices connect, and reads only while `may_read`: in memory, each write of a device waits for that."""

    def __init__(self, nursery: trio.Nursery, *scripts: DeviceScript) -> None:
        super().__init__(nursery, *scripts)
        self.frames: list[VideoFrame] = []
        self.heartbeats: list[Heartbeat] = []
        self.may_read = trio.Event()
        self.may_read.set()

    def session(self, target: str) -> GatewayDeviceSession:
        """Return the rules towards one device."""
        return GatewayDeviceSession(now=trio.current_time())

    def heard(self, event: Event) -> None:
        """Keep frames and heartbeats."""
        match event:
            case MessageReceived(VideoFrame() as frame):
                self.frames.append(frame)
            case MessageIgnored(Heartbeat() as heartbeat):
                self.heartbeats.append(heartbeat)
            case _:
                pass

    def connection_in_memory(self) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        """Return two ends without a buffer between them."""
        ours, theirs = trio.testing.lockstep_stream_pair()
        return _SlowStream(ours, self), theirs


class _SlowStream(trio.abc.Stream):
    """Reads only while the gateway `may_read`."""

    def __init__(self, stream: trio.abc.Stream, gateway: DeviceGateway) -> None:
        self._stream = stream
        self._gateway = gateway

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._gateway.may_read.wait()
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()
