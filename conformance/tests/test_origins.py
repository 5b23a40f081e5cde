"""Which frame of which device a viewer's frame is, though cameras repeat pictures and send empty ones."""

import base64
import json
from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.recording.recorder import (
    Entry,
    RecordedConversation,
    Way,
    WireRecorder,
)
from plexwire_conformance.run.monitor import monitor
from plexwire_conformance.run.origins import Origins, first_seen, picture_of

AUTH = '{"type": "auth", "api_key": "plx_x"}'
INIT = '{"type": "init", "online_sources": []}'


def text(camera: str, timestamp: int, jpeg: bytes) -> str:
    members = {
        "type": "video_frame",
        "source_id": "one",
        "camera_id": camera,
        "frame": base64.b64encode(jpeg).decode(),
        "width": 640,
        "height": 480,
        "timestamp": timestamp,
    }
    return json.dumps(members)


def entry(way: Way, at: float, said: str) -> Entry:
    return WireRecorder("someone", ()).text(at, way, said)


def device(*texts: str, name: str = "device") -> RecordedConversation:
    return RecordedConversation(
        name=name,
        role="device",
        source_id="one",
        cameras=(),
        organisation="home",
        entries=tuple(entry(Way.SENT, at, said) for at, said in enumerate(texts, 1)),
    )


def viewer(*texts: str, cameras: tuple[str, ...] = ("front", "rear")) -> RecordedConversation:
    said = [entry(Way.SENT, 0.0, AUTH), entry(Way.RECEIVED, 0.1, INIT)]
    said += [entry(Way.RECEIVED, at, each) for at, each in enumerate(texts, 2)]
    return RecordedConversation(
        name="viewer",
        role="viewer",
        source_id="one",
        cameras=cameras,
        organisation="home",
        entries=tuple(said),
    )


def origin_of(said: str, *sent: str) -> tuple[str, int, bool] | None:
    body = entry(Way.RECEIVED, 9.0, said).body
    assert body is not None
    origin, unaltered = Origins.among([device(*sent)]).of(body)
    return None if origin is None else (origin.camera_id, origin.number, unaltered)


PICTURES = {"equal": b"\xff\xd8 the same", "empty": b""}


@pytest.mark.parametrize("jpeg", PICTURES.values(), ids=list(PICTURES))
def test_frames_with_one_picture_are_told_apart_by_camera_and_timestamp(jpeg: bytes) -> None:
    sent = [text("front", 1, jpeg), text("rear", 1, jpeg), text("front", 2, jpeg)]
    assert [origin_of(said, *sent) for said in sent] == [
        ("front", 1, True),
        ("rear", 1, True),
        ("front", 2, True),
    ]


@pytest.mark.parametrize("jpeg", PICTURES.values(), ids=list(PICTURES))
def test_frame_with_a_common_picture_and_another_stamp_is_no_known_frame(jpeg: bytes) -> None:
    sent = [text("front", 1, jpeg), text("front", 2, jpeg)]
    assert origin_of(text("front", 3, jpeg), *sent) is None


def test_frame_with_a_picture_of_its_own_is_known_whatever_else_was_altered() -> None:
    sent = [text("front", 1, b"one"), text("front", 2, b"two")]
    assert origin_of(text("elsewhere", 77, b"two"), *sent) == ("front", 2, True)


def test_frame_whose_picture_was_altered_is_known_by_its_stamp() -> None:
    sent = [text("front", 1, b"one"), text("front", 2, b"two")]
    assert origin_of(text("front", 2, b"another"), *sent) == ("front", 2, False)


@pytest.mark.parametrize("sent", [b"", b"\xff\xd8 a picture"])
def test_empty_picture_in_the_place_of_another_is_an_altered_one(sent: bytes) -> None:
    found = monitor([device(text("front", 1, sent)), viewer(text("front", 1, b""))])
    assert [finding.check for finding in found] == (["PW-FRAME-2/altered"] if sent else [])


def test_empty_picture_is_no_sign_of_an_earlier_frame() -> None:
    seen = viewer(text("front", 1, b""))
    assert first_seen([seen]) == {}
    assert picture_of(seen.entries[-1]) is None


#: Few of each, so that pictures and stamps come again.
SENT = st.lists(
    st.tuples(
        st.sampled_from(("front", "rear")),
        st.integers(1, 3),
        st.sampled_from((b"", b"\xff\xd8 a", b"\xff\xd8 b")),
    ),
    max_size=8,
    unique_by=lambda frame: frame[:2],
)


@given(SENT)
def test_monitor_blames_nobody_for_a_camera_that_repeats_pictures_or_sends_empty_ones(
    sent: Sequence[tuple[str, int, bytes]],
) -> None:
    texts = [text(*frame) for frame in sent]
    assert monitor([device(*texts), viewer(*texts)]) == []


@given(SENT.filter(bool))
def test_monitor_finds_a_frame_that_comes_twice_though_its_picture_is_not_unique(
    sent: Sequence[tuple[str, int, bytes]],
) -> None:
    texts = [text(*frame) for frame in sent]
    found = monitor([device(*texts), viewer(*texts, texts[-1])])
    assert [finding.check for finding in found] == ["PW-FRAME-6/repeated"]


@pytest.mark.parametrize("jpeg", PICTURES.values(), ids=list(PICTURES))
def test_devices_of_two_sources_use_the_same_stamps_and_their_frames_are_told_apart(
    jpeg: bytes,
) -> None:
    other = text("front", 5, jpeg).replace('"one"', '"two"')
    devices = [device(text("front", 5, jpeg)), evolve(device(other, name="2"), source_id="two")]
    for pair in (devices, devices[::-1]):
        origins = Origins.among(pair)
        for said, source in ((text("front", 5, jpeg), "one"), (other, "two")):
            for altered in (said, said.replace('"frame": "', '"frame": "AAAA')):
                body = entry(Way.RECEIVED, 9.0, altered).body
                assert body is not None
                origin, unaltered = origins.of(body)
                assert origin is not None
                assert origin.source_id == source
                assert unaltered == (altered == said)
