"""What changed between stored runs, check by check."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
from attrs import frozen
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.options import FILE, fail
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.comparison import render_matrix
from plexwire_conformance.report.sentences import observed_sentence
from plexwire_conformance.report.stored_runs import StoredRun, read_run
from plexwire_conformance.report.wording import name_some
from plexwire_conformance.run.checks import checks, clause_of
from plexwire_conformance.run.findings import UNJUDGED, CaseResult, Finding, Verdict, choice
from plexwire_spec import clauses

#: What is said of a check that found nothing.
_KEPT: Final = "kept"


@frozen(kw_only=True)
class Change:
    """One check, or one whole case, that differs: how it was before and how it is after, in words."""

    what: str
    verdict: Verdict
    before: str
    after: str
    #: The cases that show it.
    cases: tuple[str, ...] = ()


@frozen(kw_only=True)
class Diff:
    """What differs between two runs.

    `regressions` broke and `fixes` mended what both runs judged; `new` and `gone` are what only the later or only the
    earlier one judged; `dialect` is chosen differently where the sources are silent.
    """

    regressions: tuple[Change, ...] = ()
    fixes: tuple[Change, ...] = ()
    new: tuple[Change, ...] = ()
    gone: tuple[Change, ...] = ()
    dialect: tuple[Change, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether a documented promise is broken that was kept before."""
        return any(change.verdict is Verdict.FAIL for change in self.regressions)


def compare(before: StoredRun, after: StoredRun) -> Diff:
    """Return what differs between *before* and *after*; times, ids and counts in a finding make no difference."""
    broke, breaks = _breaches(before), _breaches(after)
    came = [
        _change(after, check, before=_fate(before, check)) for check in breaks if check not in broke
    ]
    went = [
        _change(before, check, after=_fate(after, check)) for check in broke if check not in breaks
    ]
    then, now = _results(before), _results(after)
    return Diff(
        regressions=tuple(change for change in came if change.before == _KEPT),
        fixes=tuple(change for change in went if change.after == _KEPT),
        new=(*(c for c in came if c.before != _KEPT), *_judged_only_in(now, then, "after")),
        gone=(*(c for c in went if c.after != _KEPT), *_judged_only_in(then, now, "before")),
        dialect=tuple(_dialect(before, after)),
    )


def _results(run: StoredRun) -> dict[str, CaseResult]:
    return {result.case: result for result in run.results if not result.is_observation}


def _found(run: StoredRun) -> Iterator[tuple[str, Finding]]:
    return ((result.case, finding) for result in run.results for finding in result.findings)


def _breaches(run: StoredRun) -> dict[str, Finding]:
    """Return one finding of each check that failed."""
    failed = {finding.check: finding for _, finding in _found(run) if finding.is_breach}
    return {check: failed[check] for check in checks() if check in failed}


def _change(run: StoredRun, check: str, *, before: str = "", after: str = "") -> Change:
    """Return that *check*, which failed in *run*, fared differently in the other run."""
    finding = _breaches(run)[check]
    words = observed_sentence(finding)
    return Change(
        what=check,
        verdict=finding.verdict,
        before=before or words,
        after=after or words,
        cases=tuple(case for case, other in _found(run) if other.check == check),
    )


def _fate(run: StoredRun, check: str) -> str:
    """Say what became of *check* in a run where it did not fail."""
    clause = clause_of(check)
    if any(clause in result.judged for result in run.results):
        return _KEPT
    verdict = run.summary.clauses.get(clause)
    return "not run" if verdict is None else f"not judged ({verdict})"


def _judged_only_in(
    one: Mapping[str, CaseResult], other: Mapping[str, CaseResult], side: str
) -> Iterator[Change]:
    """Yield the cases that only *one* judged, without a finding: those are told check by check."""
    for case, result in one.items():
        there = other.get(case)
        if not result.was_judged or (there is not None and there.was_judged):
            continue
        if any(finding.is_breach for finding in result.findings):
            continue
        then, now = (result, there) if side == "before" else (there, result)
        verdict = result.verdict
        yield Change(what=case, verdict=verdict, before=_words(then), after=_words(now))


def _words(result: CaseResult | None) -> str:
    if result is None:
        return "not run"
    why = result.blocked_by or (result.reason if result.verdict in UNJUDGED else "")
    return f"{result.verdict}: {why}" if why else result.verdict.value


def _dialect(before: StoredRun, after: StoredRun) -> Iterator[Change]:
    then = {finding.check: finding for finding in before.summary.dialect}
    for finding in after.summary.dialect:
        was = then.get(finding.check)
        if was is not None and choice(was) != choice(finding):
            yield Change(
                what=finding.check,
                verdict=finding.verdict,
                before=observed_sentence(was),
                after=observed_sentence(finding),
            )


# ── the command ──────────────────────────────────────────────────────────────────────────────

_TITLES: Final = {
    "regressions": "Regressions: kept before, broken now",
    "fixes": "Fixes: broken before, kept now",
    "new": "New: judged now, not before",
    "gone": "Gone: judged before, not now",
    "dialect": "Dialect: chosen differently, which breaks no promise",
}
_STYLES: Final = {"regressions": "bold red", "fixes": "bold green"}


@click.command(cls=JudgingCommand)
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
        for change in changes:
            line = Text(change.what, "cyan").append(f" {change.verdict}", "dim")
            console.print(Padding(line, (0, 0, 0, 2)), highlight=False)
            words = Text(f"before: {change.before}\nafter:  {change.after}")
            console.print(Padding(words, (0, 0, 0, 4)), highlight=False)
            if change.cases:
                cases = Text(f"in {name_some(change.cases)}", "dim")
                console.print(Padding(cases, (0, 0, 0, 4)), highlight=False)
    console.print()
    if nothing:
        console.print("Nothing differs.")
    else:
        style = "bold red" if found.worse else "bold green"
        console.print(Text(_conclusion(found), style), highlight=False)


def _conclusion(found: Diff) -> str:
    broken = {
        clause_of(change.what) for change in found.regressions if change.verdict is Verdict.FAIL
    }
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
