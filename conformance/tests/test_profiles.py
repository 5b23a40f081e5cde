"""How much a run judges, and that no report says "conformant" of a part without naming it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.cases import CASES
from plexwire_conformance.cases.profiles import DEFAULT, PROFILES, Profile, part_of
from plexwire_conformance.cases.selection import NothingSelected, select
from plexwire_conformance.cli import main
from plexwire_conformance.report.stored_runs import read_run
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.events import WHOLE, Part
from plexwire_conformance.run.findings import CaseResult, Verdict

QUICK = PROFILES["quick"]
words = st.lists(st.sampled_from(("auth", "frames", "PW-TIME-*", "dev.silent")), max_size=3)


@given(words, words, st.sampled_from(list(PROFILES.values())))
def test_what_does_not_run_is_counted_and_its_clauses_are_named(
    only: list[str], skip: list[str], profile: Profile
) -> None:
    try:
        cases = select(only, skip, profile)
    except NothingSelected:
        return
    part = part_of(cases, only, skip, profile)
    assert len(cases) + part.left_out == len(CASES)
    for clause in part.unjudged:
        assert not any(clause in case.clauses for case in cases)
        assert any(clause in case.clauses for case in CASES.values())
    assert (part == WHOLE) is (len(cases) == len(CASES))


@pytest.mark.parametrize("name", [DEFAULT, "thorough"])
def test_default_and_thorough_run_every_case(name: str) -> None:
    assert {case.id for case in select((), (), PROFILES[name])} == set(CASES)


def test_quick_runs_what_waits_for_nothing_long() -> None:
    quick = select((), (), QUICK)
    assert {case.id for case in CASES.values() if case.takes <= 2} == {case.id for case in quick}
    assert part_of(quick, (), (), QUICK).chosen_by == "--profile quick"


def test_quick_has_none_of_the_cases_that_were_asked_for_and_says_why() -> None:
    with pytest.raises(
        NothingSelected, match="has none of those cases: each waits longer than 2 s"
    ):
        select(("auth.never",), (), QUICK)


def passed(*cases: str) -> tuple[CaseResult, ...]:
    return tuple(
        CaseResult(
            case=case,
            title="A title.",
            clauses=("PW-AUTH-3",),
            judged=("PW-AUTH-3",),
            verdict=Verdict.PASS,
        )
        for case in (CONTROL.id, *cases)
    )


@pytest.mark.parametrize(
    ("part", "conclusion", "advice"),
    [
        (WHOLE, "Conformant: no documented promise was broken.", ""),
        (
            Part(chosen_by="--only auth", left_out=126, unjudged=("PW-AUTH-4",)),
            "Conformant as far as judged (2 of 128 cases, --only auth): no documented promise was broken.",
            "126 cases did not run, so 1 clause was not judged: PW-AUTH-4.",
        ),
        (
            Part(chosen_by="--skip auth.late", left_out=1),
            "Conformant as far as judged (2 of 3 cases, --skip auth.late): no documented promise was broken.",
            "1 case did not run; what it judges, others judged too.",
        ),
        (
            Part(chosen_by="--only a " * 20, left_out=1, unjudged=("PW-A-1",) * 30),
            "Conformant as far as judged (2 of 3 cases, --only a --only a --only a --only a --only a --only a …): "
            "no documented promise was broken.",
            "1 case did not run, so 30 clauses were not judged.",
        ),
    ],
)
def test_report_names_the_part_that_it_calls_conformant(
    part: Part, conclusion: str, advice: str
) -> None:
    summary = Summary(passed("auth.never", "auth.late"), part=part)
    assert summary.conclusion == conclusion
    assert summary.advice == advice


def test_conform_of_one_case_says_how_little_it_judged() -> None:
    result = CliRunner().invoke(main, ["conform", "--only", "auth.binary"], env={"CI": None})
    assert result.exit_code == 0
    assert f"(1 of {len(CASES)} cases, --only auth.binary)" in " ".join(result.output.split())


def test_stored_run_of_a_part_is_read_back_as_a_part(tmp_path: Path) -> None:
    file = tmp_path / "run.ndjson"
    arguments = ["conform", "--only", "auth.binary", "--report", str(file)]
    CliRunner().invoke(main, arguments, env={"CI": None})
    stored = read_run(file)
    assert stored.part.chosen_by == "--only auth.binary"
    assert stored.part.left_out == len(CASES) - 1
    lines = file.read_text("utf-8").splitlines()
    footer = json.loads(lines[-1])
    assert footer["conclusion"] == stored.summary.conclusion
    # A run of an earlier version, or of the whole suite, names no part.
    del footer["part"]
    file.write_text("\n".join([*lines[:-1], json.dumps(footer)]) + "\n", "utf-8")
    assert read_run(file).part == WHOLE
