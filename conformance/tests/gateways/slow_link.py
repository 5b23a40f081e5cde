"""A link to a port of this host that is far away: each way 150 ms ± 100 ms, in order, with room for little.

Run as a program, `slow_link.py PORT`, it prints its own port, and stands on 127.0.0.1 until its standard input closes.
What is on its way is bounded, as on any link: once that much is, nothing more is read from the side that sends.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import sys
from collections import deque
from dataclasses import dataclass, field

#: Bytes below which a piece is what a person or a header sends, and may be cut into segments.
SMALL = 4096
#: Bytes that the system may hold of each socket; left to itself it may hold many times the window.
BUFFER = 262_144


def narrow_socket() -> socket.socket:
    """Return a TCP socket that holds little; those that it accepts hold no more."""
    narrow = socket.socket()
    narrow.setblocking(False)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return narrow


@dataclass(frozen=True, kw_only=True)
class Link:
    """How far away: seconds, bytes on their way at once each way, bytes of a segment of what is small."""

    port: int
    latency: float
    jitter: float
    window: int
    segment: int | None
    dice: random.Random

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        try:
            far = narrow_socket()
            await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", self.port))
            far_reader, far_writer = await asyncio.open_connection(sock=far)
        except OSError:
            writer.transport.abort()
            return
        there, back = Way(self, reader, far_writer), Way(self, far_reader, writer)
        await asyncio.gather(there.carry(), back.carry())

    def delay(self) -> float:
        """Return how long the next piece takes."""
        return self.latency + self.dice.uniform(-self.jitter, self.jitter)


@dataclass(eq=False)
class Way:
    """One direction of one connection."""

    link: Link
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pieces: deque[tuple[float, bytes | None]] = field(default_factory=deque)
    travelling: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def carry(self) -> None:
        """Carry until this side has said its last, and tell the other side how it ended."""
        reading = asyncio.ensure_future(self.read())
        try:
            await self.write()
        except OSError:
            self.writer.transport.abort()
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def read(self) -> None:
        loop = asyncio.get_running_loop()
        due = 0.0
        while True:
            try:
                data: bytes | None = await self.reader.read(65536)
            except OSError:
                data = None  # A reset travels as one.
            due = max(due, loop.time() + self.link.delay())
            self.pieces.append((due, data))
            self.travelling += len(data or b"")
            self.changed.set()
            if not data:
                return
            while self.travelling >= self.link.window:
                self.changed.clear()
                await self.changed.wait()

    async def write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self.pieces:
                self.changed.clear()
                await self.changed.wait()
            due, data = self.pieces[0]
            await asyncio.sleep(max(0.0, due - loop.time()))
            if data is None:
                self.writer.transport.abort()
                return
            if not data:
                if self.writer.can_write_eof():
                    self.writer.write_eof()
                return
            for segment in self.segments(data):
                self.writer.write(segment)
                await self.writer.drain()
            self.pieces.popleft()
            self.travelling -= len(data)
            self.changed.set()

    def segments(self, data: bytes) -> list[bytes]:
        size = self.link.segment
        if size is None or len(data) > SMALL:
            return [data]
        return [data[at : at + size] for at in range(0, len(data), size)]


async def main(arguments: argparse.Namespace) -> None:
    """Stand until standard input closes."""
    link = Link(
        port=arguments.port,
        latency=arguments.latency / 1000,
        jitter=arguments.jitter / 1000,
        window=arguments.window,
        segment=arguments.segment,
        dice=random.Random(arguments.seed),
    )
    near = narrow_socket()
    near.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(link.take, sock=near)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=150.0, help="milliseconds each way")
    parser.add_argument("--jitter", type=float, default=100.0, help="milliseconds more or less")
    parser.add_argument("--window", type=int, default=1 << 20, help="bytes on their way at once")
    parser.add_argument("--segment", type=int, help="cut what is small into so many bytes")
    parser.add_argument("--seed", type=int, default=4)
    asyncio.run(main(parser.parse_args()))
