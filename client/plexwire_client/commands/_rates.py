"""How fast something comes: counts over the last two seconds, on the caller's clock."""

from collections import deque
from typing import Final

#: Seconds that a rate looks back.
WINDOW_S: Final = 2.0


class Meter:
    """Counts pictures and their bytes; `latency_ms` is that of the last one, None before it."""

    def __init__(self, now: float) -> None:
        self.count = 0
        self.bytes = 0
        self.latency_ms: float | None = None
        self._began = now
        self._recent: deque[tuple[float, int]] = deque()

    def take(self, now: float, size: int, latency_ms: float | None = None) -> None:
        """Count a picture of *size* bytes at *now*."""
        self.count += 1
        self.bytes += size
        self.latency_ms = latency_ms
        self._recent.append((now, size))
        self._forget(now)

    def per_second(self, now: float) -> tuple[float, float]:
        """Return pictures and bytes a second."""
        self._forget(now)
        span = min(WINDOW_S, now - self._began)
        if span <= 0:
            return 0.0, 0.0
        return len(self._recent) / span, sum(size for _, size in self._recent) / span

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - WINDOW_S:
            self._recent.popleft()


def in_bytes(size: float) -> str:
    """Return *size* for people: 512 B, 93.4 kB, 1.2 MB."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
