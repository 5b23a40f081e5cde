"""Scripts: drawn whole, played in virtual time here, and shrunk to the steps that matter."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance._patience import Patience
from plexwire_conformance._runner import Settings
from plexwire_conformance._stock import memory_gateway
from plexwire_conformance._trial import Trial
from plexwire_conformance._verdict import Finding
from plexwire_conformance.scripts import (
    PROPERTIES,
    RELAY,
    Property,
    find_broken,
    play_script,
    read_token,
    write_token,
)
from plexwire_conformance.scripts._property import Script, Step
from plexwire_conformance.scripts._shrink import shrink
from plexwire_protocol import CloseCode, VideoFrame
from plexwire_server import DeviceConversation, Gateway, Granted, KeyStore, ViewerConversation

R = TypeVar("R")

_SETTINGS = Settings(nonce="scripts", unix_ms=1_750_000_000_000)


# ── a bug that needs three steps ─────────────────────────────────────────────────────────────


class _ForgetfulViewer(ViewerConversation):
    def leave(self) -> None:
        super().leave()
        address = self.session.address
        gone = self.report.close is None or self.report.close.code == CloseCode.ABNORMAL
        if gone and "rear" in address.cameras:
            self.gateway.vanished.add(address.source_id)  # type: ignore[attr-defined]


class _ForgetfulDevice(DeviceConversation):
    def admit(self, granted: Granted) -> None:
        super().admit(granted)
        if self.session.source_id in self.gateway.vanished:  # type: ignore[attr-defined]
            self.gateway.deaf.add(self.session.source_id)  # type: ignore[attr-defined]

    def publish(self, frame: VideoFrame) -> None:
        deaf = self.session.source_id in self.gateway.deaf  # type: ignore[attr-defined]
        if not (deaf and frame.camera_id == "front2"):
            super().publish(frame)


class _Forgetful(Gateway):
    """Loses `front2` once a viewer of `rear` has vanished and the device came after that."""

    viewer_conversation = _ForgetfulViewer
    device_conversation = _ForgetfulDevice

    def __init__(self, keys: KeyStore) -> None:
        super().__init__(keys)
        self.vanished: set[str] = set()
        self.deaf: set[str] = set()


# ── playing in virtual time ──────────────────────────────────────────────────────────────────


def in_virtual_time(
    gateway: Callable[[KeyStore], Gateway], do: Callable[[Trial], Awaitable[R]]
) -> R:
    async def main() -> R:
        store, given = KeyStore.throw_away()
        async with (
            memory_gateway(gateway(store), given) as target,
            trio.open_nursery() as nursery,
        ):
            trial = Trial(
                case_id="scripts",
                target=target,
                patience=Patience(),
                nonce=_SETTINGS.nonce,
                online="plexwire-online",
                nursery=nursery,
                clock=trio.current_time,
                stamp=iter(range(_SETTINGS.unix_ms, 2 * _SETTINGS.unix_ms)).__next__,
            )
            result = await do(trial)
            await trial.close()
        return result

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def player(
    property_: Property, gateway: Callable[[KeyStore], Gateway]
) -> Callable[[Script], tuple[Finding, ...]]:
    def play(script: Script) -> tuple[Finding, ...]:
        return in_virtual_time(gateway, lambda trial: play_script(trial, property_, script))

    return play


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_search_meets_a_bug_that_needs_three_steps_and_shrinks_it_to_four_or_fewer(
    seed: int,
) -> None:
    play = player(RELAY, _Forgetful)
    broken = find_broken(RELAY, play, examples=200, seed_=seed)
    assert broken is not None
    clause = broken.findings[0].clause
    assert clause == "PW-FRAME-9"

    async def breaks(script: Script) -> bool:
        found = await trio.to_thread.run_sync(play, script)
        return any(finding.clause == clause for finding in found)

    shortest = trio.run(shrink, broken.script, breaks, RELAY.simpler)
    assert play(shortest)
    assert 3 <= len(shortest) <= 4


@pytest.mark.parametrize("property_", PROPERTIES.values(), ids=list(PROPERTIES))
def test_search_finds_nothing_on_the_reference_gateway(property_: Property) -> None:
    assert find_broken(property_, player(property_, Gateway), examples=60, seed_=7) is None


# ── shrinking and tokens ─────────────────────────────────────────────────────────────────────


@given(
    noise=st.lists(st.integers(3, 9), max_size=10),
    places=st.tuples(st.integers(0, 10), st.integers(0, 10)),
)
def test_shrink_leaves_the_steps_that_matter_in_their_order(
    noise: list[int], places: tuple[int, int]
) -> None:
    steps = list(noise)
    first = min(places[0], len(steps))
    steps.insert(first, 1)
    steps.insert(first + 1 + places[1] % (len(steps) - first), 2)
    script: Script = tuple((step,) for step in steps)

    async def breaks(candidate: Script) -> bool:
        await trio.lowlevel.checkpoint()
        flat = [step[0] for step in candidate]
        return 1 in flat and 2 in flat[flat.index(1) :]

    assert trio.run(shrink, script, breaks, _none) == ((1,), (2,))


def _none(step: Step) -> tuple[Step, ...]:
    return ()


@given(script=RELAY.scripts)
def test_token_carries_a_script_and_gives_it_back(script: Script) -> None:
    assert read_token(write_token(RELAY.id, script)) == (RELAY, script)
