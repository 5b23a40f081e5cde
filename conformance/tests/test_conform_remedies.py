"""What stands between `plexwire conform` and a gateway is told in one sentence that says what to do."""

import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from plexwire_conformance.wire.framing import ACCEPT
from plexwire_server import Gateway, KeyStore

COULD_NOT_JUDGE = 2
#: Seconds that no run here takes.
PATIENCE_S = 40.0
PROGRAM = (sys.executable, "-c", "from plexwire_conformance.cli import main; main()")
KEY = "plx_0123456789abcdef0123"


async def conform(url: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Judge in a process of its own; return its exit code, what it printed, and its errors."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [*PROGRAM, "conform", url, "--only", "auth.in-time", *arguments],
            env={**os.environ, "PLEXWIRE_API_KEY": KEY, **environment},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def serve(
    handler: Callable[[Any], Awaitable[None]],
    context: ssl.SSLContext | None = None,
    *,
    task_status: trio.TaskStatus[int],
) -> None:
    async with trio.open_nursery() as nursery:
        if context is None:
            listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
            task_status.started(listeners[0].socket.getsockname()[1])
        else:
            start = partial(trio.serve_ssl_over_tcp, handler, 0, context, host="127.0.0.1")
            tls = await nursery.start(start)
            task_status.started(tls[0].transport_listener.socket.getsockname()[1])


def answers(data: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def handler(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(data)
            while await stream.receive_some():
                pass

    return handler


def authority(name: str = "127.0.0.1") -> tuple[trustme.CA, ssl.SSLContext]:
    """A private authority, and a server's context with a certificate of it for *name*."""
    made = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.issue_cert(name).configure_cert(context)
    return made, context


async def lenient(gateway: Gateway, stream: trio.abc.Stream) -> None:
    """Serve *stream*, which may turn out to be no TLS."""
    try:
        await gateway.serve_stream(stream)
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)


async def test_conform_gets_wss_for_a_plain_port_and_says_so() -> None:
    store, _ = KeyStore.throw_away()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, Gateway(store).serve_stream)
        code, _, err = await conform(f"wss://127.0.0.1:{port}/live")
        nursery.cancel_scope.cancel()
    assert code == COULD_NOT_JUDGE
    assert err == (
        f"Error: wss://127.0.0.1:{port}/live: TLS failed: that port does not speak TLS. "
        f"Give ws://127.0.0.1:{port}/live instead.\n"
    )


async def test_conform_gets_ws_for_a_port_with_tls_and_says_so() -> None:
    _, context = authority()
    store, _ = KeyStore.throw_away()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, partial(lenient, Gateway(store)), context)
        code, _, err = await conform(f"ws://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()
    assert code == COULD_NOT_JUDGE
    assert err == (
        f"Error: ws://127.0.0.1:{port}: that port speaks TLS. "
        f"Give wss://127.0.0.1:{port} instead.\n"
    )


@pytest.mark.parametrize(
    ("name", "trusted", "remedy"),
    [
        ("127.0.0.1", False, "give that authority's by --ca FILE."),
        ("gateway.example", True, "Give the host that the certificate is for."),
    ],
)
async def test_conform_does_not_trust_a_certificate_and_says_what_to_give(
    name: str, trusted: bool, remedy: str, tmp_path: Path
) -> None:
    made, context = authority(name)
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    store, _ = KeyStore.throw_away()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, partial(lenient, Gateway(store)), context)
        options = ("--ca", str(tmp_path / "ca.pem")) if trusted else ()
        code, _, err = await conform(f"wss://127.0.0.1:{port}", *options)
        nursery.cancel_scope.cancel()
    assert code == COULD_NOT_JUDGE
    (line,) = err.splitlines()
    assert "TLS failed" in line
    assert line.endswith(remedy)


@pytest.mark.parametrize(
    ("location", "base"),
    [
        ("https://other.example/live/v1/sources/x/video/stream?a=1", "wss://other.example/live"),
        ("http://other.example:8700/", "ws://other.example:8700"),
        ("/login", "ws://127.0.0.1:{port}/login"),
    ],
)
async def test_conform_is_redirected_and_names_the_target(location: str, base: str) -> None:
    head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, answers(head.encode()))
        code, _, err = await conform(f"ws://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()
    assert code == COULD_NOT_JUDGE
    (line,) = err.splitlines()
    assert f"HTTP 307, a redirect to {location}" in line
    assert line.endswith(f"such as {base.format(port=port)}")


async def test_gateway_ends_its_lines_with_lf_and_is_told_so() -> None:
    head = (
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n"
        f"Sec-WebSocket-Accept: {ACCEPT}\n\n"
    )
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, answers(head.encode()))
        code, out, _ = await conform(f"ws://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()
    assert code == 1
    assert "PW-CONN-6/bad-handshake-answer" in out
    assert "end with LF instead of CRLF" in " ".join(out.split())


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("ws://gateway:8700/?camera_id=front", "ws://gateway:8700:"),
        ("wss://gateway:8443/live?a=b", "wss://gateway:8443/live:"),
        ("wss://user:secret@gateway:8443", "wss://gateway:8443:"),
        ("ws://[::1]:8700/v1/sources/x/video/stream?timeout=3", "ws://[::1]:8700:"),
        ("https://gateway:8443", "write wss:// instead of https://"),
        ("http://gateway:8443", "write ws:// instead of http://"),
    ],
)
async def test_conform_gets_a_bad_url_and_suggests_one_with_its_scheme_and_port(
    url: str, remedy: str
) -> None:
    code, _, err = await conform(url)
    assert code == COULD_NOT_JUDGE
    assert remedy in err
    assert "secret" not in err
