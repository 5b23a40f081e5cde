"""The gateway behind real sockets on loopback: TLS, resets, stalls, signals, and what can be wrong with a command line."""

import json
import os
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from attrs import define, evolve, field
from click.testing import CliRunner
from gateway_bench import ADDRESS, FAST_LANE, WebSocketPeer

from plexwire_protocol import DEVICE_PATH, Close, CloseCode, VideoFrame, encode_device_frame
from plexwire_server import ConnectionReport, Gateway, KeyStore, Limits, ThrowAwayKeys, serve
from plexwire_server._gateway import open_lane
from plexwire_server.cli import serve as serve_command
from plexwire_trio import wrap_client_stream
from plexwire_trio.playing import Player

JPEG = b"\xff\xd8" + bytes(100_000)


def frame(stamp: int) -> bytes:
    return encode_device_frame(
        VideoFrame(camera_id="front", jpeg=JPEG, width=1, height=1, timestamp=stamp)
    )


@define(eq=False)
class Loopback:
    """A gateway on a port of its own; `ended` tells of connections that are over, `streams` are closed at the end."""

    gateway: Gateway
    keys: ThrowAwayKeys
    port: int
    nursery: trio.Nursery
    ended: trio.MemoryReceiveChannel[ConnectionReport]
    streams: list[trio.abc.Stream] = field(factory=list[trio.abc.Stream])

    async def open(self, target: str) -> WebSocketPeer:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.streams.append(stream)
        ws = await wrap_client_stream(self.nursery, stream, f"localhost:{self.port}", target)
        return WebSocketPeer(ws, stream)

    async def device(self) -> WebSocketPeer:
        peer = await self.open(DEVICE_PATH)
        auth = {"type": "device_auth", "api_key": self.keys.device_key, "source_id": "robot-01"}
        await peer.say(auth)
        assert (await peer.hear())["type"] == "authenticated"
        return peer

    async def viewer(self) -> WebSocketPeer:
        peer = await self.open(ADDRESS.target())
        await peer.say({"type": "auth", "api_key": self.keys.api_key})
        assert (await peer.hear())["type"] == "init"
        return peer


async def read_all(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


@asynccontextmanager
async def open_gateway(
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncGenerator[Loopback, None]:
    store, keys = KeyStore.throw_away()
    tell, ended = trio.open_memory_channel[ConnectionReport](1000)
    with trio.fail_after(15):
        async with open_lane(FAST_LANE) as lane, trio.open_nursery() as nursery, tell, ended:
            limits = Limits(close_grace_s=0.3)
            gateway = Gateway(store, limits=limits, on_end=tell.send_nowait, lane=lane)
            addresses = await nursery.start(partial(serve, gateway, ssl_context=ssl_context))
            [(host, port)] = addresses
            assert host == "127.0.0.1"
            loopback = Loopback(gateway, keys, port, nursery, ended)
            yield loopback
            await gateway.drain()
            nursery.cancel_scope.cancel()
    for stream in loopback.streams:
        await trio.aclose_forcefully(stream)


# ── sockets ──────────────────────────────────────────────────────────────────────────────────


async def test_health_is_served_beside_the_streams() -> None:
    async with open_gateway() as loopback:
        async with await trio.open_tcp_stream("127.0.0.1", loopback.port) as stream:
            await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            heard = b""
            async for data in stream:
                heard += data
        assert heard.endswith(b'{"status": "ok", "viewers": 0, "devices": 0}\n')


async def test_device_that_resets_in_the_middle_of_a_frame_disturbs_nobody() -> None:
    async with open_gateway() as loopback:
        viewer = await loopback.viewer()
        device = await loopback.device()
        twin = await loopback.device()
        await device.say(frame(1))
        assert (await viewer.hear())["timestamp"] == 1
        assert isinstance(device.stream, trio.SocketStream)
        await device.stream.send_all(b"\x82\xfe\xff\xff" + bytes(500))
        linger = struct.pack("ii", 1, 0)
        device.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await device.stream.aclose()
        report = await loopback.ended.receive()
        assert report.close == Close(CloseCode.ABNORMAL)
        await twin.say(frame(2))
        assert (await viewer.hear())["timestamp"] == 2
        assert loopback.gateway.metrics.crashes == 0


async def test_viewer_that_stalls_delays_nobody_and_is_fresh_again() -> None:
    async with open_gateway() as loopback:
        viewer = await loopback.viewer()
        stalled = await loopback.viewer()
        device = await loopback.device()
        count = 300
        for stamp in range(count):
            await device.say(frame(stamp))
            assert (await viewer.hear())["timestamp"] == stamp
        got: list[int] = []
        while not got or got[-1] != count - 1:
            got.append((await stalled.hear())["timestamp"])
        assert got == sorted(set(got))
        assert len(got) < count
        assert loopback.gateway.metrics.closes.total() == 0


async def test_viewer_that_stalls_is_reset_soon_after_its_timeout() -> None:
    """Neither the gateway nor the kernel keeps what it does not read."""
    async with open_gateway() as loopback:
        device = await loopback.device()
        timed = evolve(ADDRESS, timeout=1)
        stalled = await loopback.open(timed.target())
        await stalled.say({"type": "auth", "api_key": loopback.keys.api_key})
        began = trio.current_time()
        report: ConnectionReport | None = None
        for stamp in range(10_000):
            await device.say(frame(stamp))
            with suppress(trio.WouldBlock):
                report = loopback.ended.receive_nowait()
                break
            await trio.sleep(0.005)
        assert report is not None
        assert report.close is not None
        assert report.close.code == CloseCode.TIMEOUT
        # 0.3 s of grace, and the clock of a busy machine.
        assert 1.2 < trio.current_time() - began < 4
        with pytest.raises(trio.BrokenResourceError):
            await read_all(stalled.stream)


@pytest.mark.skipif(not FAST_LANE, reason="without the lane, the library writes")
async def test_frame_costs_one_write_for_each_viewer_and_no_task_is_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted, so that a regression shows without a clock."""
    counts = Counter[str]()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counting(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        monkeypatch.setattr(module, name, counting)

    count(os, "write")
    count(os, "readv")
    count(Player, "wake")
    async with open_gateway() as loopback:
        viewers = [await loopback.viewer() for _ in range(3)]
        device = await loopback.device()
        small = encode_device_frame(
            VideoFrame(camera_id="front", jpeg=JPEG[:20_000], width=1, height=1, timestamp=7)
        )
        await device.say(small)  # the first one of a camera is decoded in full
        for viewer in viewers:
            await viewer.hear()
        assert counts["wake"] > 0  # for the messages before
        counts.clear()
        for _ in range(10):
            await device.say(small)
            for viewer in viewers:
                assert (await viewer.hear())["timestamp"] == 7
        assert counts["write"] == 30
        # A picture that comes in two pieces is read in two.
        assert 10 <= counts["readv"] <= 40
        assert counts["wake"] == 0


async def test_peer_with_an_oversize_message_gets_to_read_why() -> None:
    async with open_gateway() as loopback:
        device = await loopback.device()
        await device.say(bytes(4_000_000))
        assert await device.hear_the_end() == CloseCode.TOO_BIG


async def test_gateway_speaks_tls() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with open_gateway(context) as loopback:
        stream = await trio.open_ssl_over_tcp_stream(
            "localhost", loopback.port, ssl_context=trusting, https_compatible=True
        )
        ws = await wrap_client_stream(loopback.nursery, stream, "localhost", ADDRESS.target())
        await ws.send_message(json.dumps({"type": "auth", "api_key": loopback.keys.api_key}))
        assert "init" in str(await ws.get_message())
        # Whoever speaks plainly, or stops in the TLS handshake, harms nobody.
        for words in (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01"):
            async with await trio.open_tcp_stream("127.0.0.1", loopback.port) as plain:
                await plain.send_all(words)
                await plain.send_eof()
                async for _ in plain:
                    pass
        await ws.aclose()
        await trio.aclose_forcefully(stream)
        assert loopback.gateway.metrics.crashes == 0


async def test_cancelled_gateway_leaves_no_socket_open() -> None:
    async with open_gateway() as loopback:
        viewer = await loopback.viewer()
        async with trio.open_nursery() as serving:
            [(_, port)] = await serving.start(serve, loopback.gateway)
            other = await trio.open_tcp_stream("127.0.0.1", port)
            serving.cancel_scope.cancel()
        assert await other.receive_some() == b""
        await other.aclose()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", port)
        await viewer.ws.ping()


# ── the process ──────────────────────────────────────────────────────────────────────────────


@contextmanager
def running(*arguments: str) -> Generator[tuple["subprocess.Popen[str]", str, str], None, None]:
    """Run the command; yield the process, its URL and what it said."""
    command = [sys.executable, "-m", "plexwire_server", "serve", "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "plexwire conform" not in said:
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                said += line
            yield process, said.split(" serves at ")[1].split()[0], said
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_says_goodbye_and_exits_0_on_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    keys_file = tmp_path / "keys.env"
    with running("--write-keys", str(keys_file), "--log-format", "json") as (process, url, said):
        keys = dict(line.split("=", 1) for line in keys_file.read_text().splitlines())
        assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
        assert keys.pop("PLEXWIRE_URL") == url
        for name, value in keys.items():
            assert f"export {name}={value}\n" in said
        port = int(url.rpartition(":")[2])
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                ws = await wrap_client_stream(nursery, stream, "localhost", ADDRESS.target())
                viewer = WebSocketPeer(ws, stream)
                await viewer.say({"type": "auth", "api_key": keys["PLEXWIRE_API_KEY"]})
                assert (await viewer.hear())["type"] == "init"
                process.send_signal(number)
                assert await viewer.hear_the_end() == CloseCode.GOING_AWAY
                await stream.aclose()
                out, errors = await trio.to_thread.run_sync(process.communicate)
                nursery.cancel_scope.cancel()
    assert process.returncode == 0
    assert out == ""
    started, stopping, told, stopped = map(json.loads, errors.splitlines())
    assert (told["role"], told["code"], told["by"]) == ("viewer", 1001, "gateway")
    events = [each["event"] for each in (started, stopping, told, stopped)]
    assert events == ["started", "stopping", "connection", "stopped"]
    assert (started["url"], stopping["signal"]) == (url, number.name)
    assert not any(value in errors for value in keys.values())


def test_process_serves_though_nobody_reads_its_greeting() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "plexwire_server", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True) as process:
        os.close(write)
        assert process.stderr is not None
        log = [process.stderr.readline()]
        process.terminate()
        log += process.stderr.readlines()
        assert process.wait(20) == 0
    assert [line.split()[1] for line in log] == ["started", "stopping", "stopped"]


# ── command lines ────────────────────────────────────────────────────────────────────────────


def refused(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(serve_command, list(arguments))
    return result.exit_code, result.stderr.strip().splitlines()[-1]


def test_serve_says_in_one_line_what_is_wrong_with_its_files(tmp_path: Path) -> None:
    assert refused("--keys", str(tmp_path / "none.toml"))[1].endswith(
        "`plexwire keys add` makes one"
    )
    broken = tmp_path / "keys.toml"
    broken.write_text("[[key]]\nname = 1\n")
    code, line = refused("--keys", str(broken))
    assert (code, line) == (1, f"Error: {broken}: key 1: sha256 is missing")
    assert refused("--tls-cert", "x")[0] == 2
    assert "no such file" in refused("--tls-cert", "x", "--tls-key", "y")[1]
    assert "no pair" in refused("--tls-cert", str(broken), "--tls-key", str(broken))[1]
    unfit = str(tmp_path / ("x" * 300))  # as a folder that may not be entered, which root may
    assert refused("--tls-cert", unfit, "--tls-key", unfit) == (
        1,
        f"Error: {unfit}: File name too long.",
    )
    assert "made-up" in refused("--keys", str(broken), "--write-keys", "x")[1]
    assert "directory" in refused("--write-keys", str(tmp_path / "no" / "such"))[1]


def test_serve_says_in_one_line_why_it_can_not_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", str(port)) == (
            1,
            f"Error: Port {port} on 127.0.0.1 is in use; choose another with --port.",
        )
    assert "no address 192.0.2.1" in refused("--host", "192.0.2.1")[1]
    assert "no interface named" in refused("--host", "no such host.invalid")[1]
