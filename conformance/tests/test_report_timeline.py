"""Timelines: to scale, line by line, and the member that a finding is about."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from attrs import evolve
from gossip_run import Page
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.report.excerpt import excerpt, shows
from plexwire_conformance.report.html_page import environment
from plexwire_conformance.report.timeline import make_timeline
from plexwire_conformance.report.timeline_scale import make_scale

# ── to scale ─────────────────────────────────────────────────────────────────────────────────

times = st.lists(st.floats(0, 30), min_size=1, max_size=40).map(sorted)


@settings(deadline=None, max_examples=300)
@given(times, st.integers(0, 50))
def test_scale_keeps_the_order_fits_the_width_and_breaks_few_gaps(
    moments: list[float], place: int
) -> None:
    broken_at = place if place < len(moments) - 1 else None
    scale = make_scale(moments, broken_at)
    assert len(scale.places) == len(moments)
    assert all(0 <= x <= 100.001 for x in (*scale.places, *scale.grid))
    assert all(earlier <= later for earlier, later in pairwise(scale.places))
    broken = [wait for wait in scale.waits if wait.broken]
    assert len(broken) <= 6
    assert broken_at is None or broken_at in [wait.after for wait in broken]
    for wait in scale.waits:
        gap = moments[wait.after + 1] - moments[wait.after]
        assert wait.seconds == pytest.approx(gap, abs=1e-9)
        assert (wait.left, wait.right) == (scale.places[wait.after], scale.places[wait.after + 1])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=20))
def test_scale_of_gaps_that_can_all_be_seen_is_true(gaps: list[float]) -> None:
    moments = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    scale = make_scale(moments)
    assert not [wait for wait in scale.waits if wait.broken]
    per_second = (scale.places[-1] - scale.places[0]) / moments[-1]
    for (x1, x2), gap in zip(pairwise(scale.places), gaps, strict=True):
        assert x2 - x1 == pytest.approx(gap * per_second)


def test_scale_of_a_busy_second_and_a_long_wait_breaks_the_wait_alone() -> None:
    moments = [0, 0.01, 0.02, 0.03, 0.04, 0.05, 10.0, 10.01]
    (wait,) = [wait for wait in make_scale(moments).waits if wait.broken]
    assert wait.after == 5
    assert wait.seconds == pytest.approx(9.95)
    assert wait.right - wait.left < 25


def test_scale_of_a_handshake_and_a_deadline_draws_the_deadline() -> None:
    (wait,) = make_scale([0, 0.015, 10.0]).waits
    assert not wait.broken
    assert wait.right - wait.left > 90


def entry(at: float, text: str = "{}", kind: Kind = Kind.TEXT, way: Way = Way.SENT) -> Entry:
    return Entry(at=at, peer="viewer", way=way, kind=kind, text=text)


TIMELINE = environment().from_string(
    "{% from 'timeline.html' import timeline %}{% if told %}{{ timeline(told) }}{% endif %}"
)


def drawn(entries: Sequence[Entry], judged_at: float | None = None, path: str = "") -> str:
    return TIMELINE.render(told=make_timeline(entries, "t", judged_at, path))


def test_timeline_names_every_entry_its_silences_and_how_long_it_was_waited() -> None:
    entries = [
        entry(1.0, "GET /v1", Kind.HANDSHAKE),
        entry(1.01, "HTTP 101", Kind.HANDSHAKE, Way.RECEIVED),
        entry(4.0, '{"type": "auth", "api_key": "plx_•••"}'),
        entry(4.9, "70696e67", Kind.PING),
    ]
    text = drawn(entries, 6.4)
    assert re.findall(r'<tr id="(t-\d)"', text) == ["t-0", "t-1", "t-2", "t-3"]
    assert "2.99 s of silence" in text
    assert "nothing more within 1.50 s" in text
    assert "ping &#39;ping&#39;" in text
    assert ">auth</text>" in text
    assert make_timeline([], "t") is None


def test_timeline_of_connections_that_all_ended_waits_for_nothing() -> None:
    ended = [entry(1.0), entry(2.0, "", Kind.EOF, Way.RECEIVED)]
    assert "nothing more" not in drawn(ended, 6.4)
    open_too = [evolve(entry(1.0), peer="device"), *ended]
    assert "nothing more within 4.40 s" in drawn(open_too, 6.4)


def test_timeline_of_very_many_entries_leaves_out_the_middle_and_says_so() -> None:
    text = drawn([entry(number / 10) for number in range(500)])
    assert len(re.findall(r'<tr id="t-', text)) == 140
    assert text.count("360 left out") == 2


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.builds(
            Entry,
            at=st.floats(0, 20),
            peer=st.sampled_from(("viewer", "device", "<b>")),
            way=st.sampled_from(Way),
            kind=st.sampled_from(Kind),
            text=st.text(max_size=60),
            size=st.just(0),
            code=st.none() | st.just(4001),
        ),
        max_size=30,
    )
)
def test_timeline_of_anything_is_well_formed(entries: list[Entry]) -> None:
    text = drawn(sorted(entries, key=lambda e: e.at), 21.0)
    assert len(re.findall(r'<tr id="t-\d+"', text)) == len(entries)
    assert "<b>" not in text
    parser = Page(text)
    assert len(parser.links) == len(entries)


# ── the member that a finding is about ───────────────────────────────────────────────────────

INIT: dict[str, object] = {
    "type": "init",
    "online_sources": [
        {"source_id": "one", "cameras": ["a"]},
        {"source_id": "two", "cameras": ["front", {"camera_id": "rear"}, "c"]},
    ],
}


@pytest.mark.parametrize(
    ("path", "marked", "whole"),
    [
        (
            "online_sources[1].cameras[1]",
            '{"camera_id": "rear"}',
            '{"type": "init", "online_sources": [1 more, {"source_id": "two", "cameras": '
            '[1 more, {"camera_id": "rear"}, 1 more]}]}',
        ),
        (
            "type",
            '"init"',
            '{"type": "init", "online_sources": [{"source_id": "one", "c…}',
        ),
        (
            "online_sources[0].platform",
            "no “platform”",
            '{"type": "init", "online_sources": [{"source_id": "one", "cameras": ["a"], '
            "no “platform”}, 1 more]}",
        ),
    ],
)
def test_excerpt_marks_the_member_and_cuts_the_rest(path: str, marked: str, whole: str) -> None:
    parts = excerpt(INIT, path)
    assert [part.text for part in parts if part.marked] == [marked]
    assert "".join(part.text for part in parts) == whole


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), json_values), st.text(max_size=12))
def test_excerpt_marks_exactly_one_part_whatever_the_message_and_the_path(
    body: dict[str, object], path: str
) -> None:
    assert sum(part.marked for part in excerpt(body, f"x{path}")) == 1


def test_timeline_marks_the_member_in_the_last_message_that_has_it() -> None:
    def received(at: float, body: dict[str, object]) -> Entry:
        said = entry(at, json.dumps(body), Kind.TEXT, Way.RECEIVED)
        return evolve(said, body=body)

    first, second = received(1.0, INIT), received(2.0, INIT)
    other = received(3.0, {"type": "video_frame"})
    sent = evolve(entry(4.0), body=INIT)
    assert shows([first, second, other, sent], "online_sources[0]") is second
    assert shows([first, second, other, sent], "frame") is other
    assert shows([sent], "type") is None
    text = drawn([first, second, other, sent], path="online_sources[1].cameras[1]")
    (row,) = re.findall(r'<tr id="(t-\d)" class="received shows">', text)
    assert row == "t-1"
    assert text.count("<mark>") == 1
    assert "<mark>{&#34;camera_id&#34;: &#34;rear&#34;}</mark>" in text
