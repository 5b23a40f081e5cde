"""floor PORT: not a gateway, but what the kernel asks of any: each byte read once and written once per viewer.

It reads a device's frame with blocking calls and, without unmasking, base64 or JSON, calls `sendall` with a prepared
frame in which it changes the timestamp.  One device and its viewers, one after the other: a slow viewer stops it.
"""

import hashlib
import select
import socket
from base64 import b64encode
from contextlib import suppress
from typing import Final

from plexwire_bench.frames import mask, server_header
from plexwire_bench.peers.relaying import (
    Picture,
    Registry,
    authenticated,
    port,
    read_auth,
    read_picture,
    stream_of,
    video_frame,
)

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Enough of a device's message to hold the ids and the numbers.
_IDS_AND_NUMBERS: Final = 1024


class Connection:
    """One blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray(1 << 21)
        self._view = memoryview(self._buffer)

    def _fill(self, size: int) -> memoryview:
        at = 0
        while at < size:
            got = self.socket.recv_into(self._view[at:size])
            if not got:
                raise ConnectionError
            at += got
        return self._view[:size]

    def handshake(self) -> str:
        """Answer with 101 and return the target."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._fill(1)
        lines = head.split(b"\r\n")
        key = next(line[19:] for line in lines if line.lower().startswith(b"sec-websocket-key: "))
        accept = b64encode(hashlib.sha1(key + _GUID).digest())
        self.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        return lines[0].split(b" ")[1].decode()

    def read(self) -> tuple[bytes, memoryview]:
        """Return the key and the masked payload of one frame."""
        size = self._fill(2)[1] & 127
        if size > 125:
            size = int.from_bytes(self._fill(2 if size == 126 else 8), "big")
        key = bytes(self._fill(4))
        return key, self._fill(size)

    def send(self, text: str) -> None:
        """Send *text* as one frame."""
        data = text.encode()
        self.socket.sendall(server_header(len(data)) + data)


class Floor:
    """The last device and its viewers."""

    def __init__(self) -> None:
        self.viewers: list[socket.socket] = []
        self.device: Connection | None = None
        self._frame = bytearray()
        self._stamp_at = 0

    def take(self, connection: Connection) -> None:
        """Authenticate a new connection and sort it in."""
        stream = stream_of(connection.handshake())
        key, payload = connection.read()
        auth = read_auth(mask(bytes(payload), key), "auth" if stream else "device_auth")
        if auth is None:
            raise ConnectionError
        if stream is not None:
            connection.send(Registry[socket.socket]().init(stream))
            self.viewers.append(connection.socket)
        else:
            connection.send(authenticated(auth["source_id"]))
            self.device, self._frame, self.viewers = connection, bytearray(), []

    def relay(self, device: Connection) -> None:
        """Read one frame and write one to each viewer."""
        key, payload = device.read()
        if not self._frame:
            picture = read_picture(mask(bytes(payload[:_IDS_AND_NUMBERS]), key))
            head = len(payload[:_IDS_AND_NUMBERS]) - len(picture.jpeg)
            blank = Picture(picture.camera_id, 1280, 720, 10**12, memoryview(bytes(payload[head:])))
            self._frame = bytearray(video_frame("bench-00", blank, framed=True))
            self._stamp_at = head - 8
        stamp = mask(bytes(payload[self._stamp_at : self._stamp_at + 8]), key, self._stamp_at)
        self._frame[-14:-1] = b"%d" % int.from_bytes(stamp, "big")
        for viewer in tuple(self.viewers):
            try:
                viewer.sendall(self._frame)
            except OSError:
                self.viewers.remove(viewer)


def main() -> None:
    """Serve for ever."""
    floor = Floor()
    with socket.create_server(("127.0.0.1", port()), backlog=500) as listening:
        while True:
            device = floor.device
            waiting = [listening] if device is None else [listening, device.socket]
            for ready in select.select(waiting, [], [])[0]:
                if ready is listening:
                    sock, _ = listening.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with suppress(ConnectionError, StopIteration):
                        floor.take(Connection(sock))
                elif device is not None:
                    try:
                        floor.relay(device)
                    except OSError:
                        floor.device = None


if __name__ == "__main__":
    main()
