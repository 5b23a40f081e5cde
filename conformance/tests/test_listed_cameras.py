"""What `init` lists is read leniently: what can be understood is judged, whatever its shape."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.recording.recorder import Entry, Way, WireRecorder
from plexwire_conformance.wire.roles import is_readable, listed_cameras, listed_sources


def init(sources: Any) -> Entry:
    text = json.dumps({"type": "init", "online_sources": sources})
    return WireRecorder("viewer", ()).text(0.0, Way.RECEIVED, text)


def source(cameras: Any, source_id: Any = "one") -> dict[str, Any]:
    return {"source_id": source_id, "cameras": cameras}


@pytest.mark.parametrize(
    ("sources", "cameras", "readable"),
    [
        ([source(["front", "rear"])], ("front", "rear"), True),
        ([source([{"camera_id": "front", "fps": 30}, "rear"])], ("front", "rear"), True),
        ([source(["front"]), source(["rear"], "two")], ("front",), True),
        ([source(["front"]), source(["rear"])], ("front", "rear"), True),
        ([source(None)], (), True),
        ([], (), True),
        (None, (), True),
        ([source([{"id": "front"}])], (), False),
        ([source([None, "front"])], ("front",), False),
        ([source("front")], (), False),
        (["one"], (), False),
        ({"one": ["front"]}, (), False),
        ("one", (), False),
    ],
)
def test_cameras_are_listed_as_far_as_they_can_be_understood(
    sources: Any, cameras: tuple[str, ...], readable: bool
) -> None:
    entry = init(sources)
    assert listed_cameras(entry, "one") == cameras
    assert is_readable(entry) is readable


def test_nothing_is_listed_without_an_init() -> None:
    assert listed_cameras(None, "one") == listed_sources(None) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(("one", "front")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("source_id", "cameras", "camera_id")), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_anything_may_be_listed_and_only_strings_are_read(sources: Any) -> None:
    entry = init(sources)
    assert all(isinstance(camera, str) for camera in listed_cameras(entry, "one"))
    assert all(isinstance(name, str) for name in listed_sources(entry))
    assert is_readable(entry) in (True, False)
