"""A last word that is read, whatever the peer had still to say."""

import trio
import trio.testing

from plexwire_trio import linger


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
