"""From an address to an open WebSocket: TCP, TLS, the handshake, on a byte stream that is ours to close.

The library waits for ever when the peer hangs up during the handshake, and reports a refusal only if the peer bothers to
say how long its body is; here the stream beneath it is watched instead.
"""

import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import trio
from trio_websocket import WebSocketConnection

from plexwire_protocol import Close, CloseCode, __version__
from plexwire_protocol.limits import MAX_MESSAGE_BYTES
from plexwire_trio._errors import (
    ConnectionLost,
    HandshakeTimedOut,
    HostNotFound,
    HostUnreachable,
    NothingListens,
    TlsFailed,
)
from plexwire_trio._helpers import helper_tasks
from plexwire_trio._refusal import is_refusal, judge_answer
from plexwire_trio._urls import GatewayUrl
from plexwire_trio._websocket import wrap_client_stream

#: Seconds for name, TCP, TLS and handshake together.
HANDSHAKE_TIMEOUT_S: Final = 10.0

#: Longest message that a client takes, in characters: base64 makes the largest frame of a device a third longer, and
#: metadata comes on top.
MAX_RECEIVED: Final = 8 * MAX_MESSAGE_BYTES

#: Bytes of an answer that are kept to explain a handshake that failed.
_KEPT_BYTES: Final = 4096

#: Seconds that the rest of a refusal gets, once its status is known.
_REST_OF_REFUSAL_S: Final = 1.0

#: How a client gets its byte stream: a tunnel or a pair in memory does as well as TCP.
StreamOpener: TypeAlias = Callable[[GatewayUrl], Awaitable[trio.abc.Stream]]


async def open_stream(
    url: GatewayUrl, *, ssl_context: ssl.SSLContext | None = None
) -> trio.abc.Stream:
    """Return a byte stream to the gateway: TCP for ws://, TLS over it for wss://.

    *ssl_context* stands in for the system's certificates; it is not used for ws://.

    Raises:
        ConnectError: one of its classes, by what went wrong.

    """
    try:
        tcp = await trio.open_tcp_stream(url.host, url.port)
    except (socket.gaierror, UnicodeError):
        raise HostNotFound(
            f"There is no host named {url.host}.",
            "Check the name, and that this machine is online.",
        ) from None
    except OSError as error:
        raise _unreachable(url, error) from None
    return await start_tls(tcp, url, ssl_context) if url.secure else tcp


async def start_tls(
    stream: trio.abc.Stream, url: GatewayUrl, ssl_context: ssl.SSLContext | None
) -> trio.abc.Stream:
    """Return TLS with the gateway over *stream*, which leads there; if that fails, *stream* is closed.

    Raises:
        TlsFailed: either side refused.

    """
    context = ssl.create_default_context() if ssl_context is None else ssl_context
    tls = trio.SSLStream(stream, context, server_hostname=url.server_name, https_compatible=True)
    try:
        await tls.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(tls)
        if isinstance(error, trio.BrokenResourceError):
            raise _tls_failed(url, error.__cause__) from None
        raise
    return tls


@asynccontextmanager
async def open_websocket(
    url: GatewayUrl,
    target: str,
    *,
    ssl_context: ssl.SSLContext | None = None,
    timeout_s: float = HANDSHAKE_TIMEOUT_S,
    opener: StreamOpener | None = None,
) -> AsyncGenerator[WebSocketConnection, None]:
    """Open a WebSocket at *target* of the gateway; on leaving, its byte stream is closed, whoever closed first.

    *target* is a path with its query, as `StreamAddress.target` gives it.  *opener*, where given, stands in for
    `open_stream`.  No key is sent here: it travels in the first message alone.  [PW-ADDR-14]

    Raises:
        ConnectError: one of its classes, by what went wrong, after at most *timeout_s* seconds.
        ConnectionLost: the library gave up on what the peer sent; the body was cancelled where it stood.

    """
    deadline = trio.current_time() + timeout_s
    stream: trio.abc.Stream | None = None
    with trio.CancelScope(deadline=deadline):
        stream = await (
            open_stream(url, ssl_context=ssl_context) if opener is None else opener(url)
        )
    if stream is None:
        raise HandshakeTimedOut(
            f"{url.place} gave no answer within {timeout_s:g} s.",
            "Check the address, and whether a firewall is in between.",
        )
    try:
        async with _shake_hands(_Watched(stream), url, target, deadline) as websocket:
            yield websocket
    finally:
        await _close(stream)


@asynccontextmanager
async def _shake_hands(
    stream: "_Watched", url: GatewayUrl, target: str, deadline: float
) -> AsyncGenerator[WebSocketConnection, None]:
    websocket: WebSocketConnection | None = None
    crash: BaseException | None = None
    body_error: BaseException | None = None
    finished = False
    try:
        async with helper_tasks() as nursery:
            with trio.CancelScope(deadline=deadline) as stream.handshake:
                websocket = await wrap_client_stream(
                    nursery,
                    stream,
                    url.host_header,
                    url.prefix + target,
                    extra_headers=[(b"User-Agent", f"plexwire/{__version__}".encode())],
                    max_message_bytes=MAX_RECEIVED,
                )
            if websocket is not None:
                try:
                    yield websocket
                except Exception as error:
                    body_error = error
                    raise
                finished = True
    except BaseExceptionGroup as group:
        if group is body_error:
            raise
        # A peer that breaks HTTP or RFC 6455 can make the library's reader die, which cancels all in its nursery.
        crash, others = group.split(Exception)
        if others is not None:
            raise others from None
    if websocket is None:
        raise judge_answer(
            url.place,
            url.prefix + target,
            bytes(stream.kept),
            hung_up=stream.hung_up,
            secure=url.secure,
        ) from crash
    if not finished:
        raise ConnectionLost(Close(CloseCode.ABNORMAL)) from crash


class _Watched(trio.abc.Stream):
    """The byte stream beneath a WebSocket: ends the handshake when the peer hangs up, and keeps its first bytes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.handshake = trio.CancelScope()
        self.kept = bytearray()
        self.hung_up = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self._lost()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._lost()
            raise
        if not data:
            self._lost()
        elif len(self.kept) < _KEPT_BYTES:
            self.kept += data[: _KEPT_BYTES - len(self.kept)]
            if is_refusal(self.kept):
                patience = trio.current_time() + _REST_OF_REFUSAL_S
                self.handshake.deadline = min(self.handshake.deadline, patience)
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _lost(self) -> None:
        self.hung_up = True
        self.handshake.cancel()


async def _close(stream: trio.abc.Stream) -> None:
    # TLS says goodbye, which a stalled peer must not be able to hold up.
    patience = trio.CancelScope(deadline=trio.current_time() + 1, shield=True)
    with patience, suppress(trio.BrokenResourceError):
        await stream.aclose()


def _unreachable(url: GatewayUrl, error: OSError) -> NothingListens | HostUnreachable:
    attempts = error.__cause__
    errors = attempts.exceptions if isinstance(attempts, ExceptionGroup) else (error,)
    if all(isinstance(each, ConnectionRefusedError) for each in errors):
        return NothingListens(
            f"Nothing listens at {url.place}.", "Is the gateway running, and is the port right?"
        )
    numbers = {each.strerror for each in errors if isinstance(each, OSError) and each.strerror}
    return HostUnreachable(
        f"{url.place} can't be reached{': ' if numbers else ''}{', '.join(sorted(numbers))}.",
        "Check the address and the network.",
    )


def _tls_failed(url: GatewayUrl, cause: BaseException | None) -> TlsFailed:
    match cause:
        case ssl.SSLCertVerificationError():
            return TlsFailed(
                f"The certificate of {url.place} is not accepted: {cause.verify_message}.",
                "Give the authority that signed it with --ca, or use the name that it was issued for.",
            )
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
            return TlsFailed(f"{url.place} does not speak TLS.", "Use ws:// for it.")
        case ssl.SSLError():
            reason = (cause.reason or "unknown reason").lower().replace("_", " ")
            return TlsFailed(
                f"TLS with {url.place} failed: {reason}.", "Check both sides' TLS settings."
            )
        case _:
            return TlsFailed(
                f"{url.place} hung up during the TLS handshake.", "Does it expect ws:// instead?"
            )
