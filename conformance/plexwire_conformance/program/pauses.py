"""How a program comes back: the pauses before its attempts, while nothing that it tries succeeds."""

from collections.abc import Sequence
from typing import Final

from plexwire_conformance.program.stage import Play

#: What a busy machine may add to a pause, or take from one, in seconds.
SLACK_S: Final = 0.25
#: A share of a pause by which it may be off and still count as exact.
_EXACT: Final = 0.02
#: What the third pause of a program whose pauses grow is at least, as a multiple of the first.
_GROWS: Final = 1.4


async def pauses(play: Play, within: Sequence[float]) -> list[float]:
    """Return the pauses (seconds) before the next attempts, each refused with HTTP 503; fewer if it stays away.

    *within* is how long to wait for each of them.
    """
    found: list[float] = []
    began = play.now()
    for patience in within:
        peer = await play.arrival(patience)
        if peer is None:
            break
        found.append(peer.opened_at - began)
        await peer.refuse(503)
        began = play.now()
    return found


def do_vary(found: Sequence[float]) -> bool:
    """Whether chance has a hand in pauses that double: three that are exact multiples of one another are not varied.

    Varied by 25 percent, they look exact in one of 150 plays, and a finding needs two plays of three.
    """
    if len(found) < 3:
        return True
    first = found[0]
    return any(abs(pause / 2**n - first) > _EXACT * first for n, pause in enumerate(found))


def do_grow(found: Sequence[float]) -> bool:
    """Whether pauses grow: the third is clearly longer than the first."""
    return len(found) < 3 or found[2] >= _GROWS * found[0]
