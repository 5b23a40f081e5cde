"""What a gateway counts, as metrics for Prometheus."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import define, field
from prometheus_client.metrics_core import Metric

from plexwire_protocol import CloseCode, Traffic, __version__
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._metric_families import (
    Histogram,
    counter,
    counter_by,
    counter_by_all,
    gauge,
)

#: Seconds that frames are sorted by, from a loopback to a viewer that stalls.
_DELAYS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _counter() -> "Counter[str]":
    return Counter()


def _counter_by_role() -> "Counter[tuple[str, ...]]":
    return Counter()


def _delays() -> Histogram:
    return Histogram(_DELAYS_S)


@define(eq=False, kw_only=True)
class Metrics:
    """What a gateway counts, from its start on; `started` is that moment in Unix seconds."""

    started: float = 0.0
    crashes: int = 0
    key_check_failures: int = 0
    frame_delay: Histogram = field(factory=_delays)
    dropped: Counter[str] = field(factory=_counter)
    closes: Counter[tuple[str, ...]] = field(factory=_counter_by_role)
    auth_refusals: Counter[tuple[str, ...]] = field(factory=_counter_by_role)
    http_answers: Counter[str] = field(factory=_counter)

    def note_end(self, report: ConnectionReport) -> None:
        """Count a connection that is over."""
        if report.status is not None:
            self.http_answers[str(report.status)] += 1
        if report.close is None or report.role is None:
            return
        labels = (report.role.value, code_label(report.close.code))
        self.closes[labels] += 1
        if report.auth_refused:
            self.auth_refusals[labels] += 1

    def collect(
        self,
        *,
        viewers: int,
        devices: int,
        unauthenticated: int,
        traffic: Traffic,
        waiting: int,
        replaced: int,
    ) -> Iterator[Metric]:
        """Yield everything as metrics.

        What is so right now is the caller's to know: streaming *viewers* and *devices*, connections that are
        *unauthenticated* yet, the *traffic* of the hub, frames *waiting* for these viewers, and frames that were *replaced* before these viewers
        could take them.
        """
        build = gauge("build_info", "Always 1.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build
        yield gauge("start_time_seconds", "When the gateway began, in Unix seconds.", self.started)
        yield gauge("viewers", "Viewers that are streaming.", viewers)
        yield gauge("devices", "Devices that are streaming.", devices)
        yield gauge("unauthenticated", "Connections without a good auth yet.", unauthenticated)
        yield gauge("frames_waiting", "Frames that wait for their viewer.", waiting)
        yield counter(
            "frames_received", "Frames taken from devices or the upstream.", traffic.frames_in
        )
        yield counter("frames_sent", "Frames sent to viewers.", traffic.frames_out)
        yield counter("frame_bytes_received", "Bytes of pictures taken.", traffic.bytes_in)
        yield counter("frame_bytes_sent", "Bytes of frame messages to viewers.", traffic.bytes_out)
        yield counter_by(
            "frames_dropped",
            "Frames that did not get through, by reason.",
            "reason",
            self.dropped + traffic.dropped + Counter({"replaced": replaced}),
        )
        yield self.frame_delay.collect(
            "frame_delay_seconds", "From a frame's arrival here until it was written to a viewer."
        )
        yield counter_by_all(
            "closes", "Streams that ended, by role and close code.", ("role", "code"), self.closes
        )
        yield counter_by_all(
            "auth_refusals",
            "Peers turned away at their auth, by role and close code.",
            ("role", "code"),
            self.auth_refusals,
        )
        yield counter_by(
            "http_answers", "Plain HTTP answers, by status.", "status", self.http_answers
        )
        yield counter("crashes", "Connections lost to an error of the gateway.", self.crashes)
        yield counter(
            "key_check_failures", "Keys that could not be checked.", self.key_check_failures
        )


def code_label(code: int) -> str:
    """Return the label of a close *code*: a peer may choose among thousands, and each would be a series for ever."""
    return str(int(code)) if code in set(CloseCode) else "other"
