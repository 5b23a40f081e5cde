"""Which cases and clauses a word names: the same words for `conform` and `spec`, however people spell them."""

from contextlib import suppress

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.cases import CASES
from plexwire_conformance.cases.selection import NothingSelected, cited_by, select
from plexwire_spec import AREAS, clauses, clauses_named
from plexwire_spec.cli import spec


def ids(*only: str, skip: tuple[str, ...] = ()) -> set[str]:
    return {case.id for case in select(only, skip)}


def citing(*cited: str) -> set[str]:
    return {name for name, case in CASES.items() if not {*cited}.isdisjoint(case.clauses)}


def area(name: str) -> set[str]:
    return {case_id for case_id, case in CASES.items() if case.area == name}


@pytest.mark.parametrize(
    ("word", "selected"),
    [
        ("auth.never", {"auth.never"}),
        ("AUTH.Never", {"auth.never"}),
        ("auth.never*", {"auth.never", "auth.never-but-pings"}),
        ("auth", area("auth")),
        ("Auth", area("auth")),
        ("frames", area("frames")),
        ("frame", area("frames")),
        ("FRAME", area("frames")),
        ("PW-AUTH-3", citing("PW-AUTH-3")),
        ("AUTH-3", citing("PW-AUTH-3")),
        ("pw-auth-3", citing("PW-AUTH-3")),
        ("PW-FRAME-*", citing(*(name for name in clauses() if name.startswith("PW-FRAME-")))),
        ("frame-1?", citing("PW-FRAME-10", "PW-FRAME-11", "PW-FRAME-13")),
        ("therm", citing("PW-THERM-1", "PW-THERM-2")),
        ("closes", citing(*clauses_named("close"))),
        ("control", set()),
    ],
)
def test_word_selects_cases_however_it_is_spelled(word: str, selected: set[str]) -> None:
    assert ids(word) == selected


def test_skipped_words_are_read_like_selected_ones() -> None:
    assert ids("auth", skip=("AUTH-3", "auth.bin")) == area("auth") - citing("PW-AUTH-3") - {
        "auth.binary"
    }
    assert ids("control", "auth.never") == {"auth.never"}
    assert ids() == set(CASES)


def test_unknown_word_is_refused_with_what_there_is() -> None:
    with pytest.raises(NothingSelected) as refused:
        select(["auth.nevr"], [])
    text = str(refused.value)
    assert text.startswith("'auth.nevr' matches no case; did you mean auth.never")
    assert all(case.area in text for case in CASES.values())
    assert all(f"PW-{name}-*" in text for name in AREAS)


def test_control_is_never_skipped() -> None:
    with pytest.raises(NothingSelected, match="the control can't be skipped"):
        select([], ["control"])


@given(st.sampled_from(sorted(clauses())), st.booleans(), st.booleans())
def test_clause_is_named_with_and_without_its_prefix_in_any_case(
    name: str, short: bool, lower: bool
) -> None:
    word = name.removeprefix("PW-") if short else name
    assert clauses_named(word.lower() if lower else word) == [name]


@given(st.text(max_size=12))
def test_any_word_selects_cases_or_is_refused(word: str) -> None:
    with suppress(NothingSelected):
        assert ids(word) <= set(CASES)


@pytest.mark.parametrize(
    "word", ["control", "AUTH-3", "PW-FRAME-*", "frame", "frames", "auth.never", "dialect"]
)
def test_spec_takes_the_words_of_conform(word: str) -> None:
    result = CliRunner().invoke(spec, [word])
    assert result.exit_code == 0
    named = clauses_named(word) or cited_by(word)
    assert named
    assert all(name in result.stdout for name in named)


def test_spec_gets_an_unknown_word_and_lists_the_areas() -> None:
    result = CliRunner().invoke(spec, ["nothing-like-it"])
    assert result.exit_code == 2
    assert all(name in result.stderr for name in AREAS)
