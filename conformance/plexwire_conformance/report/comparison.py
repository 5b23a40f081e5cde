"""Several stored runs side by side, as one HTML page: clause against target."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from plexwire_conformance.report.html_page import render_page
from plexwire_conformance.report.html_report import Link
from plexwire_conformance.report.sentences import observed_sentence
from plexwire_conformance.report.stored_runs import StoredRun
from plexwire_conformance.run.checks import checks, clause_of
from plexwire_conformance.run.findings import Finding, Verdict, choice
from plexwire_spec import Clause, clauses

#: Broken clauses of one run that the top names.
_NAMED: Final = 8


@frozen
class _Broken:
    """A run, the first few clauses that it breaks, and how many more it breaks."""

    name: str
    clauses: tuple[str, ...]
    more: int


@frozen
class _Cell:
    """The verdict of a clause in one run, None if it was not judged, and the best evidence in words."""

    verdict: Verdict | None
    observed: str


@frozen
class _ClauseRow:
    clause: Clause
    cells: tuple[_Cell, ...]

    @property
    def differs(self) -> bool:
        """Whether its verdicts are not all the same."""
        return len({cell.verdict for cell in self.cells}) > 1


@frozen
class _DialectRow:
    clause: Clause
    said: tuple[str, ...]
    differs: bool


def render_matrix(runs: Sequence[StoredRun]) -> str:
    """Return the page."""
    rows = _clause_rows(runs)
    differing = [row for row in rows if row.differs]
    dialect = list(_dialect(runs))
    words = f"{len(differing)} of {len(rows)} clauses differ" if differing else "Nothing differs"
    links = [
        Link("Runs", "runs"),
        *([Link("What differs", "differing", len(differing))] if differing else []),
        Link("Clauses", "clauses"),
        *([Link("Dialect", "dialect")] if dialect else []),
    ]
    counts = {v: [_count(run, v) for run in runs] for v in Verdict}
    return render_page(
        "matrix.html",
        title=f"{len(runs)} runs side by side",
        good=all(run.summary.exit_code == 0 for run in runs),
        headline=f"{words} between {len(runs)} runs.",
        runs=runs,
        broken=list(_broken(runs)),
        links=links,
        counted=[(v, counted) for v, counted in counts.items() if {*counted} != {"0"}],
        rows=rows,
        differing=differing,
        dialect=dialect,
    )


def _count(run: StoredRun, verdict: Verdict) -> str:
    observed = run.summary.observed[verdict]
    return f"{run.summary.cases[verdict]}{f' + {observed} observed' if observed else ''}"


def _broken(runs: Sequence[StoredRun]) -> Iterator[_Broken]:
    for run in runs:
        broken = tuple(clause for clause, v in run.summary.clauses.items() if v is Verdict.FAIL)
        if broken:
            yield _Broken(run.name, broken[:_NAMED], len(broken[_NAMED:]))


def _clause_rows(runs: Sequence[StoredRun]) -> list[_ClauseRow]:
    verdicts = [run.summary.clauses for run in runs]
    found = [_best_findings(run) for run in runs]
    return [
        _ClauseRow(
            clause,
            tuple(
                _Cell(given.get(clause_id), findings.get(clause_id, ""))
                for given, findings in zip(verdicts, found, strict=True)
            ),
        )
        for clause_id, clause in clauses().items()
        if any(clause_id in given for given in verdicts)
    ]


def _best_findings(run: StoredRun) -> dict[str, str]:
    """Return the best evidence under each clause, in words."""
    found: dict[str, Finding] = {}
    for accusation in run.summary.accusations:
        found.setdefault(accusation.clause, accusation.finding)
    return {clause: observed_sentence(finding) for clause, finding in found.items()}


def _dialect(runs: Sequence[StoredRun]) -> Iterator[_DialectRow]:
    chosen = [{finding.check: finding for finding in run.summary.dialect} for run in runs]
    for check in checks():
        said = [each.get(check) for each in chosen]
        if any(said):
            words = tuple("–" if one is None else observed_sentence(one) for one in said)
            choices = {json.dumps(choice(one), sort_keys=True) for one in said}
            yield _DialectRow(clauses()[clause_of(check)], words, len(choices) > 1)
