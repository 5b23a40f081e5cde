"""An edge whose upstream goes away: viewers stay, hear of it, and go on; or are let go.  In virtual time, over memory."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve
from edge_bench import EdgeBench, ScriptedWire, Wire, open_edge_bench
from gateway_bench import StreamPairs, WebSocketPeer, open_bench
from trio_websocket import WebSocketConnection

from plexwire_protocol import CloseCode, StreamAddress, VideoFrame, encode_device_frame
from plexwire_server import KeyStore

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


@asynccontextmanager
async def open_pair() -> AsyncGenerator[EdgeBench, None]:
    async with open_bench() as upstream, open_edge_of(Wire(upstream)) as edge:
        yield edge


async def goes_on(edge: EdgeBench, *viewers: WebSocketPeer, stamp: int = 99) -> None:
    """Publish a frame at the upstream, and see it arrive."""
    device = await edge.upstream.device()
    await device.say(sent(stamp))
    for viewer in viewers:
        assert (await viewer.hear())["timestamp"] == stamp


# ── away and back ────────────────────────────────────────────────────────────────────────────


async def test_viewers_hear_of_each_attempt_and_then_get_frames_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewers = [await edge.viewer() for _ in range(3)]
        await goes_on(edge, *viewers, stamp=1)
        await edge.wire.cut()
        for attempt in (1, 2):
            for viewer in viewers:
                assert await viewer.hear() == word(attempt)
            assert trio.current_time() == pytest.approx(2 * (attempt - 1))
        edge.wire.mend()
        await trio.sleep(3)
        # No second init: the next that comes is a frame.  [PW-INIT-1]
        await goes_on(edge, *viewers, stamp=2)
        assert edge.streams_upstream == 1

        [lost] = edge.told("feed_lost")
        assert (lost["viewers"], lost["code"]) == (3, 1006)
        [failed] = edge.told("feed_attempt_failed")
        assert failed["attempt"] == 1
        [back] = edge.told("feed_back")
        assert (back["attempt"], back["seconds"]) == (2, 4.0)
        counted = edge.gateway.status
        assert (counted.attempts, counted.given_up, counted.losses) == (2, 0, {"1006": 1})


async def test_attempts_count_from_1_again_after_the_upstream_was_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewer = await edge.viewer()
        for _ in range(3):
            await edge.wire.cut()
            assert await viewer.hear() == word(1)
            assert await viewer.hear() == word(2)
            edge.wire.mend()
            await trio.sleep(3)
        await goes_on(edge, viewer)


async def test_viewers_are_closed_with_1011_when_the_upstream_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewers = [await edge.viewer() for _ in range(2)]
        await edge.wire.cut()
        for attempt in range(1, 6):
            for viewer in viewers:
                assert await viewer.hear() == word(attempt)
        for viewer in viewers:
            assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
            assert viewer.last_word == "the upstream gateway did not come back"
        assert trio.current_time() == pytest.approx(10)
        await trio.testing.wait_all_tasks_blocked()
        assert not edge.gateway.feeds.running
        assert edge.told("feed_gave_up")[0]["seconds"] == 10.0
        assert edge.gateway.status.given_up == 1


async def test_upstream_that_says_goodbye_and_comes_back_as_another_process_is_found_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, keys = KeyStore.throw_away()
    async with open_bench(checker=store) as old, open_bench(checker=store) as new:
        wire = Wire(evolve(old, keys=keys))
        async with open_edge_of(wire) as edge:
            viewer = await edge.viewer()
            await old.gateway.drain()
            assert await viewer.hear() == word(1)
            assert await viewer.hear() == word(2)  # the old one answers 503 now
            wire.upstream = evolve(new, keys=keys)
            await trio.sleep(2.5)
            await goes_on(edge, viewer)
            assert edge.told("feed_lost")[0]["code"] == CloseCode.GOING_AWAY


async def test_attempt_that_gets_no_answer_fails_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewer = await edge.viewer()
        edge.wire.mute = True
        await edge.wire.cut()
        edge.wire.mend()
        assert await viewer.hear() == word(1)
        assert await viewer.hear() == word(2)
        assert trio.current_time() == pytest.approx(2 + 8)
        assert "No answer" in str(edge.told("feed_attempt_failed")[0]["problem"])


async def test_upstream_that_vanished_without_a_word_is_missed_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as upstream:
        wire = Silent(upstream)
        async with open_edge_of(wire) as edge:
            viewer = await edge.viewer()
            wire.silence()
            assert await viewer.hear() == word(1)
            assert trio.current_time() <= 20


class Silent(Wire):
    """A wire that swallows everything from a moment on, as a network does that is gone."""

    def silence(self) -> None:
        for stream in self.streams:
            assert isinstance(stream, trio.StapledStream)
            # Nothing of the edge arrives any more, so that no ping is answered.
            stream.send_stream.send_all_hook = None
            stream.send_stream.close_hook = None


async def test_last_viewer_that_leaves_meanwhile_ends_the_attempts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewer = await edge.viewer()
        await edge.wire.cut()
        assert await viewer.hear() == word(1)
        await viewer.ws.aclose()
        dialled = edge.wire.dialled
        await trio.sleep(60)
        assert edge.wire.dialled == dialled
        assert not edge.gateway.feeds.running


# ── who comes meanwhile ──────────────────────────────────────────────────────────────────────


async def test_viewer_that_comes_while_the_upstream_is_away_is_closed_with_1011(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        viewer = await edge.viewer()
        await edge.wire.cut()
        late = await edge.knock_as_viewer(edge.keys.api_key)
        assert await late.hear_the_end() == CloseCode.INTERNAL_ERROR
        assert await viewer.hear() == word(1)


async def test_viewer_that_finds_the_upstream_back_spares_the_others_the_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        same, other = await edge.viewer(), await edge.viewer(address=REAR)
        await edge.wire.cut()
        assert await same.hear() == await other.hear() == word(1)
        edge.wire.mend()
        late = await edge.viewer()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == 0
        await goes_on(edge, same, late)
        assert not edge.gateway.feeds.away
        assert edge.streams_upstream == 2


async def test_edge_with_many_comers_does_not_use_up_the_attempts_of_one_that_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_scripted() as (edge, wire, viewer, ws):

        async def let_in_all_but_the_first() -> None:
            async for other in wire.came:
                await (
                    other.send_message(INIT) if "rear" in str(other.path) else other.aclose(1013)
                )

        wire.upstream.nursery.start_soon(let_in_all_but_the_first)
        await ws.aclose(1001)
        assert await viewer.hear() == word(1)
        for _ in range(20):
            await edge.viewer(address=REAR)
            await trio.testing.wait_all_tasks_blocked()
        assert await viewer.hear() == word(2)
        assert trio.current_time() == 0  # the pause before the first attempt was spared
        assert await viewer.hear() == word(3)
        assert trio.current_time() == pytest.approx(2)  # and no other


# ── what the upstream says ───────────────────────────────────────────────────────────────────


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


INIT = '{"type":"init","online_sources":[{"source_id":"robot-01","cameras":["front"]}]}'
#: As no gateway of ours would write it, and right all the same.
ODD = (
    '{ "timestamp": 7.0, "temp_min": 36.60, "video_type": "thermal", "frame": "\\/9g=",\n'
    '  "camera_id": "fr\\u006fnt", "height": 4.8e2, "width": 640, "type": "video_frame",'
    ' "source_id": "robot-01", "nested": {"b": 1e400, "a": [0.1, "\\ud83d\\ude00"]} }'
)


async def test_frame_is_relayed_to_the_letter(autojump_clock: trio.testing.MockClock) -> None:
    async with open_scripted() as (_, _, viewer, ws):
        await ws.send_message(ODD)
        assert await viewer.ws.get_message() == ODD


async def test_what_is_not_for_these_viewers_or_can_not_be_read_is_dropped_and_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_scripted() as (edge, _, viewer, ws):
        for rubbish in (
            ODD.replace("robot-01", "robot-02"),
            ODD.replace("fr\\u006fnt", "rear"),
            ODD.replace("\\/9g=", "\\/9g"),
            ODD.replace("7.0", "7.5"),
            '{"type":"something_new"}',
            "no JSON",
            b"\x01\x02",
        ):
            await ws.send_message(rubbish)
        await ws.send_message(ODD)
        assert await viewer.ws.get_message() == ODD
        assert edge.gateway.metrics.dropped == {
            "foreign": 2,
            "not_base64": 1,
            "wrong_type": 1,
            "not_json": 1,
            "binary": 1,
        }
        assert edge.gateway.hub.traffic.frames_in == 1


@pytest.mark.parametrize("code", [4001, 4002])
async def test_key_that_the_upstream_takes_back_ends_the_stream_with_its_code(
    code: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_scripted() as (edge, wire, viewer, ws):
        await ws.aclose(code, "no more")
        assert await viewer.hear_the_end() == code
        assert viewer.last_word == "no more"
        assert trio.current_time() == 0
        assert not edge.told("feed_lost")

    async with open_scripted() as (_, wire, viewer, ws):
        await ws.aclose(1012)
        assert await viewer.hear() == word(1)
        await (await wire.came.receive()).aclose(code)
        assert await viewer.hear_the_end() == code
        assert trio.current_time() == pytest.approx(2)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1013, 4000, 4999])
async def test_any_other_close_of_the_upstream_begins_the_attempts(
    code: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_scripted() as (_, wire, viewer, ws):
        if code == CloseCode.ABNORMAL:
            # Beneath the loan that the library has of it, whose close reaches nobody.
            await trio.aclose_forcefully(ws._stream._stream)  # type: ignore[attr-defined]
        else:
            await ws.aclose(code)
        assert await viewer.hear() == word(1)
        assert trio.current_time() == 0
        again = await wire.came.receive()
        await again.send_message(INIT)
        await again.send_message(ODD)
        assert await viewer.ws.get_message() == ODD


async def test_viewers_of_an_edge_notice_no_deviation_of_the_upstream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A frame without source, a second init, and after a loss a frame before the init: what viewers get is strict."""
    anonymous = ODD.replace(' "source_id": "robot-01",', "")
    async with open_scripted() as (edge, wire, viewer, ws):
        for _ in range(2):
            await ws.send_message(anonymous)
            frame = await viewer.hear()
            assert frame == {**json.loads(ODD), "nested": {"b": None, "a": [0.1, "\U0001f600"]}}
            await ws.send_message(INIT)
        await ws.send_message(ODD)
        assert await viewer.ws.get_message() == ODD
        await ws.aclose(1011)
        assert await viewer.hear() == word(1)
        again = await wire.came.receive()
        await again.send_message(ODD)
        assert (await viewer.hear())["timestamp"] == 7
        await again.send_message(INIT)
        await again.send_message(ODD)
        assert await viewer.ws.get_message() == ODD
        assert [(told["clause"], told["path"]) for told in edge.told("upstream_deviates")] == [
            ("PW-FRAME-1", "source_id"),
            ("PW-INIT-1", "message"),
            ("PW-INIT-3", "message"),
        ]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ('{"type":"init","online_sources":null}', []),
        (
            '{"type":"init","online_sources":[{"source_id":"robot-01","platform":null,'
            '"cameras":[{"camera_id":"front","video_type":"rgb"}]},{"source_id":"b","cameras":null}]}',
            [
                {"source_id": "robot-01", "cameras": ["front"]},
                {"source_id": "b", "cameras": []},
            ],
        ),
        ('{"type":"init","online_sources":[', []),
        (ODD, []),
    ],
)
async def test_viewer_of_an_edge_gets_a_proper_init_whatever_the_upstream_sends(
    said: str, read: list[Any], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        wire = ScriptedWire(bench)
        async with open_edge_of(wire) as edge:
            viewer = await edge.knock_as_viewer("plx_any")
            ws = await wire.came.receive()
            await ws.send_message(said)
            assert await viewer.hear() == {"type": "init", "online_sources": read}
            await ws.send_message(ODD)
            assert (await viewer.hear())["timestamp"] == 7


async def test_notice_that_waits_is_dropped_when_the_upstream_has_its_own_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_scripted(pair=trio.testing.lockstep_stream_pair) as (_, _, viewer, ws):
        # The viewer does not read: after these, what follows waits.
        for stamp in range(5):
            await ws.send_message(ODD.replace("7.0", str(stamp)))
            await trio.testing.wait_all_tasks_blocked()
        for said in (json.dumps(word(1)), INIT):
            await ws.send_message(said)
            await trio.testing.wait_all_tasks_blocked()
        heard = [await viewer.hear()]
        while heard[-1].get("timestamp") != 4:
            heard.append(await viewer.hear())
        await trio.testing.wait_all_tasks_blocked()
        await ws.send_message(ODD)
        heard.append(await viewer.hear())
        assert {message["type"] for message in heard} == {"video_frame"}


async def test_timeout_of_the_upstream_costs_no_pause_unless_it_comes_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_scripted() as (_, wire, viewer, ws):
        await trio.sleep(30)
        await ws.aclose(CloseCode.TIMEOUT)
        assert await viewer.hear() == word(1, delay_s=0)
        again = await wire.came.receive()
        assert trio.current_time() == pytest.approx(30)
        await again.send_message(INIT)
        await again.aclose(CloseCode.TIMEOUT)
        assert await viewer.hear() == word(1)


@pytest.mark.parametrize(
    ("code", "passed_on"),
    [
        (1008, 1008),
        (1013, 1013),
        (4003, 4003),
        (4008, 1011),
        (1000, 1011),
        (1001, 1011),
        (3000, 1011),
    ],
)
async def test_code_that_concerns_a_viewer_at_the_door_is_passed_on_and_no_other(
    code: int, passed_on: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        wire = ScriptedWire(bench)
        async with open_edge_of(wire) as edge:
            viewer = await edge.knock_as_viewer("plx_any")
            await (await wire.came.receive()).aclose(code)
            assert await viewer.hear_the_end() == passed_on


# ── words and frames ─────────────────────────────────────────────────────────────────────────


async def stall(edge: EdgeBench) -> WebSocketPeer:
    """Return a viewer that does not read, with frames up to number 9 before it."""
    stalled = await edge.viewer(pair=trio.testing.lockstep_stream_pair)
    device = await edge.upstream.device()
    for stamp in range(10):
        await device.say(sent(stamp))
        await trio.testing.wait_all_tasks_blocked()
    return stalled


async def test_edge_of_an_edge_passes_on_what_it_hears(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as inner, open_edge_of(Wire(inner)) as outer:
        viewer = await outer.viewer()
        await inner.wire.cut()
        for attempt in (1, 2):
            assert await viewer.hear() == word(attempt)
        inner.wire.mend()
        await trio.sleep(3)
        await goes_on(inner, viewer)
        assert not outer.told("feed_lost")

        # When the inner edge gives up, the outer one has its own patience.
        await inner.wire.cut()
        for attempt in (1, 2, 3, 4, 5, 1, 2, 3, 4, 5):
            assert await viewer.hear() == word(attempt)
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR


async def test_word_waits_for_the_frames_before_it_and_only_the_last_one_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        stalled = await stall(edge)
        await edge.wire.cut()
        await trio.sleep(5)
        heard = [await stalled.hear()]
        while heard[-1].get("attempt") is None:
            heard.append(await stalled.hear())
        assert heard[-2]["timestamp"] == 9
        assert heard[-1] == word(3)


async def test_word_that_was_not_heard_before_the_upstream_was_back_is_withdrawn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair() as edge:
        stalled = await stall(edge)
        await edge.wire.cut()
        await trio.sleep(1)
        edge.wire.mend()
        await trio.sleep(5)
        assert [each["type"] for each in await all_from(stalled)] == ["video_frame"] * 4


async def test_word_that_was_not_heard_before_a_frame_came_is_withdrawn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_scripted(pair=trio.testing.lockstep_stream_pair) as (_, _, stalled, ws):
        for _ in range(10):
            await ws.send_message(ODD)
        await ws.send_message(json.dumps(word(1)))
        await ws.send_message(ODD)
        await trio.testing.wait_all_tasks_blocked()
        heard = await all_from(stalled)
        assert len(heard) > 2
        assert {each["type"] for each in heard} == {"video_frame"}


async def all_from(peer: WebSocketPeer) -> list[dict[str, Any]]:
    """Read until nothing comes any more."""
    heard = []
    with trio.move_on_after(1):
        while True:
            heard.append(await peer.hear())
    return heard


async def test_viewers_of_one_feed_do_not_hear_of_the_outage_of_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_scripted() as (edge, wire, viewer, ws):
        other = await edge.knock_as_viewer("plx_any", address=REAR)
        await (await wire.came.receive()).send_message(INIT)
        assert await other.ws.get_message() == INIT
        await ws.aclose(1001)
        assert await viewer.hear() == word(1)
        await trio.sleep(1)
        assert other.ws._recv_channel.statistics().current_buffer_used == 0
