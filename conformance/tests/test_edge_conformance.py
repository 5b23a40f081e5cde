"""The suite against an edge of the reference gateway, in virtual time: it is judged as any gateway is."""

import time
from collections import Counter

import pytest
import trio
import trio.testing

from plexwire_conformance.cases import CASES
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import keys_of
from plexwire_conformance.target.streams import memory_connection
from plexwire_conformance.target.target import Endpoint, Target
from plexwire_server import Gateway, KeyStore, Upstream, open_edge
from plexwire_trio import GatewayUrl

#: A thread can't think while virtual time stands still for it.
PLAIN = [case for case in CASES.values() if not case.scripted]


def endpoint(gateway: Gateway, nursery: trio.Nursery) -> Endpoint:
    """Return where *gateway* can be reached in memory."""

    async def dial(narrow: bool) -> trio.abc.Stream:
        ours, theirs = memory_connection()
        nursery.start_soon(gateway.serve_stream, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    return Endpoint(
        url="memory:", host_header="gateway.test", path="", dial=dial, holds=2 * 1024 * 1024
    )


async def judged() -> RunFinished:
    store, given = KeyStore.throw_away()
    async with trio.open_nursery() as nursery:
        there = endpoint(Gateway(store), nursery)

        async def dial(url: GatewayUrl) -> trio.abc.Stream:
            return await there.dial(False)

        upstream = Upstream(url=GatewayUrl.parse("ws://upstream.test"), opener=dial)
        async with open_edge(upstream) as edge:
            here = endpoint(edge, nursery)
            target = Target(viewers=here, devices=there, keys=keys_of(given))
            settings = Settings(nonce="edge", unix_ms=1_750_000_000_000)
            finished = await Runner(target, settings).run(PLAIN, lambda event: None)
        nursery.cancel_scope.cancel()
    return finished


def test_edge_is_judged_by_all_cases_and_nothing_is_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.perf_counter()
    finished = trio.run(judged, clock=trio.testing.MockClock(autojump_threshold=0))
    wall = time.perf_counter() - began
    counted = Counter(result.verdict for result in finished.results)
    with capsys.disabled():
        said = ", ".join(f"{n} {verdict}" for verdict, n in counted.items())
        print(
            f"\n  an edge: {said}: {finished.seconds:.1f} virtual seconds in {wall:.1f} real ones"
        )
    told = {
        result.case: result.reason or [(f.check, f.expected, f.observed) for f in result.findings]
        for result in finished.results
        if result.verdict not in (Verdict.PASS, Verdict.INFO)
    }
    assert not told
    assert len(finished.results) >= len(PLAIN)
