"""A gateway that shuts down, and what it tells of every connection."""

import json
from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from gateway_bench import ADDRESS, open_bench

from plexwire_protocol import DEVICE_PATH, Close, CloseCode, Role, VideoFrame, encode_device_frame
from plexwire_server import ConnectionReport, KeyDecision, KeyGranted, Limits
from plexwire_server._connection_report import as_event
from plexwire_server._log import json_line, text_line

FRAME = encode_device_frame(
    VideoFrame(camera_id="front", jpeg=b"\xff\xd8" + bytes(90_000), width=1, height=1, timestamp=1)
)


async def test_drain_closes_everybody_with_1001_and_returns(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        peers = [
            await bench.viewer(),
            await bench.device(),
            await bench.open(ADDRESS.target()),
            await bench.open(DEVICE_PATH),
        ]
        half = bench.connect()
        await half.send_all(b"GET / HTTP")
        await trio.testing.wait_all_tasks_blocked()
        await bench.gateway.drain()
        assert trio.current_time() == 0
        for peer in peers:
            assert await peer.hear_the_end() == CloseCode.GOING_AWAY
        assert await half.receive_some() == b""

        late = bench.connect()
        await late.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 503 " in await late.receive_some()


async def test_drain_does_not_wait_for_ever_for_peers_that_do_not_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    reports: list[ConnectionReport] = []
    async with open_bench(on_end=reports.append) as bench:
        await bench.viewer(pair=trio.testing.lockstep_stream_pair)
        device = await bench.device()
        for _ in range(10):
            await device.say(FRAME)
        await trio.testing.wait_all_tasks_blocked()
        await bench.gateway.drain()
        assert trio.current_time() == pytest.approx(Limits().close_grace_s)
        assert [report.close and report.close.code for report in reports] == [1001, 1001]


class SlowKeys:
    """Lets everybody in, after a second."""

    async def check(self, api_key: str, /) -> KeyDecision:
        await trio.sleep(1)
        return KeyGranted("acme")


async def test_drain_during_a_key_check_lets_nobody_in_any_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(checker=SlowKeys()) as bench:
        raw = bench.connect()  # it never answers the close, so the check ends before the grace does
        auth = b'{"type":"auth","api_key":"x"}'
        await raw.send_all(
            b"GET /v1/sources/robot-01/video/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n" + bytes((0x81, 0x80 | len(auth))) + bytes(4) + auth
        )
        await trio.testing.wait_all_tasks_blocked()
        await bench.gateway.drain()
        heard = b""
        while data := await raw.receive_some():
            heard += data
        assert heard.partition(b"\r\n\r\n")[2].startswith(b"\x88")
        assert b"init" not in heard
        assert bench.gateway.metrics.crashes == 0


async def test_drain_of_an_empty_gateway_returns_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        await bench.gateway.drain()
        assert trio.current_time() == 0


async def test_every_connection_is_told_of_once_and_no_key_with_it(
    autojump_clock: trio.testing.MockClock, capfd: pytest.CaptureFixture[str]
) -> None:
    reports: list[ConnectionReport] = []
    async with open_bench(on_end=reports.append) as bench:
        keys = tuple(bench.keys.as_environment().values())
        viewer, device = await bench.viewer(), await bench.device()
        await device.say(FRAME)
        await viewer.hear()
        await trio.sleep(2.5)
        await viewer.ws.aclose(1000, "bye")
        await device.stream.aclose()
        for key in (bench.keys.revoked_key, bench.keys.no_access_key):
            await (await bench.knock_as_viewer(key)).hear_the_end()
        await trio.testing.wait_all_tasks_blocked()

    told = [json.loads(json_line(as_event(report))) for report in reports]
    assert [(t["role"], t["code"], t["by"]) for t in told] == [
        ("viewer", 1000, "viewer"),
        ("device", 1006, "device"),
        ("viewer", 4001, "gateway"),
        ("viewer", 4002, "gateway"),
    ]
    [first, second, *_] = told
    assert first["peer"] == "memory"
    assert (first["reason"], first["seconds"], first["frames"]) == ("bye", 2.5, 1)
    assert (first["source"], first["cameras"]) == ("robot-01", ["front"])
    assert (second["source"], second["cameras"]) == ("robot-01", ["front"])
    assert (first["organisation"], first["key"]) == ("throw-away", "viewer")
    text = (
        "\n".join(text_line(as_event(report)) for report in reports)
        + json.dumps(told)
        + repr(bench)
        + repr(reports)
    )
    assert not any(key in text for key in keys)


def test_line_for_people_can_not_be_forged_by_what_a_peer_says() -> None:
    report = ConnectionReport(
        peer="127.0.0.1:5",
        since=0,
        role=Role.VIEWER,
        source_id="robot-01",
        cameras=('a"b\n', "\x1b[31m"),
        close=Close(4000, 'x" code=1000\nrole=device'),
        by=Role.VIEWER,
        seconds=1.23456,
        frames=7,
    )
    assert text_line(as_event(report), at=datetime(2026, 1, 2, tzinfo=UTC)) == (
        "2026-01-02T00:00:00.000Z connection peer=127.0.0.1:5 role=viewer source=robot-01"
        ' cameras=["a\\"b\\n", "\\u001b[31m"] code=4000 reason="x\\" code=1000\\nrole=device"'
        " by=viewer seconds=1.235 frames=7 bytes=0 dropped=0"
    )


async def test_failing_log_costs_no_connection(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(report: ConnectionReport) -> None:
        raise BrokenPipeError

    async with open_bench(on_end=fail) as bench:
        await (await bench.viewer()).ws.aclose()
        await bench.viewer()
    assert "BrokenPipeError" in caplog.text
