"""The register of cases: what it refuses, that ids are for ever, and that every promise has a case."""

import re
from pathlib import Path

import pytest

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.programs import EVERY_CASE as ALL
from plexwire_conformance.run.case import InvalidCase, case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_spec import Clause, Level, Party, clauses

#: Every id that was ever published, one a line.  Lines are added here and never taken away.
PINNED = Path(__file__).with_name("case-ids.txt").read_text("utf-8").split()

EVERY_CASE = pytest.mark.parametrize("one", list(CASES.values()), ids=list(CASES))


async def body(stage: Stage, trial: Trial) -> None:
    pass


@pytest.mark.parametrize(
    ("case_id", "title", "cited", "sentence"),
    [
        (
            "auth.in-time",
            "A title.",
            ("PW-AUTH-2",),
            "auth.in-time is taken; ids are never reused, choose another",
        ),
        ("auth.new", "A title.", (), "auth.new cites no clause; name the one that it judges"),
        (
            "auth.new",
            "A title.",
            ("PW-AUTH-2", "PW-AUTH-999", "PW-NONE-1"),
            "auth.new cites PW-AUTH-999, PW-NONE-1; see clauses.toml",
        ),
        (
            "auth.new",
            "",
            ("PW-AUTH-2",),
            "auth.new has no title; say in one sentence what must be true",
        ),
    ],
)
def test_decorator_is_used_wrongly_and_says_what_to_do_and_registers_nothing(
    case_id: str, title: str, cited: tuple[str, ...], sentence: str
) -> None:
    before = dict(CASES)
    with pytest.raises(InvalidCase) as caught:
        case(case_id, title, *cited)(body)
    assert str(caught.value) == sentence
    assert dict(CASES) == before


@EVERY_CASE
def test_case_has_a_well_formed_id_and_a_title_of_one_sentence(one: Case) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", one.id)
    assert one.area == one.id.split(".")[0]
    assert one.title[0].isupper() or one.title.startswith("timeout=")
    assert one.title.endswith(".")
    assert one.title.isprintable()


@EVERY_CASE
def test_case_cites_clauses_that_bind_the_gateway_and_can_be_judged(one: Case) -> None:
    cited = [clauses()[name] for name in one.clauses]
    assert len(set(one.clauses)) == len(one.clauses)
    assert all(clause.role is Party.GATEWAY for clause in cited)
    assert not [clause.id for clause in cited if clause.untestable]


@EVERY_CASE
def test_case_declares_times_and_connections_that_a_run_can_plan_with(one: Case) -> None:
    assert 0 <= one.takes <= 12
    assert 1 <= one.least <= min(one.connections, 8)  # what --max-connections allows at least


@pytest.mark.parametrize("case_id", PINNED)
def test_case_that_was_published_is_still_there(case_id: str) -> None:
    assert case_id in ALL, f"{case_id} is gone; ids are for ever: bring the case back"


def test_every_case_is_pinned() -> None:
    new = sorted(set(ALL) - set(PINNED))
    assert not new, f"add to {Path(__file__).with_name('case-ids.txt').name}: {' '.join(new)}"
    assert len(set(PINNED)) == len(PINNED)


PROMISES = [
    clause
    for clause in clauses().values()
    if clause.role is not Party.GATEWAY or clause.level is Level.MUST
]


@pytest.mark.parametrize("clause", PROMISES, ids=[clause.id for clause in PROMISES])
def test_every_promise_has_a_case_or_a_reason_why_not(clause: Clause) -> None:
    cited = any(clause.id in one.clauses for one in ALL.values())
    assert cited or clause.untestable
