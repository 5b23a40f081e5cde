"""A timeline as data: a strip drawn to scale, a lane per connection, and below it what was said, line by line."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.report.excerpt import Part, excerpt, shows
from plexwire_conformance.report.timeline_scale import Scale, Wait, make_scale
from plexwire_conformance.report.wording import ENDINGS, say, waited

_AXIS: Final = 20
_LANE: Final = 52
#: What a character of a label takes, in percent of the page: on a desk, and on a phone.
_CHARACTERS: Final = {"wide": 0.88, "narrow": 2.3}
#: A silence of so many seconds has a line of its own in the list.
_SILENCE: Final = 0.25
#: Entries that are drawn; of more, the middle is left out.
_MOST: Final = 140
#: A message of more characters may not fit into its line, and can be unfolded.
_SHORT: Final = 40
#: Of so few lines, all are unfolded to begin with.
_FEW: Final = 12
#: Of more lines than these, only as many as these are shown to begin with, the last ones.
_LAST: Final = 20

_TYPE: Final = re.compile(r'"type": "([\w ]{1,24})"')


@frozen(kw_only=True)
class Gap:
    """A wait that is named above the strip; places in percent of its width."""

    words: str
    middle: float
    left: float
    width: float
    broken: bool


@frozen(kw_only=True)
class Mark:
    """One entry in a lane, which leads to its line `anchor`; `x` in percent, `y` in pixels."""

    x: float
    y: int
    shape: str
    way: Way
    kind: Kind
    anchor: str


@frozen(kw_only=True)
class Label:
    """The name of marks, to the right of `x` or to its left, on a wide `page` or a narrow one."""

    x: float
    y: int
    text: str
    page: str
    left: bool


@frozen(kw_only=True)
class Lane:
    """One connection: its line `middle` lies `top` pixels down and more, and is whole from `begin` to `end` percent."""

    peer: str
    top: int
    middle: int
    begin: float
    end: float
    marks: tuple[Mark, ...]
    labels: tuple[Label, ...]


@frozen(kw_only=True)
class Row:
    """A line of the list: an entry, or, without an `anchor`, a pause.

    `excerpt` is the member that a finding is about and what is around it; it stands for the whole message.
    """

    words: str
    anchor: str = ""
    at: float = 0.0
    peer: str = ""
    way: Way = Way.SENT
    folds: bool = False
    unfolded: bool = False
    excerpt: tuple[Part, ...] = ()


@frozen(kw_only=True)
class Timeline:
    """Everything that a timeline shows."""

    height: int
    grid: tuple[float, ...]
    gaps: tuple[Gap, ...]
    lanes: tuple[Lane, ...]
    judged: float | None
    caption: str
    earlier: tuple[Row, ...]
    last: tuple[Row, ...]
    top: int = _AXIS

    @property
    def earlier_entries(self) -> int:
        """How many entries are folded away."""
        return sum(bool(row.anchor) for row in self.earlier)


@frozen
class _Shown:
    """The entries that are shown, and when they were judged; behind entry `left_out_after`, `left_out` are not."""

    entries: tuple[Entry, ...]
    judged_at: float | None
    left_out: int
    left_out_after: int | None

    @property
    def times(self) -> tuple[float, ...]:
        """When each happened, and at last when they were judged."""
        last = () if self.judged_at is None else (self.judged_at,)
        return (*(entry.at for entry in self.entries), *last)


def make_timeline(
    entries: Sequence[Entry], name: str, judged_at: float | None = None, path: str = ""
) -> Timeline | None:
    """Return the timeline of *entries*, None of none; *name* begins the ids of its lines, and is unique in the page.

    Until *judged_at* (seconds) it was waited for more.  *path* is the member that shows what was found.
    """
    if not entries:
        return None
    shown = _shown(entries, judged_at)
    scale = make_scale(shown.times, shown.left_out_after)
    peers = dict.fromkeys(entry.peer for entry in shown.entries)
    lanes = tuple(
        _lane(
            [(n, e) for n, e in enumerate(shown.entries) if e.peer == peer],
            scale,
            _AXIS + lane * _LANE,
            name,
        )
        for lane, peer in enumerate(peers)
    )
    rows = tuple(_rows(shown, name, path))
    earlier = rows[:-_LAST] if len(shown.entries) > _LAST * 1.5 else ()
    return Timeline(
        height=_AXIS + _LANE * len(peers) + 4,
        grid=scale.grid,
        gaps=tuple(_gap(wait, shown) for wait in scale.waits),
        lanes=lanes,
        judged=None if shown.judged_at is None else scale.places[-1],
        caption=_caption(shown, scale),
        earlier=earlier,
        last=rows[len(earlier) :],
    )


def _shown(entries: Sequence[Entry], judged_at: float | None) -> _Shown:
    judged_at = None if waited(entries, judged_at) is None else judged_at
    if len(entries) <= _MOST:
        return _Shown(tuple(entries), judged_at, 0, None)
    half = _MOST // 2
    return _Shown((*entries[:half], *entries[-half:]), judged_at, len(entries) - 2 * half, half - 1)


def length(seconds: float) -> str:
    """Return a length of time, for people."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 0.01:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.0001 else f"{seconds * 1e6:.0f} µs"


# ── the strip ────────────────────────────────────────────────────────────────────────────────


def _gap(wait: Wait, shown: _Shown) -> Gap:
    words = length(wait.seconds)
    if wait.after == shown.left_out_after:
        words = f"{shown.left_out} left out"
    return Gap(
        words=words,
        middle=(wait.left + wait.right) / 2,
        # A little away from the entries at both sides.
        left=wait.left + 0.9,
        width=max(0.5, wait.right - wait.left - 1.8),
        broken=wait.broken,
    )


def _lane(mine: Sequence[tuple[int, Entry]], scale: Scale, top: int, name: str) -> Lane:
    middle = top + 33
    places = scale.places
    ended = any(entry.kind in ENDINGS for _, entry in mine)
    marks: list[Mark] = []
    labels: list[Label] = []
    for way in Way:
        there = [(n, entry) for n, entry in mine if entry.way is way]
        for number, entry in there:
            marks.append(_mark(entry, places[number], middle, f"{name}-{number}"))
        baseline = middle - 5 if way is Way.SENT else middle + 13
        for page, character in _CHARACTERS.items():
            labels += _labels(there, places, baseline, page, character)
    return Lane(
        peer=mine[0][1].peer,
        top=top,
        middle=middle,
        begin=places[mine[0][0]],
        end=places[mine[-1][0]] if ended else 100.0,
        marks=tuple(marks),
        labels=tuple(labels),
    )


def _mark(entry: Entry, x: float, middle: int, anchor: str) -> Mark:
    match entry.kind:
        case Kind.PING | Kind.PONG:
            shape = "circle"
        case Kind.EOF | Kind.RESET | Kind.GARBAGE:
            shape = "cross"
        case _:
            shape = "bar"
    y = middle - 14 if entry.way is Way.SENT else middle + 2
    return Mark(x=x, y=y, shape=shape, way=entry.way, kind=entry.kind, anchor=anchor)


def _labels(
    there: Sequence[tuple[int, Entry]],
    places: Sequence[float],
    baseline: int,
    page: str,
    character: float,
) -> Iterator[Label]:
    """Name as many marks as there is room for; marks that stand together are named together."""
    groups: list[list[tuple[float, str]]] = []
    for number, entry in there:
        x, label = places[number], _label(entry)
        if groups and x - groups[-1][-1][0] < character and groups[-1][0][1] == label:
            groups[-1].append((x, label))
        else:
            groups.append([(x, label)])
    free_from = 0.0
    for place, group in enumerate(groups):
        x, label = group[-1]
        end = groups[place + 1][0][0] if place + 1 < len(groups) else 100.0
        text = label if len(group) == 1 else f"{label} ×{len(group)}"
        begin = x + character
        width = len(text) * character
        if begin + width <= end and begin >= free_from:
            yield Label(x=begin, y=baseline, text=text, page=page, left=False)
            free_from = begin + width
        elif end == 100.0 and (begin := group[0][0] - character - width) >= free_from:
            yield Label(x=group[0][0] - character, y=baseline, text=text, page=page, left=True)
        else:
            free_from = max(free_from, x)


def _label(entry: Entry) -> str:
    match entry.kind:
        case Kind.TEXT | Kind.BINARY:
            found = _TYPE.search(entry.text)
            return found[1].removeprefix("video_") if found else entry.kind.value
        case Kind.CLOSE:
            return f"close {entry.code or ''}".rstrip()
        case Kind.HANDSHAKE:
            return entry.text if entry.way is Way.RECEIVED else "GET"
        case Kind.NOTE:
            return entry.text
        case Kind.EOF:
            return "end of TCP"
        case Kind.RESET:
            return "reset"
        case _:
            return entry.kind.value


# ── the list ─────────────────────────────────────────────────────────────────────────────────


def _caption(shown: _Shown, scale: Scale) -> str:
    words = [
        f"Begins {shown.entries[0].at:.3f} s into the run.",
        "Above a line is what the suite sent, below it what the other side sent.",
    ]
    if scale.division >= 1:
        words.append(f"One division is {scale.division:g} s.")
    elif scale.division:
        words.append(f"One division is {scale.division * 1000:g} ms.")
    return " ".join(words)


def _rows(shown: _Shown, name: str, path: str) -> Iterator[Row]:
    times = (*shown.times, shown.entries[-1].at)
    unfolded = len(shown.entries) <= _FEW
    culprit = shows(shown.entries, path)
    for number, entry in enumerate(shown.entries):
        words = say(entry, whole=True)
        yield Row(
            words=words,
            anchor=f"{name}-{number}",
            at=entry.at - times[0],
            peer=entry.peer,
            way=entry.way,
            folds=len(words) > _SHORT,
            unfolded=unfolded,
            excerpt=excerpt(entry.body, path) if entry is culprit and entry.body else (),
        )
        gap = times[number + 1] - entry.at
        if number == shown.left_out_after:
            yield Row(words=f"{shown.left_out} left out")
        elif number == len(shown.entries) - 1 and shown.judged_at is not None:
            yield Row(words=f"nothing more within {length(gap)}")
        elif gap >= _SILENCE:
            yield Row(words=f"{length(gap)} of silence")
