"""A timeline drawn to scale, a lane a connection, and below it what was said, line by line."""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.report.html_page import h
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


def draw_timeline(entries: Sequence[Entry], name: str, judged_at: float | None = None) -> str:
    """Return *entries* as HTML; *name* begins the ids of its lines, and is unique in the page.

    Until *judged_at* (seconds) it was waited for more.
    """
    if not entries:
        return ""
    shown = _shown(entries, judged_at)
    scale = make_scale(shown.times, shown.left_out_after)
    return (
        f'<div class="timeline">\n<figure>{_strip(shown, scale, name)}\n{_caption(shown, scale)}</figure>\n'
        f"{_list(shown, name)}\n</div>"
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


def _strip(shown: _Shown, scale: Scale, name: str) -> str:
    peers = list(dict.fromkeys(entry.peer for entry in shown.entries))
    height = _AXIS + _LANE * len(peers) + 4
    parts = [
        f'<svg class="strip" height="{height}" role="img" '
        f'aria-label="The conversation to scale; the list below says the same.">'
    ]
    parts += [_line(x, x, _AXIS, height, "grid") for x in scale.grid]
    parts += [_wait(wait, shown, height) for wait in scale.waits]
    for lane, peer in enumerate(peers):
        mine = [(n, e) for n, e in enumerate(shown.entries) if e.peer == peer]
        parts.append(_lane(mine, scale, _AXIS + lane * _LANE, peer, name))
    if shown.judged_at is not None:
        x = scale.places[-1]
        parts.append(_line(x, x, _AXIS, height, "judged"))
        parts.append(f'<text class="label left" x="{x - 0.4:.2f}%" y="{_AXIS + 10}">judged</text>')
    parts.append("</svg>")
    return "\n".join(parts)


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{y1:g}" y2="{y2:g}"/>'


def _wait(wait: Wait, shown: _Shown, height: int) -> str:
    middle = (wait.left + wait.right) / 2
    words = length(wait.seconds)
    if wait.after == shown.left_out_after:
        words = f"{shown.left_out} left out"
    kind = "broken" if wait.broken else "wait"
    parts = []
    if wait.broken:
        # A little away from the entries at both sides.
        x, width = wait.left + 0.9, max(0.5, wait.right - wait.left - 1.8)
        parts.append(
            f'<rect class="break" x="{x:.2f}%" width="{width:.2f}%" y="{_AXIS}" height="{height - _AXIS}"/>'
        )
    parts.append(f'<text class="{kind}" x="{middle:.2f}%" y="13">{h(words)}</text>')
    return "".join(parts)


def _lane(mine: Sequence[tuple[int, Entry]], scale: Scale, top: int, peer: str, name: str) -> str:
    middle = top + 33
    places = scale.places
    begin, end = places[mine[0][0]], places[mine[-1][0]]
    ended = any(entry.kind in ENDINGS for _, entry in mine)
    parts = [
        f'<text class="peer" x="0" y="{top + 12}">{h(peer)}</text>',
        _line(0, 100, middle, middle, "gone"),
        _line(begin, end if ended else 100, middle, middle, "life"),
    ]
    for way in Way:
        there = [(n, entry) for n, entry in mine if entry.way is way]
        for number, entry in there:
            parts.append(_mark(entry, places[number], middle, f"{name}-{number}"))
        baseline = middle - 5 if way is Way.SENT else middle + 13
        for page, character in _CHARACTERS.items():
            parts += _labels(there, places, baseline, page, character)
    return "\n".join(parts)


def _mark(entry: Entry, x: float, middle: int, anchor: str) -> str:
    up = entry.way is Way.SENT
    y = middle - 14 if up else middle + 2
    match entry.kind:
        case Kind.PING | Kind.PONG:
            shape = f'<circle cx="{x:.2f}%" cy="{y + 6}" r="3"/>'
        case Kind.EOF | Kind.RESET | Kind.GARBAGE:
            shape = f'<text class="cross" x="{x:.2f}%" y="{y + 11}">✕</text>'
        case _:
            shape = f'<rect x="{x:.2f}%" y="{y}" width="4" height="12" rx="1"/>'
    # What it says is in the line that it leads to; who goes by keys goes there at once.
    return f'<a class="mark {entry.way} {entry.kind}" href="#{h(anchor)}" tabindex="-1">{shape}</a>'


def _labels(
    there: Sequence[tuple[int, Entry]],
    places: Sequence[float],
    baseline: int,
    page: str,
    character: float,
) -> list[str]:
    """Name as many marks as there is room for; marks that stand together are named together."""
    groups: list[list[tuple[float, str]]] = []
    for number, entry in there:
        x, label = places[number], _label(entry)
        if groups and x - groups[-1][-1][0] < character and groups[-1][0][1] == label:
            groups[-1].append((x, label))
        else:
            groups.append([(x, label)])
    written = []
    free_from = 0.0
    for place, group in enumerate(groups):
        x, label = group[-1]
        end = groups[place + 1][0][0] if place + 1 < len(groups) else 100.0
        text = label if len(group) == 1 else f"{label} ×{len(group)}"
        begin = x + character
        width = len(text) * character
        if begin + width <= end and begin >= free_from:
            written.append(
                f'<text class="label {page}" x="{begin:.2f}%" y="{baseline}">{h(text)}</text>'
            )
            free_from = begin + width
        elif end == 100.0 and (begin := group[0][0] - character - width) >= free_from:
            written.append(
                f'<text class="label left {page}" x="{group[0][0] - character:.2f}%" y="{baseline}">{h(text)}</text>'
            )
        else:
            free_from = max(free_from, x)
    return written


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
        "Above a line is what the suite sent, below it what the gateway sent.",
    ]
    if scale.division >= 1:
        words.append(f"One division is {scale.division:g} s.")
    elif scale.division:
        words.append(f"One division is {scale.division * 1000:g} ms.")
    return f"<figcaption>{' '.join(words)}</figcaption>"


def _list(shown: _Shown, name: str) -> str:
    rows = []
    times = (*shown.times, shown.entries[-1].at)
    unfolded = len(shown.entries) <= _FEW
    for number, entry in enumerate(shown.entries):
        rows.append(_row(entry, times[0], f"{name}-{number}", unfolded=unfolded))
        gap = times[number + 1] - entry.at
        if number == shown.left_out_after:
            rows.append(_pause(f"{shown.left_out} left out"))
        elif number == len(shown.entries) - 1 and shown.judged_at is not None:
            rows.append(_pause(f"nothing more within {length(gap)}"))
        elif gap >= _SILENCE:
            rows.append(_pause(f"{length(gap)} of silence"))
    if len(shown.entries) <= _LAST * 1.5:
        return _table(rows)
    earlier, last = rows[:-_LAST], rows[-_LAST:]
    words = f"{len(shown.entries) - sum(map(_is_entry, last))} earlier lines"
    return (
        f'<details class="earlier"><summary>{words}</summary>{_table(earlier)}</details>\n'
        f"{_table(last)}"
    )


def _table(rows: Sequence[str]) -> str:
    body = "\n".join(rows)
    return f'<table class="said"><tbody>\n{body}\n</tbody></table>'


def _is_entry(row: str) -> bool:
    return row.startswith("<tr id=")


def _pause(words: str) -> str:
    return f'<tr class="pause"><td></td><td colspan="3">{words}</td></tr>'


def _row(entry: Entry, begin: float, anchor: str, *, unfolded: bool) -> str:
    arrow, who = ("→", "sent") if entry.way is Way.SENT else ("←", "received")
    words = say(entry, whole=True)
    what = f"<bdi>{h(words)}</bdi>"
    if len(words) > _SHORT:
        what = f"<details{' open' * unfolded}><summary>{what}</summary></details>"
    return (
        f'<tr id="{h(anchor)}" class="{entry.way}"><td class="at">{entry.at - begin:.3f}</td>'
        f'<td class="who">{h(entry.peer)}</td>'
        f'<td class="way" title="{who}">{arrow}</td><td>{what}</td></tr>'
    )
