"""The fast lane over TCP, TLS and memory: whole frames in order, whoever comes, goes, stalls or floods."""

import gc
import os
import socket
import ssl
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import pytest
import trio
import trio.testing
import trustme
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from plexwire_trio import accept_upgrade, wrap_server_stream
from plexwire_trio.fastlane import DEVICE, FastLane, FastStream, open_fast_lane, text_frame

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


# ── viewers ──────────────────────────────────────────────────────────────────────────────────


@over_everything
async def test_viewer_gets_frames_in_order_between_those_of_the_library(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        await talk.ws.send_message("init")
        mailbox = talk.watch()
        for number in range(20):
            mailbox.put(text_frame(b"frame %d" % number))
            await talk.client.read_texts(number + 2)
        await talk.client.say(Ping(b"alive?"))
        mailbox.put(text_frame(b"last"))
        await talk.client.read(lambda: any(isinstance(e, Pong) for e in talk.client.events))
        await talk.client.read(lambda: talk.client.texts[-1] == "last")
    assert talk.client.texts == ["init", *(f"frame {number}" for number in range(20)), "last"]


@over_everything
async def test_stalled_viewer_gets_whole_frames_and_the_newest_at_last(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        mailbox = talk.watch()
        for number in range(400):
            mailbox.put(text_frame(b"%d " % number, PICTURE))
            await trio.lowlevel.checkpoint()
        assert talk.fast.blocked
        await talk.client.read(lambda: talk.client.texts[-1:] == [f"399 {PICTURE.decode()}"])
        assert not talk.fast.blocked
    numbers = [int(text.partition(" ")[0]) for text in talk.client.texts]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 400
    assert all(text.endswith(PICTURE.decode()) for text in talk.client.texts)


@over_everything
async def test_cancelled_sender_never_leaves_half_a_frame(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        for number in range(60):
            with trio.move_on_after(0.001):
                await talk.ws.send_message(f"{number} {PICTURE.decode()}")
        mailbox = talk.watch()
        mailbox.put(text_frame(b"end"))
        await talk.client.read(lambda: talk.client.texts[-1:] == ["end"])
    assert all(text.endswith(PICTURE.decode()) for text in talk.client.texts[:-1])
    numbers = [int(text.partition(" ")[0]) for text in talk.client.texts[:-1]]
    assert numbers == sorted(set(numbers))


@over_sockets
async def test_message_that_had_to_wait_is_withdrawn_when_its_sender_is_cancelled(
    pair: Opener,
) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        await talk.stall(talk.watch())
        with trio.move_on_after(0.01) as scope:
            await talk.ws.send_message("withdrawn")
        assert scope.cancelled_caught
        talk.nursery.start_soon(talk.ws.send_message, "end")
        await talk.client.read(lambda: talk.client.texts[-1:] == ["end"])
    assert "withdrawn" not in talk.client.texts


@over_sockets
async def test_small_messages_all_arrive_when_the_peer_reads_late(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:

        async def send() -> None:
            for number in range(5000):
                await talk.ws.send_message(f"{number:01000}")

        talk.nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        await talk.client.read(lambda: len(talk.client.events) >= 5000)
        await talk.client.read_texts(5000)
    assert [int(text) for text in talk.client.texts] == list(range(5000))


async def test_frame_waits_whole_when_the_socket_takes_none_of_it() -> None:
    server, client = await tcp_pair()
    assert isinstance(server, trio.SocketStream)
    file, sent, received = server.socket.fileno(), bytearray(), bytearray()
    with suppress(BlockingIOError):
        while True:
            sent += b"." * os.write(file, b"." * 65_536)
    with suppress(BlockingIOError):
        while True:
            sent += b"." * os.write(file, b".")
    async with client, open_fast_lane() as lane, lane.attach(server) as fast:
        frame = text_frame(b"waits")
        mailbox = Mailbox(fast)
        fast.pull = mailbox.take
        mailbox.put(frame)
        assert fast.blocked
        with trio.fail_after(PATIENCE_S):
            while not received.endswith(frame):
                received += await client.receive_some(65_536)
    assert received == sent + frame


@over_everything
async def test_viewer_gets_nothing_after_the_close_frame(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        mailbox = talk.watch()

        async def close() -> None:
            await talk.ws.aclose(4008, "timeout")

        talk.nursery.start_soon(close)
        await trio.testing.wait_all_tasks_blocked()
        mailbox.put(text_frame(b"too late"))
        await talk.client.read(lambda: talk.client.closed_with() is not None)
        await talk.client.say(CloseConnection(code=4008))
        await talk.fast.aclose()
        with pytest.raises(EOFError):
            await talk.client.read(lambda: False)
        assert mailbox.frame is not None
    assert talk.client.closed_with() == 4008
    assert talk.client.texts == []


async def test_close_overtakes_the_frames_that_wait() -> None:
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as talk:
        mailbox = talk.watch()
        await talk.stall(mailbox)
        mailbox.put(text_frame(b"waits"))
        talk.nursery.start_soon(talk.ws.aclose, 1001)
        await trio.testing.wait_all_tasks_blocked()
        await talk.client.read(lambda: talk.client.closed_with() is not None)
    assert set(talk.client.texts) == {PICTURE.decode()}


@pytest.mark.parametrize("reset", [False, True])
async def test_viewer_leaves_while_it_is_written_to_and_others_go_on(reset: bool) -> None:
    async with (
        open_fast_lane() as lane,
        conversing(lane, tcp_pair) as leaving,
        conversing(lane, tcp_pair) as staying,
    ):
        gone, here = leaving.watch(), staying.watch()
        await leaving.stall(gone)
        assert isinstance(leaving.client.stream, trio.SocketStream)
        if reset:
            leaving.client.stream.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
            )
        await leaving.client.stream.aclose()
        with pytest.raises(ConnectionClosed):
            await leaving.ws.get_message()
        for number in range(20):
            gone.put(text_frame(PICTURE))
            here.put(text_frame(b"%d" % number))
            await staying.client.read_texts(number + 1)
        with pytest.raises(trio.BrokenResourceError):
            await leaving.fast.send_all(text_frame(b"still there?"))


async def test_closed_socket_is_not_taken_for_the_next_one_with_its_number() -> None:
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as first:
        mailbox = first.watch()
        number = first.fast.number
        await first.beneath.aclose()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert number in (ours.fileno(), theirs.fileno())
            ours.setblocking(False)
            theirs.setblocking(False)
            mailbox.put(text_frame(b"for nobody"))
            for end in (ours, theirs):
                with pytest.raises(BlockingIOError):
                    end.recv(1)


@over_everything
async def test_error_in_pull_costs_only_its_own_connection(pair: Opener) -> None:
    def fail() -> bytes:
        raise ZeroDivisionError

    async with open_fast_lane() as lane, conversing(lane, pair) as healthy:
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with conversing(lane, pair) as faulty:
                faulty.fast.pull = fail
                faulty.fast.kick()  # as the device's task does
                await trio.sleep_forever()
        healthy.watch().put(text_frame(b"here"))
        await healthy.client.read(lambda: healthy.client.texts == ["here"])


async def test_pull_may_lead_back_to_kick() -> None:
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as talk:
        frames = [text_frame(b"%d" % number) for number in range(5)]

        def pull() -> bytes | None:
            if not frames:
                return None
            frame = frames.pop(0)
            talk.fast.kick()
            return frame

        talk.fast.pull = pull
        talk.fast.kick()
        await talk.client.read(lambda: len(talk.client.texts) == 5)
    assert talk.client.texts == list("01234")


async def test_unsent_bytes_wait_with_us_and_not_in_the_kernel() -> None:
    server, client = await tcp_pair()
    async with client, open_fast_lane() as lane, lane.attach(server):
        assert isinstance(server, trio.SocketStream)
        low_water = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert low_water == 16_384


async def test_lane_forgets_a_connection_that_was_closed() -> None:
    async with open_fast_lane() as lane:
        for pair in (tcp_pair, memory_pair):
            server, client = await pair()
            fast = lane.attach(server)
            forgotten = weakref.ref(fast)
            await fast.aclose()
            await client.aclose()
            del fast
            await trio.testing.wait_all_tasks_blocked()
            gc.collect()
            assert forgotten() is None


@over_everything
async def test_closed_stream_says_so(pair: Opener) -> None:
    server, client = await pair()
    async with open_fast_lane() as lane, client:
        fast = lane.attach(server)
        await trio.aclose_forcefully(fast)
        with pytest.raises(trio.ClosedResourceError):
            await fast.receive_some()
        with pytest.raises(trio.ClosedResourceError):
            await fast.send_all(b"x")


async def test_reader_is_woken_when_its_stream_is_closed() -> None:
    server, client = await memory_pair()
    async with open_fast_lane() as lane, client, trio.open_nursery() as nursery:
        fast = lane.attach(server)

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await fast.receive_some()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await fast.aclose()


@over_everything
async def test_lane_begins_after_a_request_that_was_read_elsewhere(pair: Opener) -> None:
    server, stream = await pair()
    client = Client(stream)
    events = (TextMessage("auth"), BytesMessage(b"picture"))
    rest = b"".join(client.protocol.send(event) for event in events)
    pictures: list[bytes] = []
    async with (
        open_fast_lane() as lane,
        stream,
        lane.attach(server, already=rest, upgraded=True) as fast,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.read_answer)
        fast.on_binary = pictures.append
        ws = await accept_upgrade(nursery, fast, "/ws/device", "AAAAAAAAAAAAAAAAAAAAAA==")
        assert await ws.get_message() == "auth"
        await trio.testing.wait_all_tasks_blocked()
        assert pictures == [b"picture"]
        nursery.cancel_scope.cancel()


# ── devices ──────────────────────────────────────────────────────────────────────────────────


@over_everything
async def test_device_sends_pictures_of_any_size_and_messages_between(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        pictures = talk.publish()
        sizes = (1, 125, 126, 65_535, 65_536, 300_000, 1_000_000, 0)
        messages: list[str | bytes] = []

        async def read() -> None:
            with suppress(ConnectionClosed):
                while True:
                    messages.append(await talk.ws.get_message())

        talk.nursery.start_soon(read)
        for size in sizes:
            await talk.client.say(
                BytesMessage(b"p" * size), TextMessage(f"after {size}"), Ping(b"%d" % size)
            )
        await talk.client.say(
            BytesMessage(b"in ", message_finished=False),
            Ping(b"within"),
            BytesMessage(b"two", message_finished=True),
        )
        await talk.client.read(
            lambda: b"within" in [e.payload for e in talk.client.events if isinstance(e, Pong)]
        )
        await talk.client.say(CloseConnection(code=1000))
        await talk.client.read(lambda: talk.client.closed_with() is not None)
    assert [len(picture) for picture in pictures] == list(sizes)
    assert messages == [*(f"after {size}" for size in sizes), b"in two"]
    assert len([e for e in talk.client.events if isinstance(e, Pong)]) == len(sizes) + 1


@over_everything
async def test_device_that_leaves_in_the_middle_of_a_picture_has_sent_none(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        pictures = talk.publish()
        frame = talk.client.protocol.send(BytesMessage(PICTURE))
        await talk.client.stream.send_all(frame[:70_000])
        await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(talk.client.stream)
        with pytest.raises(ConnectionClosed) as caught:
            await talk.ws.get_message()
        assert caught.value.reason is not None
        assert caught.value.reason.code == 1006
    assert pictures == []


async def test_small_message_is_heard_after_a_large_picture() -> None:
    # The kernel is asked to wake us late while a large picture comes, and must not be after it.
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as talk:
        pictures = talk.publish()
        frame = talk.client.protocol.send(BytesMessage(b"x" * 500_000))
        await talk.client.stream.send_all(frame[:100])
        await trio.testing.wait_all_tasks_blocked()
        await talk.client.stream.send_all(frame[100:])
        await trio.testing.wait_all_tasks_blocked()
        await talk.client.say(TextMessage("small"))
        assert await talk.ws.get_message() == "small"
    assert len(pictures) == 1


async def test_others_have_a_turn_between_two_pictures() -> None:
    async with open_fast_lane() as lane, conversing(lane, memory_pair) as talk:
        turns = 0
        seen: list[int] = []
        talk.publish()
        talk.fast.on_binary = lambda payload: seen.append(turns)
        await talk.client.say(*(BytesMessage(b"picture") for _ in range(100)))
        while len(seen) < 100:
            await trio.lowlevel.checkpoint()
            turns += 1
    # Within one turn Trio runs tasks in any order.
    assert all(later > earlier for earlier, later in zip(seen, seen[2:], strict=False))


async def test_reading_is_a_checkpoint_even_if_all_is_there() -> None:
    server, client = await memory_pair()
    async with open_fast_lane() as lane, client:
        pongs = b"\x8a\x80\0\0\0\0" * 100
        async with lane.attach(server, already=REQUEST + pongs) as fast:
            for _ in range(4):
                with trio.testing.assert_checkpoints():
                    assert await fast.receive_some()


async def test_error_in_on_binary_leaves_receive_some() -> None:
    def fail(payload: bytes) -> None:
        raise ZeroDivisionError

    async with open_fast_lane() as lane:
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with conversing(lane, tcp_pair) as talk:
                talk.fast.on_binary = fail
                await talk.client.say(BytesMessage(b"picture"))
                await trio.sleep_forever()


# ── strangers ────────────────────────────────────────────────────────────────────────────────


@over_everything
@pytest.mark.parametrize(
    ("flood", "code"),
    [
        (b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 9999, 1008),
        (b"\x8a\x80\0\0\0\0" * 9999, 1008),
        (b"\x81\xff" + (5000).to_bytes(8, "big") + b"\0\0\0\0", 1009),
    ],
    ids=["empty fragments", "pongs", "declared length"],
)
async def test_stranger_beyond_its_budget_is_closed(pair: Opener, flood: bytes, code: int) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:

        async def send() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while True:
                    await talk.client.stream.send_all(flood)

        talk.nursery.start_soon(send)
        with pytest.raises(ConnectionClosed) as caught:
            await talk.ws.get_message()
        assert caught.value.reason is not None
        assert caught.value.reason.code == 1006
        assert talk.fast.excess is not None
        assert talk.fast.excess.code == code
        await talk.client.read(lambda: talk.client.closed_with() is not None)
        await trio.aclose_forcefully(talk.client.stream)
    assert talk.client.closed_with() == code


async def test_flood_of_fragments_leaves_turns_to_others() -> None:
    async with open_fast_lane() as lane, conversing(lane, memory_pair) as talk:
        talk.fast.budget = DEVICE
        turns = 0
        await talk.client.stream.send_all(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 1500)
        while talk.ws.closed is None and turns < 40:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert turns == 40
        await talk.client.stream.send_all(b"\x80\x80\0\0\0\0")
        assert await talk.ws.get_message() == ""


# ── what it costs, without a clock ───────────────────────────────────────────────────────────


async def test_picture_costs_one_read_and_one_write_for_each_viewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, readv = os.write, os.readv
    written: list[object] = []
    reads = 0

    def counting_write(file: int, data: bytes) -> int:
        written.append(data)
        return write(file, data)

    def counting_readv(file: int, rooms: tuple[memoryview]) -> int:
        nonlocal reads
        reads += 1
        return readv(file, rooms)

    async with (
        open_fast_lane() as lane,
        conversing(lane, tcp_pair) as device,
        conversing(lane, tcp_pair) as one,
        conversing(lane, tcp_pair) as other,
    ):
        mailboxes = [one.watch(), other.watch()]

        def relay(payload: bytes) -> None:
            frame = text_frame(payload)
            for mailbox in mailboxes:
                mailbox.put(frame)

        device.publish()
        device.fast.on_binary = relay
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(os, "write", counting_write)
        monkeypatch.setattr(os, "readv", counting_readv)
        for number in range(10):
            await device.client.say(BytesMessage(b"x" * 20_000))
            for viewer in (one, other):
                await viewer.client.read_texts(number + 1)
        monkeypatch.undo()
    assert len(written) == 20
    assert all(left is right for left, right in zip(written[::2], written[1::2], strict=True))
    # One that takes the picture, and one that finds nothing more.
    assert reads < 3 * 10
