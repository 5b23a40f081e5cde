"""From an endpoint to an upgraded connection, in bounded time, and with words for what stood in the way."""

import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from plexwire_conformance.target.target import Endpoint
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection


async def dial(endpoint: Endpoint, *, narrow: bool, within: float) -> trio.abc.Stream:
    """Open a byte stream to *endpoint* within so many seconds; a *narrow* one holds little.

    Raises:
        NoConnection: there was none to be had.
    """
    try:
        with trio.fail_after(within):
            return await endpoint.dial(narrow)
    except trio.TooSlowError:
        raise NoConnection(f"no connection within {within:.2g} s") from None
    except OSError as error:
        raise NoConnection(f"no connection: {_reason(error)}") from None
    except trio.BrokenResourceError as error:
        raise _tls_failure(error.__cause__ or error, endpoint) from None


async def upgrade(
    stream: trio.abc.Stream, handshake: Callable[[], Awaitable[None]], *, within: float
) -> None:
    """Shake hands over *stream* within so many seconds; where that fails, the stream is closed.

    Raises:
        HandshakeFailed: it was not upgraded.
    """
    try:
        with trio.move_on_after(within) as scope:
            await handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    if scope.cancelled_caught:
        await trio.aclose_forcefully(stream)
        raise HandshakeFailed(f"no answer within {within:.2g} s")


#: What OpenSSL calls an answer that is not TLS.
_NOT_TLS: Final = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
)
#: How OpenSSL numbers a certificate of which it does not know the authority.
_UNKNOWN_AUTHORITY: Final = (18, 19, 20, 21)


def _tls_failure(error: BaseException, endpoint: Endpoint) -> NoConnection:
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in _UNKNOWN_AUTHORITY:
            return NoConnection(
                f"TLS failed: {error.verify_message}",
                "If its certificate is of a private authority, give that authority's by --ca FILE.",
            )
        case ssl.SSLCertVerificationError():
            return NoConnection(
                f"TLS failed: {error.verify_message}", "Give the host that the certificate is for."
            )
        case ssl.SSLError(reason=str() as reason) if reason in _NOT_TLS:
            plain = endpoint.url.replace("wss://", "ws://", 1)
            return NoConnection(
                "TLS failed: that port does not speak TLS", f"Give {plain} instead."
            )
        case _:
            return NoConnection(f"TLS failed: {error}", "Does that port speak TLS?")


def _reason(error: OSError) -> str:
    # Happy eyeballs hides what each address said in the cause.
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup) and isinstance(cause.exceptions[0], OSError):
        return _reason(cause.exceptions[0])
    if isinstance(error, trio.socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)
