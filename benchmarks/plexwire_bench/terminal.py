"""The tables as text."""

from typing import Final

from plexwire_bench.plans import Plan
from plexwire_bench.results import Row, Table

_COLUMNS: Final = {
    "window": ("us_per_frame", "frames_per_s", "dropped", "gateway_cpu"),
    "flood": ("frames_per_s", "us_per_frame", "dropped", "gateway_cpu"),
    "paced": ("p50_ms", "p99_ms", "us_per_frame", "dropped"),
    "slow": ("p50_ms", "p99_ms", "us_per_frame", "dropped"),
    "stall": ("grown_mb", "process_grown_mb", "kernel_grown_mb", "p99_ms"),
}
_WIDTH: Final = 17


def heading(plan: Plan) -> str:
    """Return what *plan* asks, in words."""
    per = " per device" if plan.devices > 1 else ""
    devices = f", {plan.devices} devices" if plan.devices > 1 else ""
    picture = f"{plan.jpeg_bytes / 1000:g} kB"
    viewers = "1 viewer" if plan.viewers == 1 else f"{plan.viewers} viewers"
    cameras = f", {plan.cameras} cameras" if plan.cameras > 1 else ""
    return f"{plan.mode}, {picture}, {viewers}{per}{devices}{cameras}"


def table_text(table: Table) -> str:
    """Return one table; `x floor` and `x best` are ratios of its first column."""
    columns = _COLUMNS[table.plan.mode]
    less = "less is better" if table.plan.smaller_is_better else "more is better"
    best = "no peer" if table.best is None else f"the best peer is {table.best}"
    head = "".join(f"{name:>{_WIDTH}}" for name in (*columns, "spread", "x floor", "x best"))
    lines = [
        f"{heading(table.plan)}: {table.plan.figure} counts, {less}; {best}",
        f"{'':16}{head}",
    ]
    lines += [_row_text(row, columns, table.plan) for row in table.rows]
    return "\n".join(lines)


def _row_text(row: Row, columns: tuple[str, ...], plan: Plan) -> str:
    cells = [_number(row.medians.get(name)) for name in columns]
    cells += [f"{row.spread:.0%}", _number(row.to_floor), _number(row.to_best)]
    text = f"{row.gateway:16}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells)
    return text + remark(row, plan)


def remark(row: Row, plan: Plan) -> str:
    """Return what a reader has to know of frames per second in *row*, if they are not the gateway's own limit.

    In mode window both ends wait for each other by design, so only a busy load generator is worth a word there.
    """
    if plan.mode not in ("window", "flood"):
        return ""
    if "generator" in row.bound_by:
        return "  load generator is the bottleneck: frames_per_s is its limit"
    if plan.mode == "flood" and row.bound_by != {"gateway"}:
        return "  neither end was busy: other programs had the CPUs"
    return ""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
