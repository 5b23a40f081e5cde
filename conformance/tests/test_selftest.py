"""The judge on trial: every fault is found under its own clause, and nothing else is said."""

from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner

from plexwire_conformance.commands.selftest import (
    EVERY_FAULT,
    NO_FAULT,
    SOUND,
    Outcome,
    conclusion,
    contradictions,
    examine,
    examine_all,
    selftest,
)
from plexwire_conformance.faults import FAULTS
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict

#: One fault a clause; `plexwire selftest` judges them all, which takes minutes.
CHOSEN = list({fault.clause: fault.id for fault in EVERY_FAULT.values()}.values())


def test_judge_finds_a_fault_of_every_clause_under_it_and_accuses_nobody_wrongly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = list(examine_all([*SOUND, *CHOSEN], jobs=2))
    with capsys.disabled():
        print(f"\n  {conclusion(outcomes)}")
    assert {outcome.fault for outcome in outcomes} == {*SOUND, *CHOSEN}
    wrong = {
        outcome.fault: (outcome.found, outcome.unrelated, outcome.problem)
        for outcome in outcomes
        if not outcome.good
    }
    assert not wrong


def test_judge_finds_a_fault_by_the_cases_of_its_clause() -> None:
    outcome = examine("auth.revoked-accepted")
    assert outcome.good
    assert outcome.found_by == ("auth.key-revoked",)
    assert not outcome.unrelated


def test_judge_that_says_nothing_of_a_fault_has_missed_it() -> None:
    outcome = Outcome(fault="auth.any-key", accused={"PW-DEV-4": ("dev.bad-key",)})
    assert not outcome.found
    assert not outcome.good
    assert not outcome.unrelated  # the fault breaks this clause as well


def test_judge_that_accuses_another_clause_raises_a_false_alarm() -> None:
    accused = {"PW-INIT-1": ("init.at-once",), "PW-FLOW-1": ("flow.stalled-viewer",)}
    outcome = Outcome(fault="init.never", accused=accused)
    assert outcome.found
    assert not outcome.good
    assert outcome.unrelated == {"PW-FLOW-1": ("flow.stalled-viewer",)}


def test_judge_that_accuses_the_reference_gateway_raises_a_false_alarm() -> None:
    assert Outcome(fault=NO_FAULT).good
    outcome = Outcome(fault=NO_FAULT, accused={"PW-INIT-2": ("init.at-once",)})
    assert not outcome.good
    assert outcome.unrelated == {"PW-INIT-2": ("init.at-once",)}


FOUND = Finding(check="PW-INIT-2/init-late", expected={"within": 1.5}, observed={"after": 4.0})


def result(case: str, **about: Any) -> CaseResult:
    return CaseResult(case=case, title="x", clauses=("PW-INIT-2",), verdict=Verdict.PASS, **about)


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        (result("init.at-once", findings=(FOUND,), judged=("PW-INIT-2",)), None),
        (result("observed.PW-INIT-2", findings=(FOUND,), judged=("PW-INIT-2",)), None),
        (
            result("auth.never", findings=(FOUND,), judged=("PW-INIT-2",)),
            "auth.never can't answer for PW-INIT-2/init-late",
        ),
        (
            result("init.at-once", findings=(evolve(FOUND, observed={}),), judged=("PW-INIT-2",)),
            "init.at-once: PW-INIT-2/init-late lacks after",
        ),
        (
            result("init.at-once", blocked_by="PW-AUTH-2/valid-auth-refused"),
            "init.at-once is blocked by PW-AUTH-2/valid-auth-refused, which nothing found",
        ),
        (
            result("init.at-once", findings=(FOUND,)),
            "init.at-once has a finding about a clause that it did not judge",
        ),
    ],
)
def test_results_that_contradict_themselves_are_an_error_of_the_suite(
    odd: CaseResult, sentence: str | None
) -> None:
    assert list(contradictions([odd])) == ([] if sentence is None else [sentence])


def test_conclusion_counts_what_was_found_and_what_was_said_without_reason() -> None:
    found = Outcome(fault="init.never", accused={"PW-INIT-1": ("init.at-once",)})
    missed = Outcome(fault="init.late")
    alarm = Outcome(fault=NO_FAULT, accused={"PW-INIT-2": ("init.at-once",)})
    broken = Outcome(fault="init.twice", problem="it broke")
    fine = "1 of 1 faults found, each under its own clause, 0 false alarms"
    assert conclusion([Outcome(fault=NO_FAULT), found]) == fine
    assert conclusion([found, missed]) == "1 of 2 faults found, the others missed, 0 false alarms"
    assert (
        conclusion([alarm, found])
        == "1 of 1 faults found, each under its own clause, 1 false alarm"
    )
    assert conclusion([found, broken]).endswith("0 false alarms, 1 error")


def test_command_judges_the_faults_that_it_is_given_and_prints_a_line_for_each() -> None:
    result = CliRunner().invoke(selftest, ["addr.any-*", "PW-ADDR-7", "--jobs", "2"])
    assert result.exit_code == 0
    *lines, last = result.stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["found", "addr.device-origin-refused", "PW-ADDR-7"],
        ["found", "addr.any-path", "PW-ADDR-13"],
        ["found", "addr.any-version", "PW-ADDR-13"],
    ]
    assert last == "3 of 3 faults found, each under its own clause, 0 false alarms"


def test_command_lists_faults_with_their_clauses_and_what_is_wrong() -> None:
    result = CliRunner().invoke(selftest, ["PW-INIT-3", "--list"])
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.split() == ["init.after-frames", "PW-INIT-3"]
    assert second.strip() == FAULTS["init.after-frames"].title


def test_command_is_given_a_word_that_matches_no_fault_and_says_so() -> None:
    result = CliRunner().invoke(selftest, ["nonsense"])
    assert result.exit_code == 3
    assert result.stderr == "Error: nonsense matches no fault; see plexwire selftest --list\n"
