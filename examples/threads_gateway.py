"""The sans-IO core without an event loop: a whole gateway on threads and `websockets.sync`.

    PLEXWIRE_API_KEY=plx_… python examples/threads_gateway.py

It knows the one key of its environment, prints its URL, and serves until its standard input closes.  All rules of the
protocol are in the core's `Hub`; what is written here is reading, writing and waiting.
"""

import os
import socket
import struct
import sys
import time
from functools import partial
from http import HTTPStatus
from threading import Event, Thread
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from plexwire_protocol import Abort, AddressRefused, AnyPeer, Close, CloseCode, Hub
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

#: Old video that may lie in the kernel for a viewer that stalls, in bytes.
SEND_BUFFER: Final = 262_144

#: How often a reader looks at its deadline: another thread may have set it, in seconds.
GLANCE: Final = 0.25

now: Final = time.monotonic


def play(hub: Hub, api_key: str, ws: ServerConnection) -> None:
    """Serve one viewer or device to its end."""
    bell = Event()
    peer = hub.connect(ws.request.path if ws.request else "", wake=bell.set, now=now())
    Thread(target=write, args=(peer, ws, bell), daemon=True).start()
    try:
        while not peer.ended:
            left = peer.seconds_left(now=now())
            try:
                message = ws.recv(GLANCE if left is None else min(left, GLANCE))
                peer.receive(message, now=now())
            except TimeoutError:
                peer.handle_timeout(now=now())
            except ConnectionClosed as error:
                if error.rcvd is None and error.sent is not None:  # it broke RFC 6455
                    peer.receive_close(error.sent.code, failed=True, now=now())
                peer.receive_close(error.rcvd.code if error.rcvd else CloseCode.ABNORMAL, now=now())
            if peer.api_key is not None:  # a real gateway would ask a database here
                good = peer.api_key == api_key
                peer.judge("ours" if good else CloseCode.UNAUTHORIZED, now=now())
    finally:
        peer.receive_close(CloseCode.ABNORMAL, now=now())
        bell.set()
        if peer.aborted:  # with a reset: the kernel would keep what the peer does not read
            ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ws.socket.shutdown(socket.SHUT_RDWR)


def write(peer: AnyPeer, ws: ServerConnection, bell: Event) -> None:
    """Send what there is to send, one item at a time, as fast as the peer takes it."""
    try:
        while not peer.ended:
            bell.clear()
            match peer.next_outgoing(now=now()):
                case None:
                    bell.wait()
                case Close() as close:
                    ws.close(close.code, close.reason)
                case Abort():
                    return
                case message:
                    ws.send(message)
    except ConnectionClosed:
        peer.write_failed(now=now())


def refuse(hub: Hub, ws: ServerConnection, request: Request) -> Response | None:
    """Refuse a target that is no address by an HTTP error, before the handshake."""
    try:
        hub.check_target(request.path)
    except AddressRefused as error:
        return ws.respond(HTTPStatus(error.status), f"{error}\n")
    return None


def main() -> None:
    """Serve on a free port until standard input closes."""
    hub = Hub(unix_ms=lambda: time.time_ns() // 1_000_000)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    with serve(
        partial(play, hub, os.environ["PLEXWIRE_API_KEY"]),
        sock=listener,
        process_request=partial(refuse, hub),
        max_size=MAX_MESSAGE_BYTES,
        compression=None,
    ) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        print(f"ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
