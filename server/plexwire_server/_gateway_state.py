"""What the connections of a gateway share: the hub, the limits, the counters and the keys."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from plexwire_protocol import (
    CloseCode,
    DevicePeer,
    GatewayDeviceSession,
    GatewayViewerSession,
    Hub,
    HubLimits,
    Role,
    StreamAddress,
    ViewerPeer,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._limits import Limits
from plexwire_server._log import trace_without
from plexwire_server._metrics import Metrics
from plexwire_server.keys._key_decision import KeyChecker, KeyDecision, KeyRefused
from plexwire_trio.fastlane import FastLane, text_frame

_log: Final = logging.getLogger(__name__)


class GatewayHub(Hub):
    """The hub of *gateway*, which says what its peers and sessions are."""

    def __init__(self, gateway: "GatewayState") -> None:
        limits, framed = gateway.limits, gateway.lane is not None
        super().__init__(
            unix_ms=lambda: gateway.unix_ms(),
            limits=HubLimits(
                streams=limits.streams,
                streams_per_key=limits.streams_per_key,
                waiting_bytes=limits.waiting_bytes,
                waiting_bytes_per_key=limits.waiting_bytes_per_key,
                close_grace_s=limits.close_grace_s,
            ),
            observe_delay=gateway.metrics.frame_delay.observe,
            **({"finish": text_frame} if framed else {}),
        )
        self.gateway = gateway

    def new_viewer(
        self, address: StreamAddress, *, wake: Callable[[], None], now: float
    ) -> ViewerPeer:
        """Return a viewer of the gateway's kind."""
        return self.gateway.viewer_peer(self, self.gateway.viewer_session(address), wake)

    def new_device(self, *, wake: Callable[[], None], now: float) -> DevicePeer:
        """Return a device of the gateway's kind."""
        return self.gateway.device_peer(self, self.gateway.device_session(), wake)


class GatewayState:
    """What the connections of one gateway share.

    *keys* judges API keys.  *unix_ms* is the wall clock that devices set theirs by; all waiting is on Trio's clock.
    Frames go through *lane* if there is one.
    """

    #: What a viewer is to the hub, and what a device.
    viewer_peer: type[ViewerPeer] = ViewerPeer
    device_peer: type[DevicePeer] = DevicePeer

    def __init__(
        self,
        keys: KeyChecker,
        *,
        limits: Limits | None = None,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        lane: FastLane | None = None,
    ) -> None:
        self.keys = keys
        self.limits = Limits() if limits is None else limits
        self.unix_ms = unix_ms
        self.lane = lane
        self.metrics = Metrics(started=unix_ms() / 1000)
        self.hub = GatewayHub(self)

    async def check_key(self, api_key: str) -> KeyDecision:
        """Have a key judged; if that fails or takes too long, its bearer is refused with 1011."""
        with trio.move_on_after(self.limits.key_check_s):
            try:
                decision = self.keys.check(api_key)
                return await decision if isinstance(decision, Awaitable) else decision
            except Exception as error:
                _log.error("A key could not be checked.\n%s", trace_without(error, api_key))
        self.metrics.key_check_failures += 1
        return KeyRefused(CloseCode.INTERNAL_ERROR)

    def viewer_session(self, address: StreamAddress) -> GatewayViewerSession:
        """Return the rules towards one viewer."""
        return GatewayViewerSession(address, now=trio.current_time())

    def device_session(self) -> GatewayDeviceSession:
        """Return the rules towards one device."""
        return GatewayDeviceSession(now=trio.current_time())

    @final
    def open_streams(self, role: Role) -> int:
        """Return how many peers of this role are streaming."""
        return self.hub.open_streams(role)

    @final
    def note_crash(self, report: ConnectionReport, error: Exception) -> None:
        """Count and log an error of ours."""
        self.metrics.crashes += 1
        root: BaseException = error
        while isinstance(root, BaseExceptionGroup):
            root = root.exceptions[0]
        # Its text may hold anything, so only its name goes into the line of the connection.
        report.error = type(root).__name__
        _log.error("A connection crashed.", exc_info=error)
