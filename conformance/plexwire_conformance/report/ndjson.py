"""The machine's report: one JSON object a line, a header first and a footer last.

`run.schema.json`, next to this module, is the schema of a line.
"""

from collections.abc import Mapping
from typing import Any, Final, TextIO

from plexwire_conformance.recording.jsonlines import one_line
from plexwire_conformance.recording.transcript import entry_members
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.sentences import expected_sentence, observed_sentence, red_sentence
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.run.events import WHOLE, CaseFinished, RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import CaseResult, Finding
from plexwire_conformance.run.tolerances import Tolerances

#: What the header calls the file, and the version of the format; a reader refuses others.
KIND: Final = "run"
FORMAT: Final = 2


class NdjsonReport:
    """Writes the run to *out*, line by line as it happens, so that a killed run leaves what it had."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._write({"type": "header", **_header_members(About.of(event))})
            case CaseFinished():
                self._write({"type": "result", **result_members(event.result)})
            case RunFinished():
                self._write({"type": "footer", **_footer_members(event)})

    def _write(self, members: Mapping[str, Any]) -> None:
        self._out.write(one_line(members))
        self._out.flush()


def _header_members(about: About) -> dict[str, Any]:
    return {
        "kind": KIND,
        "format": FORMAT,
        "plexwire": about.version,
        "called": about.called,
        "url": about.url,
        "device_url": about.device_url,
        "began": about.began.isoformat(timespec="milliseconds"),
        "round_trip_ms": _ms(about.tolerances.round_trip),
        "tolerances_ms": _tolerances(about.tolerances),
        "cases": list(about.cases),
    }


def _tolerances(tolerances: Tolerances) -> dict[str, float]:
    return {
        "at_once": _ms(tolerances.immediate),
        "late": _ms(tolerances.late),
        "early": _ms(tolerances.early),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _footer_members(event: RunFinished) -> dict[str, Any]:
    summary = Summary.of(event)
    members: dict[str, Any] = {
        "cases": {verdict.value: count for verdict, count in summary.cases.items()},
        "clauses": {name: verdict.value for name, verdict in summary.clauses.items()},
        "seconds": round(event.seconds, 3),
        "connections": event.connections,
        "sources": event.sources,
        "gone": event.gone,
        "gone_at": round(event.gone_at, 3),
        "lossy": event.lossy,
        "exit_code": summary.exit_code,
        "conclusion": summary.conclusion,
    }
    if event.part != WHOLE:
        members["part"] = {
            "chosen_by": event.part.chosen_by,
            "left_out": event.part.left_out,
            "unjudged": list(event.part.unjudged),
        }
    if event.reckoning is not None:
        members["accepted"] = [entry.check for entry in event.reckoning.accepted]
        members["red"] = [
            {
                "check": red.check,
                "cases": list(red.cases),
                "why": red.colour.value,
                "sentence": red_sentence(red),
            }
            for red in event.reckoning.red
        ]
    return members


def result_members(result: CaseResult) -> dict[str, Any]:
    """Return *result* as JSON has it."""
    return {
        "case": result.case,
        "title": result.title,
        "clauses": list(result.clauses),
        "verdict": result.verdict.value,
        "judged": list(result.judged),
        "reason": result.reason,
        "blocked_by": result.blocked_by,
        "trouble": result.trouble.value,
        "seconds": round(result.seconds, 3),
        "findings": [_finding_members(finding) for finding in result.findings],
    }


def _finding_members(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "clause": finding.clause,
        "level": finding.level.value,
        "verdict": finding.verdict.value,
        "expected": dict(finding.expected),
        "observed": dict(finding.observed),
        "sentences": {
            "expected": expected_sentence(finding),
            "observed": observed_sentence(finding),
        },
        "path": finding.path,
        "margin_ms": finding.margin_ms,
        "at": None if finding.at is None else round(finding.at, 6),
        "shown": None if finding.shown is None else list(finding.shown),
        "connections": finding.connections,
        "steps": list(finding.steps),
        "replay": finding.replay,
        "timeline": [entry_members(entry) for entry in finding.timeline],
    }
