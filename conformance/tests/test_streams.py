"""Connections in memory: they must be as good, and as unkind, as TCP."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_conformance.target.streams import MemoryStream, memory_connection

#: Seconds after which something hangs; nothing here takes any.
HANGS = 5.0


async def made() -> tuple[MemoryStream, MemoryStream]:
    return memory_connection()


async def clogged() -> tuple[MemoryStream, MemoryStream]:
    left, right = memory_connection(capacity=10)
    for stream in (left, right):
        await stream.send_all(bytes(10))
    return left, right


async def test_connection_keeps_trios_contract_of_half_closeable_streams() -> None:
    await trio.testing.check_half_closeable_stream(made, clogged)


async def drain(stream: MemoryStream, most: Sequence[int | None] = (None,)) -> bytes:
    """Read *stream* to its end, at most so many bytes at a time."""
    data = bytearray()
    number = 0
    while chunk := await stream.receive_some(most[number % len(most)]):
        data += chunk
        number += 1
    return bytes(data)


@settings(deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=60), max_size=8),
    back=st.lists(st.binary(max_size=60), max_size=8),
    most=st.lists(st.none() | st.integers(1, 50), min_size=1, max_size=4),
    capacity=st.integers(1, 100),
)
async def test_bytes_arrive_whole_and_in_order_both_ways_however_they_are_cut(
    pieces: list[bytes], back: list[bytes], most: list[int | None], capacity: int
) -> None:
    left, right = memory_connection(capacity)
    got: dict[str, bytes] = {}

    async def send(stream: MemoryStream, what: list[bytes]) -> None:
        for piece in what:
            await stream.send_all(piece)
        await stream.send_eof()

    async def read(stream: MemoryStream, name: str) -> None:
        got[name] = await drain(stream, most)

    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, left, pieces)
            nursery.start_soon(send, right, back)
            nursery.start_soon(read, left, "left")
            nursery.start_soon(read, right, "right")
    assert got == {"left": b"".join(back), "right": b"".join(pieces)}


@settings(deadline=None)
@given(capacity=st.integers(1, 100), size=st.integers(0, 400))
async def test_sender_is_ahead_by_the_capacity_at_most(capacity: int, size: int) -> None:
    left, right = memory_connection(capacity)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send_all, bytes(size))
        taken = 0
        while taken < size:
            await trio.testing.wait_all_tasks_blocked()
            chunk = await right.receive_some()
            assert len(chunk) == min(capacity, size - taken)
            taken += len(chunk)


@settings(deadline=None)
@given(data=st.binary(min_size=1, max_size=200), capacity=st.integers(1, 100))
async def test_cancelled_receive_loses_no_byte(data: bytes, capacity: int) -> None:
    left, right = memory_connection(capacity)
    got = bytearray()
    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(left.send_all, data)
            while len(got) < len(data):
                for cancelled in (True, False):
                    with trio.CancelScope() as scope:
                        if cancelled:
                            scope.cancel()
                        got += await right.receive_some(3)
    assert bytes(got) == data


async def test_receive_that_waits_is_cancelled_and_the_next_one_gets_all() -> None:
    left, right = memory_connection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(right.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await left.send_all(b"all of it")
    assert await right.receive_some() == b"all of it"


@settings(deadline=None)
@given(
    data=st.binary(min_size=1, max_size=200),
    capacity=st.integers(1, 100),
    reads=st.integers(0, 3),
)
async def test_cancelled_send_leaves_a_beginning_of_what_it_had(
    data: bytes, capacity: int, reads: int
) -> None:
    left, right = memory_connection(capacity)
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send_all, data)
        for _ in range(reads):
            await trio.testing.wait_all_tasks_blocked()
            if len(got) < len(data):
                got += await right.receive_some()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await left.send_eof()
    got += await drain(right)
    assert data.startswith(got)
    assert len(got) == min(len(data), (reads + 1) * capacity)


async def test_end_of_file_comes_behind_the_data_and_leaves_the_way_back_open() -> None:
    left, right = memory_connection()
    await left.send_all(b"last words")
    await left.send_eof()
    assert await drain(right) == b"last words"
    await right.send_all(b"answer")
    assert await left.receive_some() == b"answer"
    with pytest.raises(trio.ClosedResourceError):
        await left.send_all(b"more")


async def test_closing_leaves_what_was_sent_to_the_peer_and_breaks_its_sending() -> None:
    left, right = memory_connection()
    await left.send_all(b"last words")
    await left.aclose()
    assert await drain(right) == b"last words"
    with pytest.raises(trio.BrokenResourceError):
        await right.send_all(b"answer")


@pytest.mark.parametrize(
    ("closes", "error"),
    [("sender", trio.ClosedResourceError), ("receiver", trio.BrokenResourceError)],
)
async def test_sender_that_waits_for_room_is_woken_when_either_side_closes(
    closes: str, error: type[Exception]
) -> None:
    left, right = memory_connection(capacity=1)

    async def send() -> None:
        with pytest.raises(error):
            await left.send_all(b"no room")

    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            await (left if closes == "sender" else right).aclose()


@pytest.mark.parametrize(
    ("closes", "end"), [("sender", b""), ("receiver", trio.ClosedResourceError)]
)
async def test_receiver_that_waits_is_woken_when_either_side_closes(
    closes: str, end: bytes | type[Exception]
) -> None:
    left, right = memory_connection()
    ends: list[bytes | type[Exception]] = []

    async def receive() -> None:
        try:
            ends.append(await right.receive_some())
        except trio.ClosedResourceError as error:
            ends.append(type(error))

    with trio.fail_after(HANGS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            await (left if closes == "sender" else right).aclose()
    assert ends == [end]
