"""What two views of one camera tell: nothing against a gateway that is sound, whatever the device sends; something against others."""

from collections.abc import Callable
from typing import Final, TypeAlias

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_conformance.recording.recorder import Way, WireRecorder
from plexwire_conformance.run.agreement import (
    TELLING,
    Disagreement,
    Shown,
    disagreements,
    repeated,
    shown,
)

View: TypeAlias = list[Shown]

#: Few of each, so that devices repeat pictures, stamps, and whole frames.
frames = st.builds(
    Shown,
    stamp=st.integers(0, 5),
    picture=st.sampled_from("abcdef"),
    width=st.sampled_from((640, 1280)),
    height=st.just(480),
    at=st.just(0.0),
)
#: Places of frames that one viewer does not get: fewer than what tells something.
drops = st.sets(st.integers(0, 11), max_size=TELLING - 1)


def distinct(count: int) -> View:
    """Return frames of which none has anything of another."""
    return [
        Shown(stamp=1000 + n, picture=f"{n}", width=640, height=480, at=float(n))
        for n in range(count)
    ]


def without(sent: View, dropped: set[int]) -> View:
    return [frame for place, frame in enumerate(sent) if place not in dropped]


def said(one: View, other: View) -> set[str]:
    return {each.check for each in disagreements(one, other)}


# ── what is right ────────────────────────────────────────────────────────────────────────────


@given(st.lists(frames, max_size=12), drops, drops)
@example([distinct(1)[0]] * 12, {0, 1}, {2, 3})
@example([evolve(frame, picture="still") for frame in distinct(12)], {0, 1}, {2, 3})
@example([evolve(frame, stamp=0) for frame in distinct(12)], {0, 1}, {2, 3})
@example(distinct(8), {0, 1}, {6, 7})
def test_gateway_is_sound_and_drops_a_few_frames_whatever_the_device_sends_nothing_is_said(
    sent: View, one: set[int], other: set[int]
) -> None:
    assert said(without(sent, one), without(sent, other)) == set()


@given(st.lists(frames, max_size=12), st.lists(frames, max_size=12))
def test_views_change_places_the_same_is_said(one: View, other: View) -> None:
    assert said(one, other) == said(other, one)


@given(st.lists(frames, max_size=12))
def test_view_is_held_against_itself_and_nothing_is_said(view: View) -> None:
    assert said(view, view) == set()
    assert repeated(view) == len(view) - len({(f.stamp, f.picture) for f in view})


# ── what is wrong ────────────────────────────────────────────────────────────────────────────

Change: TypeAlias = Callable[[View], View]

WRONG: Final[dict[str, tuple[str, Change]]] = {
    "another picture": (
        "PW-FRAME-2/viewers-disagree",
        lambda v: [evolve(f, picture=f"{f.picture}!") for f in v],
    ),
    "another width": ("PW-FRAME-3/viewers-disagree", lambda v: [evolve(f, width=320) for f in v]),
    "another height": ("PW-FRAME-3/viewers-disagree", lambda v: [evolve(f, height=240) for f in v]),
    "another stamp": (
        "PW-FRAME-4/viewers-disagree",
        lambda v: [evolve(f, stamp=f.stamp + 5000) for f in v],
    ),
    "another order": ("PW-FRAME-5/viewers-disagree", lambda v: v[::-1]),
    "halves of it": ("PW-FRAME-10/live-nothing-in-common", lambda v: [f for f in v if f.stamp % 2]),
}


@pytest.mark.parametrize("what", WRONG)
@given(st.integers(14, 20), drops, drops)
def test_gateway_does_otherwise_for_one_viewer_and_it_is_said_under_its_check(
    what: str, count: int, one: set[int], other: set[int]
) -> None:
    check, change = WRONG[what]
    sent = distinct(count)
    rest = [f for f in sent if f.stamp % 2 == 0] if what == "halves of it" else without(sent, one)
    changed = change(sent if what == "halves of it" else without(sent, other))
    assert said(rest, changed) == {check}


def test_gateway_does_otherwise_too_seldom_and_nothing_is_said() -> None:
    sent = distinct(10)
    for _, change in WRONG.values():
        few = change(sent[: TELLING - 1]) + sent[TELLING - 1 :]
        assert said(sent, few) == set()


def test_disagreement_says_how_many_of_how_many() -> None:
    sent = distinct(5)
    marked = [evolve(frame, picture=f"{frame.picture}!") for frame in sent[:4]] + sent[4:]
    (said,) = disagreements(sent, marked)
    assert said == Disagreement("PW-FRAME-2/viewers-disagree", {}, {"count": 4, "of": 5})


# ── from entries ─────────────────────────────────────────────────────────────────────────────


def test_frames_that_are_not_well_formed_are_left_to_the_monitor() -> None:
    recorder = WireRecorder("viewer", ())
    good = '"frame": "/9j/", "width": 640, "height": 480.0, "timestamp": 5'
    for members in (
        good,
        good.replace("/9j/", "/9j"),
        good.replace("640", '"640"'),
        good.replace("5", "true"),
        good.replace('"/9j/"', "7"),
        '"width": 640',
    ):
        recorder.text(1.0, Way.RECEIVED, f'{{"type": "video_frame", {members}}}')
    (only,) = shown(recorder.entries)
    assert (only.stamp, only.width, only.height, only.at) == (5, 640, 480, 1.0)
