"""From time to place: one scale for a whole timeline, with visible breaks where nothing happened for long."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from attrs import frozen

#: Where the first and the last entry stand, in percent of the width.
_LEFT, _RIGHT = 1.5, 97.0
#: Two entries nearer than this, in percent, can't be told apart.
_LEGIBLE: Final = 1.2
#: What happens within so many seconds of another thing happens at once: nobody needs to tell them apart.
_AT_ONCE: Final = 0.001
#: So many short gaps must be drowned by a long one before it is broken, and it must take at least this share.
_DROWNED: Final = 4
_WORTH: Final = 0.12
#: A gap that is too short to be seen is drawn as wide as this, in percent.
_LEAST: Final = 0.7
_MOST_BREAKS: Final = 5
#: What all breaks together may take, in percent.
_ALL_BREAKS: Final = 55.0
#: A gap that is drawn to scale is labelled from this width on, in percent.
_LABELLED: Final = 14.0
#: Widths, in percent, between which a division of the grid is best.
_DIVISION: Final = 5.0


@frozen(kw_only=True)
class Wait:
    """A gap in which nothing happened: `seconds` long, drawn from `left` to `right` (percent), to scale or `broken`."""

    after: int
    seconds: float
    left: float
    right: float
    broken: bool


@frozen(kw_only=True)
class Scale:
    """The place of every entry, in percent of the width; the waits worth a word; a division of the grid, in seconds."""

    places: tuple[float, ...]
    waits: tuple[Wait, ...]
    division: float
    grid: tuple[float, ...]


def make_scale(times: Sequence[float], broken_at: int | None = None) -> Scale:
    """Return the scale for entries at *times*, in order, at least one; after entry *broken_at* there is always a break."""
    # No clock tells less than a nanosecond.
    gaps = [round(max(0.0, later - earlier), 9) for earlier, later in pairwise(times)]
    breaks = _breaks(gaps, broken_at)
    widths = _widths(gaps, breaks)
    places = [_LEFT]
    for width in widths:
        places.append(places[-1] + width)
    waits = tuple(
        Wait(
            after=number,
            seconds=gap,
            left=places[number],
            right=places[number + 1],
            broken=number in breaks,
        )
        for number, gap in enumerate(gaps)
        if number in breaks or widths[number] >= _LABELLED
    )
    to_scale = [number for number in range(len(gaps)) if number not in breaks]
    active = sum(gaps[number] for number in to_scale)
    drawn = sum(widths[number] for number in to_scale)
    division = _round_down(active * _DIVISION / drawn * 2) if active and drawn else 0.0
    return Scale(
        places=tuple(places),
        waits=waits,
        division=division,
        grid=_grid(gaps, places, breaks, division),
    )


def _breaks(gaps: Sequence[float], broken_at: int | None) -> set[int]:
    breaks = set() if broken_at is None else {broken_at}
    while len(breaks) < min(_MOST_BREAKS, len(gaps)):
        open_gaps = {n: gap for n, gap in enumerate(gaps) if n not in breaks}
        active = sum(open_gaps.values())
        largest = max(open_gaps, key=open_gaps.__getitem__)
        room = _RIGHT - _LEFT - sum(_break_widths(gaps, breaks).values())
        drowned = sum(
            gap >= _AT_ONCE and gap * room < _LEGIBLE * active for gap in open_gaps.values()
        )
        if drowned < _DROWNED or open_gaps[largest] < _WORTH * active:
            break
        breaks.add(largest)
    return breaks


def _break_widths(gaps: Sequence[float], breaks: set[int]) -> dict[int, float]:
    """Return how wide each break is drawn: the longer the wait the wider, but far from to scale."""
    widths = {n: 7 + 2 * max(0.0, math.log10(max(gaps[n], 1e-6) * 1000)) for n in breaks}
    shrunk = min(1.0, _ALL_BREAKS / sum(widths.values())) if widths else 1.0
    return {n: width * shrunk for n, width in widths.items()}


def _widths(gaps: Sequence[float], breaks: set[int]) -> list[float]:
    broken = _break_widths(gaps, breaks)
    active = sum(gap for n, gap in enumerate(gaps) if n not in breaks)
    room = _RIGHT - _LEFT - sum(broken.values())
    if not active:
        return [broken.get(n, 0.0) for n in range(len(gaps))]
    wanted = {
        n: max(gap / active * room, _LEAST if gap >= _AT_ONCE else 0.0)
        for n, gap in enumerate(gaps)
        if n not in breaks
    }
    shrunk = room / sum(wanted.values())
    return [broken[n] if n in breaks else wanted[n] * shrunk for n in range(len(gaps))]


def _round_down(seconds: float) -> float:
    """Return the nearest of 1, 2, 5, 10, … below *seconds*."""
    power = 10.0 ** math.floor(math.log10(seconds))
    return max(step * power for step in (1, 2, 5) if step * power <= seconds * 1.000001)


def _grid(
    gaps: Sequence[float], places: Sequence[float], breaks: set[int], division: float
) -> tuple[float, ...]:
    """Return where the lines of the grid stand; each piece between breaks begins with a line of its own."""
    if not division:
        return ()
    lines: list[float] = []
    since = 0.0
    for number, gap in enumerate(gaps):
        if number in breaks:
            since = 0.0
            continue
        width = places[number + 1] - places[number]
        first = math.ceil(round(since / division, 6)) * division
        while gap > 0 and first < since + gap and len(lines) < 200:
            lines.append(places[number] + (first - since) / gap * width)
            first += division
        since += gap
    return tuple(lines)
