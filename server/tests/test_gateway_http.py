"""What the gateway does before a connection is a WebSocket: plain HTTP, over streams in memory."""

import json

import pytest
import trio
import trio.testing
from gateway_bench import ADDRESS, Bench, FarEnd, open_bench

from plexwire_protocol import DEVICE_PATH, CloseCode, encode_device_frame
from plexwire_protocol import VideoFrame as Frame
from plexwire_server import ConnectionReport, Gateway, Limits

NONCE = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {
    "Host": "x",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": NONCE,
}
JPEG = b"\xff\xd8"


def head(target: str, method: str = "GET", version: str = "1.1", **changes: str | None) -> bytes:
    headers: dict[str, str | None] = {**UPGRADE}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def plain(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def hear_all(stream: FarEnd) -> bytes:
    heard = b""
    while data := await stream.receive_some():
        heard += data
    return heard


async def ask(bench: Bench, request: bytes) -> tuple[int, dict[str, str], str]:
    """Send *request* on a new connection and return status, headers and body of the answer."""
    stream = bench.connect()
    await stream.send_all(request)
    top, _, body = (await hear_all(stream)).partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in rest)
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    return int(first.split()[1]), headers, body.decode()


# ── pages ────────────────────────────────────────────────────────────────────────────────────


async def test_health_tells_how_many_are_there(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        await bench.viewer()
        await bench.device()
        await bench.open(ADDRESS.target())  # not in yet
        status, headers, body = await ask(bench, plain("/health?verbose"))
        assert status == 200
        assert headers["content-type"] == "application/json"
        assert headers["content-length"] == str(len(body))
        assert json.loads(body) == {"status": "ok", "viewers": 1, "devices": 1}
        assert trio.current_time() == 0


async def test_head_of_health_has_no_body(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        status, headers, body = await ask(bench, plain("/health", "HEAD"))
        assert (status, body) == (200, "")
        assert int(headers["content-length"]) > 0


async def test_metrics_count_what_happened(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        viewer, device = await bench.viewer(), await bench.device()
        stalled = await bench.viewer(pair=trio.testing.lockstep_stream_pair)
        for stamp in range(20):
            frame = Frame(camera_id="front", jpeg=JPEG, width=1, height=1, timestamp=stamp)
            await device.say(encode_device_frame(frame))
            await viewer.hear()
        await device.say(b"\x01")
        await (await bench.knock_as_viewer("plx_no")).hear_the_end()
        await (await bench.knock_as_viewer(bench.keys.no_access_key)).hear_the_end()
        odd = await bench.viewer()
        await odd.ws.aclose(4321)
        await ask(bench, plain("/nothing"))
        await trio.testing.wait_all_tasks_blocked()

        status, headers, body = await ask(bench, plain("/metrics"))
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        counted = {
            name: float(value)
            for name, value in (
                line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#")
            )
        }
        assert counted["plexwire_viewers"] == 2
        assert counted["plexwire_devices"] == 1
        assert counted["plexwire_unauthenticated"] == 1  # this very request
        assert counted["plexwire_frames_received_total"] == 20
        assert counted["plexwire_frame_bytes_received_total"] == 20 * len(JPEG)
        sent = counted["plexwire_frames_sent_total"]
        replaced = counted['plexwire_frames_dropped_total{reason="replaced"}']
        assert 20 < sent < 30
        # One frame waits for the stalled viewer, and one is being written to it.
        assert counted["plexwire_frames_waiting"] == 1
        assert sent + replaced + 2 == 40
        assert counted['plexwire_frames_dropped_total{reason="truncated"}'] == 1
        assert counted['plexwire_closes_total{code="4001",role="viewer"}'] == 1
        assert counted['plexwire_closes_total{code="other",role="viewer"}'] == 1
        assert counted['plexwire_auth_refusals_total{code="4001",role="viewer"}'] == 1
        assert counted['plexwire_auth_refusals_total{code="4002",role="viewer"}'] == 1
        assert counted['plexwire_http_answers_total{status="404"}'] == 1
        assert counted["plexwire_crashes_total"] == 0

        await stalled.ws.get_message()
        await trio.testing.wait_all_tasks_blocked()


# ── requests that are refused ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_head", "status", "word"),
    [
        pytest.param(head("/v1"), 404, "nothing at this path", id="no page"),
        pytest.param(plain("/ws/device/"), 404, "nothing", id="almost the device path"),
        pytest.param(head("/v1/sources/a/b/video/stream"), 404, "nothing", id="no such path"),
        pytest.param(head("/v1/sources/UPPER/video/stream"), 400, "source_id", id="source id"),
        pytest.param(head("/v1/sources//video/stream"), 400, "source_id", id="no source id"),
        pytest.param(head(ADDRESS.target() + "&timeout=1.5"), 400, "timeout", id="timeout"),
        pytest.param(head(ADDRESS.target() + "&camera_id=%zz"), 400, "camera_id", id="escape"),
        pytest.param(plain(ADDRESS.target() + "&timeout=x"), 400, "timeout", id="plain, wrong"),
        pytest.param(plain("/health", "POST"), 405, "GET", id="post"),
        pytest.param(head(DEVICE_PATH, "PUT"), 405, "GET", id="put"),
        pytest.param(plain(ADDRESS.target(), "HEAD"), 405, "GET", id="head of a stream"),
        pytest.param(plain(ADDRESS.target()), 426, "ws://", id="no upgrade"),
        pytest.param(plain(DEVICE_PATH), 426, "ws://", id="no upgrade, device"),
        pytest.param(head(DEVICE_PATH, Upgrade="h2c"), 426, "ws://", id="another upgrade"),
        pytest.param(head(DEVICE_PATH, Connection="close"), 426, "ws://", id="connection"),
        pytest.param(head(DEVICE_PATH, Sec_WebSocket_Version="8"), 426, "13", id="version"),
        pytest.param(head(DEVICE_PATH, Sec_WebSocket_Key=None), 400, "Key", id="no key"),
        pytest.param(head(DEVICE_PATH, Sec_WebSocket_Key="c2hvcnQ="), 400, "Key", id="short key"),
        pytest.param(head(DEVICE_PATH, Sec_WebSocket_Key="~~~~"), 400, "Key", id="bad key"),
        pytest.param(head(DEVICE_PATH, version="1.0"), 400, "HTTP/1.1", id="HTTP/1.0"),
        pytest.param(head(DEVICE_PATH, Content_Length="3"), 400, "body", id="body"),
        pytest.param(b"\x16\x03\x01\x02\x00" + bytes(100), 400, "HTTP", id="TLS"),
        pytest.param(b"hello\r\n\r\n", 400, "HTTP", id="garbage"),
        pytest.param(head(DEVICE_PATH, Host=None), 400, "HTTP", id="no host"),
        pytest.param(head(DEVICE_PATH, X="x" * 20_000), 431, "HTTP", id="large head"),
        pytest.param(b"GET /" + b"a" * 40_000, 431, "HTTP", id="endless target"),
    ],
)
async def test_request_that_is_no_stream_is_refused_and_told_why(
    request_head: bytes, status: int, word: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        got, headers, body = await ask(bench, request_head)
        assert got == status
        assert headers["connection"] == "close"
        assert word in body or request_head.startswith(b"HEAD")
        assert len(body.splitlines()) <= 1
        assert trio.current_time() == 0
        assert bench.gateway.metrics.http_answers == {str(status): 1}
        assert bench.gateway.metrics.crashes == 0


async def test_426_names_what_to_upgrade_to(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        assert (await ask(bench, plain(DEVICE_PATH)))[1]["upgrade"] == "websocket"
        _, headers, _ = await ask(bench, head(DEVICE_PATH, Sec_WebSocket_Version="7"))
        assert headers["sec-websocket-version"] == "13"


async def test_half_a_request_is_given_up_after_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        stream = bench.connect()
        await stream.send_all(head(DEVICE_PATH)[:-2])
        assert b" 408 " in await hear_all(stream)
        assert trio.current_time() == pytest.approx(Limits().head_s)


async def test_request_that_trickles_is_given_up_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        stream = bench.connect()
        heard = b""
        async with trio.open_nursery() as nursery:

            async def trickle() -> None:
                for byte in head(DEVICE_PATH, X="x" * 100):
                    await stream.send_all(bytes((byte,)))
                    await trio.sleep(1)

            nursery.start_soon(trickle)
            heard = await hear_all(stream)
            nursery.cancel_scope.cancel()
        assert b" 408 " in heard


async def test_peer_that_hangs_up_before_a_word_leaves_no_trace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    reports: list[ConnectionReport] = []
    async with open_bench(on_end=reports.append) as bench:
        await bench.connect().aclose()
        half = bench.connect()
        await half.send_all(head(DEVICE_PATH)[:30])
        await half.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert [report.worth_a_line for report in reports] == [False, True]
        assert bench.gateway.metrics.crashes == 0


async def test_too_many_that_have_not_authenticated_are_turned_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(limits=Limits(unauthenticated=2)) as bench:
        await bench.viewer()
        await bench.device()  # those two are in, and don't count
        waiting = await bench.open(ADDRESS.target())
        bench.connect()
        await trio.testing.wait_all_tasks_blocked()
        assert (await ask(bench, plain("/health")))[0] == 503
        await waiting.ws.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert (await ask(bench, plain("/health")))[0] == 200


# ── handshakes ───────────────────────────────────────────────────────────────────────────────


async def shake(stream: FarEnd) -> bytes:
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += await stream.receive_some()
    return heard.lower()


@pytest.mark.parametrize(
    "request_head",
    [
        head(ADDRESS.target()),
        head("http://elsewhere" + ADDRESS.target()),
        head("/v1/sources/robot%2D01/video/stream?camera_id=a%20b&&x=%C3%A9"),
        head(DEVICE_PATH, Origin="http://robot.local:8080"),
        head(DEVICE_PATH + "?token=ignored", Connection="keep-alive, UPGRADE", Upgrade="WebSocket"),
        head(DEVICE_PATH, Host="\xe9\xff:99"),
        head(DEVICE_PATH, Host=""),
        head(DEVICE_PATH, Content_Length="0"),
    ],
)
async def test_handshake_is_accepted_in_all_its_forms(
    request_head: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        stream = bench.connect()
        await stream.send_all(request_head)
        answer = await shake(stream)
        assert answer.startswith(b"http/1.1 101 ")
        assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in answer


async def test_handshake_may_arrive_byte_by_byte(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        stream = bench.connect()
        for byte in head(ADDRESS.target()):
            await stream.send_all(bytes((byte,)))
            await trio.testing.wait_all_tasks_blocked()
        assert b" 101 " in await shake(stream)


async def test_no_extension_or_subprotocol_is_accepted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        stream = bench.connect()
        offered = {
            "Sec_WebSocket_Protocol": "a, b",
            "Sec_WebSocket_Extensions": "permessage-deflate",
        }
        await stream.send_all(head(ADDRESS.target(), **offered))
        answer = await shake(stream)
        assert b"sec-websocket-protocol" not in answer
        assert b"sec-websocket-extensions" not in answer


async def test_peer_that_vanishes_in_the_handshake_does_no_harm(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        for _ in range(3):
            stream = bench.connect()
            await stream.send_all(head(ADDRESS.target()))
            await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        await bench.viewer()
        assert bench.gateway.metrics.crashes == 0


async def test_peer_that_never_reads_its_handshake_is_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    reports: list[ConnectionReport] = []
    async with open_bench(on_end=reports.append) as bench:
        stream = bench.connect(trio.testing.lockstep_stream_pair)
        await stream.send_all(head(ADDRESS.target()))
        await trio.sleep(Limits().head_s + 0.1)
        assert [report.close and report.close.code for report in reports] == [CloseCode.ABNORMAL]


class SlippingGateway(Gateway):
    """Can't even read a request."""

    def pages(self) -> dict[str, object]:  # type: ignore[override]
        raise RuntimeError("a slip")


async def test_crash_before_the_handshake_is_counted_and_costs_nobody_else(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_bench(SlippingGateway) as bench:
        stream = bench.connect()
        await stream.send_all(plain("/health"))
        assert await hear_all(stream) == b""
        assert bench.gateway.metrics.crashes == 1
        assert "a slip" in caplog.text
