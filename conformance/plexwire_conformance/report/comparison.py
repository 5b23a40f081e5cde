"""Several stored runs side by side, as one HTML page: clause against target."""

from collections.abc import Iterator, Sequence
from typing import Final

from plexwire_conformance.report.html_page import badge, h, page, prose
from plexwire_conformance.report.html_sections import section
from plexwire_conformance.report.stored_runs import StoredRun
from plexwire_conformance.run.findings import Finding, Verdict
from plexwire_conformance.run.known_failures import gist
from plexwire_spec import clauses

#: Broken clauses of one run that the top names.
_NAMED: Final = 8


def render_matrix(runs: Sequence[StoredRun]) -> str:
    """Return the page."""
    found = [_worst_findings(run) for run in runs]
    verdicts = [run.summary.clauses for run in runs]
    listed = [clause for clause in clauses() if any(clause in given for given in verdicts)]
    differing = [clause for clause in listed if len({given.get(clause) for given in verdicts}) > 1]
    rows = [_clause_row(clause, verdicts, found) for clause in listed]
    body = [
        _head(runs, len(differing), len(listed)),
        "<main>",
        section("runs", "Runs", _table(("", *_names(runs)), _facts(runs))),
        *_differing(runs, [_clause_row(clause, verdicts, found) for clause in differing]),
        section("clauses", "Clauses", _table(("Clause", *_names(runs)), rows)),
        *_dialect(runs),
        "</main>",
    ]
    good = all(run.summary.exit_code == 0 for run in runs)
    return page(f"{len(runs)} runs side by side", "\n".join(body), good=good)


def _head(runs: Sequence[StoredRun], differing: int, listed: int) -> str:
    words = "Nothing differs" if not differing else f"{differing} of {listed} clauses differ"
    links = [("runs", "Runs"), ("clauses", "Clauses")]
    if differing:
        links.insert(1, ("differing", f"What differs <b>{differing}</b>"))
    if any(run.summary.dialect for run in runs):
        links.append(("dialect", "Dialect"))
    contents = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in links)
    return (
        f'<header class="top {"unclear" if differing else "good"}"><p class="kind">Conformance, side by side</p>'
        f'<h1>{words} between {len(runs)} runs.</h1>\n<p class="advice">{_broken(runs)}</p>\n'
        f"<nav>{contents}</nav></header>"
    )


def _broken(runs: Sequence[StoredRun]) -> str:
    """Return which runs broke a promise, and which clauses these are."""
    told = []
    for run in runs:
        broken = [clause for clause, v in run.summary.clauses.items() if v is Verdict.FAIL]
        if broken:
            links = ", ".join(f'<a href="#{clause}">{clause}</a>' for clause in broken[:_NAMED])
            more = f" and {len(broken) - _NAMED} more" if broken[_NAMED:] else ""
            told.append(f"<b>{h(run.name)}</b> breaks {links}{more}.")
    return "<br>".join(told) or "None of them breaks a documented promise."


def _names(runs: Sequence[StoredRun]) -> Iterator[str]:
    for run in runs:
        yield h(run.name)


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f'<div class="side"><table><thead><tr>{cells}</tr></thead><tbody>\n{"".join(rows)}</tbody></table></div>'


def _facts(runs: Sequence[StoredRun]) -> list[str]:
    facts = [
        ("Target", [f"<code>{h(run.about.url)}</code>" for run in runs]),
        ("When", [h(run.about.when) for run in runs]),
        ("Suite", [f"plexwire {h(run.about.version)}" for run in runs]),
        ("Conclusion", [h(run.summary.conclusion) for run in runs]),
    ]
    facts += [
        (badge(verdict), [str(run.summary.cases[verdict]) for run in runs])
        for verdict in Verdict
        if any(run.summary.cases[verdict] for run in runs)
    ]
    return [
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
        for name, cells in facts
    ]


def _differing(runs: Sequence[StoredRun], rows: Sequence[str]) -> Iterator[str]:
    if rows:
        bare = [row.replace(' id="', ' data-clause="', 1) for row in rows]
        yield section("differing", "What differs", _table(("Clause", *_names(runs)), bare))


def _worst_findings(run: StoredRun) -> dict[str, Finding]:
    """Return the best evidence of each clause."""
    return {accusation.clause: accusation.finding for accusation in run.summary.accusations}


def _clause_row(
    clause_id: str,
    verdicts: Sequence[dict[str, Verdict]],
    found: Sequence[dict[str, Finding]],
) -> str:
    clause = clauses()[clause_id]
    given = [each.get(clause_id) for each in verdicts]
    cells = "".join(
        f"<td>{_cell(verdict, findings.get(clause_id))}</td>"
        for verdict, findings in zip(given, found, strict=True)
    )
    differs = ' class="differs"' if len(set(given)) > 1 else ""
    return (
        f'<tr id="{clause_id}"{differs}><th scope="row"><a href="#{clause_id}">{clause_id}</a> '
        f'<span class="level">{clause.level}</span><small>{prose(clause.text)}</small></th>{cells}</tr>\n'
    )


def _cell(verdict: Verdict | None, finding: Finding | None) -> str:
    if verdict is None:
        return '<span class="badge">not judged</span>'
    said = "" if finding is None else f"<small><bdi>{h(finding.actual)}</bdi></small>"
    return badge(verdict) + said


def _dialect(runs: Sequence[StoredRun]) -> Iterator[str]:
    chosen = [{finding.clause: finding.actual for finding in run.summary.dialect} for run in runs]
    listed = [clause for clause in clauses() if any(clause in each for each in chosen)]
    rows = []
    for clause in listed:
        said = [each.get(clause, "") for each in chosen]
        differs = ' class="differs"' if len({gist(words) for words in said}) > 1 else ""
        cells = "".join(f"<td><bdi>{h(words) or '–'}</bdi></td>" for words in said)
        rows.append(
            f'<tr{differs}><th scope="row">{clause}<small>{prose(clauses()[clause].text)}</small></th>{cells}</tr>\n'
        )
    if rows:
        yield section("dialect", "Dialect", _table(("Clause", *_names(runs)), rows))
