"""Known failures: exactly they may be there; whatever differs is red, and says why."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import evolve
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_conformance.cli import main
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.github import annotations
from plexwire_conformance.report.junit import render
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict, worst
from plexwire_conformance.run.known_failures import (
    Colour,
    Expected,
    Reckoning,
    gist,
    read_expected,
    reckon,
    update,
    write_expected,
)
from plexwire_conformance.run.runner import RunFinished

TODAY = date(2026, 5, 1)
LATER, EARLIER = TODAY + timedelta(days=1), TODAY - timedelta(days=1)
CASES = ("auth.late", "auth.never", "dev.acks")


def result(case: str, *found: tuple[str, str], verdict: Verdict | None = None) -> CaseResult:
    findings = tuple(Finding(clause=clause, expected="this", actual=said) for clause, said in found)
    said = worst(finding.verdict for finding in findings)
    silent = verdict in (Verdict.ERROR, Verdict.UNTESTABLE)
    return CaseResult(
        case=case,
        title="x",
        clauses=(),
        verdict=verdict or said,
        findings=findings,
        reason="no key" if silent else "",
    )


def known(case: str = "auth.late", clause: str = "PW-AUTH-3", **other: Any) -> Expected:
    entry = Expected(
        case=case, clause=clause, actual="close 1000", reason="ours", expires=LATER, issue="GW-12"
    )
    return evolve(entry, **other)


LATE = result("auth.late", ("PW-AUTH-3", "close 1000"))


# ── the rules ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("results", "entries", "red", "sentence"),
    [
        ([LATE], [known()], None, ""),
        ([LATE], [known(expires=TODAY)], None, ""),
        ([LATE], [known(actual="*")], None, ""),
        ([LATE], [known(actual="close 1*0")], None, ""),
        ([], [], None, ""),
        ([LATE], [], Colour.NEW, "a new failure: close 1000; expected this"),
        (
            [LATE],
            [known(), known("auth.never")],
            None,  # auth.never was not run: who knows
            "",
        ),
        (
            [result("auth.late")],
            [known()],
            Colour.STALE,
            "no longer fails; take it out of the expected failures",
        ),
        (
            [LATE],
            [known(expires=EARLIER)],
            Colour.EXPIRED,
            "was expected until 2026-04-30; fix it, or give it a new date",
        ),
        (
            [LATE],
            [known(actual="still open")],
            Colour.DIFFERENT,
            "fails otherwise than expected: close 1000, not still open",
        ),
        (
            [LATE],
            [known(actual="close 100")],
            Colour.DIFFERENT,
            "fails otherwise than expected: close 1000, not close 100",
        ),
        ([result("auth.late", verdict=Verdict.UNTESTABLE)], [known()], None, ""),
        ([result("auth.late", verdict=Verdict.ERROR)], [known()], None, ""),
        ([result("auth.late", ("PW-AUTH-11", "warned"))], [], None, ""),
    ],
)
def test_reckoning_is_red_where_a_run_differs_from_the_list_and_says_why(
    results: Sequence[CaseResult], entries: Sequence[Expected], red: Colour | None, sentence: str
) -> None:
    reckoning = reckon(results, entries, TODAY)
    assert [(one.colour, one.sentence) for one in reckoning.red] == (
        [] if red is None else [(red, sentence)]
    )


def test_reckoning_tells_a_failure_under_another_clause_from_the_one_expected() -> None:
    moved = result("auth.late", ("PW-CLOSE-1", "the end of TCP without a close frame"))
    reckoning = reckon([moved], [known()], TODAY)
    assert [(one.clause, one.colour) for one in reckoning.red] == [
        ("PW-CLOSE-1", Colour.NEW),
        ("PW-AUTH-3", Colour.STALE),
    ]


def test_reckoning_does_not_call_stale_what_a_case_that_gave_up_did_not_get_to() -> None:
    gave_up = evolve(
        result("auth.late", ("PW-AUTH-2", "close 1000")), reason="and then it was over"
    )
    reckoning = reckon([gave_up], [known(), known(clause="PW-AUTH-2")], TODAY)
    assert not reckoning.red


@pytest.mark.parametrize(
    ("results", "reckoning", "exit_code", "conclusion"),
    [
        ([LATE], reckon([LATE], [known()], TODAY), 0, "As expected: 1 documented promise broken"),
        ([LATE], reckon([LATE], [], TODAY), 1, "Not as expected: 1 new; 1 documented promise"),
        (
            [result("auth.late")],
            reckon([result("auth.late")], [known()], TODAY),
            1,
            "Not as expected: 1 stale; 0 documented promises broken.",
        ),
        ([result("auth.late")], Reckoning(), 0, "Conformant"),
        (
            [LATE, result("dev.acks", verdict=Verdict.ERROR)],
            reckon([LATE], [known()], TODAY),
            2,
            "Could not judge",
        ),
        ([result("dev.acks", verdict=Verdict.UNTESTABLE)], Reckoning(), 3, "Nothing could be"),
    ],
)
def test_summary_is_held_against_the_list_and_leaves_with_0_where_nothing_differs(
    results: Sequence[CaseResult], reckoning: Reckoning, exit_code: int, conclusion: str
) -> None:
    summary = Summary.of(results, reckoning)
    assert summary.exit_code == exit_code
    assert summary.conclusion.startswith(conclusion)


def test_reports_fail_what_is_red_and_pass_over_what_is_known() -> None:
    results = (
        LATE,
        result("auth.never", ("PW-AUTH-3", "still open")),
        result("dev.acks"),
    )
    entries = [known(), known("dev.acks", "PW-DEV-8")]
    event = RunFinished(results=results, seconds=1.0, reckoning=reckon(results, entries, TODAY))
    root = ElementTree.fromstring(render(event, *["ws://gateway.test"] * 2))
    assert (root.attrib["failures"], len(root.findall(".//skipped"))) == ("2", 1)
    skipped = root.find(".//testcase[@name='late']/skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "expected to fail: PW-AUTH-3: ours GW-12"
    told = annotations(event, "ws://gateway.test")
    assert [line.partition("::")[2].partition(" ")[0] for line in told] == ["error"] * 3
    assert not any("auth.late" in line for line in told)


# ── what a finding says, whatever the run ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("actual", "told"),
    [
        ("close 4001 after 5.03 s", "close 4001 after * s"),
        ("refused: HTTP 400", "refused: HTTP 400"),
        ("still open 11.5 s later", "still open * s later"),
        (
            "viewer: frame 2 of 'front' of plexwire-32296e-frames-metadata says 480",
            "viewer: frame * of 'front' of * says *",
        ),
        (
            "FLAKY, 1 of 3 times: viewer 2 sees none — after 2 steps: 1. a; 2. b",
            "viewer * sees none",
        ),
        ("a picture of 215 bytes 9f86d081", "a picture of * bytes *"),
        ("facade and deadbeef stay words", "facade and deadbeef stay words"),
        ("", "*"),
    ],
)
def test_gist_keeps_codes_and_leaves_out_what_is_another_in_each_run(
    actual: str, told: str
) -> None:
    assert gist(actual) == told


@settings(deadline=None)
@given(st.text(), st.text())
def test_gist_of_a_finding_always_fits_it(one: str, other: str) -> None:
    assert known(actual=gist(one)).fits(one)
    assert known(actual="*").fits(other)


# ── the file ─────────────────────────────────────────────────────────────────────────────────

entries = st.lists(
    st.builds(
        Expected,
        case=st.sampled_from(CASES),
        clause=st.sampled_from(("PW-AUTH-3", "PW-AUTH-2", "PW-DEV-8")),
        actual=st.text(min_size=1).filter(str.strip),
        reason=st.text(min_size=1).filter(str.strip),
        expires=st.dates(),
        issue=st.text(),
    ),
    unique_by=lambda entry: entry.check,
)


@settings(deadline=None)
@given(entries)
def test_file_is_read_back_as_it_was_written(written: list[Expected]) -> None:
    text = write_expected(written)
    assert sorted(read_expected(text, "it", CASES), key=lambda e: e.check) == sorted(
        written, key=lambda e: e.check
    )


results = st.lists(
    st.tuples(
        st.sampled_from(CASES),
        st.lists(
            st.tuples(st.sampled_from(("PW-AUTH-3", "PW-DEV-8")), st.text()),
            max_size=2,
            unique_by=lambda found: found[0],
        ),
        st.sampled_from((None, None, Verdict.ERROR)),
    ),
    unique_by=lambda drawn: drawn[0],
).map(
    lambda drawn: [
        result(case, *([] if verdict else found), verdict=verdict) for case, found, verdict in drawn
    ]
)


@settings(deadline=None)
@given(results, entries)
def test_update_makes_a_list_from_which_the_run_does_not_differ_but_for_dates(
    outcome: list[CaseResult], before: list[Expected]
) -> None:
    after = update(outcome, before, TODAY)
    reckoning = reckon(outcome, after, TODAY)
    assert {red.colour for red in reckoning.red} <= {Colour.EXPIRED}
    assert update(outcome, after, TODAY) == after
    assert len(read_expected(write_expected(after), "it", CASES)) == len(after)
    # What people wrote stays.
    written = {entry.check: (entry.reason, entry.issue, entry.expires) for entry in before}
    for entry in after:
        said = (entry.reason, entry.issue, entry.expires)
        assert written.get(entry.check, said) == said


GOOD = write_expected([known()])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("failure = [", "it is no TOML: "),
        ("[other]\n", "it has 'other'; it may have [[failure]] tables alone"),
        ("failure = 3\n", "it: write each failure as a table [[failure]]"),
        ("[failure]\n", "it: write each failure as a table [[failure]]"),
        (GOOD + GOOD, "it has auth.late PW-AUTH-3 twice"),
        (GOOD + "why = 1\n", "it, failure 1: there is no 'why'; it may have case, clause, "),
        (
            GOOD.replace('"ours"', '" "'),
            "it, failure 1: 'reason' is missing: say why it is accepted",
        ),
        (GOOD.replace('"ours"', "3"), "it, failure 1: 'reason' must be a string"),
        (GOOD.replace('"close 1000"', '""'), "it, failure 1: 'actual' is missing"),
        (GOOD.replace("2026-05-02", '"soon"'), "it, failure 1: 'expires' must be a date, such as"),
        (
            GOOD.replace("2026-05-02", "2026-05-02T10:00:00"),
            "it, failure 1: 'expires' must be a date",
        ),
        (
            GOOD.replace("auth.late", "auth.lat"),
            "it, failure 1: 'auth.lat' is no case; see plexwire",
        ),
        (GOOD.replace("AUTH-3", "AUTH-333"), "it, failure 1: 'PW-AUTH-333' is no clause; see"),
    ],
)
def test_file_that_is_wrong_is_refused_with_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadFile) as caught:
        read_expected(text, "it", CASES)
    assert str(caught.value).startswith(sentence)


# ── the command ──────────────────────────────────────────────────────────────────────────────


def conform(*arguments: str | Path) -> tuple[int, str]:
    shown = [str(argument) for argument in arguments]
    result = CliRunner().invoke(main, ["conform", "--quiet", "--only", "init.at-once", *shown])
    return result.exit_code, " ".join(result.output.split())


def test_conform_is_given_a_list_and_leaves_with_1_where_the_run_differs(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    stale = known("init.at-once", "PW-INIT-1", expires=date(2999, 1, 1))
    elsewhere = known("auth.never", expires=date(2999, 1, 1))
    path.write_text(write_expected([stale, elsewhere]), encoding="utf-8")
    exit_code, said = conform("--expected-failures", path)
    assert (exit_code, "STALE init.at-once PW-INIT-1" in said) == (1, True)
    exit_code, said = conform("--expected-failures", path, "--update-expected")
    assert (exit_code, "known.toml: 1 known failure" in said) == (0, True)
    assert path.read_text("utf-8") == write_expected([elsewhere])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--update-expected",), "--update-expected goes with --expected-failures FILE"),
        (("--expected-failures", "/nowhere/known.toml"), "can't read /nowhere/known.toml"),
    ],
)
def test_conform_is_given_no_list_and_says_so(arguments: tuple[str, ...], sentence: str) -> None:
    exit_code, said = conform(*arguments)
    assert (exit_code, sentence in said) == (2, True)
