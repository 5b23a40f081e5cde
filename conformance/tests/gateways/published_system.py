"""The published system as its own source has it, with all that it does differently from its pages.

A viewer API and a device gateway on two ports of 127.0.0.1.  Run as a program it prints `API_PORT GATEWAY_PORT`, and
serves until its standard input closes.  Lines on standard input:

    counters         print the counters as JSON
    revoke KEY       revoke a key, which the caches of both hosts go on to accept
    lose-upstreams   drop every connection between API and gateway

At its end it prints the counters once more.  It shares no code with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from published_api import Api, ApiConnection, Refused, read_address
from published_gateway import Gateway
from published_keys import API_CACHE, GATEWAY_CACHE, KeyCache, KeyStore
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from websockets.http11 import Request, Response

#: Bytes of a message.
LIMIT: Final = 1_048_576
#: "Pings every 30 s."
PING_INTERVAL: Final = 30
#: Used until a moment ago, then revoked: both hosts still accept it.
REVOKED: Final = "plx_independent_revoked"


@dataclass
class System:
    """Both hosts, and what was counted."""

    store: KeyStore
    without_redis: bool = False
    one_port: bool = False
    #: Connections open now, and ever, by kind.
    open: Counter[str] = field(default_factory=Counter)
    ever: Counter[str] = field(default_factory=Counter)
    #: Those that serve a connection.
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        api_keys, gateway_keys = (
            KeyCache(self.store, API_CACHE),
            KeyCache(self.store, GATEWAY_CACHE),
        )
        self.api = Api(api_keys)
        self.gateway = Gateway(gateway_keys, self.without_redis)
        for cache in (api_keys, gateway_keys):
            cache.remember(REVOKED, self.store.keys.get(REVOKED))
        self.store.revoke(REVOKED)

    async def handle(self, ws: ServerConnection) -> None:
        """Serve one connection, whichever it is."""
        target = ws.request.path if ws.request is not None else ""
        match target.partition("?")[0]:
            case "/ws/device":
                await self.counted("devices", self.gateway.device(ws))
            case "/ws/browser":
                await self.counted("upstreams", self.gateway.upstream(ws))
            case _:
                await self.counted("viewers", self.api.viewer(ws, read_address(target)))

    async def counted(self, kind: str, serving: Coroutine[None, None, None]) -> None:
        self.open[kind] += 1
        self.ever[kind] += 1
        task = asyncio.ensure_future(serving)
        self.tasks.add(task)
        try:
            await task
        except ConnectionClosed:
            pass
        finally:
            self.tasks.remove(task)
            self.open[kind] -= 1

    def counters(self) -> str:
        """Return the counters as one line of JSON."""
        return json.dumps(
            {"open": +self.open, "ever": self.ever, "reconnects": self.api.reconnects}
        )

    def lose_upstreams(self) -> None:
        for one in list(self.gateway.upstreams):
            one.ws.transport.abort()

    def leave(self) -> None:
        """End every connection: those of viewers that nobody noticed to be gone would wait for their timeout."""
        for task in self.tasks:
            task.cancel()

    # ── the two hosts ────────────────────────────────────────────────────────────────────────

    def refuse_at_api(self, ws: ServerConnection, request: Request) -> Response | None:
        try:
            read_address(request.path)
        except Refused:
            # "An unknown path is 403, not 404."
            return ws.respond(HTTPStatus.FORBIDDEN, "")
        return None

    def refuse_at_gateway(self, ws: ServerConnection, request: Request) -> Response | None:
        if is_gateways(request.path):
            return None
        return ws.respond(HTTPStatus.NOT_FOUND, "404 page not found\n")

    def refuse_at_both(self, ws: ServerConnection, request: Request) -> Response | None:
        return None if is_gateways(request.path) else self.refuse_at_api(ws, request)

    async def start(self, stack: AsyncExitStack) -> tuple[int, int]:
        """Listen; return the ports of API and gateway."""
        if self.one_port:
            port = await self.listen(stack, self.refuse_at_both)
            self.api.gateway_port = port
            return port, port
        self.api.gateway_port = await self.listen(stack, self.refuse_at_gateway)
        api_port = await self.listen(stack, self.refuse_at_api, create_connection=ApiConnection)
        return api_port, self.api.gateway_port

    async def listen(
        self,
        stack: AsyncExitStack,
        refuse: Callable[[ServerConnection, Request], Response | None],
        create_connection: type[ServerConnection] = ServerConnection,
    ) -> int:
        server: Server = await stack.enter_async_context(
            serve(
                self.handle,
                "127.0.0.1",
                0,
                process_request=refuse,
                create_connection=create_connection,
                max_size=LIMIT,
                # What a viewer says after its auth is not read, and must not stop pongs.
                max_queue=None,
                compression=None,
                ping_interval=PING_INTERVAL,
                ping_timeout=None,
                close_timeout=1,
            )
        )
        port: int = server.sockets[0].getsockname()[1]
        return port


def is_gateways(target: str) -> bool:
    """Whether the gateway has this path."""
    return target.partition("?")[0] in ("/ws/device", "/ws/browser")


async def main(arguments: argparse.Namespace) -> None:
    """Serve, and do what standard input asks for, until that closes."""
    system = System(KeyStore(arguments.key_check), arguments.without_redis, arguments.one_port)
    async with AsyncExitStack() as stack:
        ports = await system.start(stack)
        # Also when the counters can't be printed: the servers wait for the tasks that serve.
        stack.callback(system.leave)
        print(*ports, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            match line.split():
                case ["counters"]:
                    print(system.counters(), flush=True)
                case ["revoke", key]:
                    system.store.revoke(key)
                case ["lose-upstreams"]:
                    system.lose_upstreams()
        print(system.counters(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one-port", action="store_true", help="API and gateway on one port")
    parser.add_argument(
        "--key-check", type=float, default=0.0, help="seconds of a key's first check"
    )
    parser.add_argument("--without-redis", action="store_true", help="turn devices away with 1013")
    asyncio.run(main(parser.parse_args()))
