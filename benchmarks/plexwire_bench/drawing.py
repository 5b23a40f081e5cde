"""The tables as one SVG: a bar for each gateway, ours in another colour."""

from html import escape
from typing import Final

from plexwire_bench.gateways import FLOOR, LANE, OURSELVES
from plexwire_bench.results import Table
from plexwire_bench.terminal import heading

_LEFT: Final = 130
_BARS: Final = 520
_LINE: Final = 20
_COLOURS: Final = {
    **dict.fromkeys(OURSELVES, "#0b6e4f"),
    LANE: "#5aa88a",
    FLOOR: "#b8b8b8",
}
_PEER: Final = "#6a8fc3"


def draw(tables: list[Table], note: str) -> str:
    """Return the SVG of *tables*, with *note* beneath them."""
    parts: list[str] = []
    y = 10
    for table in tables:
        y = _draw_table(table, y, parts)
    y += _LINE
    parts.append(_text(10, y, note, fill="#666"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {y + 14}" '
        'font-family="sans-serif" font-size="12" role="img">'
        '<rect width="100%" height="100%" fill="#fff"/>' + "".join(parts) + "</svg>\n"
    )


def _draw_table(table: Table, y: int, parts: list[str]) -> int:
    better = "less" if table.plan.smaller_is_better else "more"
    y += _LINE
    title = f"{heading(table.plan)}: {table.plan.figure}, {better} is better"
    parts.append(_text(10, y, title, weight="bold"))
    longest = max((row.figure for row in table.rows), default=1.0) or 1.0
    ordered = sorted(
        table.rows, key=lambda row: row.figure, reverse=not table.plan.smaller_is_better
    )
    for row in ordered:
        y += _LINE
        width = max(1.0, row.figure / longest * _BARS)
        colour = _COLOURS.get(row.gateway, _PEER)
        parts.append(_text(_LEFT - 8, y, row.gateway, anchor="end"))
        parts.append(
            f'<rect x="{_LEFT}" y="{y - 12}" width="{width:.1f}" height="14" fill="{colour}"/>'
        )
        ratio = "" if row.to_best is None else f"  ({row.to_best:.2f} x best peer)"
        parts.append(_text(int(_LEFT + width + 6), y, f"{row.figure:.3g}{ratio}"))
    return y + 8


def _text(
    x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal", fill: str = "#111"
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{fill}">{escape(text)}</text>'
    )
