"""The suite against the reference gateway, over streams in memory and in virtual time: nothing to say against it."""

import time
from collections import Counter

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.run.events import CaseFinished, RunEvent, RunFinished
from plexwire_conformance.run.findings import Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_conformance.target.streams import MemoryStream
from plexwire_conformance.target.target import Target
from plexwire_server import Gateway, KeyStore

#: A thread can't think while virtual time stands still for it.
PLAIN = [case for case in CASES.values() if not case.scripted]

SETTINGS = Settings(nonce="reference", unix_ms=1_750_000_000_000)


@define(eq=False)
class Meter:
    """Counts what is open at once, from dialling to closing."""

    dialled: list[MemoryStream] = field(factory=list[MemoryStream], init=False)
    most: int = field(default=0, init=False)

    @property
    def open(self) -> int:
        return sum(not stream._outgoing.sender_closed for stream in self.dialled)

    def on(self, target: Target) -> Target:
        async def dial(narrow: bool) -> trio.abc.Stream:
            stream = await target.viewers.dial(narrow)
            assert isinstance(stream, MemoryStream)
            self.dialled.append(stream)
            self.most = max(self.most, self.open)
            return stream

        endpoint = evolve(target.viewers, dial=dial)
        return evolve(target, viewers=endpoint, devices=endpoint)


def judged(cases: list[Case]) -> tuple[RunFinished, Meter]:
    """Judge the reference gateway; the meter counts what the cases open beside the online camera, and not the control."""
    meter = Meter()
    online_camera = 0

    def listen(event: RunEvent) -> None:
        nonlocal online_camera
        if isinstance(event, CaseFinished) and event.result.case == "control":
            online_camera = meter.most = meter.open

    async def main() -> RunFinished:
        store, given = KeyStore.throw_away()
        async with memory_gateway(Gateway(store), given) as target:
            finished = await Runner(meter.on(target), SETTINGS).run(cases, listen)
            assert meter.open == 0
            return finished

    finished = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert online_camera == 1
    meter.most -= online_camera
    return finished, meter


def test_reference_gateway_is_judged_by_all_cases_and_nothing_is_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.perf_counter()
    finished, _ = judged(PLAIN)
    wall = time.perf_counter() - began
    counted = Counter(result.verdict for result in finished.results)
    with capsys.disabled():
        said = ", ".join(f"{n} {verdict}" for verdict, n in counted.items())
        print(f"\n  {said}: {finished.seconds:.1f} virtual seconds in {wall:.1f} real ones")
    told = {
        result.case: result.reason or [(f.check, f.expected, f.observed) for f in result.findings]
        for result in finished.results
        if result.verdict not in (Verdict.PASS, Verdict.INFO)
    }
    assert not told
    # All waits overlap: a run takes as long as its longest wait and a little.
    assert finished.seconds <= max(case.takes for case in PLAIN) + 2


@pytest.mark.parametrize("case", PLAIN, ids=[case.id for case in PLAIN])
def test_case_opens_no_more_than_it_declares_and_takes_as_long_as_it_says(case: Case) -> None:
    finished, meter = judged([case])
    assert meter.most <= case.connections
    assert finished.seconds <= case.takes + 2
