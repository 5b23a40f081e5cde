"""The pulse: how long the gateway takes to answer anything at all, measured for as long as cases wait for something.

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
#: Exchanges that are remembered.
_KEPT: Final = 1000


@define(eq=False)
class Pulse:
    """Remembers how long exchanges took, in seconds; `usual` is what is allowed for everywhere already."""

    _clock: Callable[[], float]
    usual: float = 0.0
    _took: deque[tuple[float, float]] = field(
        factory=lambda: deque[tuple[float, float]](maxlen=_KEPT), init=False
    )
    _asked_at: float | None = field(default=None, init=False)

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

    def slack(self, since: float) -> float:
        """Return the seconds to allow on top of what is usual, to who has waited since *since*."""
        return min(_MOST, _TRIPS * max(0.0, self.slowest(since) - self.usual))
