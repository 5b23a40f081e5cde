"""Sentences are made from the data of findings, by the templates of their checks, in `report/` only."""

from string import Formatter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from plexwire_conformance.report.sentences import (
    actual_with_margin,
    expected_sentence,
    lacking,
    listed,
    observed_sentence,
    seconds,
)
from plexwire_conformance.run.checks import checks
from plexwire_conformance.run.findings import Finding

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

CLOSED = {"how": "close-frame", "connection": "viewer", "after": 0.25, "code": 1008}


def said(check: str, **observed: Any) -> str:
    return observed_sentence(Finding(check=check, observed=observed))


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (CLOSED, "closed the viewer with close code 1008 after 0.25 s"),
        (
            {**CLOSED, "reason": "go away"},
            "closed the viewer with close code 1008 after 0.25 s, with the reason “go away”",
        ),
        (
            {**CLOSED, "code": None, "after": None},
            "closed the viewer with a close frame without a code",
        ),
        ({**CLOSED, "how": "open", "after": 11.5}, "left the viewer open for 11.5 s"),
        (
            {**CLOSED, "how": "tcp-eof", "after": 0.004},
            "ended the TCP connection of the viewer without a close frame after 4 ms",
        ),
        ({**CLOSED, "how": "tcp-reset"}, "reset the TCP connection of the viewer after 0.25 s"),
        ({**CLOSED, "how": "garbage"}, "sent the viewer bytes that break RFC 6455 after 0.25 s"),
    ],
)
def test_ending_is_said_with_the_gateway_as_the_one_who_acts(
    ending: dict[str, Any], words: str
) -> None:
    assert said("PW-AUTH-4/closed-early", ending=ending) == f"The gateway {words}."


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ({"problem": "HTTP 403", "status": 403}, "answered the handshake with HTTP 403"),
        (
            {"problem": "HTTP 403", "status": 403, "body": "No browsers."},
            "answered the handshake with HTTP 403 (“No browsers.”)",
        ),
        (
            {"problem": "TCP ended", "status": None},
            "did not complete the handshake: TCP ended",
        ),
    ],
)
def test_refusal_is_said_with_the_gateway_as_the_one_who_acts(
    refusal: dict[str, Any], words: str
) -> None:
    assert said("PW-ADDR-2/handshake-refused", refusal=refusal) == f"The gateway {words}."


def test_both_sentences_have_the_values_and_their_names() -> None:
    finding = Finding(
        check="PW-AUTH-7/wrong-close-code",
        expected={"stimulus": "an auth with an empty key", "code": 4001, "within": 1.5},
        observed={"ending": CLOSED},
    )
    assert expected_sentence(finding) == (
        "After an auth with an empty key, the gateway closes the viewer with 4001 within 1.5 s."
    )
    assert observed_sentence(finding) == (
        "After an auth with an empty key, the gateway closed the viewer with close code 1008 after 0.25 s."
    )


def test_member_is_named_by_its_path_and_shown_as_json() -> None:
    finding = Finding(
        check="PW-INIT-4/cameras-not-strings",
        observed={"value": {"camera_id": "front"}},
        path="online_sources[0].cameras[0]",
    )
    assert observed_sentence(finding) == ('online_sources[0].cameras[0] is {"camera_id": "front"}.')


def test_choice_has_its_outcomes_by_what_was_tried() -> None:
    outcomes = {"NaN": "accepted", "a comment": "close 4001"}
    finding = Finding(check="PW-AUTH-17/json-extensions", observed={"outcomes": outcomes})
    assert expected_sentence(finding) == ""
    assert observed_sentence(finding).endswith(": NaN: accepted; a comment: close 4001.")


def test_sentence_adds_the_margin_how_often_it_showed_and_after_which_steps() -> None:
    finding = Finding(
        check="PW-FRAME-6/repeated",
        observed={"count": 2, "camera": "front"},
        margin_ms=12.4,
        shown=(1, 4),
        steps=("viewer 0 watches", "device 0 sends"),
    )
    assert actual_with_margin(finding) == (
        "The viewer got 2 of the frames of “front” twice. (off by 12 ms) "
        "It was seen in 1 of 4 plays of the same script: look for a race. "
        "Steps: 1. viewer 0 watches; 2. device 0 sends."
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0 s"), (0.0123, "12 ms"), (1.5, "1.5 s"), (10.04, "10 s"), (-0.05, "-50 ms")],
)
def test_time_has_its_unit(value: float, words: str) -> None:
    assert seconds(value) == words


def test_list_is_quoted_and_an_empty_one_is_nothing() -> None:
    assert (listed(["front", ""]), listed([])) == ("“front”, “”", "nothing")


def test_what_a_peer_said_is_cut_when_it_is_long() -> None:
    words = said("PW-DEV-5/error-without-code", message="x" * 500)
    assert len(words) < 200
    assert words.endswith("…”.")


# ── every check ──────────────────────────────────────────────────────────────────────────────


def values(spec: str) -> SearchStrategy[Any]:
    match spec:
        case "s":
            return st.floats(0, 100)
        case "list":
            return st.lists(st.text(max_size=5), max_size=3)
        case "position":
            return st.none() | st.integers(0)
        case _:
            return JSON | st.just(CLOSED)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    check = draw(st.sampled_from(list(checks().values())))
    parts = (*Formatter().parse(check.expected), *Formatter().parse(check.observed))
    members = {name: draw(values(spec or "")) for _, name, spec, _ in parts if name}
    return Finding(check=check.id, observed=members, path=str(members.pop("path", "")) or "x")


@given(findings())
def test_sentence_can_be_made_of_whatever_values_a_check_has(finding: Finding) -> None:
    assert lacking(finding) == ()
    for sentence in (expected_sentence(finding), observed_sentence(finding)):
        assert "{" not in sentence or "{" in str(finding.observed)


@pytest.mark.parametrize("check", checks())
def test_report_is_written_though_a_stored_finding_lacks_its_data(check: str) -> None:
    finding = Finding(check=check)
    named = lacking(finding)
    assert ("?" in expected_sentence(finding) + observed_sentence(finding)) is bool(named)
