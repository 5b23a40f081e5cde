"""Gateways that choose differently where the specification leaves them the choice: reported, and never held against them."""

import pytest
import trio
import trio.testing
from attrs import evolve
from wsproto.frame_protocol import CloseReason

from plexwire_conformance.cases import CASES
from plexwire_conformance.commands.selftest import contradictions
from plexwire_conformance.faults import FaultyGateway
from plexwire_conformance.faults._fault import Viewer
from plexwire_conformance.faults._parts import Queueing
from plexwire_conformance.run.findings import CaseResult, Finding, Trouble, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_protocol import EncodedFrame
from plexwire_server.extending import Request, Response, Upgrade


def judged(gateway: FaultyGateway, *case_ids: str) -> dict[str, CaseResult]:
    async def main() -> dict[str, CaseResult]:
        async with memory_gateway(gateway, gateway.given) as target:
            runner = Runner(target, Settings(nonce="choices", unix_ms=1_750_000_000_000))
            run = await runner.run([CASES[each] for each in case_ids], lambda event: None)
        assert not list(contradictions(run.results))
        return {result.case: result for result in run.results}

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def chosen(result: CaseResult, check: str) -> Finding:
    (finding,) = (finding for finding in result.findings if finding.check == check)
    return finding


class PipelinedLost(FaultyGateway):
    """Loses what comes in one segment with the handshake."""

    def route(self, request: Request) -> Response | Upgrade:
        return super().route(evolve(request, rest=b""))


@pytest.mark.parametrize(
    ("gateway", "outcome"), [(FaultyGateway, "read"), (PipelinedLost, "not read")]
)
def test_gateway_may_lose_an_auth_that_comes_with_the_handshake(
    gateway: type[FaultyGateway], outcome: str
) -> None:
    result = judged(gateway(), "auth.pipelined")["auth.pipelined"]
    assert result.verdict is Verdict.INFO
    finding = chosen(result, "PW-AUTH-19/auth-with-handshake")
    assert finding.observed == {"outcome": outcome}


class _NewestDropped(Queueing):
    def take(self, frame: EncodedFrame) -> None:
        if not self.queue:
            super().take(frame)


class _QueueOfTen(Queueing):
    places = 10


@pytest.mark.parametrize(
    ("peer", "outcome"),
    [
        (Viewer, "no old frame waits for the viewer"),
        (_NewestDropped, "no old frame waits for the viewer"),
        (_QueueOfTen, "older frames wait for the viewer"),
    ],
)
def test_gateway_may_keep_which_frames_it_likes_for_a_viewer_that_stalls(
    peer: type[Viewer], outcome: str
) -> None:
    gateway = FaultyGateway()
    gateway.viewer_peer = peer
    result = judged(gateway, "flow.stalled-viewer")["flow.stalled-viewer"]
    assert result.verdict is Verdict.INFO
    finding = chosen(result, "PW-FLOW-5/waiting-frames")
    assert finding.observed == {"outcome": outcome}


class _Overloaded(Viewer):
    """Closes a viewer that takes more than two seconds for a frame with 1013: it has no room for slow ones."""

    _since = 0.0

    def _next_frame(self, now: float) -> str | bytes | None:
        self._since = now
        return super()._next_frame(now)

    def _note_written(self, now: float) -> None:
        slow = self._in_hand is not None and now > self._since + 2
        super()._note_written(now)
        if slow:
            self.close(CloseReason.TRY_AGAIN_LATER, now=now)


def test_gateway_that_has_no_room_for_a_stream_is_not_blamed() -> None:
    gateway = FaultyGateway()
    gateway.viewer_peer = _Overloaded
    result = judged(gateway, "flow.stalled-viewer")["flow.stalled-viewer"]
    assert (result.verdict, result.trouble) == (Verdict.ERROR, Trouble.NETWORK)
    assert "1013" in result.reason
    assert not [finding for finding in result.findings if finding.is_breach]
