"""What the upstream of an edge says, right or wrong, and what its viewers get of it.  In virtual time, over memory."""

import json
from typing import Any

import pytest
import trio
import trio.testing
from edge_bench import INIT, ODD, ScriptedWire, open_edge_of, open_scripted, word
from gateway_bench import open_bench

from plexwire_protocol import CloseCode


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
