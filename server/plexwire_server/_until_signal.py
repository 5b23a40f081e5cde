"""The life of `plexwire serve`: from the first address to the last goodbye."""

import errno
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import trio

from plexwire_server._gateway import Gateway
from plexwire_server._log import LogEvent
from plexwire_server._tcp import Address, serve


async def serve_until_told(
    opening: AbstractAsyncContextManager[Gateway],
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    announce: Callable[[list[Address]], None],
    log: Callable[[LogEvent], None],
) -> OSError | None:
    """Serve until a signal, then let everybody go; a second signal does not wait for that.

    Returns why it can't listen; None after a signal.
    """
    began = time.monotonic()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with opening as gateway, trio.open_nursery() as nursery:
            start = partial(serve, gateway, host=host, port=port, ssl_context=ssl_context)
            try:
                addresses: list[Address] = await nursery.start(start)
            except OSError as error:
                return error
            announce(addresses)
            told = signal.Signals(await anext(signals))
            log(LogEvent("stopping", {"signal": told.name}))
            nursery.start_soon(_hurry, signals, nursery.cancel_scope)
            await gateway.drain()
            nursery.cancel_scope.cancel()
    log(LogEvent("stopped", {"seconds": round(time.monotonic() - began, 3)}))
    return None


async def _hurry(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def explain(error: OSError, host: str, port: int) -> str:
    """Return why *host* and *port* can't be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"There is no interface named {host}: {error.strerror}."
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is in use; choose another with --port."
        case errno.EADDRNOTAVAIL:
            return f"This machine has no address {host}; choose another with --host."
        case errno.EACCES:
            return f"Port {port} needs more rights; choose one above 1023 with --port."
        case _:
            return f"Can't listen on {host} port {port}: {error.strerror}."
