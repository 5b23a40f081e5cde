"""From single runs to what a reader may conclude: medians, ratios within a round, spread, and who was the bottleneck."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, TypeAlias

from attrs import frozen

from plexwire_bench.gateways import FLOOR, LANE, OURSELVES
from plexwire_bench.plans import Plan

#: What `load` printed.
Run: TypeAlias = Mapping[str, Any]


@frozen
class Row:
    """One gateway in one plan.

    `figure` is the median over the rounds of what counts in this plan, `spread` how far the rounds lie apart: the
    largest figure less the smallest, as a share of the median.  Ratios are medians of the ratios within a round, None
    if there is nothing to divide by.
    """

    gateway: str
    figure: float
    spread: float
    to_floor: float | None
    to_best: float | None
    medians: Mapping[str, float]
    bound_by: frozenset[str]


@frozen
class Table:
    """All gateways in one plan; `best` is the peer with the best median, None if there is no peer."""

    plan: Plan
    best: str | None
    rows: tuple[Row, ...]


def summarise(plan: Plan, rounds: Iterable[Mapping[str, Run]]) -> Table:
    """Return the table of *plan* from its *rounds*, each of which has a run by gateway."""
    runs: dict[str, dict[int, Run]] = {}
    for number, by_gateway in enumerate(rounds):
        for gateway, run in by_gateway.items():
            if run.get(plan.figure) is not None:
                runs.setdefault(gateway, {})[number] = run
    figures = {
        gateway: {number: float(run[plan.figure]) for number, run in mine.items()}
        for gateway, mine in runs.items()
    }
    peers = [gateway for gateway in figures if gateway not in (FLOOR, LANE, *OURSELVES)]
    choose = min if plan.smaller_is_better else max
    best = choose(peers, key=lambda name: median(figures[name].values()), default=None)
    rows = tuple(
        Row(
            gateway,
            median(mine.values()),
            _spread(mine.values()),
            _ratio(mine, figures.get(FLOOR, {})),
            None if best is None else _ratio(mine, figures[best]),
            _medians(runs[gateway].values()),
            frozenset(run["bound_by"] for run in runs[gateway].values()),
        )
        for gateway, mine in figures.items()
    )
    return Table(plan, best, rows)


def _ratio(mine: Mapping[int, float], others: Mapping[int, float]) -> float | None:
    ratios = [mine[number] / others[number] for number in mine if others.get(number)]
    return median(ratios) if ratios else None


def _spread(figures: Iterable[float]) -> float:
    values = sorted(figures)
    middle = median(values)
    return (values[-1] - values[0]) / middle if middle else 0.0


def _medians(runs: Iterable[Run]) -> dict[str, float]:
    every = list(runs)
    names = [name for name, value in every[0].items() if isinstance(value, int | float)]
    return {name: median(run[name] for run in every if name in run) for name in names}
