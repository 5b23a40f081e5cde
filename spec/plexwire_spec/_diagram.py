"""State diagrams drawn as SVG from the Mermaid blocks of the text.

It draws what such a block of ours says: one state under the other in the order of the conversation, arrows to the next
state straight down, those that skip states around the right, those that come back to their state as loops on the left.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final, TypeAlias

from attrs import frozen

_ARROW: Final = re.compile(r"(\S+) --> (\S+?)(?:: (\S+) (.*) \[(PW-[A-Z]+-[0-9]+)\])?")
_END: Final = "[*]"

# In pixels of the drawing.
_BOX_WIDTH: Final = 164
_BOX_HEIGHT: Final = 44
_GAP: Final = 104
_CENTRE: Final = 408
_TOP: Final = 56
_LINE: Final = 17
_LANES_AT: Final = 764
_LANE: Final = 22
_WIDTH: Final = 830


@frozen
class Arrow:
    """`sender` says `what`, and the conversation goes from `source` to `target`."""

    source: str
    target: str
    sender: str
    what: str
    clause: str


_Grouped: TypeAlias = Mapping[tuple[str, str], Sequence[Arrow]]


def read_mermaid(block: str) -> tuple[Sequence[str], Sequence[Arrow]]:
    """Return the states of a Mermaid state diagram, in order, and its arrows.

    Raises:
        ValueError: a line is not of the kind that the specification has.
    """
    states: dict[str, None] = {}
    arrows = []
    for line in block.strip().splitlines()[1:]:
        match = _ARROW.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{line!r} is no arrow of a state diagram")
        source, target, sender, what, clause = match.groups()
        states.update(dict.fromkeys(state for state in (source, target) if state != _END))
        if sender is not None:
            arrows.append(Arrow(source, target, sender, what, clause))
    return tuple(states), tuple(arrows)


def _ranked(states: Sequence[str], arrows: Sequence[Arrow]) -> Sequence[str]:
    """Return the states with the farthest from the beginning last."""
    ranks = dict.fromkeys(states, 0)
    for _ in states:
        for arrow in arrows:
            if arrow.source != arrow.target:
                ranks[arrow.target] = max(ranks[arrow.target], ranks[arrow.source] + 1)
    return sorted(states, key=ranks.__getitem__)


def draw(block: str, title: str, *, number: int) -> str:
    """Return the Mermaid state diagram in *block* as an SVG element that takes its colours from the page.

    *number* tells the diagrams of one page apart.
    """
    states, arrows = read_mermaid(block)
    ordered = _ranked(states, arrows)
    rows = {state: _TOP + row * (_BOX_HEIGHT + _GAP) for row, state in enumerate(ordered)}
    grouped: dict[tuple[str, str], list[Arrow]] = {}
    for arrow in arrows:
        grouped.setdefault((arrow.source, arrow.target), []).append(arrow)
    bottom = _TOP + len(states) * (_BOX_HEIGHT + _GAP) - _GAP
    height = bottom + 62
    parts = [
        f'<svg class="states" style="--tip: url(#tip-{number})" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<defs><marker id="tip-{number}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"'
        ' orient="auto"><path d="M0 0 10 5 0 10z" class="tip"/></marker></defs>',
        f'<circle class="dot" cx="{_CENTRE}" cy="14" r="7"/>',
        _path(f"M{_CENTRE} 21V{_TOP}"),
        _path(f"M{_CENTRE} {bottom}V{bottom + 30}"),
        f'<circle class="ring" cx="{_CENTRE}" cy="{bottom + 40}" r="9"/>',
        f'<circle class="dot" cx="{_CENTRE}" cy="{bottom + 40}" r="5"/>',
        *_straight(rows, grouped),
        *_loops(rows, grouped),
        *_around(rows, grouped),
        *(_box(state, top) for state, top in rows.items()),
        "</svg>",
    ]
    return "\n".join(parts)


def _box(state: str, top: int) -> str:
    words = escape(state.replace("_", " ").lower())
    left, middle = _CENTRE - _BOX_WIDTH // 2, top + _BOX_HEIGHT // 2
    return (
        f'<rect class="state" x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="10"/>'
        f'<text class="state" x="{_CENTRE}" y="{middle + 5}" text-anchor="middle">{words}</text>'
    )


def _path(d: str) -> str:
    return f'<path class="arrow" d="{d}"/>'


def _label(arrow: Arrow, x: int, y: float, anchor: str) -> str:
    return (
        f'<text x="{x}" y="{y:g}" text-anchor="{anchor}"><tspan class="sender">{escape(arrow.sender)}</tspan> '
        f'{escape(arrow.what)} <a href="#{arrow.clause}"><tspan class="clause">{arrow.clause}</tspan></a></text>'
    )


def _stack(arrows: Sequence[Arrow], x: int, middle: float, anchor: str) -> Iterable[str]:
    first = middle - (len(arrows) - 1) * _LINE / 2 + 4
    return (_label(a, x, first + row * _LINE, anchor) for row, a in enumerate(arrows))


def _straight(rows: Mapping[str, int], grouped: _Grouped) -> Iterable[str]:
    """The arrows to the state right below, their words on the left."""
    for (source, target), arrows in grouped.items():
        if rows[target] - rows[source] == _BOX_HEIGHT + _GAP:
            begin = rows[source] + _BOX_HEIGHT
            yield _path(f"M{_CENTRE} {begin}V{rows[target]}")
            yield from _stack(arrows, _CENTRE - 12, begin + _GAP / 2, "end")


def _loops(rows: Mapping[str, int], grouped: _Grouped) -> Iterable[str]:
    """The arrows that come back to their state, on its left."""
    for (source, target), arrows in grouped.items():
        if source == target:
            left, middle = _CENTRE - _BOX_WIDTH // 2, rows[source] + _BOX_HEIGHT // 2
            yield _path(
                f"M{left} {middle - 12}C{left - 46} {middle - 24} {left - 46} {middle + 24} {left} {middle + 12}"
            )
            yield from _stack(arrows, left - 42, middle, "end")


def _around(rows: Mapping[str, int], grouped: _Grouped) -> Iterable[str]:
    """The arrows that skip states, around the right: the longest outermost, their words along its beginning."""
    skipping = [
        (rows[target] - rows[source], source, target)
        for source, target in grouped
        if rows[target] - rows[source] > _BOX_HEIGHT + _GAP
    ]
    right = _CENTRE + _BOX_WIDTH // 2
    for lane, (_, source, target) in enumerate(sorted(skipping)):
        x = _LANES_AT + lane * _LANE
        begin = rows[source] + _BOX_HEIGHT // 2
        end = rows[target] + _BOX_HEIGHT // 2 - 9 + lane * 18
        yield _path(f"M{right} {begin}H{x - 10}q10 0 10 10V{end - 10}q0 10 -10 10H{right}")
        arrows = grouped[source, target]
        above = (len(arrows) + 1) // 2
        yield from (
            _label(a, right + 14, begin - 8 - (above - 1 - row) * _LINE, "start")
            for row, a in enumerate(arrows[:above])
        )
        yield from (
            _label(a, right + 14, begin + 18 + row * _LINE, "start")
            for row, a in enumerate(arrows[above:])
        )
