"""An edge on a bench, its upstream on another or played by the test, and a wire between them that can be cut.

async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
viewer = await edge.viewer()
await edge.wire.cut()
assert (await viewer.hear())["type"] == "gateway_reconnecting"
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from attrs import define, evolve, field, frozen
from gateway_bench import FAST_LANE, Bench, FarEnd, StreamPairs, WebSocketPeer, open_bench
from trio_websocket import WebSocketConnection

from plexwire_protocol import Role, StreamAddress, VideoFrame, encode_device_frame
from plexwire_server._limits import Limits
from plexwire_server._log import LogEvent, LogValue
from plexwire_server.edge._edge_gateway import EdgeGateway, open_edge
from plexwire_server.edge._upstream import Upstream
from plexwire_trio import GatewayUrl, NothingListens, wrap_server_stream


@define(eq=False)
class Wire:
    """The way of an edge to its upstream, which can be cut.  `dialled` counts how often it was tried.

    While it is `mute`, new streams open and lead nowhere.
    """

    upstream: Bench
    whole: bool = field(default=True, init=False)
    mute: bool = field(default=False, init=False)
    dialled: int = field(default=0, init=False)
    streams: list[FarEnd] = field(factory=list[FarEnd], init=False)

    async def dial(self, url: GatewayUrl) -> trio.abc.Stream:
        """Open a byte stream to the upstream.

        Raises:
            NothingListens: the wire is cut.

        """
        await trio.lowlevel.checkpoint()
        self.dialled += 1
        if not self.whole:
            raise NothingListens(f"Nothing listens at {url.place}.", "The wire is cut.")
        stream = self.connect()
        self.streams.append(stream)
        return stream

    def connect(self) -> FarEnd:
        """Return the edge's end of a new stream."""
        return trio.testing.memory_stream_pair()[1] if self.mute else self.upstream.connect()

    async def cut(self) -> None:
        """Drop every stream, and let none through until the wire is mended."""
        self.whole = False
        for stream in self.streams:
            await trio.aclose_forcefully(stream)
        self.streams.clear()

    def mend(self) -> None:
        """Let streams through again."""
        self.whole = True


@define(eq=False)
class ScriptedWire(Wire):
    """A wire to an upstream that says what it is told to; `came` gives each stream once its auth is there."""

    came: trio.MemoryReceiveChannel[WebSocketConnection] = field(init=False)
    _tell: trio.MemorySendChannel[WebSocketConnection] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tell, self.came = trio.open_memory_channel[WebSocketConnection](10)

    def connect(self) -> FarEnd:
        """Return the edge's end of a new stream."""
        near, far = trio.testing.memory_stream_pair()
        self.upstream.nursery.start_soon(self._play, near)
        return far

    async def _play(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            ws = await (await wrap_server_stream(nursery, stream)).accept()
            await ws.get_message()
            self._tell.send_nowait(ws)


@frozen
class EdgeBench(Bench):
    """An edge on a bench; its `keys` are those of the upstream at the other end of `wire`, `events` what it told."""

    gateway: EdgeGateway
    wire: Wire
    events: list[LogEvent]

    @property
    def upstream(self) -> Bench:
        """The bench at the other end."""
        return self.wire.upstream

    @property
    def streams_upstream(self) -> int:
        """How many viewers the upstream has."""
        return self.upstream.gateway.open_streams(Role.VIEWER)

    def told(self, name: str) -> list[dict[str, LogValue]]:
        """Return the members of each event of this name."""
        return [dict(event.members) for event in self.events if event.name == name]


@asynccontextmanager
async def open_edge_bench(
    wire: Wire, *, limits: Limits | None = None
) -> AsyncGenerator[EdgeBench, None]:
    """Put an edge on a bench; what is still open at the end is dropped."""
    upstream = Upstream(url=GatewayUrl.parse("ws://upstream.example"), opener=wire.dial)
    events: list[LogEvent] = []
    opening = open_edge(upstream, limits=limits, on_event=events.append, fast_lane=FAST_LANE)
    async with opening as edge, trio.open_nursery() as nursery:
        yield EdgeBench(
            gateway=edge, keys=wire.upstream.keys, nursery=nursery, wire=wire, events=events
        )
        nursery.cancel_scope.cancel()


FRAME = VideoFrame(
    camera_id="front", jpeg=b"\xff\xd8" + bytes(20_000), width=1, height=1, timestamp=0
)
REAR = StreamAddress(source_id="robot-01", cameras=("rear",))


def sent(stamp: int) -> bytes:
    return encode_device_frame(evolve(FRAME, timestamp=stamp))


def word(attempt: int, delay_s: float = 2) -> dict[str, Any]:
    return {
        "type": "gateway_reconnecting",
        "attempt": attempt,
        "max_attempts": 5,
        "delay_s": delay_s,
    }


@asynccontextmanager
async def open_edge_of(wire: Wire) -> AsyncGenerator[EdgeBench, None]:
    async with open_edge_bench(wire) as edge:
        yield edge
        assert edge.gateway.metrics.crashes == 0


INIT = '{"type":"init","online_sources":[{"source_id":"robot-01","cameras":["front"]}]}'
#: As no gateway of ours would write it, and right all the same.
ODD = (
    '{ "timestamp": 7.0, "temp_min": 36.60, "video_type": "thermal", "frame": "\\/9g=",\n'
    '  "camera_id": "fr\\u006fnt", "height": 4.8e2, "width": 640, "type": "video_frame",'
    ' "source_id": "robot-01", "nested": {"b": 1e400, "a": [0.1, "\\ud83d\\ude00"]} }'
)


@asynccontextmanager
async def open_scripted(
    *, pair: StreamPairs = trio.testing.memory_stream_pair
) -> AsyncGenerator[tuple[EdgeBench, ScriptedWire, WebSocketPeer, WebSocketConnection], None]:
    """Give an edge, its scripted upstream, a viewer that is in, and the stream upstream."""
    async with open_bench() as bench:
        wire = ScriptedWire(bench)
        async with open_edge_of(wire) as edge:
            viewer = await edge.knock_as_viewer("plx_any", pair=pair)
            ws = await wire.came.receive()
            await ws.send_message(INIT)
            assert await viewer.ws.get_message() == INIT
            yield edge, wire, viewer, ws
