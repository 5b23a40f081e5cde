"""Known failures: one entry accepts one fault; whatever differs is red, and says why."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import tomlkit
from attrs import asdict, evolve
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_conformance.cli import main
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.github import annotations
from plexwire_conformance.report.junit import render
from plexwire_conformance.report.sentences import red_sentence
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.run.checks import clause_of
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import CaseResult, Finding, Trouble, Verdict, worst
from plexwire_conformance.run.known_failures import (
    Colour,
    KnownFailure,
    Reckoning,
    read_known,
    reckon,
    updated,
)

TODAY = date(2026, 5, 1)
LATER, EARLIER = TODAY + timedelta(days=1), TODAY - timedelta(days=1)
CASES = ("auth.late", "auth.never", "dev.acks")

WRONG_CODE = "PW-AUTH-3/wrong-close-code"
NOT_CLOSED = "PW-AUTH-3/not-closed"
NO_ACK = "PW-DEV-8/no-ack"
REFUSED = "PW-AUTH-2/valid-auth-refused"
#: A SHOULD: no run fails for it.
ADVICE = "PW-AUTH-11/unknown-member-refused"


def finding(check: str, code: int = 1000) -> Finding:
    ending = {"how": "close-frame", "connection": "viewer", "code": code, "reason": ""}
    expected = {"stimulus": "10 s without an auth", "code": 4001, "within": 1.5}
    return Finding(check=check, expected=expected, observed={"ending": ending})


def result(
    case: str, *found: str, judged: tuple[str, ...] | None = None, verdict: Verdict | None = None
) -> CaseResult:
    findings = tuple(finding(check, code=1000 + len(case)) for check in found)
    silent = verdict in (Verdict.ERROR, Verdict.UNTESTABLE)
    clauses = ("PW-AUTH-2", "PW-AUTH-3", "PW-DEV-8")
    if judged is None:
        judged = tuple(clause_of(check) for check in found) if silent else clauses
    return CaseResult(
        case=case,
        title="x",
        clauses=clauses,
        verdict=verdict or worst(each.verdict for each in findings),
        findings=findings,
        judged=judged,
        reason="no key" if silent else "",
        trouble=Trouble.UNCLEAR if verdict is Verdict.ERROR else Trouble.NONE,
    )


def known(check: str = WRONG_CODE, **other: Any) -> KnownFailure:
    return evolve(KnownFailure(check=check, reason="ours", expires=LATER, issue="GW-12"), **other)


LATE = result("auth.late", WRONG_CODE)

# ── the rules ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("results", "entries", "red"),
    [
        ([LATE], [known()], []),
        ([LATE], [known(expires=TODAY)], []),
        ([LATE], [known(case="auth.late")], []),
        ([LATE], [known(may=True)], []),
        ([], [], []),
        ([LATE], [], [(WRONG_CODE, Colour.NEW)]),
        ([LATE], [known(NOT_CLOSED)], [(WRONG_CODE, Colour.NEW), (NOT_CLOSED, Colour.STALE)]),
        ([LATE], [known(case="auth.never")], [(WRONG_CODE, Colour.NEW)]),
        # dev.acks was not run, so nobody knows.
        ([LATE], [known(), known(NO_ACK, case="dev.acks")], []),
        ([result("auth.late")], [known()], [(WRONG_CODE, Colour.STALE)]),
        ([result("auth.late")], [known(case="auth.late")], [(WRONG_CODE, Colour.STALE)]),
        ([result("auth.late")], [known(may=True)], []),
        ([LATE], [known(expires=EARLIER)], [(WRONG_CODE, Colour.EXPIRED)]),
        ([LATE], [known(expires=EARLIER, may=True)], [(WRONG_CODE, Colour.EXPIRED)]),
        ([result("auth.late", verdict=Verdict.UNTESTABLE)], [known()], []),
        ([result("auth.late", verdict=Verdict.ERROR)], [known()], []),
        ([result("auth.late", ADVICE)], [], []),
    ],
)
def test_run_differs_from_the_file_and_the_check_is_red(
    results: Sequence[CaseResult], entries: Sequence[KnownFailure], red: list[tuple[str, Colour]]
) -> None:
    reckoning = reckon(results, entries, TODAY)
    assert [(one.check, one.colour) for one in reckoning.red] == red


def test_one_entry_accepts_one_fault_in_every_case_that_shows_it() -> None:
    results = [result(case, WRONG_CODE) for case in (*CASES, "observed.PW-AUTH-3")]
    entry = known()
    reckoning = reckon(results, [entry], TODAY)
    assert reckoning == Reckoning(accepted=(entry,))
    for each in results:
        assert reckoning.accepts(each.case, each.findings[0]) is entry


def test_entry_with_a_case_accepts_the_fault_in_that_case_only() -> None:
    results = [result("auth.late", WRONG_CODE), result("auth.never", WRONG_CODE)]
    (red,) = reckon(results, [known(case="auth.late")], TODAY).red
    assert (red.colour, red.cases) == (Colour.NEW, ("auth.never",))


def test_new_failure_is_red_once_with_all_of_its_cases() -> None:
    results = [result("auth.late", WRONG_CODE), result("auth.never", WRONG_CODE)]
    (red,) = reckon(results, [], TODAY).red
    assert red.cases == ("auth.late", "auth.never")


def test_entry_is_not_stale_if_its_clause_was_not_judged() -> None:
    gave_up = result("auth.late", REFUSED, judged=("PW-AUTH-2",))
    assert not reckon([gave_up], [known(), known(REFUSED)], TODAY).red


@pytest.mark.parametrize("case", ["", "auth.never"])
def test_stale_entry_names_a_case_that_could_have_shown_the_fault(case: str) -> None:
    results = [result("dev.acks", judged=("PW-DEV-8",)), result("auth.never"), result("auth.late")]
    (red,) = reckon(results, [known(case=case)], TODAY).red
    assert (red.colour, red.cases) == (Colour.STALE, ("auth.never",))
    assert red_sentence(red) == (
        f"{WRONG_CODE}: it no longer fails; remove it from the known failures, "
        "or give it may = true if it fails only sometimes."
    )


SOMETIMES = [[result("auth.late", *found)] for found in ((WRONG_CODE,), ())]


@pytest.mark.parametrize("results", SOMETIMES)
def test_fault_that_shows_only_sometimes_is_as_expected_with_may(
    results: list[CaseResult],
) -> None:
    assert not reckon(results, [known(may=True)], TODAY).red


# ── exit codes and reports ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("results", "entries", "exit_code", "conclusion"),
    [
        ([LATE], [known()], 0, "As expected: 1 documented promise broken"),
        ([LATE], [], 1, "Not as expected: 1 new; 1 documented promise"),
        ([result("auth.late")], [known()], 1, "Not as expected: 1 stale; 0 documented promises"),
        ([result("auth.late")], [], 0, "Conformant"),
        ([LATE, result("dev.acks", verdict=Verdict.ERROR)], [known()], 2, "Could not judge"),
        ([result("dev.acks", verdict=Verdict.UNTESTABLE)], [], 3, "Nothing could be"),
    ],
)
def test_run_leaves_with_0_if_nothing_differs_from_the_file(
    results: Sequence[CaseResult],
    entries: Sequence[KnownFailure],
    exit_code: int,
    conclusion: str,
) -> None:
    summary = Summary(tuple(results), reckon(results, entries, TODAY))
    assert summary.exit_code == exit_code
    assert summary.conclusion.startswith(conclusion)


@pytest.mark.parametrize(("accepted", "exit_code"), [(True, 0), (False, 2)])
def test_cases_that_only_a_known_failure_blocks_do_not_keep_a_run_from_its_verdict(
    accepted: bool, exit_code: int
) -> None:
    blocked = [
        evolve(result(f"frames.{n}", verdict=Verdict.BLOCKED, judged=()), blocked_by=WRONG_CODE)
        for n in range(9)
    ]
    results = [LATE if accepted else result("auth.late"), *blocked]
    entries = [known()] if accepted else []
    assert Summary(tuple(results), reckon(results, entries, TODAY)).exit_code == exit_code


def test_reports_fail_what_is_red_and_skip_what_is_known() -> None:
    results = (LATE, result("auth.never", NOT_CLOSED), result("dev.acks"))
    entries = [known(), known(NO_ACK)]
    reckoning = reckon((LATE, results[1], results[2]), entries, TODAY)
    event = RunFinished(results=results, seconds=1.0, reckoning=reckoning)
    root = ElementTree.fromstring(render(event, *["ws://gateway.test"] * 2))
    failed = {each.attrib["name"] for each in root.iterfind(".//failure/..")}
    assert failed == {case.partition(".")[2] for red in reckoning.red for case in red.cases}
    assert (root.attrib["failures"], len(root.findall(".//skipped"))) == ("2", 0)
    told = annotations(event, "ws://gateway.test")
    assert [line.partition("::")[2].partition(" ")[0] for line in told] == ["error"] * 3


def test_junit_skips_a_case_whose_failures_are_all_known_and_says_why() -> None:
    results = (LATE, result("dev.acks"))
    event = RunFinished(results=results, seconds=1.0, reckoning=reckon(results, [known()], TODAY))
    root = ElementTree.fromstring(render(event, *["ws://gateway.test"] * 2))
    skipped = root.find(".//testcase[@name='late']/skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == f"expected to fail: {WRONG_CODE}: ours GW-12"
    (only,) = annotations(event, "ws://gateway.test")
    assert only.startswith("::notice ")


# ── the file ─────────────────────────────────────────────────────────────────────────────────

GOOD = f"""\
# Ours, see the wiki.

[[failure]]
check = "{WRONG_CODE}"  # the balancer rewrites it
reason = "ours"
issue = "GW-12"
expires = 2026-05-02
"""


def read(text: str) -> tuple[KnownFailure, ...]:
    return read_known(text, "known.toml", CASES)


def test_file_is_read_and_may_leave_out_what_is_not_needed() -> None:
    assert read(GOOD) == (known(),)
    narrow = GOOD.replace('issue = "GW-12"', 'case = "auth.late"\nmay = true')
    assert read(narrow) == (known(case="auth.late", may=True, issue=""),)
    observed = GOOD.replace('issue = "GW-12"', 'case = "observed.PW-AUTH-3"')
    assert read(observed) == (known(case="observed.PW-AUTH-3", issue=""),)
    assert read("") == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("failure = [", "known.toml is not TOML: "),
        ("[other]\n", "known.toml has the unknown member 'other'; it may have failure"),
        (
            GOOD + GOOD.partition("\n\n")[2],
            f"known.toml, failure 2: {WRONG_CODE} is listed twice; keep one of the entries",
        ),
        (
            GOOD + "why = 1\n",
            "known.toml.failure[0] has the unknown member 'why'; it may have case, check, ",
        ),
        (GOOD.replace('"ours"', '" "'), "known.toml, failure 1: 'reason' is empty; say why"),
        (GOOD.replace('"ours"', "3"), "known.toml.failure[0].reason must be a string, not 3"),
        (
            GOOD.replace("2026-05-02", '"soon"'),
            "known.toml.failure[0].expires must be a date, such as 2030-12-31, not 'soon'",
        ),
        (
            GOOD.replace("2026-05-02", "2026-05-02T10:00:00"),
            "known.toml.failure[0].expires must be a date, such as 2030-12-31, not ",
        ),
        (GOOD + 'case = "auth.lat"\n', "known.toml, failure 1: there is no case 'auth.lat'; see"),
        (
            GOOD.replace("wrong-close-code", "wrong-code"),
            "known.toml, failure 1: there is no check 'PW-AUTH-3/wrong-code'; see plexwire spec ",
        ),
        (GOOD.replace("check =", "clause ="), "known.toml.failure[0]"),
        (GOOD + "may = 1\n", "known.toml.failure[0].may must be true or false, not 1"),
    ],
)
def test_file_that_is_wrong_is_refused_with_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadFile) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("text", ["failure = 3\n", "[failure]\n"])
def test_file_without_a_list_of_failures_is_refused(text: str) -> None:
    with pytest.raises(BadFile):
        read(text)


# ── --update-expected ────────────────────────────────────────────────────────────────────────


def test_update_keeps_comments_and_all_that_people_wrote() -> None:
    assert updated(GOOD, "known.toml", [LATE], TODAY) == GOOD
    more = updated(GOOD, "known.toml", [LATE, result("dev.acks", NO_ACK)], TODAY)
    assert more.startswith(GOOD)
    fresh = read(more)[1]
    assert (fresh.check, fresh.case, fresh.issue, fresh.may) == (NO_ACK, "", "", False)
    assert fresh.expires > TODAY


def test_update_removes_an_entry_that_is_stale_and_no_other() -> None:
    other = GOOD.partition("\n\n")[2].replace(WRONG_CODE, NO_ACK).replace("the balancer", "known")
    less = updated(GOOD + "\n" + other, "known.toml", [result("dev.acks", NO_ACK)], TODAY)
    assert [entry.check for entry in read(less)] == [NO_ACK]
    assert "# Ours, see the wiki." in less
    assert "# known rewrites it" in less


def test_update_begins_a_new_file_with_one_entry_per_fault() -> None:
    results = [result(case, WRONG_CODE) for case in CASES]
    text = updated("", "known.toml", results, TODAY)
    assert text.startswith("# Known failures.")
    (entry,) = read(text)
    assert (entry.check, entry.case) == (WRONG_CODE, "")
    assert not reckon(results, [entry], TODAY).red


@pytest.mark.parametrize(("shown", "may"), [((1, 3), True), ((3, 3), False), (None, False)])
def test_update_says_of_a_failure_whether_it_shows_only_sometimes(
    shown: tuple[int, int] | None, may: bool
) -> None:
    seen = evolve(finding(WRONG_CODE), shown=shown)
    text = updated("", "known.toml", [evolve(result("auth.late"), findings=(seen,))], TODAY)
    assert [entry.may for entry in read(text)] == [may]


entries = st.lists(
    st.builds(
        KnownFailure,
        check=st.sampled_from((WRONG_CODE, NOT_CLOSED, NO_ACK)),
        case=st.sampled_from(("", *CASES)),
        reason=st.text(min_size=1).filter(str.strip),
        expires=st.dates(),
        issue=st.text(),
        may=st.booleans(),
    ),
    unique_by=lambda entry: (entry.check, entry.case),
)
outcomes = st.lists(
    st.tuples(
        st.sampled_from(CASES),
        st.lists(st.sampled_from((WRONG_CODE, NOT_CLOSED, NO_ACK)), max_size=3, unique=True),
        st.sampled_from((None, None, Verdict.ERROR)),
    ),
    unique_by=lambda drawn: drawn[0],
).map(
    lambda drawn: [
        result(case, *([] if verdict else found), verdict=verdict) for case, found, verdict in drawn
    ]
)


def written(known_failures: Sequence[KnownFailure]) -> str:
    """Return a file of *known_failures*, as a person could have written it."""
    document = tomlkit.document()
    document.add(tomlkit.comment("Ours."))
    tables = tomlkit.aot()
    for entry in known_failures:
        tables.append(tomlkit.item(asdict(entry)))
    document["failure"] = tables
    return tomlkit.dumps(document)


@settings(deadline=None)
@given(entries)
def test_file_is_read_as_it_was_written(before: list[KnownFailure]) -> None:
    assert list(read(written(before))) == before


@settings(deadline=None)
@given(outcomes, entries)
def test_update_makes_a_file_from_which_the_run_does_not_differ_but_for_dates(
    outcome: list[CaseResult], before: list[KnownFailure]
) -> None:
    text = updated(written(before), "known.toml", outcome, TODAY)
    after = read(text)
    assert {red.colour for red in reckon(outcome, after, TODAY).red} <= {Colour.EXPIRED}
    assert updated(text, "known.toml", outcome, TODAY) == text
    # What people wrote stays, if it stays at all.
    new = [entry for entry in after if entry not in before]
    assert all(entry.case == "" and not entry.may for entry in new)
    assert [entry for entry in after if entry in before] == [e for e in before if e in after]


# ── the command ──────────────────────────────────────────────────────────────────────────────


def conform(*arguments: str | Path) -> tuple[int, str]:
    shown = [str(argument) for argument in arguments]
    done = CliRunner().invoke(main, ["conform", "--quiet", "--only", "init.at-once", *shown])
    return done.exit_code, " ".join(done.output.split())


def test_conform_is_given_a_file_and_leaves_with_1_if_the_run_differs(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    never = date(2999, 1, 1)
    stale = known("PW-INIT-1/no-init", case="init.at-once", expires=never)
    elsewhere = known(NOT_CLOSED, case="auth.never", expires=never)
    path.write_text(written([stale, elsewhere]), encoding="utf-8")
    exit_code, said = conform("--expected-failures", path)
    assert (exit_code, "STALE PW-INIT-1/no-init" in said) == (1, True)
    exit_code, said = conform("--expected-failures", path, "--update-expected")
    assert (exit_code, "known.toml: 1 known failure" in said) == (0, True)
    assert read_known(path.read_text("utf-8"), "it", ("auth.never",)) == (elsewhere,)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--update-expected",), "--update-expected goes with --expected-failures FILE"),
        (("--expected-failures", "/nowhere/known.toml"), "can't read /nowhere/known.toml"),
    ],
)
def test_conform_is_given_no_file_and_says_so(arguments: tuple[str, ...], sentence: str) -> None:
    exit_code, said = conform(*arguments)
    assert (exit_code, sentence in said) == (2, True)
