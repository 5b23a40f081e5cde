"""Runs as `plexwire conform --report` stored them: read back whole, or refused with one sentence."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from plexwire_conformance.recording.jsonlines import BadFile, JsonObject, read_lines, read_text
from plexwire_conformance.recording.transcript import read_entry
from plexwire_conformance.report.ndjson import FORMAT, KIND
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.run.checks import checks, clause_of
from plexwire_conformance.run.events import WHOLE, Part
from plexwire_conformance.run.findings import CaseResult, Finding, Trouble, Verdict
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_spec import clauses

_FORMATS: Final = (FORMAT,)


@frozen(kw_only=True)
class StoredRun:
    """A run that is over: what it was about, and its results in the order of its cases; `name` is what messages call it."""

    name: str
    about: About
    results: tuple[CaseResult, ...]
    seconds: float
    gone: str = ""
    gone_at: float = 0.0
    lossy: str = ""
    part: Part = WHOLE

    @property
    def summary(self) -> Summary:
        """What it comes to."""
        return Summary(self.results, None, self.gone, self.gone_at, self.lossy, self.part)


def read_run(path: Path) -> StoredRun:
    """Return the run in *path*.

    Raises:
        BadFile: it can't be read, is no run, is of another format, is truncated, or contradicts itself.
    """
    return parse_run(read_text(path), path.name)


def parse_run(text: str, name: str) -> StoredRun:
    """Return the run in *text*, which messages call *name*.

    Raises:
        BadFile: as `read_run`.
    """
    header, lines, footer = read_lines(text, name, kind=KIND, formats=_FORMATS, middle="result")
    about = _about(header)
    results = [_result(line, about) for line in lines]
    counted = Counter(result.case for result in results)
    for case in about.cases:
        if counted[case] != 1:
            how_many = "no result" if not counted[case] else f"{counted[case]} results"
            raise BadFile(f"{name} is damaged: it has {how_many} of {case}")
    observed = {result.case for result in results if result.is_observation}
    if strange := set(counted) - set(about.cases) - observed:
        raise BadFile(f"{name} is damaged: its header does not name {min(strange)}")
    _compare(name, footer.object("cases"), results)
    places = {case: place for place, case in enumerate(about.cases)}
    return StoredRun(
        name=name,
        about=about,
        results=tuple(sorted(results, key=lambda r: places.get(r.case, len(places)))),
        seconds=footer.number("seconds"),
        gone=footer.text("gone"),
        gone_at=footer.number("gone_at"),
        lossy=footer.text("lossy"),
        part=_part(footer.object("part")) if footer.has("part") else WHOLE,
    )


def _part(line: JsonObject) -> Part:
    return Part(
        chosen_by=line.text("chosen_by"),
        left_out=line.whole("left_out"),
        unjudged=line.texts("unjudged"),
    )


def _compare(name: str, told: JsonObject, results: list[CaseResult]) -> None:
    for verdict, count in Summary(tuple(results)).cases.items():
        if told.whole(verdict) != count:
            raise BadFile(
                f"{name} is damaged: its footer counts {told.whole(verdict)} {verdict}, "
                f"its lines are {count}"
            )


def _about(line: JsonObject) -> About:
    try:
        began = datetime.fromisoformat(line.text("began"))
    except ValueError:
        raise BadFile(f"{line.where}: 'began' must be a date and a time") from None
    if began.tzinfo is None:
        raise BadFile(f"{line.where}: 'began' must say in which time zone")
    return About(
        called=line.text("called"),
        url=line.text("url"),
        device_url=line.text("device_url"),
        began=began,
        tolerances=evolve(Tolerances(), round_trip=line.number("round_trip_ms") / 1000),
        cases=line.texts("cases"),
        version=line.text("plexwire"),
    )


def _result(line: JsonObject, about: About) -> CaseResult:
    verdict = line.one_of("verdict", Verdict)
    findings = tuple(_finding(inner, about) for inner in line.objects("findings"))
    if (verdict is Verdict.FAIL) is not any(f.verdict is Verdict.FAIL for f in findings):
        raise BadFile(f"{line.where}: its verdict is {verdict}, and its findings say otherwise")
    _known((*line.texts("clauses"), *line.texts("judged")), line, about)
    return CaseResult(
        case=line.text("case"),
        title=line.text("title"),
        clauses=line.texts("clauses"),
        verdict=verdict,
        findings=findings,
        judged=line.texts("judged"),
        reason=line.text("reason"),
        blocked_by=line.text("blocked_by"),
        trouble=line.one_of("trouble", Trouble),
        seconds=line.number("seconds"),
    )


def _finding(line: JsonObject, about: About) -> Finding:
    check = line.text("check")
    clause = clause_of(check)
    _known((clause,), line, about)
    if check not in checks():
        raise BadFile(
            f"{line.where} has the check {check}, which this version does not know; "
            f"use plexwire {about.version}"
        )
    if line.text("level") != clauses()[clause].level:
        raise BadFile(
            f"{line.where}: {clause} was {line.text('level')} then and is "
            f"{clauses()[clause].level} now; use plexwire {about.version}"
        )
    return Finding(
        check=check,
        expected=line.object("expected").members,
        observed=line.object("observed").members,
        path=line.text("path"),
        shown=_shown(line),
        connections=line.whole("connections"),
        steps=line.texts("steps"),
        margin_ms=line.number_or_none("margin_ms"),
        at=line.number_or_none("at"),
        replay=line.text("replay"),
        timeline=tuple(map(read_entry, line.objects("timeline"))),
    )


def _shown(line: JsonObject) -> tuple[int, int] | None:
    match line.members.get("shown"):
        case None:
            return None
        case [int(k), int(n)]:
            return k, n
        case _:
            raise BadFile(f"{line.where}: 'shown' must be two whole numbers, or null")


def _known(cited: tuple[str, ...], line: JsonObject, about: About) -> None:
    for clause in cited:
        if clause not in clauses():
            raise BadFile(
                f"{line.where} cites {clause}, which this version does not know; "
                f"use plexwire {about.version}"
            )
