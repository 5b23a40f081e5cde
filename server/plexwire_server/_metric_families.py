"""Metric families of prometheus-client under this project's prefix, from plain numbers.

The numbers are plain because a frame moves several of them for each viewer, and one thread has all of them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from attrs import define, field
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

_PREFIX: Final = "plexwire_"


@define(eq=False)
class Histogram:
    """How often a value was at most each of `bounds`, which ascend."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count *value*."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def collect(self, name: str, about: str) -> HistogramMetricFamily:
        """Return the histogram: its buckets, each with those below it, and the sum."""
        buckets: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip((*self.bounds, inf), self.counts, strict=True):
            so_far += count
            buckets.append(("+Inf" if bound == inf else repr(bound), so_far))
        return HistogramMetricFamily(_PREFIX + name, about, buckets, self.total)


def gauge(
    name: str, about: str, value: float | None = None, *, labels: Sequence[str] | None = None
) -> GaugeMetricFamily:
    """Return a value that goes up and down, or a family to add values with *labels* to."""
    return GaugeMetricFamily(_PREFIX + name, about, value, labels)


def counter(name: str, about: str, value: int) -> CounterMetricFamily:
    """Return a counter without labels; `_total` is added to its *name*."""
    return CounterMetricFamily(_PREFIX + name, about, value)


def counter_by(name: str, about: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    """Return a counter with a sample per value of *label*."""
    return counter_by_all(name, about, (label,), {(word,): n for word, n in values.items()})


def counter_by_all(
    name: str, about: str, labels: Sequence[str], values: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    """Return a counter with a sample per combination of values of *labels*."""
    family = CounterMetricFamily(_PREFIX + name, about, labels=labels)
    for words, count in sorted(values.items()):
        family.add_metric(words, count)
    return family
