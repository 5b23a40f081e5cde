"""What the run's connections met on their way, apart from what the gateway does with them.

Refused for want of room, lost before an answer, reset while they were in use: none of it is a breach of the protocol, and
too much of it makes what the cases find unreliable.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

import trio
from attrs import define, field

from plexwire_conformance.wire.peer import RawPeer

#: Seconds without any answer after which a gateway that no longer accepts connections has gone.
_SILENT: Final = 1.5
#: From this share of the streams in use on, and this number, endings without a close frame are the network's.
_LOSSY_SHARE: Final = 0.03
_LOSSY_COUNT: Final = 4

#: Other cases with losses from which on one more play, and another one, must show what a case found after a loss.
_LOSSES_OF_OTHERS: Final = (2, 6)


@define(eq=False)
class Network:
    """Counts connections and what befell them, for one run; times are seconds since the run began."""

    _clock: Callable[[], float]
    #: Called when the gateway, or a proxy before it, says that it has no room, with the number of connections that it has.
    when_refused: Callable[[int], None] = lambda open_now: None
    _peers: WeakSet[RawPeer] = field(factory=WeakSet[RawPeer], init=False)
    #: Connections that were upgraded.
    opened: int = field(default=0, init=False)
    #: Handshakes that were refused for want of room, by HTTP status or close code.
    refused: Counter[int] = field(factory=Counter[int], init=False)
    #: Handshakes that were lost before they were answered.
    lost: int = field(default=0, init=False)
    #: Streams that were in use, and those of them that ended without a close frame, by case.
    used: int = field(default=0, init=False)
    broken: Counter[str] = field(factory=Counter[str], init=False)
    #: The sources that the run published.
    sources: set[str] = field(factory=set[str], init=False)
    #: Cameras of viewers to whom no frame was sent since they closed, by organisation and source.
    unaware: dict[tuple[str, str], set[str]] = field(
        factory=dict[tuple[str, str], set[str]], init=False
    )
    #: The shortest timeout that was refused although it is legal: streams that would ask for as much ask for none.
    refused_timeout: int | None = field(default=None, init=False)
    #: When the gateway was last heard, and why it can no longer be reached, once that is so.
    heard_at: float = field(default=0.0, init=False)
    gone: str = field(default="", init=False)
    #: Set once the gateway has gone.
    has_gone: trio.Event = field(factory=trio.Event, init=False)

    @property
    def open_now(self) -> int:
        """How many connections of the run are open."""
        return sum(peer.is_open for peer in self._peers)

    def opens(self, peer: RawPeer) -> None:
        """Note that *peer* was upgraded."""
        self._peers.add(peer)
        self.opened += 1
        self.heard()

    def heard(self) -> None:
        """Note that the gateway said something."""
        self.heard_at = self._clock()

    def no_room(self, status: int) -> None:
        """Note that a connection was refused with *status* because there is no room."""
        self.refused[status] += 1
        self.heard()
        self.when_refused(self.open_now)

    def unreachable(self, problem: str) -> None:
        """Note that no connection was to be had, whatever was tried: the gateway may have gone."""
        if self.opened and self._clock() - self.heard_at > _SILENT and not self.gone:
            self.gone = problem
            self.has_gone.set()

    def plays_needed(self, case_id: str) -> int:
        """Return in how many plays a case must show what it found after a loss, by how many other cases lost connections.

        Chance hits the same case twice when it hits many.
        """
        others = self.losses_beside(case_id)
        return 2 + sum(others >= many for many in _LOSSES_OF_OTHERS)

    def losses_beside(self, case_id: str) -> int:
        """Return how many other cases lost connections."""
        return len(self.broken.keys() - {case_id})

    def takes_timeout(self, seconds: int) -> bool:
        """Whether a stream may ask for a timeout of so many *seconds*, by all that is known."""
        return self.refused_timeout is None or seconds < self.refused_timeout

    @property
    def summary(self) -> str:
        """What the network did to the streams of the run, for people."""
        return f"{sum(self.broken.values())} of {self.used} streams ended without a close frame"

    @property
    def is_lossy(self) -> bool:
        """Whether so many streams broke in so many cases that the network is to blame."""
        broken = sum(self.broken.values())
        return len(self.broken) >= _LOSSY_COUNT and broken >= _LOSSY_SHARE * max(1, self.used)
