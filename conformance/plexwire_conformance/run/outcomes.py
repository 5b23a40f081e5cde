"""From what the cases found one by one to what the run says as a whole: observations, blocked cases, a lost network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from plexwire_conformance.recording.recorder import tame
from plexwire_conformance.recording.redaction import redact
from plexwire_conformance.run.case import Case
from plexwire_conformance.run.findings import (
    OBSERVED,
    CaseResult,
    Finding,
    Trouble,
    Verdict,
    with_blocked,
    worst,
)
from plexwire_conformance.run.network import Network
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_spec import clauses

#: Why a case has no verdict whose findings the network may have made.
_LOST: Final = "connections were lost while the case ran"


def untestable(case: Case, reason: str) -> CaseResult:
    """Return the result of a case that lacks an input."""
    return _unjudged(case, Verdict.UNTESTABLE, reason)


def not_run(case: Case, trouble: Trouble, reason: str) -> CaseResult:
    """Return the result of a case that *trouble* kept from running."""
    return evolve(_unjudged(case, Verdict.ERROR, reason), trouble=trouble)


def _unjudged(case: Case, verdict: Verdict, reason: str) -> CaseResult:
    return CaseResult(
        case=case.id, title=case.title, clauses=case.clauses, verdict=verdict, reason=reason
    )


def settled(
    results: Sequence[CaseResult], observed: Iterable[Finding], network: Network
) -> list[CaseResult]:
    """Return *results* and the observations of the run, once it is known what the network and each case did to others."""
    results = [_without_unreliable(result, network) for result in results]
    return with_blocked([*results, *observations(observed)])


def observations(findings: Iterable[Finding]) -> list[CaseResult]:
    """Return what the monitor saw under clauses that its cases did not cite: one result per clause, one finding per check."""
    found: dict[str, Finding] = {}
    for finding in findings:
        known = found.get(finding.check)
        if known is None:
            found[finding.check] = finding
            continue
        # The shortest conversation shows it best.
        best = min(known, finding, key=lambda each: len(each.timeline))
        connections = known.connections + finding.connections
        found[finding.check] = evolve(best, connections=connections)
    by_clause: dict[str, list[Finding]] = {}
    for finding in found.values():
        by_clause.setdefault(finding.clause, []).append(finding)
    return [
        CaseResult(
            case=f"{OBSERVED}{clause}",
            title=text.text,
            clauses=(clause,),
            verdict=worst(finding.verdict for finding in by_clause[clause]),
            findings=tuple(by_clause[clause]),
            judged=(clause,),
        )
        for clause, text in clauses().items()
        if clause in by_clause
    ]


def observation(clause: str) -> Case:
    """Return what stands for the observations under *clause* in a list of cases; it can't be run."""

    async def body(stage: Stage, trial: Trial) -> None:
        raise NotImplementedError("an observation is made while cases run")

    return Case(
        id=f"{OBSERVED}{clause}",
        title=clauses()[clause].text,
        clauses=(clause,),
        may_find=(),
        needs=frozenset(),
        takes=0.0,
        connections=0,
        least=0,
        scripted=False,
        body=body,
    )


def _without_unreliable(result: CaseResult, network: Network) -> CaseResult:
    """Return *result* without findings that a gateway which had gone, or a network that lost connections, may have made."""

    def is_reliable(finding: Finding) -> bool:
        heard = not network.gone or finding.at is None or finding.at < network.heard_at
        return heard and not (network.is_lossy and finding.after_loss)

    kept = tuple(filter(is_reliable, result.findings))
    if len(kept) == len(result.findings):
        return result
    trouble = Trouble.GONE if network.gone else Trouble.NETWORK
    reason = network.gone or _LOST
    return evolve(
        result,
        findings=kept,
        judged=tuple(clause for clause in result.judged if clause in {f.clause for f in kept}),
        verdict=worst((Verdict.ERROR, *(finding.verdict for finding in kept))),
        reason=result.reason or reason,
        trouble=trouble,
    )


def is_doubtful(result: CaseResult) -> bool:
    """Whether the network may have made a breach of *result*: a connection was lost before it was found, and only once."""
    return any(map(_is_after_loss, result.findings))


def confirmed(first: CaseResult, again: CaseResult) -> CaseResult:
    """Return the result of a case that ran *again* because the *first* result was doubtful.

    What was found after a connection was lost counts if it was found both times.
    """
    known = {finding.check for finding in first.findings}
    kept = {finding.check: finding for finding in first.findings if not _is_after_loss(finding)}
    doubted: set[str] = set()
    for finding in again.findings:
        if _is_after_loss(finding) and finding.check not in known:
            doubted.add(finding.clause)
        else:
            kept[finding.check] = finding
    judged = (
        *(clause for clause in again.judged if clause not in doubted),
        *map(_clause, kept.values()),
    )
    if doubted:
        again = evolve(again, verdict=Verdict.ERROR, trouble=Trouble.NETWORK, reason=_LOST)
    unjudged = (
        again.verdict if again.verdict in (Verdict.ERROR, Verdict.UNTESTABLE) else Verdict.PASS
    )
    return evolve(
        again,
        findings=tuple(kept.values()),
        judged=tuple(dict.fromkeys(judged)),
        verdict=worst((unjudged, *(finding.verdict for finding in kept.values()))),
    )


def _clause(finding: Finding) -> str:
    return finding.clause


def _is_after_loss(finding: Finding) -> bool:
    # A script that broke something was played again already.
    return finding.is_breach and finding.after_loss and finding.shown is None


def redacted(finding: Finding, secrets: Sequence[str]) -> Finding:
    """Return *finding* without any of the *secrets*: what a case says may quote what never went through a recorder."""

    def clean(value: Any) -> Any:
        match value:
            case str():
                return tame(redact(value, secrets))
            case Mapping():
                return {clean(name): clean(inner) for name, inner in value.items()}
            case list() | tuple():
                return [clean(inner) for inner in value]
            case _:
                return value

    return evolve(
        finding,
        expected=clean(finding.expected),
        observed=clean(finding.observed),
        steps=tuple(map(clean, finding.steps)),
    )
