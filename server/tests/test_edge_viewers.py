"""An edge towards its viewers, with a gateway on a bench as its upstream: in virtual time, over streams in memory."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import evolve
from edge_bench import EdgeBench, ScriptedWire, Wire, open_edge_bench
from gateway_bench import ADDRESS, Bench, WebSocketPeer, open_bench

from plexwire_protocol import (
    CloseCode,
    EncodedFrame,
    Hub,
    Publisher,
    StreamAddress,
    VideoFrame,
    encode,
    encode_device_frame,
)
from plexwire_server import Limits, LogEvent, Upstream
from plexwire_trio import GatewayUrl

FRAME = VideoFrame(
    source_id="robot-01",
    camera_id="front",
    jpeg=b"\xff\xd8" + bytes(range(256)) * 40,
    width=640,
    height=480,
    timestamp=0,
)
BOTH = StreamAddress(source_id="robot-01", cameras=("front", "rear"))


def frame(stamp: int, camera_id: str = "front") -> VideoFrame:
    return evolve(FRAME, camera_id=camera_id, timestamp=stamp)


def sent(stamp: int, camera_id: str = "front") -> bytes:
    return encode_device_frame(frame(stamp, camera_id))


@asynccontextmanager
async def open_pair(
    *, limits: Limits | None = None, upstream_limits: Limits | None = None
) -> AsyncGenerator[EdgeBench, None]:
    async with (
        open_bench(limits=upstream_limits) as upstream,
        open_edge_bench(Wire(upstream), limits=limits) as edge,
    ):
        yield edge
        assert edge.gateway.metrics.crashes == 0
        assert upstream.gateway.metrics.crashes == 0


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


# ── watching ─────────────────────────────────────────────────────────────────────────────────


async def test_viewer_of_an_edge_gets_init_and_frames_of_the_upstream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        device = await edge.upstream.device()
        await device.say(sent(1))
        await settle()
        viewer = await edge.knock_as_viewer(edge.keys.api_key)
        online = [{"source_id": "robot-01", "cameras": ["front"]}]
        assert await viewer.hear() == {"type": "init", "online_sources": online}
        for stamp in (3, 2, 2**62):
            await device.say(sent(stamp))
            assert await viewer.ws.get_message() == encode(frame(stamp))
        assert trio.current_time() == 0


async def test_viewers_with_the_same_wish_share_one_stream_and_others_do_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        turned = StreamAddress(source_id="robot-01", cameras=("rear", "front"))
        sharing = [
            await edge.viewer(address=address)
            for address in (BOTH, turned, BOTH, evolve(BOTH, timeout=60))
        ]
        await settle()
        assert edge.streams_upstream == 1
        alone = await edge.viewer()
        stranger = await edge.knock_as_viewer(edge.keys.foreign_key, address=BOTH)
        await stranger.hear()
        await settle()
        assert edge.streams_upstream == 3

        device = await edge.upstream.device()
        await device.say(sent(1))
        for viewer in (*sharing, alone):
            assert await viewer.ws.get_message() == encode(frame(1))
        assert edge.gateway.hub.traffic.frames_in == 2  # once for each feed that has the camera
        await settle()
        assert stranger.ws._recv_channel.statistics().current_buffer_used == 0


async def test_later_viewer_gets_an_init_of_its_own_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        first = await edge.knock_as_viewer(edge.keys.api_key)
        assert (await first.hear())["online_sources"] == []
        device = await edge.upstream.device()
        await device.say(sent(1))
        assert (await first.hear())["timestamp"] == 1
        later = await edge.knock_as_viewer(edge.keys.api_key)
        online = [{"source_id": "robot-01", "cameras": ["front"]}]
        assert await later.hear() == {"type": "init", "online_sources": online}
        await device.say(sent(2))
        for viewer in (first, later):
            assert (await viewer.hear())["timestamp"] == 2


async def test_feed_outlasts_the_viewer_that_began_it_and_ends_properly_with_the_last(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        first, second = await edge.viewer(), await edge.viewer()
        device = await edge.upstream.device()
        await first.ws.aclose()
        await settle()
        await device.say(sent(1))
        assert (await second.hear())["timestamp"] == 1
        assert edge.streams_upstream == 1
        await second.ws.aclose()
        await settle()
        assert edge.streams_upstream == 0
        # The one that checked the second viewer's key, and the feed.
        assert edge.upstream.gateway.metrics.closes == {("viewer", "1000"): 2}
        assert [event.name for event in edge.events] == [
            "feed_opened",
            "upstream_reachable",
            "feed_closed",
        ]


async def test_edge_keeps_the_timeout_of_each_viewer_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        short = await edge.viewer(address=evolve(ADDRESS, timeout=3))
        endless = await edge.viewer()
        assert await short.hear_the_end() == CloseCode.TIMEOUT
        assert trio.current_time() == pytest.approx(3)
        device = await edge.upstream.device()
        await device.say(sent(1))
        assert (await endless.hear())["timestamp"] == 1


async def test_stalled_viewer_of_an_edge_gets_the_newest_frame_and_delays_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        stalled = await edge.viewer(pair=trio.testing.lockstep_stream_pair)
        watching = await edge.viewer()
        device = await edge.upstream.device()
        for stamp in range(20):
            await device.say(sent(stamp))
            assert (await watching.hear())["timestamp"] == stamp
        got = [(await stalled.hear())["timestamp"]]
        while got[-1] != 19:
            got.append((await stalled.hear())["timestamp"])
        # What was on its way, and then the newest.
        assert got[:-1] == list(range(len(got) - 1))
        assert len(got) < 6


# ── the door ─────────────────────────────────────────────────────────────────────────────────


async def test_key_is_judged_by_the_upstream_and_its_code_is_passed_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        for key, code in (
            ("plx_unknown", CloseCode.UNAUTHORIZED),
            (edge.keys.revoked_key, CloseCode.UNAUTHORIZED),
            (edge.keys.device_key, CloseCode.UNAUTHORIZED),
            (edge.keys.no_access_key, CloseCode.NO_API_ACCESS),
        ):
            viewer = await edge.knock_as_viewer(key)
            assert await viewer.hear_the_end() == code
        await settle()
        assert trio.current_time() == 0
        assert edge.gateway.metrics.auth_refusals == {
            ("viewer", "4001"): 3,
            ("viewer", "4002"): 1,
        }
        assert edge.gateway.status.connections == {"refused": 4}
        assert edge.gateway.metrics.key_check_failures == 0


async def test_key_that_is_revoked_meanwhile_opens_no_door_though_its_feed_runs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        first = await edge.viewer()
        records = edge.upstream.gateway.keys.records  # type: ignore[attr-defined]
        edge.upstream.gateway.keys._records = tuple(  # type: ignore[attr-defined]
            evolve(record, revoked=True) for record in records
        )
        late = await edge.knock_as_viewer(edge.keys.api_key)
        assert await late.hear_the_end() == CloseCode.UNAUTHORIZED
        await first.ws.ping()


async def test_viewer_is_closed_with_1011_at_once_where_the_upstream_is_not_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        await edge.wire.cut()
        viewer = await edge.knock_as_viewer(edge.keys.api_key)
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        assert trio.current_time() == 0
        assert viewer.last_word == "the upstream gateway can't be reached"
        assert edge.gateway.metrics.key_check_failures == 1
        assert [event.name for event in edge.events] == ["upstream_unreachable"]
        assert "Nothing listens at upstream.example:80." in str(edge.events[0].members["problem"])
        condition = json.loads(edge.gateway.health().body)
        assert condition["upstream"]["state"] == "away"


async def test_viewer_is_closed_with_1011_in_time_where_the_upstream_never_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        edge.wire.mute = True
        viewer = await edge.knock_as_viewer(edge.keys.api_key)
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        assert trio.current_time() == pytest.approx(Limits().key_check_s)
        [told] = edge.told("upstream_unreachable")
        assert told["problem"] == "No answer to the handshake within 8 s."


@pytest.mark.parametrize(
    ("hangs_up", "problem"),
    [
        (True, "It hung up before it answered the auth."),
        (False, "No answer to the auth within 8 s."),
    ],
)
async def test_operator_is_told_what_became_of_the_auth_that_the_upstream_did_not_answer(
    hangs_up: bool, problem: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench, open_edge_bench(ScriptedWire(bench)) as edge:
        viewer = await edge.knock_as_viewer("plx_any")
        assert isinstance(edge.wire, ScriptedWire)
        ws = await edge.wire.came.receive()
        if hangs_up:
            await trio.aclose_forcefully(ws._stream._stream)  # type: ignore[attr-defined]
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        [told] = edge.told("upstream_unreachable")
        assert told["problem"] == problem
        assert edge.gateway.metrics.crashes == 0


async def test_viewer_that_leaves_while_the_upstream_is_asked_leaves_nothing_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        edge.wire.mute = True
        viewer = await edge.knock_as_viewer(edge.keys.api_key)
        await settle()
        assert len(edge.gateway.feeds.running) == 1
        await viewer.stream.aclose()
        await settle()
        assert not edge.gateway.feeds.running
        assert trio.current_time() == 0


async def test_upstream_that_has_no_room_is_passed_on_and_so_is_the_edge_that_has_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one = Limits(streams_per_key=1)
    for limits, upstream_limits in ((None, one), (one, None)):
        async with open_pair(limits=limits, upstream_limits=upstream_limits) as edge:
            await edge.viewer()
            other = await edge.knock_as_viewer(edge.keys.api_key, address=BOTH)
            assert await other.hear_the_end() == 1013
            await settle()
            assert edge.streams_upstream == 1


async def test_upstream_that_refuses_the_address_gives_1011(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(upstream_limits=Limits(unauthenticated=1)) as edge:
        await edge.upstream.open(ADDRESS.target())  # takes the only place: the next one gets a 503
        viewer = await edge.knock_as_viewer(edge.keys.api_key)
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        assert "503" in str(edge.events[0].members["problem"])


# ── beside the streams ───────────────────────────────────────────────────────────────────────


async def ask(bench: Bench, target: str) -> str:
    stream = bench.connect()
    await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    heard = b""
    while data := await stream.receive_some():
        heard += data
    await stream.aclose()
    return heard.decode()


async def test_device_is_sent_to_the_upstream(autojump_clock: trio.testing.MockClock) -> None:
    async with open_pair() as edge:
        answer = await ask(edge, "/ws/device")
        assert answer.startswith("HTTP/1.1 404 ")
        assert answer.endswith(
            "This is an edge: devices connect to ws://upstream.example/ws/device.\n"
        )


async def test_health_tells_of_the_upstream(autojump_clock: trio.testing.MockClock) -> None:
    async with open_pair() as edge:

        async def upstream() -> object:
            answer = await ask(edge, "/health")
            return json.loads(answer.partition("\r\n\r\n")[2])["upstream"]

        told = {"url": "ws://upstream.example", "state": "unknown", "feeds": 0, "feeds_away": 0}
        assert await upstream() == told
        await edge.viewer()
        assert await upstream() == {**told, "state": "reachable", "feeds": 1}
        await edge.wire.cut()
        await trio.sleep(3)
        assert await upstream() == {**told, "state": "away", "feeds": 1, "feeds_away": 1}


async def test_no_key_shows_in_what_an_edge_keeps(autojump_clock: trio.testing.MockClock) -> None:
    async with open_pair() as edge:
        await edge.viewer()
        await settle()
        [feed] = edge.gateway.feeds.running
        told = " ".join(
            repr(each) for each in (feed, feed.identity, feed._connection, vars(feed), edge.events)
        )
        assert "robot-01" in told
        assert not any(key in told for key in edge.keys.as_environment().values())


async def test_drain_of_an_edge_closes_viewers_and_then_its_streams_upstream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewers = [await edge.viewer(), await edge.viewer(address=BOTH)]
        await edge.gateway.drain()
        for viewer in viewers:
            assert await viewer.hear_the_end() == CloseCode.GOING_AWAY
        assert not edge.gateway.feeds.running
        await settle()
        assert edge.upstream.gateway.metrics.closes == {("viewer", "1000"): 2}
        assert trio.current_time() == 0


# ── when we slip ─────────────────────────────────────────────────────────────────────────────


async def test_crash_of_a_feed_closes_its_viewers_with_1011_and_nobody_else(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slip(self: Hub, publisher: Publisher, frame: EncodedFrame, *, now: float) -> None:
        if frame.camera_id == "rear" and isinstance(frame, EncodedFrame):
            raise RuntimeError("a slip")
        real(self, publisher, frame, now=now)

    real = Hub.publish
    monkeypatch.setattr(Hub, "publish", slip)
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        lucky = await edge.viewer()
        rear = StreamAddress(source_id="robot-01", cameras=("rear",))
        struck: list[WebSocketPeer] = [await edge.viewer(address=rear) for _ in range(2)]
        device = await upstream.device()
        await device.say(sent(1, "rear"))
        for viewer in struck:
            assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        await device.say(sent(2))
        assert (await lucky.hear())["timestamp"] == 2
        assert edge.gateway.metrics.crashes == 1
        assert "a slip" in caplog.text
        assert (await edge.viewer(address=rear)).ws.closed is None  # a new feed, all the same


async def test_failing_log_costs_no_feed(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: LogEvent) -> None:
        raise BrokenPipeError

    async with open_pair() as edge:
        edge.gateway.status._on_event = fail
        viewer = await edge.viewer()
        device = await edge.upstream.device()
        await device.say(sent(1))
        assert (await viewer.hear())["timestamp"] == 1
    assert "BrokenPipeError" in caplog.text


def test_upstream_says_whole_seconds_as_the_documents_do() -> None:
    url = GatewayUrl.parse("ws://upstream.example")
    message = Upstream(url=url, delay_s=2.0).reconnecting(
        1, delay_s=Upstream(url=url, delay_s=2.0).delay_s
    )
    assert encode(message) == (
        '{"type":"gateway_reconnecting","attempt":1,"max_attempts":5,"delay_s":2}'
    )
    assert Upstream(url=url, delay_s=0.5).delay_s == 0.5
