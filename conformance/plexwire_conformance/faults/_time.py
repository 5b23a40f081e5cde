"""Faults in the timeout of an address."""

from abc import abstractmethod
from collections import defaultdict
from http import HTTPStatus
from math import inf
from typing import ClassVar, Final

import trio
from attrs import evolve

from plexwire_conformance.faults._fault import FaultyGateway, Viewer, fault
from plexwire_protocol import (
    Close,
    CloseCode,
    ConversationClosed,
    EncodedFrame,
    Event,
    GatewayReconnecting,
    GatewayViewerSession,
    VideoFrame,
)
from plexwire_protocol.tables import Deadline, Timer
from plexwire_server.extending import GatewayHub, Request, Response, Upgrade, ViewerConnection

_BAN_S: Final = 3.0


class _Timing(GatewayViewerSession):
    """Takes a timeout of so many seconds for another."""

    @abstractmethod
    def meant(self, seconds: float) -> float | None:
        """Return after how many seconds it closes; None for never."""

    def _timer_seconds(self, timer: Timer) -> float | None:
        seconds = super()._timer_seconds(timer)
        return self.meant(seconds) if timer.deadline is Deadline.TIMEOUT and seconds else seconds


@fault("time.never", "Ignores the timeout.", "PW-TIME-1")
class Never(_Timing):
    def meant(self, seconds: float) -> None:
        return None


@fault("time.late", "Looks at timeouts every four seconds only.", "PW-TIME-1")
class Late(_Timing):
    def meant(self, seconds: float) -> float:
        return seconds + 4


@fault("time.minutes", "Takes the timeout for minutes.", "PW-TIME-1")
class Minutes(_Timing):
    def meant(self, seconds: float) -> float:
        return seconds * 60


@fault(
    "time.kept-while-stalled",
    "Waits without end for a viewer that does not read its close.",
    "PW-TIME-7",
    thorough=True,
)
class KeptWhileStalled(FaultyGateway):
    def __init__(self) -> None:
        super().__init__()
        self.limits = evolve(self.limits, close_grace_s=inf)
        self.hub = GatewayHub(self)


@fault("time.half", "Closes after half of the timeout.", "PW-TIME-2")
class Half(_Timing):
    def meant(self, seconds: float) -> float:
        return seconds / 2


@fault("time.milliseconds", "Takes the timeout for milliseconds.", "PW-TIME-2")
class Milliseconds(_Timing):
    def meant(self, seconds: float) -> float:
        return seconds / 1000


@fault("time.restarted-by-frames", "Counts the timeout from the last frame.", "PW-TIME-1")
class RestartedByFrames(GatewayViewerSession):
    def send(self, message: VideoFrame | EncodedFrame | GatewayReconnecting, *, now: float) -> None:
        super().send(message, now=now)
        self._restart_timers(now)


@fault("time.normal-close", "Closes with 1000 when the timeout has passed.", "PW-TIME-1")
class NormalClose(GatewayViewerSession):
    def _closing(self, close: Close) -> Close:
        return evolve(close, code=1000) if close.code == CloseCode.TIMEOUT else close


# ── afterwards ───────────────────────────────────────────────────────────────────────────────


class _Banning(Viewer):
    gateway: "_Banned"

    def _handle(self, event: Event, now: float) -> list[Event]:
        more = super()._handle(event, now)
        if isinstance(event, ConversationClosed) and event.close.code == CloseCode.TIMEOUT:
            self.gateway.banned_until[self.address.source_id] = now + _BAN_S
        return more


class _Banned(FaultyGateway):
    """Bans the viewers of a source for a while when the time of one was up."""

    viewer_peer = _Banning

    def __init__(self) -> None:
        super().__init__()
        self.banned_until: defaultdict[str, float] = defaultdict(float)

    def is_banned(self, source_id: str) -> bool:
        """Whether viewers of *source_id* are to wait."""
        return trio.current_time() < self.banned_until[source_id]


@fault(
    "time.handshake-refused-afterwards",
    "Refuses handshakes for a source for three seconds after a viewer has had its time.",
    "PW-TIME-3",
)
class HandshakeRefusedAfterwards(_Banned):
    def route(self, request: Request) -> Response | Upgrade:
        if any(map(self.is_banned, request.path.split("/"))):
            return Response(HTTPStatus.FORBIDDEN, "You have had your time.\n")
        return super().route(request)


class _NoMore(ViewerConnection):
    gateway: _Banned

    async def answer(self, api_key: str) -> None:
        if self.gateway.is_banned(self.peer.address.source_id):
            self.peer.judge(CloseCode.UNAUTHORIZED, now=trio.current_time())
        else:
            await super().answer(api_key)


@fault(
    "time.key-refused-afterwards",
    "Refuses the key for a source for three seconds after a viewer has had its time.",
    "PW-TIME-3",
)
class KeyRefusedAfterwards(_Banned):
    viewer_connection = _NoMore


# ── how long it may be ───────────────────────────────────────────────────────────────────────


def _asked(request: Request) -> int:
    """Return the timeout that a request asks for, 0 if none."""
    _, _, query = request.target.partition("timeout=")
    digits = query.partition("&")[0]
    return int(digits) if digits.isdecimal() else 0


class _LongRefused(FaultyGateway):
    longest: ClassVar[int]

    def route(self, request: Request) -> Response | Upgrade:
        if _asked(request) > self.longest:
            return Response(HTTPStatus.BAD_REQUEST, "That is too long.\n")
        return super().route(request)


@fault(
    "time.long-refused",
    "Refuses a timeout of more than ten seconds.",
    "PW-TIME-1",
    also=("PW-ADDR-1",),
)
class LongRefused(_LongRefused):
    longest = 10


@fault("time.capped", "Takes a timeout of more than five seconds for five.", "PW-TIME-2")
class Capped(_Timing):
    def meant(self, seconds: float) -> float:
        return min(seconds, 5.0)
