"""The recorder: no key, no picture and no control character gets past it, whatever a peer says."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from attrs import asdict
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from plexwire_conformance.recording.recorder import (
    Entry,
    Kind,
    RecordedConversation,
    Way,
    WireRecorder,
    digest,
    merge,
    pong_with,
)
from plexwire_conformance.recording.redaction import redact
from plexwire_protocol import Role, VideoFrame, decode_device_frame, encode_device_frame
from plexwire_protocol import strategies as wire

#: What an entry shows of a text, in characters, with the word on how much was left out.
LONGEST_SHOWN = 300


def recorder(*secrets: str) -> WireRecorder:
    return WireRecorder("viewer", secrets)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


def keys() -> SearchStrategy[str]:
    """Return keys as the protocol has them, and as an operator might."""
    return wire.api_keys() | st.text(
        # None that is a JSON object by itself.
        st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp", "Ps", "Pe")),
        min_size=16,
        max_size=60,
    )


def _in_text(r: WireRecorder, key: str, before: str) -> Entry:
    return r.text(0, Way.RECEIVED, before + key)


def _in_value(r: WireRecorder, key: str, before: str) -> Entry:
    return r.text(0, Way.SENT, json.dumps({"type": "auth", "a": [{"b": before + key}]}))


def _in_name(r: WireRecorder, key: str, before: str) -> Entry:
    return r.text(0, Way.RECEIVED, json.dumps({"type": "error", before + key: {key: 1}}))


def _in_type(r: WireRecorder, key: str, before: str) -> Entry:
    return r.text(0, Way.RECEIVED, json.dumps({"type": before + key}))


def _in_list(r: WireRecorder, key: str, before: str) -> Entry:
    return r.text(0, Way.RECEIVED, json.dumps([before, key]))


def _in_binary(r: WireRecorder, key: str, before: str) -> Entry:
    return r.binary(0, Way.RECEIVED, before.encode() + key.encode())


def _in_binary_auth(r: WireRecorder, key: str, before: str) -> Entry:
    return r.binary(0, Way.SENT, json.dumps({"a": key, "b": before}).encode())


def _in_camera(r: WireRecorder, key: str, before: str) -> Entry:
    camera = key[:60].encode()
    return r.binary(0, Way.SENT, b"\x01\x00" + bytes((len(camera),)) + camera + bytes(16))


def _in_target(r: WireRecorder, key: str, before: str) -> Entry:
    target = f"GET /v1/{quote(before)}?api_key={quote(key, safe='')}"
    return r.event(0, Way.SENT, Kind.HANDSHAKE, target)


def _in_reason(r: WireRecorder, key: str, before: str) -> Entry:
    return r.event(0, Way.RECEIVED, Kind.CLOSE, f"{before}{key} is unknown", code=4001)


def _in_ping(r: WireRecorder, key: str, before: str) -> Entry:
    return r.event(0, Way.RECEIVED, Kind.PING, (before + key).encode().hex())


def _in_note(r: WireRecorder, key: str, before: str) -> Entry:
    return r.event(0, Way.SENT, Kind.NOTE, before + key)


PLACES = (
    _in_text,
    _in_value,
    _in_name,
    _in_type,
    _in_list,
    _in_binary,
    _in_binary_auth,
    _in_camera,
    _in_target,
    _in_reason,
    _in_ping,
    _in_note,
)


def spoken(entry: Entry) -> str:
    """Return all that an entry could ever show, in one string."""
    return f"{entry!r} {entry.text} {entry.body} {json.dumps(asdict(entry), ensure_ascii=False)}"


def shows(text: str, secret: str) -> bool:
    """Whether *text* holds *secret* in any spelling that a wire has for it."""
    spellings = (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        secret.encode().hex(),
        secret.encode().hex(" "),
        repr(secret)[1:-1],
    )
    return any(spelling in text for spelling in spellings)


@settings(deadline=None, max_examples=30)
@given(key=keys(), before=st.text("xy ", max_size=8) | st.integers(200, 300).map("x".__mul__))
@example(key="plx_0123456789abcdef01234567", before="x" * 250)
@example(key='operator"s\\key/with+odd=signs', before="")
@pytest.mark.parametrize("place", PLACES)
def test_recorder_gets_a_key_anywhere_and_no_part_of_it_survives(
    place: Callable[[WireRecorder, str, str], Entry], key: str, before: str
) -> None:
    half = key[: len(key) // 2]
    # What is there without the key tells nothing of it.
    assume(not shows(spoken(place(recorder(), "a word", before)), half))
    text = spoken(place(recorder(key), key, before))
    assert not shows(text, key)
    assert not shows(text, half)


@pytest.mark.parametrize("place", PLACES)
def test_recorder_gets_a_foreign_key_and_knows_it_by_its_beginning(
    place: Callable[[WireRecorder, str, str], Entry],
) -> None:
    key = "plx_somebody-elses_key0"
    assert not shows(spoken(place(recorder(), key, "")), key)


def test_recorder_gets_a_key_one_character_short_and_takes_it_out() -> None:
    key = "no/prefix/of/ours/1234"
    entry = recorder(key).text(0, Way.SENT, json.dumps({"type": "auth", "api_key": key[:-1]}))
    assert key[:-1] not in spoken(entry)


def test_redact_is_given_a_short_or_empty_secret_and_spoils_nothing_else() -> None:
    assert redact("a word", ("", "k", "ab")) == "a word"
    assert redact("key: ab", ("ab",)) == "key: plx_•••"


def test_recorder_keeps_what_only_resembles_a_key() -> None:
    entry = recorder("plx_0123").text(0, Way.RECEIVED, '{"type": "plx", "a": "0123"}')
    assert entry.body == {"type": "plx", "a": "0123"}


# ── whatever a peer says ─────────────────────────────────────────────────────────────────────


def _well_kept(entry: Entry) -> None:
    assert len(entry.text) <= LONGEST_SHOWN
    assert entry.text.encode().decode() == entry.text
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in entry.text)
    json.dumps(entry.body, ensure_ascii=False).encode()


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(tuple(Role)).flatmap(wire.garbage), st.sampled_from(tuple(Way)))
@example('{"type":"x","a":' + "[" * 400 + "]" * 400 + "}", Way.RECEIVED)
@example('{"type":"x","a":' + '{"a":' * 400 + "1" + "}" * 401, Way.RECEIVED)
@example('{"type":"\\ud800","\\udfff":["\\ud800"]}', Way.RECEIVED)
@example('{"type":"video_frame","frame":"\\ud800"}', Way.RECEIVED)
@example('{"type":"video_frame","frame":{"sha256":"0","bytes":1}}', Way.RECEIVED)
@example('{"type":"x","frame":{}}', Way.RECEIVED)
@example("\x1b[2J\x9b31m\x07\r\n", Way.RECEIVED)
def test_recorder_gets_anything_and_keeps_an_entry_that_every_report_can_show(
    data: str | bytes, way: Way
) -> None:
    r = recorder("plx_secret")
    entry = r.text(1.5, way, data) if isinstance(data, str) else r.binary(1.5, way, data)
    assert r.entries == [entry]
    assert (entry.at, entry.way) == (1.5, way)
    _well_kept(entry)


@settings(deadline=None)
@given(st.text(st.characters()), st.sampled_from(tuple(Kind)))
def test_recorder_gets_any_event_and_keeps_an_entry_that_every_report_can_show(
    text: str, kind: Kind
) -> None:
    _well_kept(recorder().event(0, Way.RECEIVED, kind, text, code=1000))


def test_recorder_gets_a_huge_text_and_keeps_its_size_and_its_beginning() -> None:
    entry = recorder().text(0, Way.RECEIVED, "ä" * 2_000_000)
    assert entry.size == 4_000_000
    assert entry.text == "ä" * 256 + "… (2000000 characters)"


def test_recorder_gets_nan_from_the_gateway_and_calls_it_no_json() -> None:
    assert recorder().text(0, Way.RECEIVED, '{"type": "video_frame", "a": NaN}').body is None


def test_recorder_gets_nan_that_we_sent_and_reads_it_as_the_sdk_meant_it() -> None:
    entry = recorder().text(0, Way.SENT, '{"type": "video_frame", "temp_min": NaN, "a": 1}')
    assert entry.type == "video_frame"


# ── pictures ─────────────────────────────────────────────────────────────────────────────────


def _frame_text(spelled: str) -> str:
    return json.dumps({"type": "video_frame", "camera_id": "front", "frame": spelled})


def _frame_in(entry: Entry) -> dict[str, object]:
    assert entry.body is not None
    frame = entry.body["frame"]
    assert isinstance(frame, dict)
    return frame


@settings(deadline=None)
@given(wire.jpegs())
def test_recorder_gets_a_picture_and_keeps_its_digest(jpeg: bytes) -> None:
    spelled = base64.b64encode(jpeg).decode()
    entry = recorder().text(0, Way.RECEIVED, _frame_text(spelled))
    assert _frame_in(entry) == digest(jpeg)
    assert spelled not in spoken(entry)


@settings(deadline=None)
@given(
    wire.jpegs(),
    st.sampled_from(
        (
            lambda text: text.rstrip("="),
            lambda text: text.replace("+", "-").replace("/", "_"),
            lambda text: text[:2] + "\n" + text[2:],
            lambda text: text + "=",
            lambda text: " " + text,
        )
    ),
)
def test_recorder_gets_a_picture_in_another_spelling_and_says_so_and_still_knows_it(
    jpeg: bytes, spell: Callable[[str], str]
) -> None:
    standard = base64.b64encode(jpeg).decode()
    spelled = spell(standard)
    frame = _frame_in(recorder().text(0, Way.RECEIVED, _frame_text(spelled)))
    assert frame["sha256"] == digest(jpeg)["sha256"]
    assert (frame["problem"] is None) == (spelled == standard)


@settings(deadline=None)
@given(st.text(st.characters()))
def test_recorder_gets_any_text_as_a_picture_and_keeps_some_digest(text: str) -> None:
    frame = _frame_in(recorder().text(0, Way.RECEIVED, _frame_text(text)))
    assert set(frame) == {"sha256", "bytes", "jpeg", "problem"}


@settings(deadline=None)
@given(wire.video_frames(extra=False))
def test_recorder_reads_a_binary_frame_as_the_core_does(frame: VideoFrame) -> None:
    data = encode_device_frame(frame)
    core = decode_device_frame(data)
    body = recorder().binary(0, Way.SENT, data).body
    assert body == {
        "type": "video_frame",
        "source_id": core.source_id,
        "camera_id": core.camera_id,
        "frame": digest(core.jpeg),
        "width": core.width,
        "height": core.height,
        "timestamp": core.timestamp,
    }


@settings(deadline=None)
@given(wire.video_frames(extra=False), st.data())
def test_recorder_gets_a_binary_frame_without_its_whole_header_and_reads_none(
    frame: VideoFrame, data: st.DataObject
) -> None:
    whole = encode_device_frame(frame)
    cut = data.draw(st.integers(0, len(whole) - len(frame.jpeg) - 1))
    assert recorder().binary(0, Way.SENT, whole[:cut]).body is None


# ── timelines ────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 100)), max_size=4))
def test_merge_gives_every_entry_in_the_order_of_time(times: list[list[float]]) -> None:
    conversations = []
    for number, ats in enumerate(times):
        r = WireRecorder(f"viewer {number}", ())
        for at in sorted(ats):
            r.event(at, Way.SENT, Kind.NOTE)
        conversations.append(
            RecordedConversation(
                name=r.peer,
                role="viewer",
                source_id="x",
                cameras=(),
                organisation="home",
                entries=tuple(r.entries),
            )
        )
    merged = merge(conversations)
    assert [entry.at for entry in merged] == sorted(at for ats in times for at in ats)


@settings(deadline=None)
@given(st.binary(max_size=125))
def test_pong_is_known_by_its_payload(payload: bytes) -> None:
    entry = recorder().event(0, Way.RECEIVED, Kind.PONG, payload.hex())
    assert pong_with(payload)(entry)
    assert not pong_with(payload + b"!")(entry)
