"""Runs on disk, compared by check."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from told_runs import FAULTY, REFERENCE, Faulty, Told, call, judged, store

from plexwire_conformance.commands.diff import Diff, compare
from plexwire_conformance.faults import FaultyGateway
from plexwire_conformance.report.comparison import render_matrix
from plexwire_conformance.report.stored_runs import StoredRun, parse_run
from plexwire_conformance.run.findings import UNJUDGED, CaseResult, Finding, Verdict
from plexwire_conformance.run.outcomes import observations


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return store(tmp_path)


def run_of(*results: CaseResult) -> StoredRun:
    stored = parse_run(REFERENCE.run, "a.ndjson")
    about = evolve(stored.about, cases=tuple(result.case for result in results))
    return evolve(stored, about=about, results=results)


NEVER_CLOSED = "PW-AUTH-3/not-closed"
WRONG_CODE = "PW-AUTH-3/wrong-close-code"
STRICT = "PW-AUTH-11/unknown-member-refused"
BINARY = "PW-AUTH-12/binary-auth"


def result(
    case: str, verdict: Verdict, *found: str, reason: str = "", **observed: object
) -> CaseResult:
    return CaseResult(
        case=case,
        title="x",
        clauses=("PW-AUTH-3", "PW-AUTH-11"),
        verdict=verdict,
        findings=tuple(Finding(check=check, observed=observed) for check in found),
        judged=() if verdict in UNJUDGED else ("PW-AUTH-3", "PW-AUTH-11"),
        reason=reason,
    )


FAIL, PASS = Verdict.FAIL, Verdict.PASS
FAILS = result("auth.late", FAIL, WRONG_CODE, after=3.2)
PASSES = result("auth.late", PASS)
UNKNOWN = result("auth.late", Verdict.ERROR, reason="boom")
(OBSERVED,) = observations([Finding(check="PW-INIT-4/no-list")])


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ((PASSES,), (FAILS,), {"regressions"}),
        ((FAILS,), (PASSES,), {"fixes"}),
        ((), (FAILS,), {"new"}),
        ((FAILS,), (), {"gone"}),
        ((), (PASSES,), {"new"}),
        ((result("auth.late", Verdict.UNTESTABLE, reason="no key"),), (FAILS,), {"new"}),
        ((FAILS,), (UNKNOWN,), {"gone"}),
        ((PASSES,), (UNKNOWN,), {"gone"}),
        ((PASSES,), (result("auth.late", Verdict.BLOCKED),), {"gone"}),
        ((result("auth.late", Verdict.UNTESTABLE, reason="no key"),), (PASSES,), {"new"}),
        # Another check fails: one is fixed, the other one broke.
        ((FAILS,), (result("auth.late", FAIL, NEVER_CLOSED),), {"fixes", "regressions"}),
        # The same check fails with other values, or in another case as well.
        ((FAILS,), (result("auth.late", FAIL, WRONG_CODE, after=9.0),), set()),
        ((FAILS, result("auth.x", PASS)), (FAILS, result("auth.x", FAIL, WRONG_CODE)), set()),
        ((PASSES,), (result("auth.late", Verdict.WARN, STRICT),), {"regressions"}),
        ((PASSES, OBSERVED), (PASSES, OBSERVED), set()),
        ((PASSES,), (PASSES, OBSERVED), {"new"}),
        (
            (result("auth.x", Verdict.INFO, BINARY, outcome="accepted"),),
            (result("auth.x", Verdict.INFO, BINARY, outcome="refused"),),
            {"dialect"},
        ),
    ],
)
def test_diff_puts_each_change_into_its_group(
    before: Sequence[CaseResult], after: Sequence[CaseResult], groups: set[str]
) -> None:
    found = compare(run_of(*before), run_of(*after))
    changes = {name: getattr(found, name) for name in GROUPS if getattr(found, name)}
    assert changes.keys() == groups
    assert all(len(each) == 1 for each in changes.values())
    broke = any(change.verdict is FAIL for change in changes.get("regressions", ()))
    assert found.worse is broke


GROUPS = ("regressions", "fixes", "new", "gone", "dialect")
REVERSED = {"regressions": "fixes", "fixes": "regressions", "new": "gone", "gone": "new"}

CHECKS = st.lists(st.sampled_from((NEVER_CLOSED, WRONG_CODE, STRICT)), min_size=1, unique=True)
RESULTS = st.lists(
    st.tuples(
        st.sampled_from(("auth.late", "auth.never", "dev.acks")),
        st.sampled_from((PASS, FAIL, Verdict.ERROR, Verdict.BLOCKED)),
        CHECKS,
    ),
    max_size=3,
    unique_by=lambda drawn: drawn[0],
).map(
    lambda drawn: [
        result(case, verdict, *(checks if verdict is FAIL else ()))
        for case, verdict, checks in drawn
    ]
)


@settings(deadline=None, max_examples=60)
@given(RESULTS, RESULTS)
def test_diff_is_turned_around_and_what_broke_is_what_was_fixed(
    one: list[CaseResult], two: list[CaseResult]
) -> None:
    there, back = (compare(run_of(*a), run_of(*b)) for a, b in ((one, two), (two, one)))
    for name, other in REVERSED.items():
        assert {c.what for c in getattr(there, name)} == {c.what for c in getattr(back, other)}
    assert compare(run_of(*one), run_of(*one)) == Diff()


#: What another run of the same gateway says otherwise: moments, ids, counts, the order of the cases that found it.
VOLATILE = st.builds(
    lambda margin_ms, observed, expected, path, connections: (
        lambda finding: evolve(
            finding,
            margin_ms=margin_ms,
            at=margin_ms,
            observed=observed,
            expected=expected,
            path=path,
            connections=connections,
        )
    ),
    st.none() | st.floats(0, 9),
    st.dictionaries(st.text(), st.integers() | st.text() | st.floats()),
    st.dictionaries(st.text(), st.integers() | st.text()),
    st.text(),
    st.integers(1, 99),
)


@settings(deadline=None, max_examples=60)
@given(RESULTS, st.data())
def test_diff_of_runs_that_differ_in_volatile_values_is_empty(
    before: list[CaseResult], data: st.DataObject
) -> None:
    after = [
        evolve(
            each,
            seconds=data.draw(st.floats(0, 9)),
            findings=tuple(data.draw(VOLATILE)(f) for f in each.findings),
        )
        for each in data.draw(st.permutations(before))
    ]
    assert compare(run_of(*before), run_of(*after)) == Diff()


@pytest.mark.parametrize("told", [FAULTY, REFERENCE], ids=["faulty", "reference"])
def test_diff_of_two_runs_against_one_gateway_is_empty(told: Told) -> None:
    again = judged(Faulty() if told is FAULTY else FaultyGateway(), nonce="0c11aa")
    assert again.run != told.run
    assert compare(parse_run(told.run, "one"), parse_run(again.run, "two")) == Diff()


@pytest.mark.parametrize(
    ("names", "exit_code", "words"),
    [
        (("reference.ndjson", "faulty.ndjson"), 1, "Regressions: "),
        (("reference.ndjson", "faulty.ndjson"), 1, "\nWorse: PW-"),
        (("faulty.ndjson", "reference.ndjson"), 0, "Fixes: "),
        (("faulty.ndjson", "reference.ndjson"), 0, "\nNo regression among what both judged."),
        (("reference.ndjson", "reference.ndjson"), 0, "Nothing differs."),
        (("reference.ndjson", "reference.ndjson", "faulty.ndjson"), 1, "Clauses that differ"),
        (("reference.ndjson",), 2, "give at least two files to compare"),
        (("reference.ndjson", "reference.said"), 2, "reference.said holds transcripts"),
        (("reference.ndjson", "absent"), 2, "can't read"),
    ],
)
def test_diff_is_given_files_and_leaves_with_1_where_something_broke(
    stored: Path, names: tuple[str, ...], exit_code: int, words: str
) -> None:
    code, said = call("diff", *(stored / name for name in names))
    assert code == exit_code
    assert words in said


def test_diff_writes_one_page_with_every_clause_against_every_run(stored: Path) -> None:
    page = stored / "matrix.html"
    call("diff", stored / "reference.ndjson", stored / "faulty.ndjson", "--html", page)
    text = page.read_text("utf-8")
    runs = [parse_run(REFERENCE.run, "reference.ndjson"), parse_run(FAULTY.run, "faulty.ndjson")]
    assert text == render_matrix(runs)
    for clause in {*runs[0].summary.clauses, *runs[1].summary.clauses}:
        assert text.count(f'<tr id="{clause}"') == 1
    code, said = call(
        "diff", stored / "reference.ndjson", stored / "reference.ndjson", "--html", stored
    )
    assert (code, "is a directory" in said) == (2, True)
