"""The gateway towards devices, over streams in memory and on a clock that jumps."""

import json
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve
from gateway_bench import Bench, WebSocketPeer, open_bench

from plexwire_protocol import (
    DEVICE_PATH,
    CloseCode,
    DevicePeer,
    Event,
    VideoFrame,
    decode_device_frame,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import AUTH_DEADLINE_S, MAX_CAMERAS, MAX_JPEG_BYTES, MAX_MESSAGE_BYTES
from plexwire_server import ConnectionReport, Gateway, KeyGranted, KeyStore, Limits, Scope

JPEG = b"\xff\xd8 not much of a picture"


def picture(stamp: int = 1, **changes: Any) -> VideoFrame:
    frame = VideoFrame(camera_id="front", jpeg=JPEG, width=4, height=3, timestamp=stamp)
    return evolve(frame, **changes)


async def hear_frame(viewer: WebSocketPeer) -> tuple[str, str, int]:
    message = await viewer.hear()
    return message["source_id"], message["camera_id"], message["timestamp"]


async def device_still_serves(
    device: WebSocketPeer, viewer: WebSocketPeer, stamp: int = 999
) -> bool:
    await device.say(encode_device_frame(picture(stamp)))
    return (await hear_frame(viewer))[2] == stamp


async def test_device_is_answered_with_its_source_and_the_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, keys = KeyStore.throw_away()
    gateway = Gateway(store, unix_ms=lambda: 1_746_100_800_123)
    async with trio.open_nursery() as nursery:
        device = await Bench(gateway, keys, nursery).knock_as_device(keys.device_key)
        assert await device.hear() == {
            "type": "authenticated",
            "source_id": "robot-01",
            "server_time_ms": 1_746_100_800_123,
        }
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("key", ["revoked_key", "no_access_key", "unknown"])
async def test_device_with_a_key_that_does_not_do_gets_an_error_and_a_close(
    key: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        device = await bench.knock_as_device(getattr(bench.keys, key, key))
        answer = await device.hear()
        assert answer["type"] == "error"
        assert answer["detail"]
        code = CloseCode.NO_API_ACCESS if key == "no_access_key" else CloseCode.UNAUTHORIZED
        assert await device.hear_the_end() == code


async def test_device_with_a_key_that_may_only_read_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(checker=ReadOnly()) as bench:
        assert (await (await bench.knock_as_device("x")).hear())["type"] == "error"
        assert (await (await bench.knock_as_viewer("x")).hear())["type"] == "init"


class ReadOnly:
    """Lets everybody read, and nobody write."""

    def check(self, api_key: str, /) -> KeyGranted:
        return KeyGranted("acme", frozenset({Scope.READ}))


async def test_device_that_says_nothing_is_closed_after_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        device = await bench.open(DEVICE_PATH)
        assert (await device.hear())["type"] == "error"
        assert await device.hear_the_end() == CloseCode.UNAUTHORIZED
        assert trio.current_time() == pytest.approx(AUTH_DEADLINE_S)


async def test_device_speaks_for_its_own_source_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        for form in (encode_device_frame, encode):
            await device.say(form(picture(source_id="robot-99")))
            assert await hear_frame(viewer) == ("robot-01", "front", 1)


async def test_device_may_send_frames_as_text_with_further_members(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        thermal = {"video_type": "thermal", "temp_min": float("nan"), "temps": [1.5, -2]}
        await device.say({**json.loads(encode(picture())), **thermal})
        heard = await viewer.hear()
        assert (heard["video_type"], heard["temp_min"]) == ("thermal", None)
        assert heard["temps"] == [1.5, -2]


async def test_device_may_send_the_largest_pictures_in_both_forms(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        large = picture(jpeg=JPEG + bytes(MAX_JPEG_BYTES - len(JPEG)))
        for form in (encode_device_frame, encode):
            await device.say(form(large))
            assert await hear_frame(viewer) == ("robot-01", "front", 1)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x01",
        b"\x02" + encode_device_frame(picture())[1:],
        encode_device_frame(picture())[: -len(JPEG)],
        "",
        "[]",
        "{}",
        '{"type":"video_frame"}',
        '{"type":"video_frame","camera_id":1,"frame":"","width":1,"height":1,"timestamp":1}',
        '{"type":"telemetry","points":[]}',
        '{"type":"heartbeat"}',
        '{"type":"command_result","ok":true}',
        '{"type":"what_is_this"}',
        '{"type":"device_auth","api_key":"x","source_id":"robot-02"}',
    ],
)
async def test_device_that_says_something_odd_stays_and_disturbs_nobody(
    said: str | bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        await device.say(said)
        assert await device_still_serves(device, viewer)


async def test_device_with_an_oversize_message_is_closed_and_disturbs_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, device, twin = await bench.viewer(), await bench.device(), await bench.device()
        await device.say(bytes(MAX_MESSAGE_BYTES + 1))
        assert await device.hear_the_end() == CloseCode.TOO_BIG
        assert await device_still_serves(twin, viewer)


async def test_device_may_be_connected_twice_and_stays_online_until_the_last_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, first, second = await bench.viewer(), await bench.device(), await bench.device()
        assert await device_still_serves(first, viewer, 1)
        assert await device_still_serves(second, viewer, 2)
        await first.stream.aclose()  # without a word
        await trio.testing.wait_all_tasks_blocked()
        late = await bench.knock_as_viewer(bench.keys.api_key)
        online = [{"source_id": "robot-01", "cameras": ["front"]}]
        assert (await late.hear())["online_sources"] == online
        await second.ws.aclose()
        await trio.testing.wait_all_tasks_blocked()
        later = await bench.knock_as_viewer(bench.keys.api_key)
        assert (await later.hear())["online_sources"] == []


async def test_device_with_too_many_cameras_keeps_those_it_had(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        assert await device_still_serves(device, viewer, 1)
        for n in range(MAX_CAMERAS + 3):
            await device.say(encode_device_frame(picture(camera_id=f"c{n}")))
        assert await device_still_serves(device, viewer, 2)
        assert bench.gateway.hub.traffic.dropped["too_many_cameras"] == 4


class SlippingDevice(DevicePeer):
    """Fails at the frame with the stamp 13."""

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        if isinstance(data, bytes) and decode_device_frame(data).timestamp == 13:
            raise KeyError(13)
        return super()._receive(data, now)


class SlippingGateway(Gateway):
    device_peer = SlippingDevice


async def test_crash_costs_a_device_its_own_connection_alone(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[ConnectionReport] = []
    async with open_bench(SlippingGateway, on_end=reports.append) as bench:
        viewer, device, twin = await bench.viewer(), await bench.device(), await bench.device()
        await device.say(encode_device_frame(picture(13)))
        assert await device.hear_the_end() == CloseCode.INTERNAL_ERROR
        assert await device_still_serves(twin, viewer)
        await trio.testing.wait_all_tasks_blocked()
        [report] = reports
        assert (report.error, report.close and report.close.code) == ("KeyError", 1011)
        assert bench.gateway.metrics.crashes == 1


async def test_device_whose_key_has_too_many_streams_is_told_why_and_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(limits=Limits(streams_per_key=1)) as bench:
        await bench.device()
        second = await bench.knock_as_device(bench.keys.device_key)
        assert await second.hear() == {
            "type": "error",
            "code": "try_again_later",
            "detail": "the key has too many streams open",
        }
        assert await second.hear_the_end() == CloseCode.TRY_AGAIN_LATER
