"""A gateway behind TCP, with or without TLS."""

import socket
import ssl
from functools import partial
from typing import TypeAlias

import trio

from plexwire_server._gateway import Gateway

Address: TypeAlias = tuple[str, int]


async def serve(
    gateway: Gateway,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *gateway* on *host* and *port* until cancelled; port 0 lets the system choose.

    `nursery.start` gives the list of (host, port) that it listens on, one or more.  A cancel drops all connections
    without a word: call `gateway.drain` first.

    Raises:
        OSError: it can't listen there.

    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    addresses: list[Address] = []
    for listener in listeners:
        if gateway.limits.send_buffer_bytes is not None:
            # Connections inherit it.
            listener.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, gateway.limits.send_buffer_bytes
            )
        name = listener.socket.getsockname()
        addresses.append((name[0], name[1]))
    async with trio.open_nursery() as nursery:
        if ssl_context is None:
            await nursery.start(partial(trio.serve_listeners, gateway.serve_stream, listeners))
        else:
            over_tls = [
                trio.SSLListener(listener, ssl_context, https_compatible=True)
                for listener in listeners
            ]
            await nursery.start(partial(trio.serve_listeners, gateway.serve_stream, over_tls))
        task_status.started(addresses)
