"""The clauses as data: well-formed, in order, and nothing else is read."""

import re
import tomllib
from importlib.resources import files
from itertools import groupby

import pytest

from plexwire_spec import AREAS, Clause, Level, Party, clauses, read_clauses

_GOOD = """
[PW-AUTH-1]
level = "MUST"
role = "viewer"
text = "It does."
sources = ["G"]
"""


def test_clauses_of_an_area_are_numbered_from_one_without_gaps() -> None:
    by_area = {area: [c.id for c in clauses().values() if c.area == area] for area in AREAS}
    for area, ids in by_area.items():
        assert ids == [f"PW-{area}-{number}" for number in range(1, len(ids) + 1)]


def test_clauses_stand_together_by_area() -> None:
    areas = [area for area, _ in groupby(clause.area for clause in clauses().values())]
    assert len(areas) == len(set(areas))
    assert set(areas) == set(AREAS)


def test_every_clause_is_one_sentence() -> None:
    for clause in clauses().values():
        assert re.fullmatch(r"[A-Z`4].*[^.]\.", clause.text), clause.id
        assert ". " not in clause.text, clause.id


def test_every_decision_says_why_and_what_else_is_right() -> None:
    decisions = [clause for clause in clauses().values() if clause.is_decision]
    assert not [c.id for c in decisions if not c.why]
    assert not [c.id for c in decisions if not c.instead and c.level is not Level.MAY]


def test_every_open_clause_is_a_decision_about_the_gateway() -> None:
    for clause in clauses().values():
        if clause.level is Level.OPEN:
            assert clause.is_decision, clause.id
            assert clause.role is Party.GATEWAY, clause.id


def test_no_clause_names_one_that_does_not_exist() -> None:
    text = files("plexwire_spec").joinpath("clauses.toml").read_text("utf-8")
    assert set(re.findall(r"PW-[A-Z]+-[1-9][0-9]*", text)) == set(clauses())


def test_clauses_file_holds_every_id_once() -> None:
    text = files("plexwire_spec").joinpath("clauses.toml").read_text("utf-8")
    assert list(tomllib.loads(text)) == list(clauses())


def test_reader_given_a_good_clause_returns_it() -> None:
    clause = read_clauses(_GOOD)["PW-AUTH-1"]
    assert clause == Clause(
        id="PW-AUTH-1", level="MUST", role="viewer", text="It does.", sources=["G"]
    )
    assert clause.area == "AUTH"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('"MUST"', '"PERHAPS"'), "PERHAPS"),
        (('"viewer"', '"proxy"'), "proxy"),
        (('["G"]', '["X"]'), "X"),
        (('["G"]', "[]"), "no source"),
        (('["G"]', '["D"]'), "without a reason"),
        (("PW-AUTH-1", "PW-AUTH-01"), "no clause id"),
        (("PW-AUTH-1", "PW-TEA-1"), "no known area"),
        (("level", "lvl"), "PW-AUTH-1"),
        (('role = "viewer"\n', ""), "PW-AUTH-1"),
        (("[PW-AUTH-1]", "[PW-AUTH-1"), "line 2"),
    ],
)
def test_reader_given_a_bad_clause_names_it(change: tuple[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        read_clauses(_GOOD.replace(*change))


def test_reader_given_a_must_for_a_gateway_on_our_word_alone_refuses_it() -> None:
    text = _GOOD.replace('"viewer"', '"gateway"').replace('["G"]', '["D"]\nwhy = "We like it."')
    with pytest.raises(ValueError, match="can't be a MUST"):
        read_clauses(text)
