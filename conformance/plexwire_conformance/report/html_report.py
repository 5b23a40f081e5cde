"""The report for people: one self-contained HTML page, the verdict on top, findings first."""

import re
from collections.abc import Iterator
from typing import Final, TextIO

from attrs import define, field, frozen

from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.report.causes import probable_causes
from plexwire_conformance.report.html_page import render_page
from plexwire_conformance.report.html_sections import (
    Said,
    area_rows,
    case_rows,
    found_rows,
    not_judged_rows,
    unseen_clauses,
)
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.sentences import observed_sentence, red_sentence
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.wording import say_late, say_used
from plexwire_conformance.run.events import CaseFinished, RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import UNJUDGED, Verdict
from plexwire_spec import clauses

_TONES: Final = {0: "good", 1: "bad"}
_TITLES: Final = {0: "Conformant", 1: "Not conformant"}


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
    """Return the page of a run that has ended; *said* is what was said in its cases, if that is known."""
    summary = Summary.of(event)
    return render_page(
        "report.html",
        title=f"{_TITLES.get(summary.exit_code, 'Not judged')} · {about.url}",
        good=summary.exit_code == 0,
        tone=_TONES.get(summary.exit_code, "unclear"),
        about=about,
        seconds=event.seconds,
        used=say_used(event),
        late=say_late(event.late),
        summary=summary,
        advice=tuple(_linked(summary)),
        links=tuple(_links(summary)),
        verdicts=_verdicts(summary),
        areas=tuple(dict.fromkeys(clauses()[clause].area for clause in summary.clauses)),
        reckoning=event.reckoning,
        red_sentence=red_sentence,
        causes=probable_causes(summary.accusations),
        found=found_rows(summary, about.place, said),
        not_judged=not_judged_rows(summary),
        clause_areas=area_rows(summary),
        dialect=[(finding, observed_sentence(finding)) for finding in summary.dialect],
        cases=case_rows(summary, said),
        unseen=unseen_clauses(summary),
    )


@frozen
class Link:
    """Words, and the id of the part of the page that they lead to, if there is one."""

    words: str
    anchor: str = ""
    count: int | None = None


def _linked(summary: Summary) -> Iterator[Link]:
    """Yield the advice; what is named in it leads to its details."""
    anchors = {each.check: f"finding-{each.check}" for each in summary.accusations}
    for word in re.split(r"(\bPW-[A-Z]+-\d+/[a-z0-9-]+)", summary.advice):
        yield Link(word, anchors.get(word, ""))


def _links(summary: Summary) -> Iterator[Link]:
    if summary.reckoning is not None:
        yield Link("Expected failures", "expected", len(summary.reckoning.red) or None)
    yield Link("Findings", "findings", len(summary.accusations))
    if silent := sum(summary.cases[verdict] for verdict in UNJUDGED):
        yield Link("Not judged", "not-judged", silent)
    yield Link("Clauses", "clauses")
    if summary.dialect:
        yield Link("Dialect", "dialect", len(summary.dialect))
    yield Link("Cases", "cases", len(summary.judged_by))
    yield Link("What the suite cannot see", "unseen")


def _verdicts(summary: Summary) -> list[Verdict]:
    """Return the verdicts that something in the page has."""
    present = {*summary.clauses.values(), *(result.verdict for result in summary.results)}
    present |= {each.finding.verdict for each in summary.accusations}
    return [verdict for verdict in Verdict if verdict in present]
