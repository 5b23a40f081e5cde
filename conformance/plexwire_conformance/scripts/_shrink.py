"""Making a script that breaks something shorter: fewer steps first, then simpler ones, several tried at once."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias

import trio

from plexwire_conformance.scripts._property import Script, Step

Breaks: TypeAlias = Callable[[Script], Awaitable[bool]]
Simpler: TypeAlias = Callable[[Step], Iterable[Step]]

#: Scripts that are played at once; together they keep to the connections of one case.
_AT_ONCE: Final = 4


async def shrink(script: Script, breaks: Breaks, simpler: Simpler) -> Script:
    """Return the shortest form of *script* for which *breaks* still holds.

    It ends when no step can be left out and none made simpler.  A caller that has not so long lets *breaks* say no to
    everything once the time is up.
    """
    while (shorter := await _first(_shorter(script, simpler), breaks)) is not None:
        script = shorter
    return script


def _shorter(script: Script, simpler: Simpler) -> Iterator[Script]:
    size = len(script)
    chunk = size // 2
    while chunk:
        for start in range(0, size, chunk):
            yield script[:start] + script[start + chunk :]
        chunk //= 2
    for place, step in enumerate(script):
        for other in simpler(step):
            yield (*script[:place], other, *script[place + 1 :])


async def _first(candidates: Iterator[Script], breaks: Breaks) -> Script | None:
    """Return the first of *candidates* that still breaks."""
    while batch := list(islice(candidates, _AT_ONCE)):
        broken: list[int] = []

        async def play(place: int, script: Script, broken: list[int] = broken) -> None:
            if await breaks(script):
                broken.append(place)

        async with trio.open_nursery() as nursery:
            for place, script in enumerate(batch):
                nursery.start_soon(play, place, script)
        if broken:
            return batch[min(broken)]
    return None
