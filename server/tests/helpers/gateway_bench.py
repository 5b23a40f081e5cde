"""A gateway on a bench: peers over streams in memory, for tests on a clock that jumps.

    async with open_bench() as bench:
        viewer = await bench.knock_as_viewer(bench.keys.api_key)
        assert await viewer.hear() == {"type": "init", "online_sources": []}

The peers are trio-websocket clients that know nothing of the protocol: they say what they are told to say.
"""

import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import trio
import trio.testing
from attrs import define, frozen
from trio_websocket import ConnectionClosed, WebSocketConnection

from plexwire_protocol import DEVICE_PATH, StreamAddress
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway import Gateway, open_lane
from plexwire_server._limits import Limits
from plexwire_server.keys._key_decision import KeyChecker
from plexwire_server.keys._key_store import KeyStore, ThrowAwayKeys
from plexwire_trio import wrap_client_stream

FarEnd: TypeAlias = trio.abc.HalfCloseableStream
StreamPairs: TypeAlias = Callable[[], tuple[FarEnd, FarEnd]]

#: All tests pass without the lane, too: set this variable to see it.
FAST_LANE = "PLEXWIRE_NO_FAST_LANE" not in os.environ

#: What a viewer and a device on the bench ask for and are, unless told otherwise.
ADDRESS = StreamAddress(source_id="robot-01", cameras=("front",))


@define(eq=False)
class WebSocketPeer:
    """One WebSocket to the gateway; `stream` is the byte stream under it."""

    ws: WebSocketConnection
    stream: FarEnd

    async def say(self, message: str | bytes | dict[str, Any]) -> None:
        """Send text, binary, or JSON."""
        await self.ws.send_message(json.dumps(message) if isinstance(message, dict) else message)

    async def hear(self) -> dict[str, Any]:
        """Return the next message, read as JSON.

        Raises:
            ConnectionClosed: there is none any more.

        """
        message: dict[str, Any] = json.loads(await self.ws.get_message())
        return message

    @property
    def last_word(self) -> str:
        """The reason of the close; empty before it."""
        return (self.ws.closed and self.ws.closed.reason) or ""

    async def hear_the_end(self) -> int:
        """Pass over what still comes, and return the close code."""
        while True:
            try:
                await self.ws.get_message()
            except ConnectionClosed as closed:
                return 1006 if closed.reason is None else closed.reason.code


@frozen
class Bench:
    """A gateway with throw-away `keys`, and a nursery for its connections."""

    gateway: Gateway
    keys: ThrowAwayKeys
    nursery: trio.Nursery

    def connect(self, pair: StreamPairs = trio.testing.memory_stream_pair) -> FarEnd:
        """Return the far end of a new connection.

        On a `lockstep_stream_pair` the gateway feels a peer that does not read; otherwise memory takes everything.
        """
        near, far = pair()
        self.nursery.start_soon(self.gateway.serve_stream, near)
        return far

    async def open(
        self, target: str, *, pair: StreamPairs = trio.testing.memory_stream_pair
    ) -> WebSocketPeer:
        """Open a WebSocket at *target*."""
        stream = self.connect(pair)
        return WebSocketPeer(
            await wrap_client_stream(self.nursery, stream, "bench", target), stream
        )

    async def knock_as_viewer(
        self,
        api_key: str,
        *,
        address: StreamAddress = ADDRESS,
        pair: StreamPairs = trio.testing.memory_stream_pair,
    ) -> WebSocketPeer:
        """Open a viewer and send its auth; the answer is yours to hear."""
        peer = await self.open(address.target(), pair=pair)
        await peer.say({"type": "auth", "api_key": api_key})
        return peer

    async def knock_as_device(
        self, api_key: str, *, source_id: str = ADDRESS.source_id
    ) -> WebSocketPeer:
        """Open a device and send its auth; the answer is yours to hear."""
        peer = await self.open(DEVICE_PATH)
        await peer.say({"type": "device_auth", "api_key": api_key, "source_id": source_id})
        return peer

    async def viewer(
        self,
        *,
        address: StreamAddress = ADDRESS,
        pair: StreamPairs = trio.testing.memory_stream_pair,
    ) -> WebSocketPeer:
        """Return a viewer that has heard its `init`."""
        peer = await self.knock_as_viewer(self.keys.api_key, address=address, pair=pair)
        await peer.hear()
        return peer

    async def device(
        self, *, source_id: str = ADDRESS.source_id, api_key: str = ""
    ) -> WebSocketPeer:
        """Return a device that has heard that it is in."""
        peer = await self.knock_as_device(api_key or self.keys.device_key, source_id=source_id)
        await peer.hear()
        return peer


@asynccontextmanager
async def open_bench(
    gateway_class: type[Gateway] = Gateway,
    *,
    checker: KeyChecker | None = None,
    limits: Limits | None = None,
    on_end: Callable[[ConnectionReport], None] = lambda report: None,
) -> AsyncGenerator[Bench, None]:
    """Put a gateway on a bench; what is still open at the end is dropped.

    *checker* stands in for the throw-away keys.
    """
    store, keys = KeyStore.throw_away()
    async with open_lane(FAST_LANE) as lane, trio.open_nursery() as nursery:
        gateway = gateway_class(checker or store, limits=limits, on_end=on_end, lane=lane)
        yield Bench(gateway, keys, nursery)
        nursery.cancel_scope.cancel()
