"""Viewers over the fast lane: whole frames in order, whoever stalls, leaves or is closed."""

import gc
import os
import select
import socket
import struct
import weakref
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from lane_conversations import (
    PATIENCE_S,
    PICTURE,
    Client,
    Mailbox,
    Opener,
    conversing,
    memory_pair,
    over_everything,
    over_sockets,
    tcp_pair,
)
from plexwire_trio import accept_upgrade
from plexwire_trio.fastlane import open_fast_lane, text_frame


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


async def test_lane_works_where_there_is_no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as talk:
        mailbox = talk.watch()
        await talk.stall(mailbox)
        mailbox.put(text_frame(b"newest"))
        await talk.client.read(lambda: talk.client.texts[-1:] == ["newest"])
        pictures = talk.publish()
        await talk.client.say(BytesMessage(b"picture"), TextMessage("after"))
        assert await talk.ws.get_message() == "after"
    assert pictures == [b"picture"]


@over_everything
async def test_offered_frames_arrive_in_order_between_those_of_the_library(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        talk.watch()
        for number in range(20):
            await talk.ws.send_message(f"message {number}")
            talk.fast.offer(text_frame(b"frame %d" % number))
            await talk.client.read_texts(2 * number + 2)
    assert talk.client.texts == [
        text for number in range(20) for text in (f"message {number}", f"frame {number}")
    ]


async def test_offer_says_when_the_frame_was_written_or_that_some_of_it_waits() -> None:
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as talk:
        mailbox = talk.watch()
        begin, offered = trio.current_time(), 0
        while (written := talk.fast.offer(text_frame(b"%d " % offered, PICTURE))) is not None:
            assert begin <= written <= trio.current_time()
            offered += 1
        assert talk.fast.blocked
        mailbox.put(text_frame(b"newest"))
        await talk.client.read(lambda: talk.client.texts[-1:] == ["newest"])
    numbers = [int(text.partition(" ")[0]) for text in talk.client.texts[:-1]]
    assert numbers == list(range(offered + 1))


@over_sockets
async def test_frame_offered_behind_a_message_that_waits_follows_it(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        await talk.stall(talk.watch())
        talk.nursery.start_soon(talk.ws.send_message, "message")
        await trio.testing.wait_all_tasks_blocked()
        assert talk.fast.offer(text_frame(b"frame")) is None
        await talk.client.read(lambda: talk.client.texts[-1:] == ["frame"])
    assert talk.client.texts[-2:] == ["message", "frame"]


async def test_offer_to_a_peer_that_has_gone_or_is_closed_is_forgotten() -> None:
    async with open_fast_lane() as lane, conversing(lane, tcp_pair) as talk:
        talk.watch()
        talk.nursery.start_soon(talk.ws.aclose, 4008)
        await trio.testing.wait_all_tasks_blocked()
        assert talk.fast.offer(text_frame(b"late")) is None
        await talk.client.read(lambda: talk.client.closed_with() == 4008)
    assert talk.client.texts == []
    assert talk.fast.offer(text_frame(b"later")) is None


async def test_offer_that_finds_the_connection_reset_costs_nobody_anything() -> None:
    server, client = await tcp_pair()
    assert isinstance(client, trio.SocketStream)
    async with open_fast_lane() as lane, lane.attach(server) as fast:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(client)
        assert fast.offer(text_frame(b"frame")) is None
        assert fast.outlet.broken


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


async def test_rest_of_a_large_frame_is_left_to_the_kernel_and_no_second_one() -> None:
    """It reaches a peer that reads on without waiting for our turn; what could be replaced does not."""
    server, client = await tcp_pair()
    assert isinstance(client, trio.SocketStream)
    frame, received = text_frame(PICTURE * 10), 0
    async with client, open_fast_lane() as lane, lane.attach(server) as fast:
        mailbox = Mailbox(fast)
        fast.pull = mailbox.take
        while fast.offer(frame) is not None:
            pass
        mailbox.put(frame)
        until = trio.current_time() + 0.2
        while trio.current_time() < until:  # without a checkpoint
            with suppress(BlockingIOError):
                received += len(os.read(client.socket.fileno(), 65_536))
        assert received > len(frame) - 131_072
        assert mailbox.frame is frame


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
