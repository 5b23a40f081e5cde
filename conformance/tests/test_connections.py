"""How the connections of a case end: whoever may still be served is noted, and an interrupt waits for nobody in vain."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import frozen

from plexwire_conformance.run.network import Network
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_conformance.target.target import Camera
from plexwire_server import Gateway, KeyStore

ONLINE = Camera("plexwire-online", "front")


@frozen
class Scene:
    """A case's stage at the reference gateway, and the scope in which the case runs."""

    stage: Stage
    network: Network
    scope: trio.CancelScope


@asynccontextmanager
async def scene() -> AsyncGenerator[Scene]:
    store, given = KeyStore.throw_away()
    network = Network(trio.current_time)
    async with memory_gateway(Gateway(store), given) as target, trio.open_nursery() as nursery:
        stage = Stage(
            case_id="test.closing",
            target=target,
            tolerances=Tolerances(),
            nonce="closing",
            online=ONLINE,
            network=network,
            timeout=30,
            nursery=nursery,
            clock=trio.current_time,
            stamp=iter(range(1_750_000_000_000, 1_750_000_100_000)).__next__,
        )
        yield Scene(stage, network, nursery.cancel_scope)
        with trio.CancelScope(shield=True):
            await stage.close()


@pytest.mark.parametrize("awaits_init", [False, True])
async def test_viewer_that_left_is_noted_whether_it_waited_for_its_init_or_not(
    autojump_clock: trio.testing.MockClock, awaits_init: bool
) -> None:
    async with scene() as made:
        viewer = await made.stage.connect_viewer()
        await viewer.authenticate(made.stage.target.keys.api_key)
        if awaits_init:
            assert await viewer.await_init(1.0) is not None
    assert made.network.unaware == {("home", ONLINE.source_id): {ONLINE.camera_id}}


async def test_viewer_that_asked_for_nothing_or_was_refused_is_not_noted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as made:
        await made.stage.connect_viewer()
        viewer = await made.stage.connect_viewer()
        await viewer.authenticate("plx_wrong")
        await viewer.peer.until_ended(1.0)
    assert made.network.unaware == {}


async def test_case_that_is_ended_from_outside_waits_for_its_answers_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as made:
        viewer, _ = (
            await made.stage.open_viewer(),
            await made.stage.open_source("elsewhere", ("front",)),
        )
        made.scope.cancel()
        began = trio.current_time()
        with trio.CancelScope(shield=True):
            await made.stage.close()
        assert trio.current_time() - began < 0.1
        assert not viewer.peer.is_open
