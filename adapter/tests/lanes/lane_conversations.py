"""Open WebSockets over the fast lane, from both sides; over TCP, TLS and memory."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import pytest
import trio
import trio.testing
import trustme
from attrs import define, field
from trio_websocket import WebSocketConnection, WebSocketRequest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, TextMessage

from plexwire_trio import wrap_server_stream
from plexwire_trio.fastlane import DEVICE, FastLane, FastStream, text_frame
from plexwire_trio.fastlane._speedups import stdlib_unmask

Pair: TypeAlias = tuple[trio.abc.Stream, trio.abc.Stream]

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE_S = 10.0
PICTURE = b"x" * 100_000

authority = trustme.CA()
server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("localhost").configure_cert(server_tls)
client_tls = ssl.create_default_context()
authority.configure_trust(client_tls)


async def tcp_pair() -> Pair:
    """Return both ends of a TCP connection, the server's first."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.testing.open_stream_to_socket_listener(listener)
        return await listener.accept(), client


async def tls_pair() -> Pair:
    """Return both ends of a TLS connection, the server's first."""
    server, client = await tcp_pair()
    return (
        trio.SSLStream(server, server_tls, server_side=True, https_compatible=True),
        trio.SSLStream(client, client_tls, server_hostname="localhost", https_compatible=True),
    )


async def memory_pair() -> Pair:
    """Return both ends of a stream in memory."""
    await trio.lowlevel.checkpoint()
    return trio.testing.memory_stream_pair()


_KEY = b"\x01\x02\x03\x04"


def masked(first: int, payload: bytes) -> bytes:
    """Return a client's frame."""
    head = bytearray(text_frame(payload)[: -len(payload) or None])
    head[0] = first
    head[1] |= 0x80
    return bytes(head) + _KEY + stdlib_unmask(payload, _KEY)


Opener: TypeAlias = Callable[[], Awaitable[Pair]]
over_sockets = pytest.mark.parametrize("pair", [tcp_pair, tls_pair])
over_everything = pytest.mark.parametrize("pair", [tcp_pair, tls_pair, memory_pair])


@define
class Client:
    """A peer that reads only when it is told to, with wsproto."""

    stream: trio.abc.Stream
    protocol: Connection = field(factory=lambda: Connection(ConnectionType.CLIENT))
    events: list[Event] = field(factory=list)

    async def shake_hands(self) -> None:
        await self.stream.send_all(REQUEST)
        await self.read_answer()

    async def read_answer(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await self.stream.receive_some()
        assert head.startswith(b"HTTP/1.1 101")
        self.hear(head.partition(b"\r\n\r\n")[2])

    def hear(self, data: bytes | bytearray) -> None:
        if data:
            self.protocol.receive_data(bytes(data))
            self.events += self.protocol.events()

    async def say(self, *events: Event) -> None:
        await self.stream.send_all(b"".join(map(self.protocol.send, events)))

    async def read_texts(self, count: int) -> None:
        await self.read(lambda: len(self.texts) >= count)

    async def read(self, until: Callable[[], bool]) -> None:
        while not until():
            data = b""
            with suppress(trio.BrokenResourceError):  # closed over what we sent last
                data = bytes(await self.stream.receive_some(65_536))
            if not data:
                raise EOFError
            self.hear(data)

    @property
    def texts(self) -> list[str]:
        """The whole text messages so far."""
        texts, parts = [], ""
        for event in self.events:
            if isinstance(event, TextMessage):
                parts += event.data
                if event.message_finished:
                    texts.append(parts)
                    parts = ""
        return texts

    def closed_with(self) -> int | None:
        return next((e.code for e in self.events if isinstance(e, CloseConnection)), None)


@define
class Mailbox:
    """One place for a frame, as a gateway has for each camera of a viewer."""

    fast: FastStream
    frame: bytes | None = None

    def put(self, frame: bytes) -> None:
        self.frame = frame
        self.fast.kick()

    def take(self) -> bytes | None:
        frame, self.frame = self.frame, None
        return frame


@define
class Conversation:
    """An open WebSocket, from both sides; *beneath* is the gateway's byte stream."""

    beneath: trio.abc.Stream
    fast: FastStream
    ws: WebSocketConnection
    client: Client
    nursery: trio.Nursery

    def watch(self) -> Mailbox:
        """Make the client a viewer."""
        mailbox = Mailbox(self.fast)
        self.fast.pull = mailbox.take
        return mailbox

    async def stall(self, mailbox: Mailbox) -> None:
        """Write until nothing more goes out, as the client does not read."""
        while not self.fast.blocked:
            mailbox.put(text_frame(PICTURE))
            await trio.testing.wait_all_tasks_blocked(0.005)

    def publish(self) -> list[bytes]:
        """Make the client a device, and return where its pictures go."""
        pictures: list[bytes] = []
        self.fast.budget = DEVICE
        self.fast.on_binary = pictures.append
        return pictures


@asynccontextmanager
async def conversing(lane: FastLane, pair: Opener) -> AsyncGenerator[Conversation, None]:
    """Open a WebSocket over *pair*."""
    server, client_stream = await pair()
    client = Client(client_stream)
    with trio.fail_after(PATIENCE_S):
        async with client_stream, lane.attach(server) as fast, trio.open_nursery() as nursery:
            requests: list[WebSocketRequest] = []

            async def accept() -> None:
                requests.append(await wrap_server_stream(nursery, fast))
                websockets.append(await requests[0].accept())

            websockets: list[WebSocketConnection] = []
            async with trio.open_nursery() as both:
                both.start_soon(accept)
                both.start_soon(client.shake_hands)
            yield Conversation(server, fast, websockets[0], client, nursery)
            nursery.cancel_scope.cancel()
