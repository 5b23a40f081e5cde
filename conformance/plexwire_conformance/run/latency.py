"""How long the gateway takes to answer anything at all, and how late the suite itself wakes up to look.

A gateway that shares its machine with others is slow for a moment now and then, and so is the judge.  Whoever waits for
an answer allows for it, so that nobody is accused of what a busy machine did.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field

#: Round trips that an answer may take.
_TRIPS: Final = 4
#: Seconds that are allowed for slowness at most: a gateway that has stopped altogether is no busy one.
_MOST: Final = 5.0
#: Exchanges, and moments in which the judge was late, that are remembered.
_KEPT: Final = 1000
#: What counts as late, in seconds.
_LATE: Final = 0.02


@define(eq=False)
class Latency:
    """How long exchanges took lately, in seconds; `usual` is what is allowed for everywhere already."""

    _clock: Callable[[], float]
    usual: float = 0.0
    _took: deque[tuple[float, float]] = field(
        factory=lambda: deque[tuple[float, float]](maxlen=_KEPT), init=False
    )
    _asked_at: float | None = field(default=None, init=False)
    _late: deque[tuple[float, float]] = field(
        factory=lambda: deque[tuple[float, float]](maxlen=_KEPT), init=False
    )

    def asked(self) -> None:
        """Say that the gateway was asked for something just now."""
        self._asked_at = self._clock()

    def answered(self) -> None:
        """Say that its answer came just now."""
        if self._asked_at is not None:
            now = self._clock()
            self._took.append((now, now - self._asked_at))
            self._asked_at = None

    def lost(self) -> None:
        """Say that no answer will come any more: nothing is known until the next."""
        self._asked_at = None

    def slowest(self, since: float) -> float:
        """Return how long the slowest exchange took that was under way at *since* or later, in seconds."""
        took = [length for at, length in self._took if at >= since]
        # Whoever never answered is not slow.
        if self._asked_at is not None and self._took:
            took.append(self._clock() - self._asked_at)
        return max(took, default=0.0)

    def overslept(self, seconds: float) -> None:
        """Say that the judge got to look so many seconds later than it had meant to."""
        if seconds > _LATE:
            self._late.append((self._clock(), seconds))

    def lost_time(self, since: float) -> float:
        """Return the seconds since *since* in which the judge could not look."""
        # Whoever began to wait when the judge woke up has missed nothing of what it slept through.
        return sum(min(seconds, at - since) for at, seconds in self._late if at >= since)

    def slack(self, since: float) -> float:
        """Return the seconds to allow on top of what is usual, to who has waited since *since*.

        What the judge itself lost is allowed for in full, and once more for a gateway that shares its machine.
        """
        slowness = max(0.0, self.slowest(since) - self.usual)
        return min(_MOST, _TRIPS * slowness) + 2 * self.lost_time(since)
