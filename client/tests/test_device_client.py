"""The device against a small gateway made of the core, over memory streams in virtual time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from plexwire_client import (
    ConnectionLost,
    ImageError,
    Refused,
    jpeg_size,
    open_device,
)
from plexwire_client.pattern import make_pattern, read_counter
from plexwire_protocol import (
    AnswerMissing,
    CloseCode,
    ErrorReport,
    GatewayDeviceSession,
    JsonValue,
    MalformedMessage,
    UnexpectedMessage,
    VideoFrame,
    encode,
)
from plexwire_protocol.limits import ANSWER_DEADLINE_S, HEARTBEAT_INTERVAL_S, MAX_MESSAGE_BYTES
from plexwire_trio import Connection
from scripted_gateway import DeviceGateway

KEY = "plx_test_key_of_the_device"
URL = "ws://gateway.example"
JPEG = b"\xff\xd8not much of a picture\xff\xd9"
#: What the gateway's clock and the device's say, in Unix seconds.
GATEWAY_CLOCK = 1_746_100_800.0
SLOW_CLOCK = GATEWAY_CLOCK - 3600
SOON = 0.01


async def let_in(connection: Connection[GatewayDeviceSession]) -> None:
    now_ms = round(GATEWAY_CLOCK * 1000)
    connection.session.grant(server_time_ms=now_ms, now=trio.current_time())
    await connection.flush()


async def refuses(connection: Connection[GatewayDeviceSession]) -> None:
    connection.session.refuse(now=trio.current_time())
    await connection.flush()


async def has_internal_error(connection: Connection[GatewayDeviceSession]) -> None:
    connection.session.refuse(CloseCode.INTERNAL_ERROR, now=trio.current_time())
    await connection.flush()


async def goes_away(connection: Connection[GatewayDeviceSession]) -> None:
    await let_in(connection)
    await trio.sleep(5)
    connection.session.close(CloseCode.GOING_AWAY, now=trio.current_time())
    await connection.flush()


async def stays_silent(connection: Connection[GatewayDeviceSession]) -> None:
    await trio.sleep_forever()


async def test_device_sends_jpeg_untouched_with_stamp_on_gateways_clock(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    async with open_device(
        URL,
        api_key=KEY,
        source_id="robot-01",
        opener=gateway.open_stream,
        clock=lambda: SLOW_CLOCK,
    ) as device:
        assert device.clock_offset_ms == 3_600_000
        await device.send_video_frame(JPEG, "front")
    assert gateway.targets == ["/ws/device"]
    assert [auth.api_key for auth in gateway.auths] == [KEY]
    assert gateway.headers
    assert KEY.encode() not in b"".join(name + value for name, value in gateway.headers)
    assert gateway.frames == [
        VideoFrame(
            source_id="robot-01",
            camera_id="front",
            jpeg=JPEG,
            width=0,
            height=0,
            timestamp=round(GATEWAY_CLOCK * 1000),
        )
    ]
    assert gateway.closes == [CloseCode.NORMAL]
    assert (device.counters.sent, device.counters.dropped) == (1, 0)


async def test_device_reads_size_from_header_unless_told(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    picture = make_pattern(1, 320, 240)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        await device.send_video_frame(picture, "a")
        await device.send_video_frame(picture, "b", width=10, height=20, timestamp=-5)
    assert [(each.width, each.height) for each in gateway.frames] == [(320, 240), (10, 20)]
    assert gateway.frames[1].timestamp == -5


async def test_device_sends_thermal_members_as_text(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    thermal: dict[str, JsonValue] = {
        "video_type": "thermal",
        "temp_min": 20.5,
        "temp_max": float("nan"),
    }
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        await device.send_video_frame(JPEG, extra=thermal)
        with pytest.raises(ImageError, match="extra members"):
            await device.send_video_frame(JPEG, extra={"temps": "x" * MAX_MESSAGE_BYTES})
    assert [dict(each.extra) for each in gateway.frames] == [{**thermal, "temp_max": None}]


async def test_device_sends_temperatures_as_thermal_frame_and_counts_it(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        async with busily():
            await device.send_thermal_frame([[20.0, 30.5], [21.25, float("nan")]], "thermal")
            with pytest.raises(ImageError, match="extra members"):
                await device.send_thermal_frame([[20.125] * 640] * 512, with_temps=True)
        await device.send_video_frame(JPEG, "front")
    thermal, ordinary = gateway.frames
    assert dict(thermal.extra) == {
        "video_type": "thermal",
        "sensor_width": 2,
        "sensor_height": 2,
        "temp_min": 20.0,
        "temp_max": 30.5,
        "temps": [20.0, 30.5, 21.25, None],
    }
    assert (thermal.camera_id, thermal.width, thermal.height) == ("thermal", 480, 480)
    assert device.counters.thermal == 1
    assert device.counters.sent == 2
    assert device.counters.sent_bytes == len(thermal.jpeg) + len(ordinary.jpeg)


async def test_device_drops_old_pictures_where_link_is_slow(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        gateway.may_read = trio.Event()
        for number in range(20):
            await device.send_video_frame(JPEG, "front", timestamp=number)
            await device.send_video_frame(JPEG, "rear", timestamp=number)
            await trio.sleep(0.1)
        gateway.may_read.set()
    stamps = [(each.camera_id, each.timestamp) for each in gateway.frames]
    # What was on its way when the link stopped, then the newest of each camera.
    assert stamps[-2:] in ([("front", 19), ("rear", 19)], [("rear", 19), ("front", 19)])
    assert len(stamps) <= 4
    assert device.counters.sent == len(stamps)
    assert device.counters.dropped == device.counters.dropped_slow == 40 - len(stamps)
    assert device.reconnects == 0


async def test_device_sends_heartbeats_by_itself(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    async with open_device(URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream):
        await trio.sleep(3.5 * HEARTBEAT_INTERVAL_S)
    assert [each.source_id for each in gateway.heartbeats] == ["robot-01"] * 3


async def test_device_raises_refused_where_key_is_turned_away(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, refuses)
    with pytest.raises(Refused, match="key is not accepted") as caught:
        async with open_device(
            URL, api_key=KEY, source_id="robot-01", reconnect=True, opener=gateway.open_stream
        ):
            pytest.fail("let in")
    assert caught.value.close.code == CloseCode.UNAUTHORIZED
    assert KEY not in f"{caught.value} {caught.value!r}"


async def test_device_raises_answer_missing_where_gateway_is_silent(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, stays_silent)
    began = trio.current_time()
    with pytest.raises(AnswerMissing):
        async with open_device(URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream):
            pytest.fail("let in")
    assert trio.current_time() - began == pytest.approx(ANSWER_DEADLINE_S, abs=SOON)


async def test_device_raises_unexpected_message_where_answer_is_another(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async def script(connection: Connection[GatewayDeviceSession]) -> None:
        await connection._ws.send_message('{"type": "hello"}')

    gateway = DeviceGateway(nursery, script)
    with pytest.raises(UnexpectedMessage):
        async with open_device(URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream):
            pytest.fail("let in")


async def test_device_keeps_streaming_and_shows_error_where_gateway_reports_one(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    report = ErrorReport(code="too_many_cameras", detail="64 are enough")

    async def script(connection: Connection[GatewayDeviceSession]) -> None:
        await let_in(connection)
        await connection._ws.send_message(encode(report))

    gateway = DeviceGateway(nursery, script)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        await trio.sleep(1)
        assert device.last_error == report
        await device.send_video_frame(JPEG)
    assert len(gateway.frames) == 1


async def test_device_raises_connection_lost_where_gateway_goes_away(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, goes_away)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        await trio.sleep(10)
        with pytest.raises(ConnectionLost, match="shutting down"):
            await device.send_video_frame(JPEG)


async def test_device_reconnects_and_drops_meanwhile_where_gateway_goes_away(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(
        nursery, goes_away, has_internal_error, has_internal_error, goes_away, let_in
    )
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", reconnect=True, opener=gateway.open_stream
    ) as device:
        await trio.sleep(
            0.5
        )  # else a picture is on its way in the very moment of the gateway's close
        for number in range(40):
            await device.send_video_frame(JPEG, timestamp=number)
            await trio.sleep(1)
    pauses = [later - earlier for earlier, later in pairwise(gateway.connected_at)]
    # 5 s of streaming, then 1 s; 2 s and 4 s after the failures; 5 s of streaming, then 1 s again.
    for pause, streaming, backoff in zip(pauses, (5, 0, 0, 5), (1, 2, 4, 1), strict=True):
        assert streaming + 0.75 * backoff - SOON <= pause <= streaming + 1.25 * backoff + SOON
    stamps = [each.timestamp for each in gateway.frames]
    assert stamps == sorted(set(stamps))
    assert device.counters.sent == len(stamps)
    assert device.counters.dropped == device.counters.dropped_away == 40 - len(stamps) > 0
    assert device.reconnects == 2


async def test_device_drops_picture_where_gateway_closes_before_it_is_sent(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream
    ) as device:
        await device.send_video_frame(JPEG, "front")
        connection = device._connection
        assert connection is not None
        # In the turn in which the picture was handed over, and nobody has sent it yet.
        connection.session.receive_close(CloseCode.GOING_AWAY, "", now=trio.current_time())
        await device.send_video_frame(JPEG, "rear")
    assert gateway.frames == []
    assert (device.counters.sent, device.counters.dropped_away) == (0, 2)


async def test_device_ends_where_key_is_revoked_between_two_connections(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, goes_away, refuses)
    async with open_device(
        URL, api_key=KEY, source_id="robot-01", reconnect=True, opener=gateway.open_stream
    ) as device:
        await trio.sleep(60)
        with pytest.raises(Refused):
            await device.send_video_frame(JPEG)
    assert len(gateway.connected_at) == 2


async def test_device_makes_picture_smaller_where_it_is_over_the_limit(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = DeviceGateway(nursery, let_in)
    picture = make_pattern(77, 640, 360)
    padded = picture[:2] + b"\xff\xfe\xff\xff" + bytes(65533) + picture[2:]
    for _ in range(11):
        padded = padded[:2] + b"\xff\xfe\xff\xff" + bytes(65533) + padded[2:]
    async with (
        open_device(URL, api_key=KEY, source_id="robot-01", opener=gateway.open_stream) as device,
        busily(),
    ):
        await device.send_video_frame(padded)
    assert read_counter(gateway.frames[0].jpeg) == 77
    assert jpeg_size(gateway.frames[0].jpeg) == (640, 360)
    assert device.counters.reencoded == 1


@asynccontextmanager
async def busily() -> AsyncGenerator[None, None]:
    # The virtual clock would jump while a thread encodes; an endless turn keeps it from doing so.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_busy)
        yield
        nursery.cancel_scope.cancel()


async def keep_busy() -> None:
    while True:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("source_id", ["", "Robot", "x" * 257])
async def test_device_raises_malformed_message_where_source_id_is_none(source_id: str) -> None:
    with pytest.raises(MalformedMessage):
        async with open_device(URL, api_key=KEY, source_id=source_id):
            pytest.fail("opened")
