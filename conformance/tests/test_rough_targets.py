"""The rough targets in `gateways/` are as rough as they say, towards a server that echoes."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from rough_targets import Dying, Limiting, Proxy, Resetting, standing


@asynccontextmanager
async def echoing() -> AsyncGenerator[int]:
    """A server that echoes; yields its port."""

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected(port: int, number: int = 1) -> AsyncGenerator[list[trio.SocketStream]]:
    """Open so many connections, one after the other, and close them at the end."""
    async with AsyncExitStack() as stack:
        streams = []
        for _ in range(number):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            streams.append(await stack.enter_async_context(stream))
        yield streams


async def answered(stream: trio.SocketStream) -> bytes:
    """Return what comes back for one word."""
    await stream.send_all(b"word")
    with trio.fail_after(5):
        return bytes(await stream.receive_some())


async def is_reset(stream: trio.SocketStream) -> bool:
    """Whether a connection ends by a reset, within the time in which one does."""
    with trio.move_on_after(1.5):
        try:
            return await stream.receive_some() is None
        except trio.BrokenResourceError:
            return True
    return False


async def test_proxy_carries_both_ways_and_the_end() -> None:
    async with (
        echoing() as port,
        standing(Proxy(port)) as proxy,
        connected(proxy.port) as (stream,),
    ):
        assert await answered(stream) == b"word"
        await stream.send_eof()
        assert await stream.receive_some() == b""
    assert (proxy.open, proxy.most_open, proxy.ever, proxy.cut) == (0, 1, 1, 0)


async def test_limiter_refuses_above_so_many_at_once() -> None:
    async with (
        echoing() as port,
        standing(Limiting(port, status=429, at_once=2)) as proxy,
        connected(proxy.port, 2) as (first, second),
    ):
        assert [await answered(first), await answered(second)] == [b"word"] * 2
        async with connected(proxy.port) as (third,):
            assert (await answered(third)).startswith(b"HTTP/1.1 429 ")
        await first.aclose()
        with trio.fail_after(5):
            while proxy.open > 1:
                await trio.lowlevel.checkpoint()
        async with connected(proxy.port) as (fourth,):
            assert await answered(fourth) == b"word"
    assert proxy.cut == 1


async def test_limiter_refuses_after_so_many_in_all() -> None:
    async with echoing() as port, standing(Limiting(port, status=403, in_all=1)) as proxy:
        for expected in (b"word", b"HTTP/1.1 403 ", b"HTTP/1.1 403 "):
            async with connected(proxy.port) as (stream,):
                assert (await answered(stream)).startswith(expected)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
async def test_proxy_resets_the_share_of_its_seed(share: float) -> None:
    fates = []
    async with echoing() as port:
        for _ in range(2):
            async with standing(Resetting(port, share=share, seed=7)) as proxy:
                fates.append(await _fates(proxy.port))
            assert proxy.cut == sum(fates[-1])
    assert fates[0] == fates[1]
    assert abs(sum(fates[0]) - share * len(fates[0])) <= 5


async def _fates(port: int) -> list[bool]:
    """Return which of 50 connections are reset, in the order in which they were opened."""
    fates = [False] * 50

    async def see(number: int, stream: trio.SocketStream) -> None:
        fates[number] = await is_reset(stream)

    async with connected(port, len(fates)) as streams, trio.open_nursery() as nursery:
        for number, stream in enumerate(streams):
            nursery.start_soon(see, number, stream)
    return fates


async def test_dying_proxy_resets_all_and_listens_no_more() -> None:
    async with echoing() as port, standing(Dying(port, after=0.3)) as proxy:
        began = trio.current_time()
        async with connected(proxy.port, 3) as streams:
            assert [await answered(stream) for stream in streams] == [b"word"] * 3
            assert [await is_reset(stream) for stream in streams] == [True] * 3
        assert trio.current_time() - began < 1.3
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", proxy.port)
    assert proxy.cut == 3
