"""What a case says: findings, each under one clause, and the verdict that follows from them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from plexwire_conformance.recording.recorder import Entry
from plexwire_spec import Level, clauses


class Verdict(StrEnum):
    """How a case, or a clause over all of its cases, came out; the worst comes first."""

    FAIL = "fail"
    ERROR = "error"
    WARN = "warn"
    UNTESTABLE = "untestable"
    INFO = "info"
    PASS = "pass"


_ORDER: Final = {verdict: place for place, verdict in enumerate(Verdict)}

_OF_LEVEL: Final = {
    Level.MUST: Verdict.FAIL,
    Level.SHOULD: Verdict.WARN,
    Level.MAY: Verdict.INFO,
    Level.OPEN: Verdict.INFO,
}


def worst(verdicts: Iterable[Verdict], default: Verdict = Verdict.PASS) -> Verdict:
    """Return the worst of *verdicts*."""
    return min(verdicts, key=_ORDER.__getitem__, default=default)


@frozen(kw_only=True)
class Finding:
    """One observation under one clause.

    For a MUST or SHOULD it is a breach: `expected` against `actual`, `margin_ms` by how much where time was measured.
    For an OPEN clause `actual` is what this gateway chose.  `timeline` is the redacted conversation that shows it, `at` when
    (seconds since the run began) no more was waited for, `replay` the word that plays its script again, where it came from one.
    """

    clause: str
    expected: str
    actual: str
    margin_ms: float | None = None
    at: float | None = None
    replay: str = ""
    timeline: tuple[Entry, ...] = field(default=(), repr=False)

    @property
    def level(self) -> Level:
        """The level of the clause."""
        return clauses()[self.clause].level

    @property
    def verdict(self) -> Verdict:
        """What this finding makes of its case."""
        return _OF_LEVEL[self.level]


@frozen(kw_only=True)
class CaseResult:
    """How one case came out; `reason` says why where it is `error` or `untestable`."""

    case: str
    title: str
    clauses: tuple[str, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    seconds: float = 0.0


def verdicts_by_clause(results: Iterable[CaseResult]) -> dict[str, Verdict]:
    """Return each cited clause's verdict: the worst finding under it, else the best that a citing case could say."""
    found: dict[str, list[Verdict]] = {}
    ran: dict[str, list[Verdict]] = {}
    for result in results:
        for finding in result.findings:
            found.setdefault(finding.clause, []).append(finding.verdict)
        silent = result.verdict in (Verdict.UNTESTABLE, Verdict.ERROR)
        for clause in result.clauses:
            ran.setdefault(clause, []).append(result.verdict if silent else Verdict.PASS)
    verdicts = {clause: max(said, key=_ORDER.__getitem__) for clause, said in ran.items()}
    verdicts.update({clause: worst(said) for clause, said in found.items()})
    return {clause: verdicts[clause] for clause in clauses() if clause in verdicts}
