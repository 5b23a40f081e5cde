"""The reference gateway as a target: on a loopback socket, or in memory, where time may be virtual."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from attrs import evolve

from plexwire_conformance.target.streams import memory_connection
from plexwire_conformance.target.target import REFERENCE, Endpoint, Keys, Target
from plexwire_server import Gateway, KeyStore, ThrowAwayKeys, serve


@asynccontextmanager
async def reference_gateway() -> AsyncGenerator[Target]:
    """Run the reference gateway on a free loopback port while the context lasts."""
    store, given = KeyStore.throw_away()
    async with loopback_gateway(Gateway(store), given) as target:
        yield evolve(target, called=REFERENCE)


@asynccontextmanager
async def loopback_gateway(gateway: Gateway, given: ThrowAwayKeys) -> AsyncGenerator[Target]:
    """Serve *gateway* on a free loopback port while the context lasts."""
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(serve, gateway)
        endpoint = Endpoint.of_url(f"ws://127.0.0.1:{addresses[0][1]}")
        yield Target(viewers=endpoint, devices=endpoint, keys=keys_of(given))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def memory_gateway(gateway: Gateway, given: ThrowAwayKeys) -> AsyncGenerator[Target]:
    """Serve *gateway* over streams in memory while the context lasts; nothing here waits for a socket."""
    async with trio.open_nursery() as nursery:

        async def dial(narrow: bool) -> trio.abc.Stream:
            ours, theirs = memory_connection()
            nursery.start_soon(gateway.serve_stream, theirs)
            await trio.lowlevel.checkpoint()
            return ours

        endpoint = Endpoint(
            url="memory:", host_header="gateway.test", path="", dial=dial, holds=2 * 1024 * 1024
        )
        # As with --device-url: a gateway that serves no devices there is faulty.
        yield Target(viewers=endpoint, devices=evolve(endpoint), keys=keys_of(given))
        nursery.cancel_scope.cancel()


def keys_of(given: ThrowAwayKeys) -> Keys:
    """Return throw-away keys as a run takes them."""
    return Keys(
        api_key=given.api_key,
        device_key=given.device_key,
        foreign_key=given.foreign_key,
        no_access_key=given.no_access_key,
        revoked_key=given.revoked_key,
        other_key=given.other_key,
        read_key=given.read_key,
    )
