"""What the connections of a gateway share: the relay, who is streaming, the limits, the counters and the keys."""

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, final

import trio

from plexwire_protocol import (
    CloseCode,
    EncodedFrame,
    Publisher,
    Relay,
    Role,
    Subscriber,
    VideoFrame,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._limits import Limits
from plexwire_server._log import trace_without
from plexwire_server._metrics import Metrics
from plexwire_server.keys._key_decision import KeyChecker, KeyDecision, KeyGranted, KeyRefused

_log: Final = logging.getLogger(__name__)


class StreamingViewer(Protocol):
    """What the gateway needs of a viewer that is streaming."""

    def expect(self, camera_id: str, /) -> None:
        """Take note that a frame of this camera came, and wake the writer."""


class GatewayState:
    """What the connections of one gateway share.

    *keys* judges API keys.  *unix_ms* is the wall clock that devices set theirs by; all waiting is on Trio's clock.
    """

    def __init__(
        self,
        keys: KeyChecker,
        *,
        limits: Limits | None = None,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.keys = keys
        self.limits = Limits() if limits is None else limits
        self.unix_ms = unix_ms
        self.metrics = Metrics(started=unix_ms() / 1000)
        self.relay = Relay()
        #: The viewers that are streaming, by what the relay knows them as.
        self.viewers: dict[Subscriber, StreamingViewer] = {}
        self._open: Counter[Role] = Counter()
        self._open_by_key: Counter[tuple[str, str]] = Counter()

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

    @final
    def publish(self, publisher: Publisher, frame: VideoFrame | EncodedFrame) -> None:
        """Hand *frame* to the relay and wake its viewers.  [PW-FRAME-10]"""
        for subscriber in self.relay.publish(publisher, frame):
            self.viewers[subscriber].expect(frame.camera_id)

    # ── open streams ─────────────────────────────────────────────────────────────────────────

    @final
    def open_streams(self, role: Role) -> int:
        """Return how many peers of this role are streaming."""
        return self._open[role]

    @final
    def has_room_for(self, granted: KeyGranted) -> bool:
        """Whether one more stream may be opened with this key."""
        key = (granted.organisation, granted.key_name)
        return self._open_by_key[key] < self.limits.streams_per_key

    @final
    def count_opened(self, role: Role, granted: KeyGranted) -> None:
        """Count a stream that was accepted."""
        self._open[role] += 1
        self._open_by_key[granted.organisation, granted.key_name] += 1

    @final
    def count_closed(self, role: Role, granted: KeyGranted) -> None:
        """Count the end of a stream that was accepted."""
        key = (granted.organisation, granted.key_name)
        self._open[role] -= 1
        self._open_by_key[key] -= 1
        if not self._open_by_key[key]:
            del self._open_by_key[key]

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
