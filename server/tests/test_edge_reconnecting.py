"""An edge whose upstream goes away: viewers stay, hear of it, and go on; or are let go.  In virtual time, over memory."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve
from edge_bench import INIT, ODD, REAR, EdgeBench, Wire, open_edge_of, open_scripted, sent, word
from gateway_bench import WebSocketPeer, open_bench

from plexwire_protocol import CloseCode
from plexwire_server import KeyStore


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
