"""The gateway towards viewers, over streams in memory and on a clock that jumps."""

import pytest
import trio
import trio.testing
from gateway_bench import ADDRESS, open_bench
from trio_websocket import ConnectionClosed

from plexwire_protocol import (
    CloseCode,
    StreamAddress,
    VideoFrame,
    ViewerPeer,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import AUTH_DEADLINE_S, MAX_MESSAGE_BYTES
from plexwire_server import Gateway, KeyDecision, KeyGranted, Limits

JPEG = b"\xff\xd8" + bytes(range(256)) * 40


def frame(stamp: int, camera_id: str = "front", jpeg: bytes = JPEG) -> bytes:
    return encode_device_frame(
        VideoFrame(camera_id=camera_id, jpeg=jpeg, width=640, height=480, timestamp=stamp)
    )


def expected(stamp: int, source_id: str = "robot-01", camera_id: str = "front") -> str:
    return encode(
        VideoFrame(
            source_id=source_id,
            camera_id=camera_id,
            jpeg=JPEG,
            width=640,
            height=480,
            timestamp=stamp,
        )
    )


# ── watching ─────────────────────────────────────────────────────────────────────────────────


async def test_viewer_gets_init_and_then_frames_as_they_were_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.knock_as_viewer(bench.keys.api_key)
        assert await viewer.hear() == {"type": "init", "online_sources": []}
        device = await bench.device()
        for stamp in (3, 1, 2**62):
            await device.say(frame(stamp))
            assert await viewer.ws.get_message() == expected(stamp)


async def test_viewer_sees_in_init_what_is_online_and_nothing_of_the_past(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        device = await bench.device()
        await device.say(frame(1))
        await device.say(frame(2, "rear"))
        await trio.testing.wait_all_tasks_blocked()
        viewer = await bench.knock_as_viewer(bench.keys.api_key)
        online = [{"source_id": "robot-01", "cameras": ["front", "rear"]}]
        assert await viewer.hear() == {"type": "init", "online_sources": online}
        await device.say(frame(3, "rear"))
        await device.say(frame(4))
        assert await viewer.ws.get_message() == expected(4)

        await device.ws.aclose()
        await trio.testing.wait_all_tasks_blocked()
        late = await bench.knock_as_viewer(bench.keys.api_key)
        assert await late.hear() == {"type": "init", "online_sources": []}


async def test_viewer_gets_nothing_of_other_sources_cameras_or_organisations(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.viewer()
        foreign = await bench.device(api_key=bench.keys.foreign_key)
        other_source = await bench.device(source_id="robot-02")
        device = await bench.device()
        await foreign.say(frame(1))
        await other_source.say(frame(2))
        await device.say(frame(3, "rear"))
        await trio.testing.wait_all_tasks_blocked()
        await device.say(frame(4))
        assert await viewer.ws.get_message() == expected(4)
        stranger = await bench.knock_as_viewer(bench.keys.foreign_key)
        online = [{"source_id": "robot-01", "cameras": ["front"]}]
        assert await stranger.hear() == {"type": "init", "online_sources": online}


async def test_viewers_all_get_every_frame_that_they_keep_up_with(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        both = StreamAddress(source_id="robot-01", cameras=("front", "rear"))
        viewers = [await bench.viewer(address=both) for _ in range(5)]
        device = await bench.device()
        for stamp in range(10):
            camera = ("front", "rear")[stamp % 2]
            await device.say(frame(stamp, camera))
            for viewer in viewers:
                assert await viewer.ws.get_message() == expected(stamp, camera_id=camera)


def in_one_segment(*messages: bytes) -> bytes:
    """Return binary messages as a client puts them on the wire, masked with zeros."""
    heads = (b"\x82\xfe" + len(message).to_bytes(2) + bytes(4) for message in messages)
    return b"".join(head + message for head, message in zip(heads, messages, strict=True))


async def test_viewer_that_keeps_up_gets_frames_that_come_in_pairs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        for stamp in range(0, 40, 2):
            await device.stream.send_all(in_one_segment(frame(stamp), frame(stamp + 1)))
            assert await viewer.ws.get_message() == expected(stamp)
            assert await viewer.ws.get_message() == expected(stamp + 1)


async def test_viewer_without_camera_gets_the_camera_default(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.open("/v1/sources/robot-01/video/stream?unknown=1")
        await viewer.say({"type": "auth", "api_key": bench.keys.api_key, "unknown": 1})
        await viewer.hear()
        device = await bench.device()
        await device.say(frame(1))
        await device.say(frame(2, "default"))
        assert await viewer.ws.get_message() == expected(2, camera_id="default")


async def test_viewer_may_say_anything_once_it_streams(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.viewer()
        device = await bench.device()
        for said in ("", "{", '{"type":"auth","api_key":"x"}', b"\x00", '{"type":"video_frame"}'):
            await viewer.say(said)
        await trio.testing.wait_all_tasks_blocked()
        await device.say(frame(1))
        assert await viewer.ws.get_message() == expected(1)


# ── auth ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("revoked_key", CloseCode.UNAUTHORIZED),
        ("device_key", CloseCode.UNAUTHORIZED),  # it may not read
        ("no_access_key", CloseCode.NO_API_ACCESS),
        ("", CloseCode.UNAUTHORIZED),
    ],
)
async def test_viewer_with_a_key_that_does_not_do_is_closed_at_once(
    autojump_clock: trio.testing.MockClock, key: str, code: CloseCode
) -> None:
    async with open_bench() as bench:
        viewer = await bench.knock_as_viewer(getattr(bench.keys, key) if key else "plx_unknown")
        with pytest.raises(ConnectionClosed) as closed:
            await viewer.hear()
        assert closed.value.reason is not None
        assert closed.value.reason.code == code
        assert trio.current_time() == 0


@pytest.mark.parametrize(
    "said", ["", "[]", '{"type":"auth"}', '{"type":"auth","api_key":1}', b"{}", '{"type":"hello"}']
)
async def test_viewer_with_a_malformed_auth_is_closed_at_once(
    autojump_clock: trio.testing.MockClock, said: str | bytes
) -> None:
    async with open_bench() as bench:
        viewer = await bench.open(ADDRESS.target())
        await viewer.say(said)
        assert await viewer.hear_the_end() == CloseCode.UNAUTHORIZED
        assert trio.current_time() == 0


async def test_viewer_that_says_nothing_is_closed_after_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.open(ADDRESS.target())
        await viewer.ws.ping()
        assert await viewer.hear_the_end() == CloseCode.UNAUTHORIZED
        assert trio.current_time() == pytest.approx(AUTH_DEADLINE_S)


async def test_viewer_that_auths_just_in_time_is_let_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.open(ADDRESS.target())
        await trio.sleep(AUTH_DEADLINE_S - 0.01)
        await viewer.say({"type": "auth", "api_key": bench.keys.api_key})
        assert (await viewer.hear())["type"] == "init"


class SlowKeys:
    """A database of keys that takes *seconds*, and may be down."""

    def __init__(self, seconds: float, *, down: bool = False) -> None:
        self.seconds = seconds
        self.down = down

    async def check(self, api_key: str, /) -> KeyDecision:
        await trio.sleep(self.seconds)
        if self.down:
            raise ConnectionError("the database is away")
        return KeyGranted("acme")


@pytest.mark.parametrize(
    ("keys", "outcome", "seconds"),
    [
        (SlowKeys(3), None, 3),
        (SlowKeys(1, down=True), CloseCode.INTERNAL_ERROR, 1),
        (SlowKeys(1000), CloseCode.INTERNAL_ERROR, Limits().key_check_s),
    ],
)
async def test_viewer_waits_for_a_slow_key_check_but_not_for_ever(
    autojump_clock: trio.testing.MockClock,
    keys: SlowKeys,
    outcome: CloseCode | None,
    seconds: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_bench(checker=keys) as bench:
        viewer = await bench.knock_as_viewer("plx_x")
        if outcome is None:
            assert (await viewer.hear())["type"] == "init"
        else:
            assert await viewer.hear_the_end() == outcome
        assert trio.current_time() == pytest.approx(seconds)
        assert "plx_x" not in caplog.text


async def test_viewer_that_leaves_during_its_key_check_does_no_harm(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(checker=SlowKeys(3)) as bench:
        viewer = await bench.knock_as_viewer("plx_x")
        await trio.testing.wait_all_tasks_blocked()
        await viewer.ws.aclose()
        await trio.sleep(5)
        assert (await (await bench.knock_as_viewer("plx_x")).hear())["type"] == "init"
        assert bench.gateway.metrics.crashes == 0


# ── time, and viewers that stall ─────────────────────────────────────────────────────────────


async def test_viewer_with_a_timeout_is_closed_when_it_has_passed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.open(ADDRESS.target() + "&timeout=7")
        await trio.sleep(5)
        await viewer.say({"type": "auth", "api_key": bench.keys.api_key})
        assert await viewer.hear_the_end() == CloseCode.TIMEOUT
        assert trio.current_time() == pytest.approx(12)


async def test_viewer_that_stalls_costs_nobody_and_gets_fresh_frames_after(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        stalled = await bench.viewer(pair=trio.testing.lockstep_stream_pair)
        viewer = await bench.viewer()
        device = await bench.device()
        for stamp in range(200):
            await device.say(frame(stamp))
            assert await viewer.ws.get_message() == expected(stamp)
        # The past is what the wire and the reader's own queue hold; then the newest frame waits.
        assert sum(s.waiting for s in bench.gateway.hub.viewers) == 1
        got: list[str | bytes] = []
        while not got or got[-1] != expected(199):
            got.append(await stalled.ws.get_message())
        assert got[:-1] == [expected(stamp) for stamp in range(len(got) - 1)]
        assert len(got) <= 5
        await device.say(frame(200))
        assert await stalled.ws.get_message() == expected(200)
        assert trio.current_time() == 0


async def test_viewer_that_stalls_is_still_closed_when_its_timeout_has_passed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        address = StreamAddress(source_id="robot-01", cameras=("front",), timeout=5)
        await bench.viewer(address=address, pair=trio.testing.lockstep_stream_pair)
        device = await bench.device()
        for stamp in range(10):
            await device.say(frame(stamp))
        await trio.sleep(4.9)
        assert len(bench.gateway.hub.viewers) == 1
        await trio.sleep(0.2 + Limits().close_grace_s)
        assert len(bench.gateway.hub.viewers) == 0


async def test_viewer_that_vanishes_without_a_word_is_noticed_by_its_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(limits=Limits(ping_interval_s=3, pong_timeout_s=4)) as bench:
        raw = bench.connect(trio.testing.lockstep_stream_pair)
        head = await shake_hands_raw(raw, ADDRESS.target(), bench.keys.api_key)
        assert b" 101 " in head
        await trio.testing.wait_all_tasks_blocked()
        assert len(bench.gateway.hub.viewers) == 1
        await trio.sleep(7.1)
        assert len(bench.gateway.hub.viewers) == 0


# ── what breaks RFC 6455, or is too large ────────────────────────────────────────────────────


async def test_viewer_with_text_that_is_not_utf_8_is_closed_with_1007(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        viewer = await bench.viewer()
        await viewer.stream.send_all(b"\x81\x82" + bytes(4) + b"\xff\xfe")
        assert await viewer.hear_the_end() == CloseCode.INVALID_PAYLOAD


@pytest.mark.parametrize("letter", ["a", "é"])
async def test_viewer_with_an_oversize_message_is_closed_with_1009(
    autojump_clock: trio.testing.MockClock, letter: str
) -> None:
    async with open_bench() as bench:
        viewer = await bench.viewer()
        await viewer.say(letter * (MAX_MESSAGE_BYTES // len(letter.encode()) + 1))
        assert await viewer.hear_the_end() == CloseCode.TOO_BIG


# ── limits ───────────────────────────────────────────────────────────────────────────────────


async def test_key_with_too_many_streams_gets_no_further_one_until_one_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(limits=Limits(streams_per_key=2)) as bench:
        viewers = [await bench.viewer() for _ in range(2)]
        third = await bench.knock_as_viewer(bench.keys.api_key)
        assert await third.hear_the_end() == 1013
        assert (await (await bench.knock_as_viewer(bench.keys.foreign_key)).hear())[
            "type"
        ] == "init"
        await viewers[0].ws.aclose()
        await bench.viewer()


async def shake_hands_raw(
    stream: trio.abc.HalfCloseableStream, target: str, api_key: str
) -> bytes | bytearray:
    """Send handshake and auth in one segment, and return the first answer."""
    auth = b'{"type":"auth","api_key":"' + api_key.encode() + b'"}'
    await stream.send_all(
        b"GET " + target.encode() + b" HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n"
        b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n" + bytes((0x81, 0x80 | len(auth))) + bytes(4) + auth
    )
    return await stream.receive_some()


async def test_auth_in_the_same_segment_as_the_handshake_counts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        raw = bench.connect()
        answer = bytes(await shake_hands_raw(raw, ADDRESS.target(), bench.keys.api_key))
        while b'{"type":"init"' not in answer:
            answer += await raw.receive_some()
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert trio.current_time() == 0


# ── crashes ──────────────────────────────────────────────────────────────────────────────────


class Slip(Exception):
    """An error of the gateway."""


class SlippingViewer(ViewerPeer):
    """Can't send the frame with the stamp 13."""

    def _next_frame(self, now: float) -> str | bytes | None:
        frame = super()._next_frame(now)
        if (
            frame is not None
            and b'"timestamp":13' in (frame if isinstance(frame, bytes) else frame.encode())
            and self.address.timeout is not None
        ):
            raise Slip("plx_secret")
        return frame


class SlippingGateway(Gateway):
    viewer_peer = SlippingViewer


async def test_crash_costs_its_own_connection_alone_and_says_1011(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_bench(SlippingGateway) as bench:
        unlucky = await bench.viewer(
            address=StreamAddress(source_id="robot-01", cameras=("front",), timeout=60)
        )
        lucky = await bench.viewer()
        device = await bench.device()
        for stamp in (12, 13, 14):
            await device.say(frame(stamp))
            assert await lucky.ws.get_message() == expected(stamp)
        assert await unlucky.ws.get_message() == expected(12)
        assert await unlucky.hear_the_end() == CloseCode.INTERNAL_ERROR
        assert bench.gateway.metrics.crashes == 1
        assert len(bench.gateway.hub.viewers) == 1
        assert "Slip" in caplog.text
