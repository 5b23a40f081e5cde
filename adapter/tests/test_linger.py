"""A last word that is read, whatever the peer had still to say."""

import pytest
import trio
import trio.testing

from plexwire_trio import linger, reset_on_close


async def read_all(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


async def test_last_word_is_read_by_a_peer_that_goes_on_talking(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"still talking")
    await ours.send_all(b"the last word")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: linger(ours, within=2))
        assert await theirs.receive_some() == b"the last word"
        assert await theirs.receive_some() == b""
        await theirs.send_eof()
    assert trio.current_time() == 0


async def test_peer_that_never_ends_is_waited_for_no_longer_than_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, _theirs = trio.testing.memory_stream_pair()
    await linger(ours, within=2)
    assert trio.current_time() == 2


async def test_connection_that_is_to_be_reset_leaves_nothing_to_read() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0] as listener:
        theirs = await trio.open_tcp_stream(*listener.socket.getsockname())
        ours = await listener.accept()
    async with theirs:
        await ours.send_all(bytes(100))
        reset_on_close(ours)
        await ours.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await read_all(theirs)


async def test_stream_in_memory_can_not_be_reset_and_closes_as_usual() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    reset_on_close(ours)
    await ours.aclose()
    assert await theirs.receive_some() == b""
