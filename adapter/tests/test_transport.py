"""Opening a WebSocket, and every way in which that can fail."""

import copy
import pickle
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_protocol import Close, CloseCode
from plexwire_trio import (
    HANDSHAKE_TIMEOUT_S,
    BadUrl,
    ConnectError,
    ConnectionLost,
    GatewayUrl,
    HandshakeRefused,
    HandshakeTimedOut,
    HostNotFound,
    NotAGateway,
    NothingListens,
    Refused,
    TlsFailed,
    open_websocket,
    wrap_server_stream,
)
from plexwire_trio._refusal import judge_answer

Handler: TypeAlias = Callable[[trio.abc.Stream], Awaitable[None]]

PATIENCE_S = 5.0


@asynccontextmanager
async def listening(handler: Handler) -> AsyncGenerator[GatewayUrl, None]:
    """Serve *handler* on loopback."""

    async def handle(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await handler(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield GatewayUrl.parse(f"ws://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()


async def fails(url: GatewayUrl, context: ssl.SSLContext | None = None) -> ConnectError:
    """Return the error that connecting to *url* ends with."""
    with trio.fail_after(PATIENCE_S), pytest.raises(ConnectError) as caught:
        async with open_websocket(url, "/ws/device", ssl_context=context):
            pytest.fail("opened")
    return caught.value


async def fails_over(handler: Handler) -> ConnectError:
    """Return the error that connecting to *handler* over memory ends with."""
    async with trio.open_nursery() as nursery:

        async def opener(url: GatewayUrl) -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(handler, ours)
            return theirs

        with pytest.raises(ConnectError) as caught:
            async with open_websocket(
                GatewayUrl.parse("ws://gateway.example"), "/ws/device", opener=opener
            ):
                pytest.fail("opened")
        nursery.cancel_scope.cancel()
    return caught.value


def answers(data: bytes, *, then_hangs_up: bool) -> Handler:
    async def handler(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(data)
        if then_hangs_up:
            await stream.aclose()
        else:
            await trio.sleep_forever()

    return handler


# ── over sockets ─────────────────────────────────────────────────────────────────────────────


async def test_client_raises_nothing_listens_where_port_is_closed() -> None:
    async with listening(answers(b"", then_hangs_up=True)) as url:
        pass
    error = await fails(url)
    assert isinstance(error, NothingListens)
    assert f"Nothing listens at {url.place}." in str(error)


async def test_client_raises_host_not_found_where_name_does_not_exist() -> None:
    error = await fails(GatewayUrl.parse("ws://no-such-gateway.invalid"))
    assert isinstance(error, HostNotFound)
    assert "no-such-gateway.invalid" in str(error)


async def test_client_raises_not_a_gateway_at_once_where_peer_hangs_up_before_handshake() -> None:
    async def handler(stream: trio.abc.Stream) -> None:
        await stream.receive_some()

    async with listening(handler) as url:
        error = await fails(url)
    assert isinstance(error, NotAGateway)
    assert "hung up during the handshake" in str(error)


async def test_client_raises_not_a_gateway_at_once_where_peer_resets_connection() -> None:
    async def handler(stream: trio.abc.Stream) -> None:
        assert isinstance(stream, trio.SocketStream)
        stream.setsockopt(
            trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, bytes((1, 0, 0, 0) + (0,) * 4)
        )

    async with listening(handler) as url:
        error = await fails(url)
    assert isinstance(error, NotAGateway)


async def test_client_raises_handshake_refused_with_status_where_server_answers_404() -> None:
    async def handler(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            await request.reject(404, body=b"no such path\n")
            nursery.cancel_scope.cancel()

    async with listening(handler) as url:
        error = await fails(url)
    assert isinstance(error, HandshakeRefused)
    assert (error.status, error.body) == (404, "no such path")
    assert "HTTP 404 Not Found for /ws/device (no such path)" in str(error)


@asynccontextmanager
async def listening_with_tls(names: str) -> AsyncGenerator[tuple[GatewayUrl, ssl.SSLContext], None]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(names).configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def handler(stream: trio.abc.Stream) -> None:
        tls = trio.SSLStream(stream, server, server_side=True, https_compatible=True)
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, tls)
            websocket = await request.accept()
            await websocket.get_message()
            nursery.cancel_scope.cancel()

    async def quietly(stream: trio.abc.Stream) -> None:
        try:
            await handler(stream)
        except* (trio.BrokenResourceError, Exception):
            pass

    async with listening(quietly) as url:
        yield GatewayUrl(secure=True, host="localhost", port=url.port), trusting


async def test_client_opens_websocket_over_tls_where_authority_is_given() -> None:
    async with listening_with_tls("localhost") as (url, trusting):
        with trio.fail_after(PATIENCE_S):
            async with open_websocket(url, "/ws/device", ssl_context=trusting) as websocket:
                await websocket.send_message("hello")


async def test_client_raises_tls_failed_where_authority_is_unknown() -> None:
    async with listening_with_tls("localhost") as (url, _):
        error = await fails(url)
    assert isinstance(error, TlsFailed)
    assert "certificate" in str(error)


async def test_client_raises_tls_failed_where_certificate_is_for_another_name() -> None:
    async with listening_with_tls("elsewhere.example") as (url, trusting):
        error = await fails(url, trusting)
    assert isinstance(error, TlsFailed)
    assert "localhost" in str(error)


async def test_client_raises_tls_failed_where_server_speaks_no_tls() -> None:
    async with listening(answers(b"HTTP/1.1 400 Bad Request\r\n\r\n", then_hangs_up=True)) as url:
        error = await fails(GatewayUrl(secure=True, host=url.host, port=url.port))
    assert isinstance(error, TlsFailed)
    assert "Use ws://" in str(error)


async def test_client_raises_not_a_gateway_where_tls_is_expected() -> None:
    async with listening(answers(b"\x15\x03\x03\x00\x02\x02\x46", then_hangs_up=True)) as url:
        error = await fails(url)
    assert isinstance(error, NotAGateway)
    assert "Use wss://" in str(error)


# ── over memory, in virtual time ─────────────────────────────────────────────────────────────

_404 = b"HTTP/1.1 404 Not Found\r\n"


@pytest.mark.parametrize(
    ("answer", "then_hangs_up", "body"),
    [
        (_404 + b"Content-Length: 7\r\n\r\nnothing", True, "nothing"),
        (_404 + b"Content-Length: 7\r\n\r\nnothing", False, "nothing"),
        (_404 + b"\r\nnothing", True, "nothing"),
        (_404 + b"Connection: close\r\n\r\n", True, ""),
        (_404 + b"Content-Length: 99\r\n\r\nnoth", False, "noth"),
        (_404 + b"Content-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>", True, ""),
        (_404 + b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", False, ""),
        (_404 + b"\r\n" + b"x" * 9000, True, "x" * 200 + "…"),
    ],
)
async def test_client_raises_handshake_refused_however_the_body_ends(
    autojump_clock: trio.testing.MockClock, answer: bytes, then_hangs_up: bool, body: str
) -> None:
    began = trio.current_time()
    error = await fails_over(answers(answer, then_hangs_up=then_hangs_up))
    assert isinstance(error, HandshakeRefused)
    assert (error.status, error.body) == (404, body)
    assert trio.current_time() - began <= 1.01


async def test_client_raises_handshake_timed_out_where_peer_never_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    error = await fails_over(answers(b"", then_hangs_up=False))
    assert isinstance(error, HandshakeTimedOut)
    assert trio.current_time() - began == pytest.approx(HANDSHAKE_TIMEOUT_S, abs=0.01)


async def test_client_raises_handshake_timed_out_where_nobody_answers_the_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(HandshakeTimedOut, match="gave no answer within 10 s"):
        async with open_websocket(
            GatewayUrl.parse("ws://gateway.example"), "/ws/device", opener=opener
        ):
            pytest.fail("opened")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nnot a header\r\n\r\n",
    ],
)
async def test_client_raises_not_a_gateway_where_answer_is_no_handshake(
    autojump_clock: trio.testing.MockClock, answer: bytes
) -> None:
    assert isinstance(await fails_over(answers(answer, then_hangs_up=True)), NotAGateway)


class Brittle(trio.abc.ReceiveStream):
    """Raises what no stream should, once the handshake is done."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        if not data.startswith(b"HTTP"):
            raise RuntimeError
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_client_raises_connection_lost_where_library_fails_on_an_open_websocket(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()

        async def serve() -> None:
            async with trio.open_nursery() as inner:
                websocket = await (await wrap_server_stream(inner, ours)).accept()
                await websocket.send_message("hello")

        nursery.start_soon(serve)
        return trio.StapledStream(theirs.send_stream, Brittle(theirs.receive_stream))

    async def waits_inside() -> None:
        url = GatewayUrl.parse("ws://gateway.example")
        async with open_websocket(url, "/ws/device", opener=opener):
            await trio.sleep_forever()

    with pytest.raises(ConnectionLost):
        await waits_inside()


async def test_client_lets_exception_of_body_through_ungrouped(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()

        async def serve() -> None:
            async with trio.open_nursery() as inner:
                await (await wrap_server_stream(inner, ours)).accept()

        nursery.start_soon(serve)
        return theirs

    async def fails_inside() -> None:
        url = GatewayUrl.parse("ws://gateway.example")
        async with open_websocket(url, "/ws/device", opener=opener):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails_inside()


@settings(deadline=None)
@given(
    st.binary() | st.binary().map(lambda rest: b"HTTP/1.1 " + rest), st.booleans(), st.booleans()
)
def test_client_finds_words_for_any_answer(answer: bytes, hung_up: bool, secure: bool) -> None:
    error = judge_answer("host:1", "/x?camera_id=a", answer, hung_up=hung_up, secure=secure)
    assert str(error)
    assert "\n" not in str(error)
    assert "?" not in str(error).split(" for ")[-1].split(" ")[0]


# ── addresses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "place", "host_header", "normal"),
    [
        ("ws://127.0.0.1:8700", "127.0.0.1:8700", "127.0.0.1:8700", "ws://127.0.0.1:8700"),
        ("ws://127.0.0.1:8700/", "127.0.0.1:8700", "127.0.0.1:8700", "ws://127.0.0.1:8700"),
        ("wss://gateway.example", "gateway.example:443", "gateway.example", "wss://gateway.example"),
        ("wss://gateway.example/edge/", "gateway.example:443", "gateway.example", "wss://gateway.example/edge"),
        ("ws://[::1]:8700", "[::1]:8700", "[::1]:8700", "ws://[::1]:8700"),
        ("WSS://Gateway.Example:443", "gateway.example:443", "gateway.example", "wss://gateway.example"),
        ("ws://bücher.example", "xn--bcher-kva.example:80", "xn--bcher-kva.example", "ws://xn--bcher-kva.example"),
        ("ws://faß.example:80", "xn--fa-hia.example:80", "xn--fa-hia.example", "ws://xn--fa-hia.example"),
        ("ws://BÜCHER.example", "xn--bcher-kva.example:80", "xn--bcher-kva.example", "ws://xn--bcher-kva.example"),
        ("ws://[fe80::1%25Eth0]:8700", "[fe80::1%Eth0]:8700", "[fe80::1]:8700", "ws://[fe80::1%25Eth0]:8700"),
        ("wss://[fe80::1%eth0]/x", "[fe80::1%eth0]:443", "[fe80::1]", "wss://[fe80::1%25eth0]/x"),
        ("ws://[fe80::1%2525]", "[fe80::1%25]:80", "[fe80::1]", "ws://[fe80::1%2525]"),
    ],
)  # fmt: skip
def test_client_reads_base_address(text: str, place: str, host_header: str, normal: str) -> None:
    url = GatewayUrl.parse(text)
    assert (url.place, url.host_header, str(url)) == (place, host_header, normal)
    assert GatewayUrl.parse(str(url)) == url


SECRET = "plx_secret_in_the_wrong_place"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8700",
        "gateway.example",
        "http://gateway.example",
        "https://gateway.example",
        "ws://",
        "ws://:8700",
        "ws://host:port",
        "ws://host:99999",
        "ws://[::1",
        "ws://[fe80::1%25]",
        "ws://[fe80::1%25a%2fb]",
        "ws://☃.example",
        "ws://a%20b.example",
        "ws://a%b",
        "ws://two words",
        f"ws://{SECRET}@gateway.example",
        f"ws://user:{SECRET}@gateway.example",
        f"ws://gateway.example?api_key={SECRET}",
        f"ws://gateway.example#{SECRET}",
        "ws://gateway.example/v1/sources/robot-01/video/stream",
        "ws://gateway.example/ws/device",
        "ws://gateway.example/two words",
        "ws://" + "x" * 70 + "ü.example",
    ],
)
def test_client_raises_bad_url_without_repeating_a_key(text: str) -> None:
    with pytest.raises(BadUrl) as caught:
        GatewayUrl.parse(text)
    assert SECRET not in f"{caught.value} {caught.value!r}"
    assert caught.value.hint


@settings(deadline=None)
@given(st.text() | st.text("abz09.-_%:[]@/?#ßü", max_size=20))
def test_client_reads_or_refuses_any_address(text: str) -> None:
    for candidate in (text, f"ws://{text}"):
        with suppress(BadUrl):
            url = GatewayUrl.parse(candidate)
            assert GatewayUrl.parse(str(url)) == url
            assert url.host_header.isascii()
            assert "%" not in url.host_header


@pytest.mark.parametrize(
    "error",
    [
        NothingListens("Nothing.", "Start it."),
        HandshakeRefused("404.", "Look.", 404, "no"),
        Refused(Close(CloseCode.UNAUTHORIZED, "bad key"), "really"),
        ConnectionLost(Close(CloseCode.ABNORMAL)),
    ],
)
def test_client_errors_copy_and_pickle(error: Exception) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
