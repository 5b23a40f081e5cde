"""Making a script that breaks something shorter: fewer steps first, then simpler ones, several tried at once."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar

import trio

from plexwire_conformance.scripts.properties import MOST_CONCURRENT, Script, Step

Breaks: TypeAlias = Callable[[Script], Awaitable[bool]]
Simpler: TypeAlias = Callable[[Step], Iterable[Step]]

T = TypeVar("T")


async def shrink(
    script: Script, breaks: Breaks, simpler: Simpler, *, concurrency: int = MOST_CONCURRENT
) -> Script:
    """Return the shortest form of *script* for which *breaks* still holds, trying *concurrency* scripts at a time.

    It ends when no step can be left out and none made simpler.  A caller that has not so long lets *breaks* say no to
    everything once the time is up.
    """
    chunk = max(1, len(script) // 2)
    while True:
        shorter = await _leave_out(script, chunk, breaks, concurrency)
        if len(shorter) < len(script):
            script = shorter
        elif chunk > 1:
            chunk //= 2
        elif (plainer := await _simplify(script, breaks, simpler, concurrency)) is not None:
            script = plainer
        else:
            return script


async def _leave_out(script: Script, chunk: int, breaks: Breaks, concurrency: int) -> Script:
    """Go through *script* once and leave out every *chunk* of steps that it breaks without."""
    left_out: frozenset[int] = frozenset()

    def without(places: Iterable[int]) -> Script:
        gone = left_out.union(places)
        return tuple(step for place, step in enumerate(script) if place not in gone)

    chunks = [range(start, start + chunk) for start in range(0, len(script), chunk)]
    for batch in _batches(chunks, concurrency):
        needless = await _breaking([without(places) for places in batch], breaks)
        if not needless:
            continue
        # What nobody misses alone is most often not missed together either.
        together = [place for number in needless for place in batch[number]]
        if len(needless) > 1 and not await breaks(without(together)):
            together = list(batch[needless[0]])
        left_out = left_out.union(together)
    return without(())


async def _simplify(
    script: Script, breaks: Breaks, simpler: Simpler, concurrency: int
) -> Script | None:
    plainer = [
        (*script[:place], other, *script[place + 1 :])
        for place, step in enumerate(script)
        for other in simpler(step)
    ]
    for batch in _batches(plainer, concurrency):
        if breaking := await _breaking(batch, breaks):
            return batch[breaking[0]]
    return None


async def _breaking(scripts: Sequence[Script], breaks: Breaks) -> list[int]:
    """Return which of *scripts*, played at once, still break."""
    broken: list[int] = []

    async def play(number: int) -> None:
        if await breaks(scripts[number]):
            broken.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(len(scripts)):
            nursery.start_soon(play, number)
    return sorted(broken)


def _batches(those: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(those), size):
        yield those[start : start + size]
