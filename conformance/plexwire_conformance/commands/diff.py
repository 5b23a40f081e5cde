"""What changed between stored runs, check by check; a check is one clause in one case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
from attrs import evolve, frozen
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from plexwire_conformance.commands.options import COULD_NOT_JUDGE, FILE, fail
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.comparison import render_matrix
from plexwire_conformance.report.stored_runs import StoredRun, read_run
from plexwire_conformance.report.wording import name_some
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import Check, gist
from plexwire_spec import clauses

_BREACHES: Final = (Verdict.FAIL, Verdict.WARN)
_SILENT: Final = (Verdict.ERROR, Verdict.UNTESTABLE)


@frozen(kw_only=True)
class Change:
    """One check that differs: how it was before and how it is after, in words; `clause` is empty for a whole case."""

    case: str
    clause: str = ""
    verdict: Verdict
    before: str
    after: str


@frozen(kw_only=True)
class Diff:
    """What differs between two runs.

    `regressions` broke and `fixes` mended what both runs judged; `new` and `gone` are what only the later or only the
    earlier one judged; `changed` fails in both, but otherwise; `dialect` is decided otherwise where the sources are silent.
    """

    regressions: tuple[Change, ...] = ()
    fixes: tuple[Change, ...] = ()
    new: tuple[Change, ...] = ()
    gone: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()
    dialect: tuple[Change, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether a documented promise is broken that was kept before."""
        return any(change.verdict is Verdict.FAIL for change in self.regressions)


def compare(before: StoredRun, after: StoredRun) -> Diff:
    """Return what differs between *before* and *after*."""
    then, now = _results(before), _results(after)
    broke, breaks = _checks(before, _BREACHES), _checks(after, _BREACHES)
    regressions, new = [], []
    for check, finding in breaks.items():
        if check in broke:
            continue
        if _judged(then.get(check[0])):
            regressions.append(_change(check, finding, "kept", finding.actual))
        elif check[0] in then:
            was = then[check[0]]
            new.append(_change(check, finding, _words(was), finding.actual))
    fixes, gone = [], []
    for check, finding in broke.items():
        if check in breaks:
            continue
        if _judged(now.get(check[0])):
            fixes.append(_change(check, finding, finding.actual, "kept"))
        elif check[0] in now:
            is_ = now[check[0]]
            gone.append(_change(check, finding, finding.actual, _words(is_)))
    return Diff(
        regressions=tuple(regressions),
        fixes=tuple(fixes),
        new=(*new, *_only_in(then, now), *(_turn(change) for change in _lost(now, then, breaks))),
        gone=(*gone, *map(_turn, _only_in(now, then)), *_lost(then, now, broke)),
        changed=_otherwise(broke, breaks),
        dialect=_otherwise(_checks(before, (Verdict.INFO,)), _checks(after, (Verdict.INFO,))),
    )


def _results(run: StoredRun) -> dict[str, CaseResult]:
    return {result.case: result for result in run.results}


def _checks(run: StoredRun, verdicts: Sequence[Verdict]) -> dict[Check, Finding]:
    return {
        (result.case, finding.clause): finding
        for result in run.results
        for finding in result.findings
        if finding.verdict in verdicts
    }


def _judged(result: CaseResult | None) -> bool:
    return result is not None and result.verdict not in _SILENT and not result.reason


def _change(check: Check, finding: Finding, before: str, after: str) -> Change:
    case, clause = check
    return Change(case=case, clause=clause, verdict=finding.verdict, before=before, after=after)


def _only_in(one: Mapping[str, CaseResult], other: Mapping[str, CaseResult]) -> Iterator[Change]:
    """Yield the cases that *other* alone has."""
    for case, result in other.items():
        if case not in one:
            yield Change(case=case, verdict=result.verdict, before="not run", after=_words(result))


def _lost(
    then: Mapping[str, CaseResult], now: Mapping[str, CaseResult], broke: Mapping[Check, Finding]
) -> Iterator[Change]:
    """Yield the cases that were judged, broke nothing, and could not be judged any more."""
    told = {case for case, _ in broke}
    for case, was in then.items():
        is_ = now.get(case)
        if is_ is None or case in told or was.verdict in _SILENT or is_.verdict not in _SILENT:
            continue
        yield Change(case=case, verdict=is_.verdict, before=_words(was), after=_words(is_))


def _turn(change: Change) -> Change:
    return evolve(change, before=change.after, after=change.before)


def _words(result: CaseResult) -> str:
    broken = [finding.clause for finding in result.findings if finding.verdict in _BREACHES]
    why = result.reason or ", ".join(broken)
    return f"{result.verdict}: {why}" if why else result.verdict.value


def _otherwise(then: Mapping[Check, Finding], now: Mapping[Check, Finding]) -> tuple[Change, ...]:
    return tuple(
        _change(check, now[check], finding.actual, now[check].actual)
        for check, finding in then.items()
        if check in now and gist(finding.actual) != gist(now[check].actual)
    )


# ── the command ──────────────────────────────────────────────────────────────────────────────

_TITLES: Final = {
    "regressions": "Regressions: kept before, broken now",
    "fixes": "Fixes: broken before, kept now",
    "new": "New: judged now, not before",
    "gone": "Gone: judged before, not now",
    "changed": "Broken in both, but in another way",
    "dialect": "Dialect: chosen otherwise, which is nobody's fault",
}
_STYLES: Final = {"regressions": "bold red", "fixes": "bold green"}


@click.command()
@click.argument("files", metavar="A B [C]...", nargs=-1, required=True, type=FILE)
@click.option("--html", type=FILE, help="Write the runs side by side, as one HTML page.")
def diff(files: tuple[Path, ...], html: Path | None) -> None:
    """Compare stored runs: what broke and what was fixed since A, what is new, what is gone.

    The files are what plexwire conform --report wrote, of one target over time or of several targets; all are compared
    with A.

    \b
    Did the release break anything?
        plexwire diff yesterday.ndjson today.ndjson
    Three gateways side by side, as a page:
        plexwire diff ours.ndjson theirs.ndjson reference.ndjson --html matrix.html

    \b
    Exit codes: 0 no regression · 1 a MUST that was kept in A is broken
                2 a file can't be read
    """
    if len(files) < 2:
        fail("give at least two files to compare", COULD_NOT_JUDGE)
    try:
        runs = [read_run(path) for path in files]
    except BadFile as error:
        fail(str(error), COULD_NOT_JUDGE)
    first, *others = runs
    diffs = [compare(first, other) for other in others]
    console = Console()
    for other, found in zip(others, diffs, strict=True):
        _tell(first, other, found, console)
    if len(runs) > 2:
        console.print(_table(runs))
    if html is not None:
        try:
            html.write_text(render_matrix(runs), encoding="utf-8")
        except OSError as error:
            fail(f"can't write {html}: {error.strerror}", COULD_NOT_JUDGE)
    raise SystemExit(1 if any(found.worse for found in diffs) else 0)


def _tell(first: StoredRun, other: StoredRun, found: Diff, console: Console) -> None:
    console.print(
        Text(f"\n{first.name} ({first.about.url}) → {other.name} ({other.about.url})", "bold")
    )
    nothing = True
    for name, title in _TITLES.items():
        changes: tuple[Change, ...] = getattr(found, name)
        if not changes:
            continue
        nothing = False
        console.print(Text(f"\n{title} ({len(changes)})", _STYLES.get(name, "bold")))
        for alike in _alike(changes):
            change, *others = alike
            line = Text(change.case, "default")
            if change.clause:
                line.append(f" {change.clause}", "cyan").append(f" {change.verdict}", "dim")
            console.print(Padding(line, (0, 0, 0, 2)), highlight=False)
            words = Text(f"{change.before} → {change.after}")
            console.print(Padding(words, (0, 0, 0, 4)), highlight=False)
            if others:
                also = f"so too {name_some([other.case for other in others])}"
                console.print(Padding(Text(also, "dim"), (0, 0, 0, 4)))
    console.print()
    if nothing:
        console.print("Nothing differs.")
    else:
        style = "bold red" if found.worse else "bold green"
        console.print(Text(_conclusion(found), style), highlight=False)


def _alike(changes: Iterable[Change]) -> Iterable[list[Change]]:
    """Return *changes* by what they say, made-up ids and times apart."""
    alike: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        said = (change.clause, gist(change.before), gist(change.after))
        alike.setdefault(said, []).append(change)
    return alike.values()


def _conclusion(found: Diff) -> str:
    broken = {change.clause for change in found.regressions if change.verdict is Verdict.FAIL}
    if not broken:
        return "No regression among what both judged."
    return f"Worse: {', '.join(clause for clause in clauses() if clause in broken)} broken since."


def _table(runs: Sequence[StoredRun]) -> Table:
    table = Table(title="\nClauses that differ", title_justify="left", box=None, padding=(0, 1))
    table.add_column("clause", no_wrap=True)
    for run in runs:
        table.add_column(run.name, overflow="fold")
    verdicts = [run.summary.clauses for run in runs]
    for clause in clauses():
        row = [given.get(clause) for given in verdicts]
        if len(set(row)) > 1:
            table.add_row(clause, *(verdict or "–" for verdict in row))
    return table
