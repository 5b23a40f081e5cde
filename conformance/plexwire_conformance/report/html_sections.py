"""What the sections of the page show, as data for its templates."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry, merge
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.report.sentences import expected_sentence, observed_sentence
from plexwire_conformance.report.summary import Accusation, Summary, plural, unjudged
from plexwire_conformance.report.timeline import Timeline, make_timeline
from plexwire_conformance.report.wording import replay_command, seen_elsewhere
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import KnownFailure
from plexwire_spec import Clause, Party, clauses

#: What was said in each case.
Said: TypeAlias = Mapping[str, Transcript]

#: Entries of devices, at most, that are shown beside what a viewer got.
_WITNESSED: Final = 24


# ── findings ─────────────────────────────────────────────────────────────────────────────────


@frozen(kw_only=True)
class Sighting:
    """One finding of one case, or of the whole run, in words; `known` is the entry that accepts it, if one does."""

    case: CaseResult
    finding: Finding
    known: KnownFailure | None
    replay: str

    @property
    def expected(self) -> str:
        """What the clause asks for."""
        return expected_sentence(self.finding)

    @property
    def observed(self) -> str:
        """What the gateway did instead."""
        return observed_sentence(self.finding)


@frozen(kw_only=True)
class Found:
    """What is shown of one check that failed: its best evidence, where else it was seen, and what it blocks."""

    accusation: Accusation
    best: Sighting
    others: tuple[Sighting, ...]
    seen: str
    blocks: tuple[str, ...]
    timeline: Timeline | None

    @property
    def clause(self) -> Clause:
        """The clause that it is about."""
        return clauses()[self.accusation.clause]


def found_rows(summary: Summary, place: str, said: Said) -> list[Found]:
    """Return what was found, check by check; *place* is the target as the command line names it."""

    def sighting(case: CaseResult, finding: Finding) -> Sighting:
        reckoning = summary.reckoning
        return Sighting(
            case=case,
            finding=finding,
            known=None if reckoning is None else reckoning.accepts(case.case, finding),
            replay=replay_command(finding, case.case, place),
        )

    return [
        Found(
            accusation=each,
            best=sighting(each.case, each.finding),
            others=tuple(sighting(*other) for other in each.others),
            seen="; ".join(seen_elsewhere(each)) or plural(len(each.others), "other case"),
            blocks=tuple(r.case for r in summary.results if r.blocked_by == each.check),
            timeline=make_timeline(
                _witnessed(each.finding, said.get(each.case.case)),
                f"finding-{each.check}",
                each.finding.at,
                each.finding.path,
            ),
        )
        for each in summary.accusations
    ]


def _witnessed(finding: Finding, transcript: Transcript | None) -> tuple[Entry, ...]:
    """Return the timeline of *finding*, with what devices sent meanwhile: the monitor keeps only the viewer's side."""
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


# ── clauses ──────────────────────────────────────────────────────────────────────────────────


@frozen(kw_only=True)
class ClauseRow:
    """A clause, its verdict (None: not judged), the cases that judge it, and what was found under it."""

    clause: Clause
    verdict: Verdict | None
    judges: tuple[str, ...]
    accusations: tuple[Accusation, ...]


@frozen(kw_only=True)
class AreaRow:
    """An area of the specification: its clauses, and how many of them have which verdict."""

    area: str
    rows: tuple[ClauseRow, ...]
    counts: Mapping[Verdict, int]


def area_rows(summary: Summary) -> list[AreaRow]:
    """Return every clause that binds a gateway, and any other that was judged, by area."""
    by_area: dict[str, list[ClauseRow]] = {}
    judges: dict[str, list[str]] = {}
    for result in summary.judged_by:
        for cited in result.clauses:
            judges.setdefault(cited, []).append(result.case)
    accused: dict[str, list[Accusation]] = {}
    for accusation in summary.accusations:
        accused.setdefault(accusation.clause, []).append(accusation)
    verdicts = summary.clauses
    roles = _judged_roles(summary)
    for clause in clauses().values():
        if clause.role in roles or clause.id in verdicts:
            row = ClauseRow(
                clause=clause,
                verdict=verdicts.get(clause.id),
                judges=tuple(judges.get(clause.id, ())),
                accusations=tuple(accused.get(clause.id, ())),
            )
            by_area.setdefault(clause.area, []).append(row)
    return [
        AreaRow(area=area, rows=tuple(rows), counts=_counts([row.verdict for row in rows]))
        for area, rows in by_area.items()
    ]


def _counts(verdicts: Sequence[Verdict | None]) -> dict[Verdict, int]:
    return {verdict: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


def unseen_clauses(summary: Summary) -> list[Clause]:
    """Return the clauses that bind whom the run judges, that no test from outside can judge, and that this run did not."""
    verdicts = summary.clauses
    roles = _judged_roles(summary)
    return [
        clause
        for clause in clauses().values()
        if clause.role in roles and clause.untestable and clause.id not in verdicts
    ]


def _judged_roles(summary: Summary) -> set[Party]:
    return {clauses()[name].role for name in summary.clauses} or {Party.GATEWAY}


# ── cases ────────────────────────────────────────────────────────────────────────────────────


@frozen(kw_only=True)
class NotJudged:
    """Cases that came to no verdict for one reason; `blocked_by` is the check that was in their way, if one was."""

    verdict: Verdict
    reason: str
    blocked_by: str
    cases: tuple[str, ...]


def not_judged_rows(summary: Summary) -> list[NotJudged]:
    """Return what could not be judged, and why."""
    by_case = {result.case: result for result in summary.results}
    return [
        NotJudged(
            verdict=verdict,
            reason=reason,
            blocked_by=by_case[listed[0]].blocked_by,
            cases=tuple(listed),
        )
        for (verdict, reason), listed in unjudged(summary.results).items()
    ]


@frozen(kw_only=True)
class CaseRow:
    """A case, its findings in words, and its conversations."""

    result: CaseResult
    findings: tuple[Sighting, ...]
    timeline: Timeline | None


def case_rows(summary: Summary, said: Said) -> list[CaseRow]:
    """Return every case, with what was found and what was said in it."""
    return [
        CaseRow(
            result=result,
            findings=tuple(
                Sighting(case=result, finding=finding, known=None, replay="")
                for finding in result.findings
            ),
            timeline=make_timeline(_conversation(result, said.get(result.case)), f"c{number}"),
        )
        for number, result in enumerate(summary.judged_by)
    ]


def _conversation(result: CaseResult, transcript: Transcript | None) -> tuple[Entry, ...]:
    entries = () if transcript is None else merge(transcript.conversations)
    # The conversation of a script is kept only with its finding.
    if not entries and result.findings:
        return result.findings[0].timeline
    return entries
