"""All connections of a gateway, and the one task that writes what their sockets did not take at once."""

import select
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from plexwire_trio._helpers import helper_tasks
from plexwire_trio.fastlane import _speedups
from plexwire_trio.fastlane._budget import STRANGER, Budget
from plexwire_trio.fastlane._framing import Unmask
from plexwire_trio.fastlane._stream import FastStream

if TYPE_CHECKING:
    from plexwire_trio.fastlane._outlet import Outlet

#: Sockets that are written to in one turn.
_PER_TURN: Final = 64


class FastLane:
    """Where the connections of a gateway are attached; made by `open_fast_lane`."""

    def __init__(self, nursery: trio.Nursery, *, unmask: Unmask) -> None:
        self._nursery = nursery
        self._unmask = unmask
        self._outlets: dict[int, Outlet] = {}
        # Only Linux tells with it which sockets have room, all at once and without asking for each.
        self._epoll = select.epoll() if hasattr(select, "epoll") else None

    def attach(
        self,
        stream: trio.abc.Stream,
        *,
        budget: Budget = STRANGER,
        already: bytes = b"",
        upgraded: bool = False,
    ) -> FastStream:
        """Return the lane of one connection over *stream*, from its HTTP request on.

        *already* is what was read from *stream* before and is still to be heard.  *upgraded* says that the request was
        read whole, and is not to be heard again: what comes are frames.  Over TCP on Linux, a frame is written without waiting; over
        TLS, in memory and elsewhere, a task of its own writes the same frames.
        """
        socket = None
        if self._epoll is not None and isinstance(stream, trio.SocketStream):
            socket = stream.socket
        fast = FastStream(
            stream,
            socket,
            budget=budget,
            unmask=self._unmask,
            already=already,
            upgraded=upgraded,
            detach=self._detach,
        )
        if socket is None or self._epoll is None:
            self._nursery.start_soon(self._drive, fast, stream)
        else:
            number = socket.fileno()
            self._outlets[number] = fast.outlet
            # Edge-triggered: an event comes only after a write that the socket did not take whole.
            self._epoll.register(number, select.EPOLLOUT | select.EPOLLET)
        return fast

    def _detach(self, fast: FastStream) -> None:
        number = fast.number
        # A socket that was closed without its lane has lost its number, perhaps to a newer one.
        if number is not None and self._outlets.get(number) is fast.outlet:
            del self._outlets[number]

    async def _drive(self, fast: FastStream, stream: trio.abc.Stream) -> None:
        with fast.driver:
            await fast.outlet.drive(stream)

    async def write_rests(self) -> None:
        """Write what sockets did not take at once, whenever they have room again."""
        if self._epoll is None:
            return
        with self._epoll:
            while True:
                await trio.lowlevel.wait_readable(self._epoll)
                for number, _ in self._epoll.poll(0, _PER_TURN):
                    outlet = self._outlets.get(number)
                    if outlet is not None:
                        outlet.resume()


@asynccontextmanager
async def open_fast_lane(*, unmask: Unmask = _speedups.unmask) -> AsyncGenerator[FastLane, None]:
    """Open the lane of a gateway.  It must outlive all that is attached to it."""
    async with helper_tasks() as nursery:
        lane = FastLane(nursery, unmask=unmask)
        nursery.start_soon(lane.write_rests)
        yield lane
