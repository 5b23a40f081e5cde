"""Devices and strangers over the fast lane: pictures, floods, and what a picture costs."""

import os
import socket
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from lane_conversations import (
    PICTURE,
    REQUEST,
    Opener,
    Pair,
    conversing,
    memory_pair,
    over_everything,
    tcp_pair,
)
from plexwire_trio.fastlane import DEVICE, open_fast_lane, text_frame


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


async def test_picture_may_be_larger_than_the_socket_buffer() -> None:
    async def small_pair() -> Pair:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with listener:
            client = await trio.testing.open_stream_to_socket_listener(listener)
            return await listener.accept(), client

    async with open_fast_lane() as lane, conversing(lane, small_pair) as talk:
        pictures = talk.publish()
        await talk.client.say(BytesMessage(b"x" * 900_000), TextMessage("after"))
        assert await talk.ws.get_message() == "after"
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


@over_everything
async def test_peer_that_floods_after_our_close_gets_no_second_one(pair: Opener) -> None:
    async with open_fast_lane() as lane, conversing(lane, pair) as talk:
        talk.nursery.start_soon(talk.ws.aclose, 4001)
        await talk.client.read(lambda: talk.client.closed_with() is not None)
        await talk.client.stream.send_all(b"\x8a\x80\0\0\0\0" * 300)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert talk.fast.excess is not None
        talk.nursery.start_soon(talk.fast.aclose)
        with suppress(trio.BrokenResourceError):  # closed over the flood
            assert await talk.client.stream.receive_some() == b""


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
