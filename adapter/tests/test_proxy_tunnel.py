"""Which proxy leads to a gateway, and the tunnel through one."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy import ConnectProxy
from plexwire_trio import (
    BadProxy,
    GatewayUrl,
    HandshakeTimedOut,
    Proxy,
    ProxyFailed,
    TlsFailed,
    choose_proxy,
    open_websocket,
    opener_through,
    wrap_server_stream,
)
from plexwire_trio._proxy import is_excepted

PATIENCE_S = 5.0
GATEWAY = GatewayUrl.parse("wss://gateway.example")
PLACE = ("wss", "gateway.example", 443)


# ── which proxy ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "wss://x.org", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "wss://x.org", "p:3128"),
        ({"https_proxy": "p:3128"}, "wss://x.org", "p:3128"),
        ({"HTTPS_PROXY": "http://p"}, "ws://x.org", None),
        ({"HTTP_PROXY": "http://p"}, "ws://x.org", None),
        ({"http_proxy": "http://p"}, "ws://x.org", "p:80"),
        ({"ALL_PROXY": "https://p"}, "wss://x.org", "p:443"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "a.org, x.org"}, "wss://x.org", None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "*"}, "wss://x.org", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://localhost", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://127.0.0.5", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://[::1]", None),
        ({"HTTPS_PROXY": "http://[::5]:8080"}, "wss://x.org", "[::5]:8080"),
    ],
)
def test_client_takes_proxy_of_environment_where_it_is_for_that_gateway(
    environment: dict[str, str], url: str, proxy: str | None
) -> None:
    gateway = GatewayUrl.parse(url)
    found = choose_proxy(None, environment, gateway.scheme, gateway.host, gateway.port)
    assert (None if found is None else str(found)) == proxy


def test_client_takes_given_proxy_before_that_of_environment() -> None:
    environment = {"HTTPS_PROXY": "http://env.example"}
    assert str(choose_proxy("given.example:1", environment, *PLACE)) == "given.example:1"
    assert choose_proxy("none", environment, *PLACE) is None
    with pytest.raises(BadProxy, match="HTTPS_PROXY") as caught:
        choose_proxy("http://u:secret@given.example", environment, *PLACE)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "host", "excepted"),
    [
        ("example.com", "example.com", True),
        ("example.com", "a.EXAMPLE.com", True),
        (".example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("example.com", "badexample.com", False),
        ("example.com:8443", "example.com", True),
        ("example.com:443", "example.com", False),
        ("10.0.0.0/8", "10.2.3.4", True),
        ("10.0.0.0/8", "11.2.3.4", False),
        ("10.2.3.4", "10.2.3.4", True),
        ("fd00::/8", "fd00::1", True),
        ("a b,,c", "c", True),
        (".", "example.com", False),
        ("", "example.com", False),
    ],
)
def test_client_goes_without_proxy_where_no_proxy_has_the_host(
    no_proxy: str, host: str, excepted: bool
) -> None:
    assert is_excepted(no_proxy, host, 8443) is excepted


@given(st.text(), st.text(min_size=1))
def test_client_reads_or_refuses_any_proxy(text: str, host: str) -> None:
    assert is_excepted(text, host, 443) in (True, False)
    with suppress(BadProxy):
        proxy = Proxy.parse(text)
        assert proxy.host
        assert 0 < proxy.port < 65_536


@pytest.mark.parametrize(
    "url", ["socks5://u:secret@x", "http://u:secret@", "http://u:secret@x:99999"]
)
def test_client_raises_bad_proxy_without_repeating_its_password(url: str) -> None:
    with pytest.raises(BadProxy) as caught:
        Proxy.parse(url)
    assert "secret" not in f"{caught.value} {caught.value!r}"
    with pytest.raises(BadProxy, match=r"^HTTPS_PROXY: ") as caught:
        choose_proxy(None, {"HTTPS_PROXY": url}, *PLACE)
    assert "secret" not in f"{caught.value} {caught.value!r}"


def test_proxy_never_shows_its_login() -> None:
    proxy = Proxy.parse("http://user:secret@p:3128")
    assert "secret" not in f"{proxy} {proxy!r}"
    assert proxy.secrets == ("secret",)


# ── the tunnel ───────────────────────────────────────────────────────────────────────────────


async def echo(stream: trio.abc.Stream) -> None:
    with suppress(trio.BrokenResourceError):
        async with trio.open_nursery() as nursery:
            websocket = await (await wrap_server_stream(nursery, stream)).accept()
            await websocket.send_message(await websocket.get_message())
            await trio.sleep_forever()


@asynccontextmanager
async def listening(
    handler: Callable[[Any], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[int, None]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        if tls is None:
            nursery.start_soon(trio.serve_listeners, handler, listeners)
        else:
            secured = [trio.SSLListener(each, tls) for each in listeners]
            nursery.start_soon(trio.serve_listeners, handler, secured)
        with trio.fail_after(PATIENCE_S):
            yield port
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("secure", [False, True])
async def test_client_reaches_gateway_through_proxy(authority: trustme.CA, secure: bool) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    proxy = ConnectProxy()
    tls = server_side(authority) if secure else None
    async with listening(proxy.handle) as proxy_port, listening(echo, tls) as port:
        url = GatewayUrl(secure=secure, host="127.0.0.1", port=port)
        through = Proxy.parse(f"http://us%40er:secret@127.0.0.1:{proxy_port}")
        opener = opener_through(through, ssl_context=trusting)
        async with open_websocket(url, "/ws/device", opener=opener) as websocket:
            await websocket.send_message("hello")
            assert await websocket.get_message() == "hello"
    [asked] = proxy.asked
    assert asked.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")
    assert "Proxy-Authorization: Basic dXNAZXI6c2VjcmV0\r\n" in asked


async def test_client_reaches_gateway_through_proxy_that_speaks_tls(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    with authority.cert_pem.tempfile() as ca:
        monkeypatch.setenv("SSL_CERT_FILE", ca)
        proxy = ConnectProxy()
        async with (
            listening(proxy.handle, server_side(authority)) as proxy_port,
            listening(echo, server_side(authority)) as port,
        ):
            url = GatewayUrl(secure=True, host="127.0.0.1", port=port)
            opener = opener_through(Proxy.parse(f"https://127.0.0.1:{proxy_port}"))
            async with open_websocket(url, "/ws/device", opener=opener) as websocket:
                await websocket.send_message("hello")
                assert await websocket.get_message() == "hello"
    assert len(proxy.asked) == 1


async def test_client_raises_tls_failed_where_certificate_behind_proxy_is_unknown(
    authority: trustme.CA,
) -> None:
    async with (
        listening(ConnectProxy().handle) as proxy_port,
        listening(echo, server_side(authority)) as port,
    ):
        url = GatewayUrl(secure=True, host="127.0.0.1", port=port)
        opener = opener_through(Proxy.parse(f"127.0.0.1:{proxy_port}"))
        with pytest.raises(TlsFailed, match="certificate"):
            await opener(url)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "CONNECT gateway.example:443 with HTTP 403 Forbidden."),
        (b"HTTP/1.1 407 Login\r\n\r\n", "HTTP 407 Login. It wants a login: put http://user:"),
        (b"HTTP/1.1 302 \r\nLocation: http://login\r\n\r\n", "with HTTP 302."),
        (b"", "gave no answer to CONNECT gateway.example:443: it hung up."),
        (b"SSH-2.0-x\r\n\r\n", "gave no answer to CONNECT gateway.example:443: "),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "sent more than its answer to CONNECT"),
    ],
)
async def test_client_raises_proxy_failed_with_what_the_proxy_answered(
    answer: bytes, said: str
) -> None:
    async with listening(ConnectProxy(answer).handle) as port:
        with pytest.raises(ProxyFailed) as caught:
            await opener_through(Proxy.parse(f"127.0.0.1:{port}"))(GATEWAY)
    assert str(caught.value).startswith(f"The proxy 127.0.0.1:{port} ")
    assert said in str(caught.value)


async def test_client_raises_proxy_failed_where_nothing_listens() -> None:
    with pytest.raises(ProxyFailed) as caught:
        await opener_through(Proxy(host="127.0.0.1", port=1))(GATEWAY)
    assert str(caught.value).startswith(
        "The proxy 127.0.0.1:1 can't be reached: Connection refused. Check"
    )


async def test_client_raises_proxy_failed_where_proxy_speaks_no_tls() -> None:
    async def hang_up(stream: trio.abc.Stream) -> None:
        await stream.receive_some()

    async with listening(hang_up) as port:
        with pytest.raises(ProxyFailed, match=f"TLS with the proxy 127.0.0.1:{port} failed: "):
            await opener_through(Proxy.parse(f"https://127.0.0.1:{port}"))(GATEWAY)


async def test_client_raises_handshake_timed_out_where_proxy_is_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def silent(stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, silent, 0, host="127.0.0.1"))
        opener = opener_through(Proxy(host="127.0.0.1", port=listener.socket.getsockname()[1]))
        with pytest.raises(HandshakeTimedOut):
            async with open_websocket(GATEWAY, "/ws/device", opener=opener):
                pytest.fail("opened")
        nursery.cancel_scope.cancel()
