"""What a watch of production shows to Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from plexwire_conformance.passive.production import Production


class ProductionMetrics(Collector):
    """The figures of one watch, read when they are asked for."""

    def __init__(self, watched: Production) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        watched = self._watched
        yield GaugeMetricFamily(
            "plexwire_monitor_connected",
            "1 while a stream has its init.",
            value=float(watched.is_connected),
        )
        for name, text, value in (
            ("frames", "Frames that came.", watched.frames),
            ("bytes", "Bytes of the messages that they came in.", watched.bytes),
            ("gaps", "Silences of a camera that were unusually long.", watched.gaps),
            ("connections", "Connections that were opened.", watched.connects),
        ):
            yield CounterMetricFamily(f"plexwire_monitor_{name}", text, value=value)
        closes = CounterMetricFamily(
            "plexwire_monitor_ends", "Streams that ended, by code or manner.", labels=["how"]
        )
        for how, count in dict(watched.closes).items():
            closes.add_metric([how], count)
        yield closes
        findings = CounterMetricFamily(
            "plexwire_monitor_findings",
            "Connections on which a check failed.",
            labels=["check", "level"],
        )
        for check, finding in dict(watched.judge.findings).items():
            findings.add_metric([check, str(finding.level)], finding.connections)
        yield findings
        latency = sorted(watched.latencies)
        if latency:
            gauge = GaugeMetricFamily(
                "plexwire_monitor_latency_seconds",
                "From a frame's timestamp to its arrival, since the last line.",
                labels=["quantile"],
            )
            for quantile in (0.5, 0.95, 0.99):
                at = min(len(latency) - 1, int(quantile * len(latency)))
                gauge.add_metric([str(quantile)], latency[at])
            yield gauge
