"""Viewers, as cheap as they can be: raw sockets that throw pictures away in the kernel."""

import json
import re
import select
import socket
import ssl
from typing import Any, Final
from urllib.parse import quote

from plexwire_bench.endpoint import Endpoint
from plexwire_bench.frames import CLOSE, PING, PONG, TEXT, client_frame

CAMERAS: Final = ("front", "rear", "left", "right")
_STAMP: Final = re.compile(rb'"timestamp"\s*:\s*(\d+)')
#: Bytes at both ends of a picture's text that are really read where the stamp is needed.
_EDGE: Final = 160
_LONGEST_HEADER: Final = 10


class Gone(Exception):
    """The gateway refused or closed a connection."""


def source_of(device: int) -> str:
    """Return the source that device number *device* is."""
    return f"bench-{device:02}"


def connect(endpoint: Endpoint, target: str) -> socket.socket:
    """Return a socket after a WebSocket handshake at *target*.

    Raises:
        Gone: the answer was not 101.

    """
    connection = endpoint.open()
    lines = (
        f"GET {target} HTTP/1.1",
        f"Host: {endpoint}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: cGxleHdpcmUtYmVuY2gtMQ==",
        "Sec-WebSocket-Version: 13",
        "\r\n",
    )
    connection.sendall("\r\n".join(lines).encode())
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)  # the first message may be right behind the head
        if not byte:
            break
        head += byte
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Gone(f"{target} was answered with {bytes(head[:80])!r}")
    return connection


def say(connection: socket.socket, message: dict[str, Any], answer: str) -> None:
    """Send *message* and wait for a message of type *answer*.

    Raises:
        Gone: the connection was closed instead.

    """
    connection.sendall(client_frame(TEXT, json.dumps(message).encode()))
    while True:
        opcode, size = _exactly(connection, 2)
        if size > 125:
            size = int.from_bytes(_exactly(connection, 2 if size == 126 else 8), "big")
        payload = _exactly(connection, size)
        if opcode & 15 == CLOSE:
            raise Gone(f"closed with {payload!r} instead of {answer}")
        if opcode & 15 == TEXT and json.loads(payload)["type"] == answer:
            return


def answer_pings(connection: socket.socket) -> None:
    """Answer what the gateway has asked meanwhile, or it would take its peer for lost.

    Raises:
        Gone: the connection has ended.

    """
    while select.select([connection], [], [], 0)[0]:
        first, size = _exactly(connection, 2)
        payload = _exactly(connection, size)
        if first & 15 == PING:
            connection.sendall(client_frame(PONG, payload))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise Gone("the connection ended")
        data += more
    return data


def join(endpoint: Endpoint, device: int, cameras: int, api_key: str) -> socket.socket:
    """Return the socket of a viewer of the first *cameras* of device number *device* that has had its init.

    Raises:
        Gone: the viewer was refused.

    """
    path = f"/v1/sources/{quote(source_of(device))}/video/stream"
    query = "".join(f"camera_id={camera}&" for camera in CAMERAS[:cameras])
    connection = connect(endpoint, f"{path}?{query}timeout=300")
    say(connection, {"type": "auth", "api_key": api_key}, "init")
    return connection


class Viewer:
    """Counts the messages of one connection.  Its socket does not block."""

    __slots__ = (
        "_ahead",
        "_begun",
        "_edges",
        "_final",
        "_left",
        "_tls",
        "keep_edges",
        "received",
        "socket",
    )

    # With MSG_TRUNC the kernel only counts and writes nothing here; over TLS the pictures are written over each other.
    _void = bytearray(1 << 20)

    def __init__(self, connection: socket.socket, *, keep_edges: bool) -> None:
        self.socket = connection
        self._tls = connection if isinstance(connection, ssl.SSLSocket) else None
        connection.setblocking(False)
        #: Whether the ends of each text are kept, for `stamp`.
        self.keep_edges = keep_edges
        #: Bytes so far.
        self.received = 0
        self._ahead = b""  # read, and not yet known what it is
        self._left = 0  # payload of the frame that is being read
        self._begun = 0  # size of the message that is being read
        self._final = False
        self._edges = b""

    def read(self, most: int) -> int:
        """Read once, at most *most* bytes; return the size of the message that this completed, or 0.

        Raises:
            BlockingIOError: nothing is there.
            Gone: the connection has ended.

        """
        if not self._left:
            return self._begin_frame()
        if self.keep_edges and len(self._edges) < _EDGE:
            self._keep(self.socket.recv(min(_EDGE, self._left)))
        elif self.keep_edges and self._left <= _EDGE:
            self._keep(self.socket.recv(self._left))
        else:
            spare = _EDGE if self.keep_edges else 0
            self._count(self._discard(min(self._left - spare, most)))
        return self._begun if not self._left and self._final else 0

    @property
    def pending(self) -> bool:
        """Whether there is more to read that the kernel does not know of any more."""
        return self._tls is not None and self._tls.pending() > 0

    def _discard(self, most: int) -> int:
        if self._tls is not None:  # decrypting is a copy
            return self._tls.recv_into(self._void, most)
        return self.socket.recv_into(self._void, most, socket.MSG_TRUNC)

    def stamp(self) -> int:
        """Return the timestamp of the picture that was completed last."""
        found = _STAMP.search(self._edges)
        if found is None:
            raise Gone("a picture had no timestamp near its ends")
        return int(found[1])

    def _keep(self, data: bytes) -> None:
        self._edges += data
        self._count(len(data))

    def _count(self, size: int) -> None:
        if not size:
            raise Gone("the connection ended")
        self._left -= size
        self.received += size

    def _begin_frame(self) -> int:
        more = self.socket.recv(_LONGEST_HEADER - len(self._ahead))
        if not more:
            raise Gone("the connection ended")
        self.received += len(more)
        data = self._ahead + more
        length = data[1] & 127 if len(data) > 1 else 0
        head = {126: 4, 127: 10}.get(length, 2)
        if len(data) < head:
            self._ahead = data
            return 0
        size = length if head == 2 else int.from_bytes(data[2:head], "big")
        payload, self._ahead = data[head : head + size], data[head + size :]
        self._left = size - len(payload)
        opcode = data[0] & 15
        self._final = data[0] & 0x80 != 0 and opcode < CLOSE
        if opcode == CLOSE:
            raise Gone("the gateway sent a close frame")
        if opcode == PING:  # an echo of what is there already is enough to be seen alive
            self.socket.send(client_frame(PONG, payload))
        elif opcode < CLOSE:
            self._begun = size if opcode else self._begun + size
            self._edges = payload if opcode else self._edges + payload
        return self._begun if not self._left and self._final else 0
