"""What is found after a connection was lost counts if it is found again."""

from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.run.findings import CaseResult, Finding, Trouble, Verdict, worst
from plexwire_conformance.run.outcomes import confirmed, is_doubtful

CHECKS = ("PW-FLOW-2/closed", "PW-ROB-1/other-stream-disturbed", "PW-CLOSE-1/no-close-frame")
CLAUSES = tuple(check.split("/")[0] for check in CHECKS)

found = st.builds(Finding, check=st.sampled_from(CHECKS), after_loss=st.booleans())
findings = st.lists(found, unique_by=lambda finding: finding.check).map(tuple)


def result(findings: tuple[Finding, ...]) -> CaseResult:
    return CaseResult(
        case="flow.stalled-viewer",
        title="A viewer stalls.",
        clauses=CLAUSES,
        verdict=worst((Verdict.PASS, *(finding.verdict for finding in findings))),
        findings=findings,
        judged=CLAUSES,
    )


def checks(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.check for finding in findings}


@given(findings, findings)
def test_finding_counts_unless_a_loss_explains_it_and_it_showed_once(
    first: tuple[Finding, ...], again: tuple[Finding, ...]
) -> None:
    kept = checks(confirmed(result(first), result(again)).findings)
    certain = {finding.check for finding in (*first, *again) if not finding.after_loss}
    assert kept == certain | (checks(first) & checks(again))


@given(findings, findings)
def test_clause_whose_finding_was_dropped_the_second_time_is_not_judged(
    first: tuple[Finding, ...], again: tuple[Finding, ...]
) -> None:
    outcome = confirmed(result(first), result(again))
    kept = {finding.clause for finding in outcome.findings}
    dropped = {finding.clause for finding in again} - kept
    assert set(outcome.judged) == set(CLAUSES) - dropped
    assert (outcome.trouble is Trouble.NETWORK) == bool(dropped)
    assert (outcome.verdict is Verdict.PASS) == (not kept and not dropped)


def test_finding_of_a_script_was_played_again_already() -> None:
    finding = Finding(check=CHECKS[0], after_loss=True, shown=(3, 4))
    assert not is_doubtful(result((finding,)))
    assert is_doubtful(result((Finding(check=CHECKS[0], after_loss=True),)))
