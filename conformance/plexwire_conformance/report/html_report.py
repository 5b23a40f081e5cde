"""The report for people: one self-contained HTML page, the verdict on top, findings first."""

import re
from collections.abc import Iterator
from typing import Final, TextIO

from attrs import define, field

from plexwire_conformance.recording.recorder import Entry
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.report.html_page import badge, h, page, prose
from plexwire_conformance.report.html_sections import (
    Said,
    cases_section,
    clauses_section,
    dialect_section,
    not_judged_section,
    section,
)
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.summary import Accusation, Summary, plural
from plexwire_conformance.report.timeline import draw_timeline
from plexwire_conformance.report.wording import off_by, replay_command, say_late
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import Expected, Reckoning
from plexwire_conformance.run.runner import CaseFinished, RunEvent, RunFinished, RunStarted
from plexwire_spec import AREAS, clauses

#: Entries of devices, at most, that are shown beside what a viewer got.
_WITNESSED: Final = 24
_TONES: Final = {0: "good", 1: "bad"}


@define
class HtmlReport:
    """Writes the page to `out` once the run is over, with what was said in every case."""

    _out: TextIO
    _about: About | None = field(default=None, init=False)
    _said: dict[str, Transcript] = field(factory=dict[str, Transcript], init=False)

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._about = About.of(event)
            case CaseFinished():
                own = (transcript for transcript in event.transcripts if not transcript.script)
                self._said.update((transcript.case, transcript) for transcript in own)
            case RunFinished() if self._about is not None:
                self._out.write(render(self._about, event, self._said))
            case _:
                pass


def render(about: About, event: RunFinished, said: Said) -> str:
    """Return the page of a run that is over; *said* is what was said in its cases, where that is known."""
    summary = Summary.of(event.results, event.reckoning)
    parts = [
        _head(about, summary, event),
        _filter(summary),
        "<main>",
        *_reckoning(event.reckoning),
        _findings(summary, about.place, said),
        *not_judged_section(event.results),
        clauses_section(summary),
        *dialect_section(summary),
        cases_section(event.results, said),
        "</main>",
        _foot(about),
    ]
    tone = "Conformant" if summary.exit_code == 0 else "Not conformant"
    title = f"{tone if summary.exit_code < 2 else 'Not judged'} · {about.url}"
    return page(title, "\n".join(parts), good=summary.exit_code == 0)


# ── the top ──────────────────────────────────────────────────────────────────────────────────


def _head(about: About, summary: Summary, event: RunFinished) -> str:
    facts = [("Target", f"<code>{h(about.url)}</code>")]
    if about.device_url != about.url:
        facts.append(("Devices", f"<code>{h(about.device_url)}</code>"))
    if about.live:
        facts.append(("Live camera", f"<code>{h(about.live)}</code>"))
    facts += [
        (
            "When",
            f'<time datetime="{about.began.isoformat(timespec="milliseconds")}">{h(about.when)}</time>, {event.seconds:.1f} s',
        ),
        ("Judged", f"{len(summary.results)} cases, {len(summary.clauses)} clauses"),
        ("Tolerances", h(about.tolerances)),
        *([("Judge", h(late))] if (late := say_late(event.late)) else []),
        ("Suite", f"plexwire {h(about.version)}"),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    tiles = "".join(_tile(verdict, count) for verdict, count in summary.cases.items())
    advice = f'<p class="advice">{_linked(summary)}</p>\n' if summary.advice else ""
    tone = _TONES.get(summary.exit_code, "unclear")
    return (
        f'<header class="top {tone}">\n<p class="kind">Conformance report</p>\n'
        f"<h1>{h(summary.conclusion)}</h1>\n{advice}"
        f'<ul class="tiles" aria-label="Cases by verdict">{tiles}</ul>\n'
        f'<dl class="facts">{rows}</dl>\n{_contents(summary)}</header>'
    )


def _tile(verdict: Verdict, count: int) -> str:
    words = f"<b>{count}</b> {verdict}"
    if count:
        words = f'<a href="#cases" data-only="{verdict}" title="Only these cases">{words}</a>'
    return f'<li class="{verdict}{"" if count else " none"}">{words}</li>'


def _linked(summary: Summary) -> str:
    """Return the advice; what is named in it leads to where it is told at length."""
    accused = {accusation.clause for accusation in summary.accusations}
    links = {clause: f"finding-{clause}" for clause in accused}
    links |= {result.case: f"case-{result.case}" for result in summary.results}
    words = [
        f'<a href="#{h(links[word])}">{h(word)}</a>' if word in links else h(word)
        for word in re.split(r"(\bPW-[A-Z]+-\d+\b|(?<=by )[\w.-]+(?=:))", summary.advice)
    ]
    return "".join(words)


def _contents(summary: Summary) -> str:
    links = [("findings", "Findings", len(summary.accusations)), ("clauses", "Clauses", None)]
    silent = sum(summary.cases[v] for v in (Verdict.ERROR, Verdict.UNTESTABLE))
    if silent:
        links.insert(1, ("not-judged", "Not judged", silent))
    if summary.reckoning is not None:
        links.insert(0, ("expected", "Expected failures", len(summary.reckoning.red) or None))
    if summary.dialect:
        links.append(("dialect", "Dialect", None))
    links.append(("cases", "Cases", None))
    items = "".join(
        f'<a href="#{anchor}">{words}{"" if count is None else f" <b>{count}</b>"}</a>'
        for anchor, words, count in links
    )
    return f'<nav aria-label="Sections">{items}</nav>\n'


def _filter(summary: Summary) -> str:
    present = {*summary.clauses.values(), *(result.verdict for result in summary.results)}
    boxes = "".join(
        f'<label class="{verdict}"><input type="checkbox" name="verdict" value="{verdict}" checked>'
        f"{verdict}</label>"
        for verdict in Verdict
        if verdict in present
    )
    areas = dict.fromkeys(clauses()[clause].area for clause in summary.clauses)
    options = "".join(
        f'<option value="{area}">{area} · {h(AREAS[area].replace("`", ""))}</option>'
        for area in areas
    )
    return (
        '<form id="filter" hidden aria-label="Filter">'
        f'<span class="boxes">{boxes}</span>'
        f'<select name="area" aria-label="Area"><option value="">All areas</option>{options}</select>'
        '<input type="search" name="words" placeholder="Search: clause, case, text" aria-label="Search">'
        '<output></output><button type="button" hidden>Show all</button></form>'
    )


def _foot(about: About) -> str:
    return (
        "<footer><p>Deadlines may be missed by the tolerances above; they grow with the round trip, which was "
        "measured first. <b>fail</b> is a MUST that was broken, <b>warn</b> a SHOULD; <b>info</b> is what this gateway "
        "chose where the sources are silent, and is never held against it. Keys are taken out of everything shown "
        f"here.</p><p>plexwire {h(about.version)}</p></footer>"
    )


# ── what differs from what was expected ──────────────────────────────────────────────────────


def _reckoning(reckoning: Reckoning | None) -> Iterator[str]:
    if reckoning is None:
        return
    red = "".join(
        f'<li><span class="badge fail">{one.colour}</span> <a href="#case-{h(one.case)}">{h(one.case)}</a> '
        f'<a href="#{one.clause}">{one.clause}</a><br>{h(one.sentence)}</li>'
        for one in reckoning.red
    )
    known = "".join(
        f'<li><a href="#case-{h(entry.case)}">{h(entry.case)}</a> <a href="#{entry.clause}">{entry.clause}</a>'
        f" until {entry.expires}<br>{h(entry.reason)} {_issue(entry)}</li>"
        for entry in reckoning.accepted.values()
    )
    body = (
        f'<ul class="plain">{red}</ul>' if red else "<p>Nothing differs from what is expected.</p>"
    )
    if known:
        body += f'<h3>Known failures, as expected</h3><ul class="plain">{known}</ul>'
    yield section("expected", "Expected failures", body)


def _issue(entry: Expected) -> str:
    if not re.fullmatch(r"https?://\S+", entry.issue):
        return h(entry.issue)
    return f'<a href="{h(entry.issue)}" rel="noreferrer">{h(entry.issue)}</a>'


# ── findings ─────────────────────────────────────────────────────────────────────────────────


def _findings(summary: Summary, place: str, said: Said) -> str:
    if not summary.accusations:
        words = "Nothing was found against this gateway."
        if summary.exit_code > 1:
            words = "Nothing was found, but not everything could be judged."
        return section("findings", "Findings", f'<p class="nothing">{words}</p>')
    told = [_accuse(each, summary.reckoning, place, said) for each in summary.accusations]
    return section("findings", "Findings", "\n".join(told))


def _accuse(accusation: Accusation, reckoning: Reckoning | None, place: str, said: Said) -> str:
    finding, case = accusation.finding, accusation.case
    clause = clauses()[finding.clause]
    anchor = f"finding-{clause.id}"
    known = reckoning is not None and reckoning.accepts(case.case, finding) is not None
    rows = [
        *_evidence(case, finding, reckoning),
        ("Found by", f"{_case_link(case)} — {prose(case.title)}"),
        ("Replay", _command(finding, case, place)),
    ]
    facts = "".join(f"<dt>{name}</dt><dd><bdi>{value}</bdi></dd>" for name, value in rows)
    return (
        f'<article class="finding {finding.verdict}{" known" * known}" id="{anchor}" data-verdict="{finding.verdict}" '
        f'data-area="{clause.area}">\n'
        f'<h3>{badge(finding.verdict)} <a class="id" href="#{clause.id}">{clause.id}</a> '
        f'<span class="level">{clause.level}</span>'
        f'<a class="here" href="#{anchor}" title="Link to this finding">#</a></h3>\n'
        f'<p class="clause">{prose(clause.text)}</p>\n<dl class="rows">{facts}</dl>\n'
        f"{draw_timeline(_witnessed(finding, said.get(case.case)), anchor, finding.at)}\n{_elsewhere(accusation, reckoning, place)}</article>"
    )


def _evidence(
    case: CaseResult, finding: Finding, reckoning: Reckoning | None
) -> Iterator[tuple[str, str]]:
    known = None if reckoning is None else reckoning.accepts(case.case, finding)
    if known is not None:
        yield "Known", f"{h(known.reason)} {_issue(known)} (until {known.expires})"
    if finding.expected:
        yield "Expected", h(finding.expected)
    yield "Actual", f"<strong>{h(finding.actual)}</strong>{h(off_by(finding))}"


def _command(finding: Finding, case: CaseResult, place: str) -> str:
    return f'<code class="command">{h(replay_command(finding, case.case, place))}</code>'


def _witnessed(finding: Finding, transcript: Transcript | None) -> tuple[Entry, ...]:
    """Return the timeline of *finding*, with what devices sent meanwhile: the monitor keeps the viewer's side alone."""
    if transcript is None or finding.replay or len({e.peer for e in finding.timeline}) != 1:
        return finding.timeline
    begin, end = finding.timeline[0].at, finding.timeline[-1].at
    theirs = [
        entry
        for conversation in transcript.conversations
        if conversation.role == "device" and conversation.name != finding.timeline[0].peer
        for entry in conversation.entries
        if begin <= entry.at <= end
    ]
    both = (*finding.timeline, *theirs[-_WITNESSED:])
    return tuple(sorted(both, key=lambda entry: entry.at))


def _elsewhere(accusation: Accusation, reckoning: Reckoning | None, place: str) -> str:
    if not accusation.others:
        return ""
    rows = "".join(
        f"<li>{_case_link(case)}: "
        + "<br>".join(value for _, value in _evidence(case, finding, reckoning))
        + (f"<br>{_command(finding, case, place)}" if finding.replay else "")
        + "</li>"
        for case, finding in accusation.others
    )
    words = plural(len(accusation.others), "other case")
    return f'<details class="more"><summary>Also seen by {words}</summary><ul class="plain">{rows}</ul></details>'


def _case_link(case: CaseResult) -> str:
    return f'<a href="#case-{h(case.case)}">{h(case.case)}</a>'
