"""What is rough about a gateway in the field: proxies in front of one that refuse, reset, or die.

On Trio, and without any code of ours.  Each class is one roughness; `standing` has it stand on 127.0.0.1 for a while:

    async with standing(Limiting(gateway_port, status=429, at_once=30)) as proxy:
        ...  # connect to proxy.port

Run as a program, `rough_targets.py limit|reset|die GATEWAY_PORT …` prints its port, stands until its standard input
closes, and prints its counters as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

#: Seconds after which a connection that is reset has been, at the latest.
LONGEST_LIFE: Final = 1.0
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class Proxy:
    """Carries TCP connections to a gateway, as they are; what else it does to them is for the classes below."""

    gateway_port: int
    port: int = field(default=0, init=False)
    #: Connections open now, at most at the same time, and ever; and those that were refused or reset.
    open: int = field(default=0, init=False)
    most_open: int = field(default=0, init=False)
    ever: int = field(default=0, init=False)
    cut: int = field(default=0, init=False)
    listening: trio.CancelScope = field(default_factory=trio.CancelScope, init=False)

    async def stand(self, nursery: trio.Nursery) -> None:
        """Listen, and serve in *nursery*."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(self.serve, listeners, nursery)

    async def serve(self, listeners: list[trio.SocketListener], nursery: trio.Nursery) -> None:
        with self.listening:
            await trio.serve_listeners(self.take, listeners, handler_nursery=nursery)

    async def take(self, near: trio.SocketStream) -> None:
        """Take one connection."""
        number = self.ever
        self.ever += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self.treat(near, number)
        finally:
            self.open -= 1
            await trio.aclose_forcefully(near)

    async def treat(self, near: trio.SocketStream, number: int) -> None:
        """Do with connection *number*, counted from 0, what this proxy does."""
        await self.carry(near)

    async def carry(self, near: trio.SocketStream) -> None:
        """Carry until both sides have ended; a reset of one is a reset of the other."""
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self.gateway_port)
        except OSError:
            reset(near)
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, near, far, nursery.cancel_scope)
                nursery.start_soon(pump, far, near, nursery.cancel_scope)
            if nursery.cancel_scope.cancelled_caught:
                reset(near)
                reset(far)
        finally:
            await trio.aclose_forcefully(far)

    def counters(self) -> str:
        """Return the counters as one line of JSON."""
        names = ("open", "most_open", "ever", "cut")
        return json.dumps({name: getattr(self, name) for name in names})


async def pump(
    source: trio.SocketStream, sink: trio.SocketStream, broken: trio.CancelScope
) -> None:
    """Carry one direction."""
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        broken.cancel()


def reset(stream: trio.SocketStream) -> None:
    """End a TCP connection so that its peer sees a reset."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    stream.socket.close()


@dataclass(eq=False, kw_only=True)
class Limiting(Proxy):
    """Answers the handshake with HTTP *status*, above so many connections at the same time or after so many in all."""

    status: int
    at_once: int | None = None
    in_all: int | None = None
    #: Connections that are being refused, and take no room.
    refusing: int = field(default=0, init=False)

    async def treat(self, near: trio.SocketStream, number: int) -> None:
        too_many = self.at_once is not None and self.open - self.refusing > self.at_once
        if not too_many and (self.in_all is None or number < self.in_all):
            await self.carry(near)
            return
        self.cut += 1
        self.refusing += 1
        try:
            # A client that is still writing its request would see a reset.
            await near.receive_some()
            answer = (
                f"HTTP/1.1 {self.status} No room\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await near.send_all(answer.encode())
            await near.send_eof()
            with trio.move_on_after(LONGEST_LIFE):
                while await near.receive_some():
                    pass
        except trio.BrokenResourceError:
            pass
        finally:
            self.refusing -= 1


@dataclass(eq=False, kw_only=True)
class Resetting(Proxy):
    """Resets a *share* of its connections, each some time within its first second: always the same ones for a *seed*."""

    share: float
    seed: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    async def treat(self, near: trio.SocketStream, number: int) -> None:
        unlucky = self.dice.random() < self.share
        life = self.dice.uniform(0, LONGEST_LIFE)
        with trio.move_on_after(life if unlucky else float("inf")) as living:
            await self.carry(near)
        if living.cancelled_caught:
            self.cut += 1
            reset(near)


@dataclass(eq=False, kw_only=True)
class Dying(Proxy):
    """Dies so many seconds *after* its first connection: that is reset with all others, and nothing listens any more."""

    after: float
    dies_at: float = field(default=float("inf"), init=False)

    async def treat(self, near: trio.SocketStream, number: int) -> None:
        if number == 0:
            self.dies_at = trio.current_time() + self.after
            self.listening.deadline = self.dies_at
        with trio.move_on_at(self.dies_at) as living:
            await self.carry(near)
        if living.cancelled_caught:
            self.cut += 1
            reset(near)


@asynccontextmanager
async def standing(proxy: Proxy) -> AsyncGenerator[Proxy]:
    """Have *proxy* stand, with its port known, until the end of the block."""
    async with trio.open_nursery() as nursery:
        await proxy.stand(nursery)
        yield proxy
        nursery.cancel_scope.cancel()


async def main(proxy: Proxy) -> None:
    """Stand until standard input closes."""
    async with standing(proxy):
        print(proxy.port, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        print(proxy.counters(), flush=True)


def proxy_of(arguments: argparse.Namespace) -> Proxy:
    """Return the proxy that the command line asks for."""
    match arguments.kind:
        case "limit":
            return Limiting(
                arguments.gateway_port,
                status=arguments.status,
                at_once=arguments.at_once,
                in_all=arguments.in_all,
            )
        case "reset":
            return Resetting(arguments.gateway_port, share=arguments.share, seed=arguments.seed)
        case _:
            return Dying(arguments.gateway_port, after=arguments.after)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("limit", "reset", "die"))
    parser.add_argument("gateway_port", type=int)
    parser.add_argument("--status", type=int, default=429, help="HTTP status of a refusal")
    parser.add_argument("--at-once", type=int, help="connections that there is room for")
    parser.add_argument("--in-all", type=int, help="connections after which there is none")
    parser.add_argument("--share", type=float, default=0.1, help="of connections that are reset")
    parser.add_argument("--seed", type=int, default=0, help="which ones are")
    parser.add_argument(
        "--after", type=float, default=3.0, help="seconds from the first connection"
    )
    trio.run(main, proxy_of(parser.parse_args()))
