"""Put the suite on trial by mutation: `python tools/mutants/mutants.py judge`.

A mutant is the reference gateway with one small change in the source of `protocol/`, `server/` or `adapter/`.  The suite
judges it in memory and in virtual time.  A mutant that nothing in the report betrays must be listed in `survivors.toml`
with a reason; an entry whose mutant is found, or is no longer in the source, must go.

Exit codes: 0 every survivor is listed, 1 an entry is missing or wrong, 2 could not judge.
"""

import ast
import difflib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import click
from attrs import evolve, frozen

from mutant_sites import Mutant, changed, mutants_of, names_of, sources
from mutant_survivors import (
    Problem,
    Reason,
    Survivor,
    key_of,
    killed,
    read_survivors,
    reason_of,
    stale,
    unlisted,
)
from mutant_table import Outcome, Row, as_text, classify, read_rows, summarise
from mutant_trial import Said, Setting, judge_all, lines_run

_HERE: Final = Path(__file__).parent
SURVIVORS: Final = _HERE / "survivors.toml"
SUMMARY: Final = _HERE / "summary.json"

#: Runs of the gateway as it is, from which we learn what every report says.
_BASE_RUNS: Final = 2


@frozen
class _Every:
    """All mutants: `run` are those that the suite's stimuli reach, in the modules that are judged at all."""

    run: tuple[Mutant, ...]
    not_run: tuple[Mutant, ...]


def _skipped(module: str, entries: Iterable[Survivor]) -> bool:
    """Whether an entry says that no peer can see anything of *module*."""
    return any(
        entry.function is None and entry.reason is Reason.NOT_ON_WIRE
        for entry in entries
        if entry.is_wide and fnmatchcase(module, entry.module)
    )


def _every(setting: Setting, entries: Sequence[Survivor], lines: dict[str, set[int]]) -> _Every:
    """Return the mutants of all modules of which the suite reaches a function."""
    run: list[Mutant] = []
    not_run: list[Mutant] = []
    for module in sorted(lines):
        if _skipped(module, entries):
            continue
        for mutant in mutants_of(setting.sources[module], setting.names):
            line, first = mutant.lines
            # What a statement of several lines does is noted under some of them.
            reached = not mutant.function or lines[module] & {*range(first, line + 1)}
            (run if reached or _is_of_class(mutant, lines[module]) else not_run).append(mutant)
    return _Every(tuple(run), tuple(not_run))


def _is_of_class(mutant: Mutant, lines: set[int]) -> bool:
    """Whether the mutant is in the body of a class, which runs when its module is imported."""
    return mutant.function.rpartition(".")[2].lstrip("_")[
        :1
    ].isupper() or mutant.statement.startswith(("def ", "class "))


def _setting(*, sockets: bool, whole: bool) -> Setting:
    found = sources()
    return Setting(sources=found, names=names_of(found.values()), sockets=sockets, whole=whole)


def _note(words: str) -> None:
    click.echo(words, err=True)


@click.group()
def main() -> None:
    """Judge mutants of the reference gateway."""


@main.command("judge")
@click.option("--sample", type=click.IntRange(min=1), help="Judge only so many, drawn by the seed.")
@click.option("--seed", default=1, show_default=True, help="Which sample, and the order.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default="one a core", help="At once.")
@click.option("--minutes", type=float, default=120.0, help="Begin none after that.")
@click.option("--only", "pattern", default="*", help="Only modules that match.")
@click.option("--rows", type=click.Path(path_type=Path), help="Add a JSON row per mutant; go on.")
@click.option("--sockets", is_flag=True, help="Over sockets: what memory can't show.")
@click.option("--first", is_flag=True, help="End each run with its first breach.")
@click.option("--again", is_flag=True, help="Judge survivors of the rows again, and no others.")
def judge_command(
    sample: int | None,
    seed: int,
    jobs: int,
    minutes: float,
    pattern: str,
    rows: Path | None,
    sockets: bool,
    first: bool,
    again: bool,
) -> None:
    """Judge mutants and compare the survivors with the list."""
    entries = read_survivors(SURVIVORS)
    setting = _setting(sockets=sockets, whole=not first)
    began = time.monotonic()
    every = _reached(setting, entries)
    earlier = [] if rows is None else read_rows(rows, _all_mutants())
    # Over sockets, a mutant that survived in memory gets its second trial.
    retried = again or sockets
    done = {row.mutant.id for row in earlier if not retried or row.outcome is not Outcome.SURVIVED}
    chosen = [m for m in every.run if fnmatchcase(m.module, pattern) and m.id not in done]
    if again:
        ours = {row.mutant.id for row in earlier}
        chosen = [mutant for mutant in chosen if mutant.id in ours]
    random.Random(seed).shuffle(chosen)
    chosen = chosen[:sample]
    fresh = list(_judged(chosen, setting, jobs, began + minutes * 60, rows))
    seconds = time.monotonic() - began
    _note(f"{len(fresh)} of {len(chosen)} mutants in {seconds:.0f} s; {len(every.not_run)} not run")
    made = summarise(fresh, entries, ())
    click.echo(as_text(made["by_module"]))
    problems = list(_problems(fresh, entries))
    for problem in problems:
        click.echo(f"{problem.what:9} {problem.name}")
    raise SystemExit(bool(problems))


def _reached(setting: Setting, entries: Sequence[Survivor]) -> _Every:
    """Return the mutants that the suite reaches; over sockets only those that memory can't show."""
    every = _every(setting, entries, lines_run(evolve(setting, sockets=False)))
    if not setting.sockets:
        return every
    over_sockets = _every(setting, entries, lines_run(setting))
    known = {mutant.id for mutant in every.run}
    chosen = (m for m in over_sockets.run if m.id not in known or _ends_a_stream(m))
    return evolve(over_sockets, run=tuple(chosen))


def _ends_a_stream(mutant: Mutant) -> bool:
    """Whether the mutant may turn an orderly end into a reset, which streams in memory don't have."""
    return any(word in f"{mutant.module} {mutant.statement}" for word in ("linger", "aclose"))


def _judged(
    chosen: Sequence[Mutant], setting: Setting, jobs: int, until: float, rows: Path | None
) -> Iterator[Row]:
    usual: set[str] = set()
    base = evolve(setting, whole=True)
    for _, said in judge_all([None] * _BASE_RUNS, base, jobs, until):
        if said.get("breaches") or "other" not in said:
            _note(f"Error: the gateway as it is: {_first_words(said)}")
            raise SystemExit(2)
        usual.update(said["other"])
    count = Counter[Outcome]()
    for mutant, said in judge_all(chosen, setting, jobs, until):
        if mutant is None:
            continue
        row = classify(mutant, said, frozenset(usual))
        count[row.outcome] += 1
        if rows is not None:
            with rows.open("a", encoding="utf-8") as file:
                row.write(file, sockets=setting.sockets)
        if sum(count.values()) % 50 == 0:
            _note(", ".join(f"{number} {outcome}" for outcome, number in count.items()))
        yield row


def _first_words(said: Said) -> str:
    return str(said.get("breaches") or said)[:300]


def _problems(fresh: Sequence[Row], entries: Sequence[Survivor]) -> Iterator[Problem]:
    yield from unlisted(entries, [r.mutant for r in fresh if r.outcome is Outcome.SURVIVED])
    found = (Outcome.KILLED, Outcome.STILLBORN)
    yield from killed(entries, [r.mutant for r in fresh if r.outcome in found])
    yield from stale(entries, list(_all_mutants()))


def _all_mutants() -> Iterator[Mutant]:
    found = sources()
    names = names_of(found.values())
    for source in found.values():
        yield from mutants_of(source, names)


@main.command("show")
@click.argument("mutant_id")
def show_command(mutant_id: str) -> None:
    """Print the mutant MUTANT_ID as a diff."""
    setting = _setting(sockets=False, whole=True)
    source = setting.sources[mutant_id.partition(":")[0]]
    mutant = next((m for m in mutants_of(source, setting.names) if m.id == mutant_id), None)
    if mutant is None:
        raise click.UsageError(f"the source has no mutant {mutant_id}")
    before = ast.unparse(ast.parse(source.text)).split("\n")
    after = ast.unparse(changed(source, mutant, setting.names)).split("\n")
    click.echo("\n".join(difflib.unified_diff(before, after, lineterm="", n=2)))


@main.command("summary")
@click.argument("rows", type=click.Path(path_type=Path, exists=True))
def summary_command(rows: Path) -> None:
    """Write summary.json anew from ROWS, and print its tables."""
    entries = read_survivors(SURVIVORS)
    every = _reached(_setting(sockets=False, whole=True), entries)
    judged = read_rows(rows, _all_mutants())
    done = {row.mutant.id for row in judged}
    not_run = [mutant for mutant in every.not_run if mutant.id not in done]
    made = {"reached": len(every.run)} | summarise(judged, entries, not_run)
    SUMMARY.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    click.echo(as_text(made["by_module"]) + "\n\n" + as_text(made["by_operator"]))


@main.command("survivors")
@click.argument("rows", type=click.Path(path_type=Path, exists=True))
@click.option("--only", "pattern", default="*", help="Only modules that match.")
def survivors_command(rows: Path, pattern: str) -> None:
    """Print the survivors of ROWS that are not listed, as entries to be completed."""
    entries = read_survivors(SURVIVORS)
    for row in read_rows(rows, _all_mutants()):
        mutant = row.mutant
        if row.outcome is not Outcome.SURVIVED or not fnmatchcase(mutant.module, pattern):
            continue
        if reason_of(entries, mutant) is None:
            click.echo(f"# {mutant.id}\n[[survivor]]\nmodule = {json.dumps(mutant.module)}")
            click.echo(f"function = {json.dumps(mutant.function)}")
            click.echo(f"mutants = [{json.dumps(key_of(mutant))}]\n")


if __name__ == "__main__":
    # Sets of texts have an order that is drawn anew in each process; a mutant must not live by luck.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    main()
