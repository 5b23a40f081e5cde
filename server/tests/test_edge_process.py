"""`plexwire serve --upstream` as people run it: two processes, TLS between them, and an upstream that restarts."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trustme
from attrs import define, field, frozen
from click import UsageError
from click.testing import CliRunner
from gateway_bench import ADDRESS, WebSocketPeer

from plexwire_protocol import DEVICE_PATH, CloseCode, VideoFrame, encode_device_frame
from plexwire_server.cli import _other_gateway
from plexwire_server.cli import keys as keys_command
from plexwire_server.cli import serve as serve_command
from plexwire_trio import wrap_client_stream

#: Seconds that nothing here takes.
PATIENCE_S: Final = 25.0


@define(eq=False)
class Served:
    """A `plexwire serve` that runs; `log` is what was read of it so far."""

    process: trio.Process
    url: str
    said: str
    log: str = field(default="", init=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def logs(self, word: str) -> None:
        """Read the log until *word* is in it."""
        assert self.process.stderr is not None
        while word not in self.log:
            self.log += (await self.process.stderr.receive_some()).decode()

    async def stop(self) -> str:
        """Send SIGTERM, wait until it is gone, and return its log."""
        assert self.process.stderr is not None
        self.process.terminate()
        async for data in self.process.stderr:
            self.log += data.decode()
        assert await self.process.wait() == 0
        return self.log


@asynccontextmanager
async def serving(*arguments: str) -> AsyncGenerator[Served, None]:
    command = [sys.executable, "-m", "plexwire_server", "serve", *arguments]
    process = await trio.lowlevel.open_process(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    try:
        said = ""
        while "plexwire conform" not in said:
            data = await process.stdout.receive_some()
            assert data, said
            said += data.decode()
        yield Served(process, said.split(" serves at ")[1].split()[0].rstrip(","), said)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in filter(None, (process.stdout, process.stderr)):
                await pipe.aclose()


@frozen
class Files:
    """What the upstream is run with, and who trusts it."""

    arguments: tuple[str, ...]
    authority: str
    trusting: ssl.SSLContext
    key: str


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    made = CliRunner().invoke(
        keys_command,
        ["add", "--file", str(tmp_path / "keys.toml"), "--organisation", "acme", "--name", "a"],
    )
    arguments = ("--keys", "keys.toml"), ("--tls-cert", "cert.pem"), ("--tls-key", "key.pem")
    return Files(
        tuple(word for name, file in arguments for word in (name, str(tmp_path / file))),
        str(tmp_path / "ca.pem"),
        trusting,
        made.stdout.strip(),
    )


@asynccontextmanager
async def connected(
    port: int, target: str, auth: Mapping[str, str], context: ssl.SSLContext | None = None
) -> AsyncGenerator[WebSocketPeer, None]:
    """Give a peer that was let in."""
    stream: trio.SSLStream[trio.SocketStream] | trio.SocketStream
    if context is None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    else:
        stream = await trio.open_ssl_over_tcp_stream(
            "localhost", port, ssl_context=context, https_compatible=True
        )
    try:
        async with trio.open_nursery() as nursery:
            ws = await wrap_client_stream(nursery, stream, "localhost", target)
            peer = WebSocketPeer(ws, stream)  # type: ignore[arg-type]
            await peer.say(dict(auth))
            assert (await peer.hear())["type"] in ("init", "authenticated")
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def sees_a_frame(upstream: Served, viewer: WebSocketPeer, files: Files, stamp: int) -> None:
    auth = {"type": "device_auth", "api_key": files.key, "source_id": ADDRESS.source_id}
    frame = VideoFrame(camera_id="front", jpeg=b"\xff\xd8", width=1, height=1, timestamp=stamp)
    async with connected(upstream.port, DEVICE_PATH, auth, files.trusting) as device:
        await device.say(encode_device_frame(frame))
        while (told := await viewer.hear())["type"] == "gateway_reconnecting":
            pass
        assert (told["type"], told["timestamp"]) == ("video_frame", stamp)


def edge_of(port: int, files: Files, attempts: int, delay: float) -> tuple[str, ...]:
    options = {
        "--port": 0,
        "--upstream": f"wss://localhost:{port}",
        "--upstream-ca": files.authority,
        "--upstream-attempts": attempts,
        "--upstream-delay": delay,
        "--log-format": "json",
    }
    return tuple(str(word) for option in options.items() for word in option)


def lines(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


async def test_viewer_of_an_edge_stays_while_the_upstream_process_restarts(files: Files) -> None:
    auth = {"type": "auth", "api_key": files.key}
    with trio.fail_after(PATIENCE_S):
        async with serving("--port", "0", *files.arguments) as upstream:
            edge_arguments = edge_of(upstream.port, files, attempts=30, delay=0.4)
            async with serving(*edge_arguments) as edge:
                assert f"an edge of wss://localhost:{upstream.port}" in edge.said
                async with connected(edge.port, ADDRESS.target(), auth) as viewer:
                    await sees_a_frame(upstream, viewer, files, 1)
                    port = str(upstream.port)
                    await upstream.stop()
                    told = await viewer.hear()
                    assert told == {
                        "type": "gateway_reconnecting",
                        "attempt": 1,
                        "max_attempts": 30,
                        "delay_s": 0.4,
                    }
                    async with serving("--port", port, *files.arguments) as again:
                        await edge.logs("feed_back")
                        await sees_a_frame(again, viewer, files, 2)
                        log = await edge.stop()
                        assert await viewer.hear_the_end() == CloseCode.GOING_AWAY
    assert files.key not in log
    names = [line["event"] for line in lines(log)]
    assert (names[0], names[-1]) == ("started", "stopped")
    assert [name for name in names if name in FEED] == list(FEED)
    assert names.count("connection") == 1


#: What becomes of a feed, in this order.
FEED: Final = ("feed_opened", "feed_lost", "feed_back", "feed_closed")


async def test_viewer_of_an_edge_is_let_go_when_the_upstream_process_stays_away(
    files: Files,
) -> None:
    auth = {"type": "auth", "api_key": files.key}
    with trio.fail_after(PATIENCE_S):
        async with (
            serving("--port", "0", *files.arguments) as upstream,
            serving(*edge_of(upstream.port, files, attempts=3, delay=0.2)) as edge,
        ):
            async with connected(edge.port, ADDRESS.target(), auth) as viewer:
                upstream.process.kill()
                attempts = [(await viewer.hear())["attempt"] for _ in range(3)]
                assert attempts == [1, 2, 3]
                assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
            log = await edge.stop()
    told = lines(log)
    [gone] = [line for line in told if line["event"] == "upstream_unreachable"]
    assert gone["problem"].startswith(f"Nothing listens at localhost:{upstream.port}.")
    [lost] = [line for line in told if line["event"] == "feed_gave_up"]
    assert lost["seconds"] >= 0.6


# ── command lines ────────────────────────────────────────────────────────────────────────────


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(serve_command, list(arguments))
    # 2 is a wrong command line, which is shown again; 1 is something else that is wrong.
    assert result.exit_code == (2 if result.stderr.startswith("Usage:") else 1)
    return result.stderr.strip().splitlines()[-1]


def test_serve_says_in_one_line_what_is_wrong_with_an_edge(tmp_path: Path) -> None:
    upstream = ("--upstream", "wss://gateway.example")
    assert "judges keys" in refused(*upstream, "--keys", "x")
    assert "judges keys" in refused(*upstream, "--write-keys", "x")
    assert "goes with --upstream" in refused("--upstream-ca", "x")
    assert "no such file" in refused(*upstream, "--upstream-ca", str(tmp_path / "none"))
    (tmp_path / "empty").write_text("")
    assert "no certificate" in refused(*upstream, "--upstream-ca", str(tmp_path / "empty"))
    assert "wss://" in refused("--upstream", "ws://x", "--upstream-ca", "x")
    assert "ws:// or wss://" in refused("--upstream", "gateway.example")
    assert "own upstream" in refused("--upstream", "ws://127.0.0.1:8700")
    secret = "wss://user:plx_secret@gateway.example"
    assert "plx_secret" not in refused("--upstream", secret)


@pytest.mark.parametrize(
    ("host", "itself"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "localhost"),
        ("::", "[::1]"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_edge_of_itself_is_refused(host: str, itself: str) -> None:
    with pytest.raises(UsageError, match="own upstream"):
        _other_gateway(f"ws://{itself}:8700", host, 8700, authority=None)
    assert _other_gateway(f"ws://{itself}:8701", host, 8700, authority=None).port == 8701


def test_edge_at_one_address_of_a_machine_may_have_its_upstream_at_another() -> None:
    assert _other_gateway("ws://localhost:8700", "192.0.2.1", 8700, authority=None).port == 8700
