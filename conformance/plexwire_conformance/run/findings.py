"""What a case found, as data: findings, each under one check, and the verdicts that follow from them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import evolve, field, frozen

from plexwire_conformance.recording.recorder import Entry
from plexwire_conformance.run.checks import clause_of
from plexwire_spec import Level, clauses


class Verdict(StrEnum):
    """How a case, or a clause over all of its cases, came out; the worst comes first.

    A case is `blocked` when another finding was in its way, `untestable` when an input is missing, and an `error` when
    the suite, the network or the machine kept it from a verdict.
    """

    FAIL = "fail"
    ERROR = "error"
    WARN = "warn"
    BLOCKED = "blocked"
    UNTESTABLE = "untestable"
    INFO = "info"
    PASS = "pass"


_ORDER: Final = {verdict: place for place, verdict in enumerate(Verdict)}

#: The verdicts of cases that were not judged to their end.
UNJUDGED: Final = frozenset({Verdict.ERROR, Verdict.BLOCKED, Verdict.UNTESTABLE})

_OF_LEVEL: Final = {
    Level.MUST: Verdict.FAIL,
    Level.SHOULD: Verdict.WARN,
    Level.MAY: Verdict.INFO,
    Level.OPEN: Verdict.INFO,
}


def worst(verdicts: Iterable[Verdict], default: Verdict = Verdict.PASS) -> Verdict:
    """Return the worst of *verdicts*."""
    return min(verdicts, key=_ORDER.__getitem__, default=default)


class Trouble(StrEnum):
    """What kept a case with the verdict `error` from being judged."""

    NONE = ""
    #: Our own fault: an exception, or a case that did not end in time.
    SUITE = "suite"
    #: The connection or the machine: refused, reset, no room, no route, no file descriptors.
    NETWORK = "network"
    #: The gateway stopped answering during the run.
    GONE = "gone"
    #: Where devices were expected, there is no endpoint for them.
    NO_DEVICES = "no-devices"
    #: Something that the case depends on did not happen, and no finding says why.
    UNCLEAR = "unclear"
    #: The run was ended from outside.
    INTERRUPTED = "interrupted"


@frozen(kw_only=True)
class Finding:
    """One observation under one check, as data; `report/` makes sentences of it.

    For a MUST or SHOULD it is a breach: `expected` against `observed`, `margin_ms` by how many milliseconds if time was
    measured.  For an OPEN clause `observed` is what this gateway chose.  `path` is the JSON path of the member that shows it,
    in the last message of the connection `peer` in `timeline`, which is the redacted conversation.  `at` is when (seconds
    since the run began) no more was waited for.  A finding of a script has its `steps`, the `replay` word that plays it
    again, and `shown`: k of n times.  `connections` is on how many connections it was seen, `after_loss` whether a
    connection of the case had been lost by then.
    """

    check: str
    expected: Mapping[str, Any] = field(factory=dict[str, Any])
    observed: Mapping[str, Any] = field(factory=dict[str, Any])
    margin_ms: float | None = None
    at: float | None = None
    path: str = ""
    replay: str = ""
    steps: tuple[str, ...] = ()
    shown: tuple[int, int] | None = None
    connections: int = 1
    after_loss: bool = False
    timeline: tuple[Entry, ...] = field(default=(), repr=False)

    @property
    def clause(self) -> str:
        """The clause that it is about."""
        return clause_of(self.check)

    @property
    def level(self) -> Level:
        """The level of the clause."""
        return clauses()[self.clause].level

    @property
    def verdict(self) -> Verdict:
        """What this finding makes of its case."""
        return _OF_LEVEL[self.level]

    @property
    def is_breach(self) -> bool:
        """Whether it is a breach, not a choice."""
        return self.verdict in (Verdict.FAIL, Verdict.WARN)


def choice(finding: Finding | None) -> dict[str, Any]:
    """Return what a gateway chose, as a value that is the same whenever it chooses the same."""
    return {} if finding is None else dict(finding.observed)


#: What the ids of observations of the run begin with.
OBSERVED: Final = "observed."


@frozen(kw_only=True)
class CaseResult:
    """How one case came out.

    `judged` are the clauses that it judged to the end, `reason` says why it stopped early, `blocked_by` is the check of
    the finding that was in its way, `trouble` what kept it from a verdict.  What the monitor saw in conversations of
    other cases is a result as well, with the id `observed.CLAUSE`.
    """

    case: str
    title: str
    clauses: tuple[str, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    judged: tuple[str, ...] = ()
    reason: str = ""
    blocked_by: str = ""
    trouble: Trouble = Trouble.NONE
    #: The clauses of which a breach would explain why the case stopped early.
    hinges_on: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_observation(self) -> bool:
        """Whether it is an observation of the run, not a case."""
        return self.case.startswith(OBSERVED)

    @property
    def was_judged(self) -> bool:
        """Whether the case came to a verdict about the gateway."""
        return self.verdict not in UNJUDGED


def breaches(results: Iterable[CaseResult]) -> list[tuple[CaseResult, Finding]]:
    """Return every breach with the result that has it, MUST before SHOULD."""
    found = [(result, f) for result in results for f in result.findings if f.is_breach]
    return sorted(found, key=lambda pair: _ORDER[pair[1].verdict])


def with_blocked(results: Iterable[CaseResult]) -> list[CaseResult]:
    """Return *results* with each case `blocked` that stopped early because of a breach that the run found."""
    results = list(results)
    by_clause: dict[str, Finding] = {}
    for _, finding in breaches(results):
        by_clause.setdefault(finding.clause, finding)
    return [_blocked(result, by_clause) for result in results]


def _blocked(result: CaseResult, by_clause: Mapping[str, Finding]) -> CaseResult:
    if not result.hinges_on:
        return result
    culprit = next((by_clause[c] for c in result.hinges_on if c in by_clause), None)
    if culprit is None or culprit.clause in {f.clause for f in result.findings if f.is_breach}:
        return result
    blocked = evolve(result, blocked_by=culprit.check, trouble=Trouble.NONE)
    return evolve(blocked, verdict=worst((Verdict.BLOCKED, *_said(result.findings))))


def _said(findings: Iterable[Finding]) -> list[Verdict]:
    return [finding.verdict for finding in findings if finding.is_breach]


def verdicts_by_clause(results: Iterable[CaseResult]) -> dict[str, Verdict]:
    """Return the verdict of each clause that was cited or broken.

    The worst finding under it counts.  Without one it is `pass` if a case judged it to the end; else what kept the cases
    that cite it from judging.
    """
    found: dict[str, list[Verdict]] = {}
    judged: set[str] = set()
    silent: dict[str, list[Verdict]] = {}
    for result in results:
        for finding in result.findings:
            found.setdefault(finding.clause, []).append(finding.verdict)
        judged.update(result.judged)
        unjudged = result.verdict if result.verdict in UNJUDGED else Verdict.BLOCKED
        for clause in result.clauses:
            if clause not in result.judged:
                silent.setdefault(clause, []).append(unjudged)
    verdicts = {clause: worst(said) for clause, said in silent.items()}
    verdicts |= dict.fromkeys(judged, Verdict.PASS)
    verdicts |= {clause: worst(said) for clause, said in found.items()}
    return {clause: verdicts[clause] for clause in clauses() if clause in verdicts}
