"""The sections of the page behind the findings: clauses, what was not judged, dialect, cases."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from plexwire_conformance.recording.recorder import merge
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.report.html_page import SIGNS, badge, h, prose
from plexwire_conformance.report.summary import Summary, unjudged
from plexwire_conformance.report.timeline import draw_timeline
from plexwire_conformance.report.wording import off_by
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_spec import AREAS, Clause, Level, Party, clauses

#: What was said in each case.
Said: TypeAlias = Mapping[str, Transcript]


def section(anchor: str, title: str, body: str) -> str:
    """Return a section with its heading."""
    return f'<section id="{anchor}"><h2>{title}</h2>\n{body}\n<p class="empty" hidden>Nothing here passes the filter.</p></section>'


def area_words(cited: Iterable[str]) -> str:
    """Return the areas of the clauses *cited*, as the filter wants them."""
    return " ".join(dict.fromkeys(clauses()[clause].area for clause in cited))


# ── clauses ──────────────────────────────────────────────────────────────────────────────────


def clauses_section(summary: Summary) -> str:
    """Return every clause that binds a gateway, with its verdict, by area: as a map first, then one by one."""
    by_area: dict[str, list[Clause]] = {}
    for clause in clauses().values():
        if clause.role is Party.GATEWAY or clause.id in summary.clauses:
            by_area.setdefault(clause.area, []).append(clause)
    judges: dict[str, list[str]] = {}
    for result in summary.results:
        for cited in result.clauses:
            judges.setdefault(cited, []).append(result.case)
    accused = {accusation.clause for accusation in summary.accusations}
    chips = "\n".join(_map_row(area, listed, summary.clauses) for area, listed in by_area.items())
    tables = "\n".join(
        _area(
            area,
            [summary.clauses.get(clause.id) for clause in listed],
            [_clause(c, summary.clauses.get(c.id), judges, c.id in accused) for c in listed],
        )
        for area, listed in by_area.items()
    )
    return section("clauses", "Clauses", f'<div class="map">{chips}</div>\n{_legend()}\n{tables}')


def _legend() -> str:
    verdicts = "".join(
        f'<li><span class="chip {verdict}"><i aria-hidden="true">{SIGNS[verdict]}</i></span>{verdict}</li>'
        for verdict in Verdict
    )
    return f'<ul class="legend" aria-label="Signs">{verdicts}<li><span class="chip"></span>not judged</li></ul>'


def _map_row(area: str, listed: Sequence[Clause], verdicts: Mapping[str, Verdict]) -> str:
    cells = "".join(_chip(clause, verdicts.get(clause.id)) for clause in listed)
    words = h(AREAS[area].replace("`", ""))
    return f'<div class="row"><a class="area" href="#area-{area}"><b>{area}</b> {words}</a><span class="cells">{cells}</span></div>'


def _chip(clause: Clause, verdict: Verdict | None) -> str:
    number = clause.id.rpartition("-")[2]
    words = f"{clause.id} {verdict or 'not judged'}: {clause.text}"
    sign = "" if verdict in (None, Verdict.PASS) else f'<i aria-hidden="true">{SIGNS[verdict]}</i>'
    return (
        f'<a class="chip {verdict or ""}" href="#{clause.id}" title="{h(words)}" '
        f'aria-label="{h(clause.id)} {verdict or "not judged"}">{number}{sign}</a>'
    )


def _area(area: str, verdicts: Sequence[Verdict | None], rows: Sequence[str]) -> str:
    counts = "".join(
        f'<span class="{verdict}">{verdicts.count(verdict)} {verdict}</span>'
        for verdict in Verdict
        if verdict in verdicts
    )
    return (
        f'<details class="area" id="area-{area}"><summary><b>{area}</b> {prose(AREAS[area])}'
        f'<span class="counts">{counts}</span></summary>'
        f'<table class="clauses"><tbody>\n{"".join(rows)}</tbody></table></details>'
    )


def _clause(
    clause: Clause,
    verdict: Verdict | None,
    judges: Mapping[str, Sequence[str]],
    accused: bool,
) -> str:
    by = ", ".join(f'<a href="#case-{h(case)}">{h(case)}</a>' for case in judges.get(clause.id, ()))
    if verdict is None:
        why = clause.untestable or "No case of this run judges it."
        by, shown = f"<em>{prose(why)}</em>", '<span class="badge">not judged</span>'
    else:
        shown = badge(verdict)
    if accused:
        by += f' · <a href="#finding-{clause.id}">what was found</a>'
    return (
        f'<tr id="{clause.id}" data-verdict="{verdict or ""}" data-area="{clause.area}">'
        f'<th scope="row"><a href="#{clause.id}">{clause.id}</a> <span class="level">{clause.level}</span></th>'
        f"<td>{shown}</td><td>{prose(clause.text)}<small>{by}</small></td></tr>\n"
    )


# ── what was not judged, and dialect ─────────────────────────────────────────────────────────


def not_judged_section(results: Iterable[CaseResult]) -> Iterator[str]:
    """Yield what could not be judged, and why."""
    reasons = unjudged(results)
    if not reasons:
        return
    rows = "".join(
        f"<li>{badge(verdict)} {h(reason)}<br><small>"
        f'{", ".join(f"""<a href="#case-{h(case)}">{h(case)}</a>""" for case in listed)}</small></li>'
        for (verdict, reason), listed in reasons.items()
    )
    yield section("not-judged", "Not judged", f'<ul class="plain">{rows}</ul>')


def dialect_section(summary: Summary) -> Iterator[str]:
    """Yield what the gateway chose where the sources are silent."""
    if not summary.dialect:
        return
    rows = "".join(
        f'<tr data-verdict="info" data-area="{area_words((finding.clause,))}">'
        f'<th scope="row"><a href="#{finding.clause}">{finding.clause}</a></th>'
        f"<td><bdi>{h(finding.actual)}</bdi><small>{prose(clauses()[finding.clause].text)}</small></td></tr>\n"
        for finding in summary.dialect
    )
    yield section(
        "dialect",
        "Dialect",
        "<p>What this gateway does where the sources are silent. None of it is right or wrong; a viewer or a device "
        f'that must work with several gateways should know it.</p>\n<table class="clauses"><tbody>\n{rows}</tbody></table>',
    )


# ── cases ────────────────────────────────────────────────────────────────────────────────────


def cases_section(results: Iterable[CaseResult], said: Said) -> str:
    """Return every case, to be opened for what it found and what was said in it."""
    told = [
        _case(result, said.get(result.case), f"c{number}") for number, result in enumerate(results)
    ]
    return section("cases", "Cases", "\n".join(told))


def _case(result: CaseResult, transcript: Transcript | None, name: str) -> str:
    cited = " ".join(f'<a href="#{clause}">{clause}</a>' for clause in result.clauses)
    body = [f'<p class="cites">{cited}</p>']
    if result.reason:
        body.append(f"<p>{h(result.reason)}</p>")
    if result.findings:
        body.append(f'<ul class="plain">{"".join(map(_observation, result.findings))}</ul>')
    entries = () if transcript is None else merge(transcript.conversations)
    # A script's conversation is with its finding alone.
    if not entries and result.findings:
        entries = result.findings[0].timeline
    if entries:
        body.append(draw_timeline(entries, name))
    return (
        f'<details class="case {result.verdict}" id="case-{h(result.case)}" data-verdict="{result.verdict}" '
        f'data-area="{area_words(result.clauses)}"><summary>{badge(result.verdict)} '
        f"<b>{h(result.case)}</b> <span>{prose(result.title)}</span> <time>{result.seconds:.2f} s</time></summary>"
        f"\n{''.join(body)}</details>"
    )


def _observation(finding: Finding) -> str:
    expected = f"expected {h(finding.expected)}; " if finding.expected else ""
    word = "chose" if finding.level is Level.OPEN else finding.verdict.value
    return (
        f'<li><a href="#{finding.clause}">{finding.clause}</a> {word}: <bdi>{expected}{h(finding.actual)}</bdi>'
        f"{h(off_by(finding))}</li>"
    )
