"""The cases about vectors, near misses of keys and real handshakes: what they play, and what they say of choices."""

import json

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.cases import CASES
from plexwire_conformance.cases.gateway.playing import at, spread
from plexwire_conformance.commands.selftest import contradictions
from plexwire_conformance.faults import FaultyGateway
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_protocol import Event, GatewayDeviceSession, GatewayViewerSession, State
from plexwire_spec import Place


def judged(gateway: FaultyGateway, case_id: str, *, thorough: bool = False) -> CaseResult:
    async def main() -> CaseResult:
        settings = Settings(nonce="vectors", unix_ms=1_750_000_000_000, thorough=thorough)
        async with memory_gateway(gateway, gateway.given) as target:
            run = await Runner(target, settings).run([CASES[case_id]], lambda event: None)
        assert not list(contradictions(run.results))
        return next(result for result in run.results if result.case == case_id)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@given(items=st.lists(st.integers(), max_size=50), most=st.integers(0, 60))
def test_spread_keeps_the_order_and_the_ends_and_no_more_than_it_may(
    items: list[int], most: int
) -> None:
    numbered = list(enumerate(items))
    kept = list(spread(numbered, most))
    assert len(kept) == min(most, len(items))
    assert kept == sorted(set(kept))
    if kept and most > 1:
        assert (kept[0], kept[-1]) == (numbered[0], numbered[-1])


@pytest.mark.parametrize("place", list(Place))
def test_vectors_are_played_at_every_place(place: Place) -> None:
    assert at(place)


@pytest.mark.parametrize(
    "case_id", ["vectors.frames", "vectors.device-messages", "vectors.bad-addresses", "keys.near"]
)
def test_reference_gateway_passes_all_that_a_thorough_run_plays(case_id: str) -> None:
    assert judged(FaultyGateway(), case_id, thorough=True).verdict is Verdict.PASS


class _StreamOfValues(GatewayViewerSession):
    """Reads the first JSON value of an auth, and nothing after it."""

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if isinstance(data, str) and self.state is State.AWAITING_AUTH:
            try:
                value, _ = json.JSONDecoder().raw_decode(data)
            except ValueError:
                return super()._receive(data, now=now)
            return super()._receive(json.dumps(value), now=now)
        return super()._receive(data, now=now)


class _ReadsStreams(FaultyGateway):
    viewer_rules = _StreamOfValues


def test_gateway_may_read_an_auth_with_text_after_it_and_the_choice_is_told() -> None:
    result = judged(_ReadsStreams(), "vectors.first-messages", thorough=True)
    assert result.verdict is Verdict.INFO
    told = next(f for f in result.findings if f.check == "PW-AUTH-17/vectors")
    assert "auth-trailing-text" in told.observed["outcomes"]["accepted"]


class _Strict(GatewayDeviceSession):
    """Closes a device for a message that it can't read."""

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if self.state is State.STREAMING and isinstance(data, str):
            try:
                json.loads(data)
            except ValueError:
                return self.close(1007, "not JSON", now=now)
        return super()._receive(data, now=now)


class _ClosesDevices(FaultyGateway):
    device_rules = _Strict


def test_gateway_may_close_a_device_and_the_choice_is_the_same_in_each_run() -> None:
    first, second = (judged(_ClosesDevices(), "vectors.device-messages") for _ in range(2))
    assert first.verdict is Verdict.INFO
    told = [[(f.check, f.observed) for f in one.findings] for one in (first, second)]
    assert told[0] == told[1]
    assert any("close 1007" in str(observed) for _, observed in told[0])
