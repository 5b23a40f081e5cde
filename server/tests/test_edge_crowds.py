"""An edge with many viewers, and an upstream that makes many streams of few: nothing of it may grow without bound."""

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio
import trio.testing
from edge_bench import EdgeBench, ScriptedWire, Wire, open_edge_bench
from gateway_bench import ADDRESS, WebSocketPeer, open_bench

from plexwire_protocol import CloseCode, StreamAddress, VideoFrame, encode_device_frame
from plexwire_server.edge._feed import Feed

if TYPE_CHECKING:
    from trio_websocket import WebSocketConnection

CROWD: Final = 200
INIT = '{"type":"init","online_sources":[]}'
REAR = StreamAddress(source_id="robot-01", cameras=("rear",))
BOTH = StreamAddress(source_id="robot-01", cameras=("front", "rear"))
FRAME = VideoFrame(camera_id="rear", jpeg=b"\xff\xd8", width=1, height=1, timestamp=5)


async def test_feeds_do_not_wake_each_other_for_ever_where_the_upstream_throws_everybody_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It lets everybody in, which hurries the other feed, and then out: a loop without a pause in it."""
    async with open_bench() as bench:
        wire = ScriptedWire(bench)
        good: list[WebSocketConnection] = []

        async def let_in_two_and_throw_out_the_others() -> None:
            async for ws in wire.came:
                await ws.send_message(INIT)
                if len(good) < 2:
                    good.append(ws)
                else:
                    await ws.aclose(CloseCode.INTERNAL_ERROR)
                # Without this the test would never end where the edge is wrong.
                assert wire.dialled < 200

        bench.nursery.start_soon(let_in_two_and_throw_out_the_others)
        async with open_edge_bench(wire) as edge:
            for address, ws in ((ADDRESS, 0), (REAR, 1)):
                await (await edge.knock_as_viewer("plx_any", address=address)).hear()
                assert len(good) == ws + 1
            await good[0].aclose(CloseCode.GOING_AWAY)
            await trio.sleep(1)
            await good[1].aclose(CloseCode.GOING_AWAY)
            await trio.sleep(60)
            # Twice a pause and feed, one of them hurried.
            assert 60 <= wire.dialled <= 2 + 2 * 60
            assert edge.gateway.metrics.crashes == 0


async def all_hear(viewers: Sequence[WebSocketPeer], kind: str) -> None:
    for viewer in viewers:
        assert (await viewer.hear())["type"] == kind


def left_over(edge: EdgeBench) -> int:
    return (
        len(edge.gateway.feeds.running)
        + len(edge.gateway.feeds.shared)
        + len(edge.gateway.hub.viewers)
    )


async def test_crowd_that_comes_at_once_shares_two_streams_and_leaves_nothing_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With one key and two wishes that overlap."""
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        viewers: list[WebSocketPeer] = []

        async def come(address: StreamAddress) -> None:
            viewer = await edge.knock_as_viewer(edge.keys.api_key, address=address)
            assert (await viewer.hear())["type"] == "init"
            viewers.append(viewer)

        async with trio.open_nursery() as nursery:
            for number in range(CROWD):
                nursery.start_soon(come, (BOTH, REAR)[number % 2])
        await trio.testing.wait_all_tasks_blocked()
        assert (edge.streams_upstream, len(edge.gateway.feeds.running)) == (2, 2)
        device = await upstream.device()
        await device.say(encode_device_frame(FRAME))
        await all_hear(viewers, "video_frame")
        await edge.wire.cut()
        await all_hear(viewers, "gateway_reconnecting")
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.ws.aclose)
        await trio.testing.wait_all_tasks_blocked()
        assert left_over(edge) == 0
        assert edge.gateway.metrics.crashes == upstream.gateway.metrics.crashes == 0


async def test_viewer_that_was_let_in_keeps_nothing_of_the_stream_that_asked_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The last message that came on it may be as large as a frame, and there is one a viewer."""
    gc.collect()
    before = feeds_alive()
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        viewers = [await edge.viewer() for _ in range(5)]
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert feeds_alive() - before == 1
        assert not any(viewer.ws.closed for viewer in viewers)


def feeds_alive() -> int:
    return sum(isinstance(thing, Feed) for thing in gc.get_objects())
