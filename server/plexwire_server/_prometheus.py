"""The Prometheus text format: what a page of metrics is written with."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final, TypeAlias

from attrs import define, field

#: The content type of the Prometheus text format.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels: TypeAlias = tuple[tuple[str, str], ...]

#: What every metric of this project begins with.
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


@define(eq=False)
class Page:
    """A page of metrics, filled from top to bottom."""

    _lines: list[str] = field(factory=list[str], init=False)

    @property
    def text(self) -> str:
        """The page."""
        return "\n".join(self._lines) + "\n"

    def gauge(self, name: str, about: str, value: float, labels: Labels = ()) -> None:
        """Write a value that goes up and down."""
        self._head(name, "gauge", about)
        self._sample(name, labels, value)

    def count(self, name: str, about: str, value: int) -> None:
        """Write a counter without labels."""
        self.counts(name, about, {(): value})

    def counts(self, name: str, about: str, values: Mapping[Labels, int]) -> None:
        """Write a counter with a sample for each of its labels; `_total` is added to its *name*."""
        self._head(f"{name}_total", "counter", about)
        for labels, value in sorted(values.items()):
            self._sample(f"{name}_total", labels, value)

    def histogram(self, name: str, about: str, values: Histogram) -> None:
        """Write a histogram: its buckets, each with those below it, then sum and count."""
        self._head(name, "histogram", about)
        so_far = 0
        for bound, count in zip((*values.bounds, inf), values.counts, strict=True):
            so_far += count
            self._sample(f"{name}_bucket", (("le", _number(bound)),), so_far)
        self._sample(f"{name}_sum", (), values.total)
        self._sample(f"{name}_count", (), so_far)

    def _head(self, name: str, kind: str, about: str) -> None:
        about = about.replace("\\", r"\\").replace("\n", r"\n")
        self._lines += [f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} {kind}"]

    def _sample(self, name: str, labels: Labels, value: float) -> None:
        inner = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels)
        braces = f"{{{inner}}}" if inner else ""
        self._lines.append(f"{_PREFIX}{name}{braces} {_number(value)}")


def by(label: str, counts: Mapping[str, int]) -> dict[Labels, int]:
    """Return *counts* under the one label *label*."""
    return {((label, word),): count for word, count in counts.items()}


def by_all(labels: Sequence[str], counts: Mapping[tuple[str, ...], int]) -> dict[Labels, int]:
    """Return *counts* under *labels*, a word each."""
    return {tuple(zip(labels, words, strict=True)): count for words, count in counts.items()}


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return "+Inf" if value == inf else repr(value)
