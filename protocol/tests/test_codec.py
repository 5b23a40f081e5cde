"""Between messages and text: what is written can be read, and whatever else comes is refused by name."""

import json
import math
from base64 import b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_protocol import (
    Auth,
    Authenticated,
    DeviceAuth,
    EncodedFrame,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Init,
    JsonValue,
    LocalProtocolError,
    MalformedMessage,
    Message,
    OnlineSource,
    Refusal,
    Role,
    Unknown,
    VideoFrame,
    decode,
    encode,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import MAX_CONTAINERS, MAX_MESSAGE_BYTES, MAX_NESTING

ROLES = st.sampled_from(Role)
PICTURE = '"frame":"/9j/"'
SIZES = '"width":640,"height":480,"timestamp":1746969660000'


def read(data: str | bytes, sender: Role) -> Message | MalformedMessage:
    try:
        return decode(data, sender=sender)
    except MalformedMessage as error:
        return error


def refused(data: str | bytes, sender: Role) -> MalformedMessage:
    error = read(data, sender)
    assert isinstance(error, MalformedMessage)
    return error


# ── there and back ───────────────────────────────────────────────────────────────────────────


@given(st.data(), ROLES)
def test_codec_reads_every_message_that_it_writes(data: st.DataObject, sender: Role) -> None:
    message = data.draw(wire.messages(sender))

    text = encode(message)

    assert text.isascii()
    assert decode(text, sender=sender) == message
    assert encode(decode(text, sender=sender)) == text


@given(wire.video_frames())
def test_text_of_a_frame_is_what_a_json_serialiser_writes(frame: VideoFrame) -> None:
    members = {
        "type": "video_frame",
        "source_id": frame.source_id,
        "camera_id": frame.camera_id,
        "frame": b64encode(frame.jpeg).decode(),
        "width": frame.width,
        "height": frame.height,
        "timestamp": frame.timestamp,
        **frame.extra,
    }

    text = json.dumps(members, separators=(",", ":"))
    assert encode(frame) == text
    assert EncodedFrame.of(frame).text == text
    assert EncodedFrame.of(frame).camera_id == frame.camera_id


@given(wire.video_frames(allow_nan=True))
@example(
    VideoFrame(
        camera_id="thermal",
        jpeg=b"\xff\xd8",
        width=0,
        height=0,
        timestamp=0,
        extra={"temp_min": math.nan, "temps": (20.5, math.inf), "area": {"max": -math.inf}},
    )
)
def test_frame_with_nan_among_its_extras_is_written_with_null(frame: VideoFrame) -> None:
    """PW-THERM-2."""
    read = json.loads(encode(frame), parse_constant=pytest.fail)

    assert list(read)[7:] == list(frame.extra)
    assert [read[name] for name in frame.extra] == [nulled(v) for v in frame.extra.values()]


def nulled(value: JsonValue) -> JsonValue:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [nulled(inner) for inner in value]
    if isinstance(value, dict):
        return {name: nulled(inner) for name, inner in value.items()}
    return value


@given(st.lists(st.sampled_from(("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "20.5"))))
def test_frame_of_a_device_with_literals_that_are_not_json_is_read_with_null(
    literals: list[str],
) -> None:
    """PW-THERM-2."""
    text = (
        f'{{"type":"video_frame","camera_id":"t",{PICTURE},{SIZES},"temps":[{",".join(literals)}]}}'
    )

    frame = decode(text, sender=Role.DEVICE)

    assert isinstance(frame, VideoFrame)
    assert frame.extra == {"temps": [20.5 if item == "20.5" else None for item in literals]}


@pytest.mark.parametrize("sender", [Role.VIEWER, Role.GATEWAY])
@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_literal_that_is_not_json_is_forgiven_to_devices_alone(sender: Role, literal: str) -> None:
    error = refused(f'{{"type":"auth","api_key":"a","x":{literal}}}', sender)

    assert error.refusal is Refusal.NOT_JSON


def test_extra_member_that_json_cannot_hold_is_the_callers_mistake() -> None:
    frame = VideoFrame(
        camera_id="a",
        jpeg=b"\xff\xd8",
        width=0,
        height=0,
        timestamp=0,
        extra={"temps": {1.5, 2.5}},  # type: ignore[dict-item]
    )

    with pytest.raises(LocalProtocolError, match="set is not JSON serializable"):
        encode(frame)
    with pytest.raises(LocalProtocolError, match="str is not a message"):
        encode("auth")  # type: ignore[arg-type]


# ── whatever comes ───────────────────────────────────────────────────────────────────────────


@given(st.data(), ROLES)
def test_decode_returns_a_message_or_refuses_whatever_comes(
    data: st.DataObject, sender: Role
) -> None:
    match read(data.draw(wire.garbage(sender)), sender):
        case MalformedMessage() as error:
            assert error.where
            assert error.problem
        case message:
            assert isinstance(message, (*wire.VOCABULARY[sender], Unknown))
            decode(encode(message), sender=sender)  # it can be passed on


@pytest.mark.parametrize("sender", Role)
@pytest.mark.parametrize("text", wire.ODD_TEXTS, ids=lambda text: ascii(text[:30]))
def test_decode_survives_texts_that_have_broken_parsers(sender: Role, text: str) -> None:
    assert len(repr(read(text, sender))) < 300


@given(st.integers(0, 2000), st.sampled_from(('{"a":', "[")), ROLES)
@example(MAX_NESTING - 1, "[", Role.DEVICE)
@example(MAX_NESTING, '{"a":', Role.DEVICE)
@example(100_000, "[", Role.VIEWER)
def test_decode_takes_the_same_depth_whatever_the_stack_of_its_caller(
    depth: int, bracket: str, sender: Role
) -> None:
    """PW-LIM-7."""
    closing = "]" if bracket == "[" else "}"
    text = f'{{"type":"x","a":{bracket * depth}0{closing * depth}}}'
    if depth < MAX_NESTING:
        message = decode(text, sender=sender)
        assert encode(message) == text
    else:
        assert refused(text, sender).refusal is Refusal.NOT_JSON


def test_message_with_many_brackets_but_little_depth_is_read() -> None:
    points: list[JsonValue] = [{"value": [n]} for n in range((MAX_CONTAINERS - 2) // 2)]
    text = json.dumps({"type": "telemetry", "points": points})

    assert text.count("[") + text.count("{") == MAX_CONTAINERS
    assert decode(text, sender=Role.DEVICE) == Unknown(name="telemetry", members={"points": points})


@pytest.mark.parametrize("sender", [Role.VIEWER, Role.DEVICE])
@pytest.mark.parametrize("brackets", ["[],", '{"":0},', '"[",'])
def test_message_with_very_many_brackets_is_refused_before_it_is_decoded(
    sender: Role, brackets: str
) -> None:
    """PW-LIM-7: a MiB of empty lists costs 100 ms to decode, and nothing to count."""
    error = refused(f'{{"type":"auth","x":[{brackets * MAX_CONTAINERS}0', sender)

    assert (error.clause, error.refusal) == ("PW-LIM-7", Refusal.NOT_JSON)
    assert error.problem == "has more than 1000 objects and lists"


def test_message_of_a_gateway_may_have_as_many_brackets_as_it_likes() -> None:
    cameras = [OnlineSource(source_id="a", cameras=["b"])] * MAX_CONTAINERS
    init = Init(online_sources=cameras)

    assert decode(encode(init), sender=Role.GATEWAY) == init


@given(st.text("/9jAZaz01+=- \n€\x00", max_size=12).map("/9j".__add__))
def test_picture_is_padded_base64_in_the_standard_alphabet_and_nothing_else(text: str) -> None:
    """PW-FRAME-11."""
    message = json.dumps(
        {"type": "video_frame", "camera_id": "", "frame": text, **json.loads(f"{{{SIZES}}}")}
    )
    match read(message, Role.DEVICE):
        case VideoFrame() as frame:
            again = b64encode(frame.jpeg).decode()
            # The last character before the padding may carry bits that count for nothing.
            assert (len(again), again.rstrip("=")[:-1]) == (len(text), text.rstrip("=")[:-1])
        case error:
            assert isinstance(error, MalformedMessage)
            assert (error.refusal, error.where) == (Refusal.NOT_BASE64, "frame")


@pytest.mark.parametrize(
    "text",
    ["/9j", "/9j/\n", "/9 j/", "_9j_", "/9j/=", "/9j/AA=", "/9j/A===", "=/9j/", "/9j/€"],
)
def test_picture_in_any_other_base64_is_refused(text: str) -> None:
    """PW-FRAME-11."""
    members = f'"type":"video_frame","camera_id":"",{SIZES},"frame":{json.dumps(text)}'

    assert refused(f"{{{members}}}", Role.DEVICE).refusal is Refusal.NOT_BASE64


# ── by example ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sender", "message", "text"),
    [
        (Role.VIEWER, Auth(api_key="plx_1"), '{"type":"auth","api_key":"plx_1"}'),
        (Role.GATEWAY, Init(online_sources=[]), '{"type":"init","online_sources":[]}'),
        (
            Role.GATEWAY,
            Init(online_sources=[OnlineSource(source_id="drone-01", cameras=["front", "rear"])]),
            '{"type":"init","online_sources":[{"source_id":"drone-01","cameras":["front","rear"]}]}',
        ),
        (
            Role.GATEWAY,
            VideoFrame(
                source_id="drone-01",
                camera_id="Küche",
                jpeg=b"\xff\xd8\xff",
                width=640,
                height=480,
                timestamp=1746969660000,
                extra={"video_type": "thermal"},
            ),
            '{"type":"video_frame","source_id":"drone-01","camera_id":"K\\u00fcche",'
            f'"frame":"/9j/",{SIZES},"video_type":"thermal"}}',
        ),
        (
            Role.GATEWAY,
            GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2),
            '{"type":"gateway_reconnecting","attempt":1,"max_attempts":5,"delay_s":2}',
        ),
        (
            Role.DEVICE,
            DeviceAuth(api_key="plx_2", source_id="robot-01", extra={"platform": "python-sdk"}),
            '{"type":"device_auth","api_key":"plx_2","source_id":"robot-01","platform":"python-sdk"}',
        ),
        (
            Role.GATEWAY,
            Authenticated(source_id="robot-01", server_time_ms=1746100800000),
            '{"type":"authenticated","source_id":"robot-01","server_time_ms":1746100800000}',
        ),
        (
            Role.GATEWAY,
            ErrorReport(code="unauthorized", detail="no"),
            '{"type":"error","code":"unauthorized","detail":"no"}',
        ),
        (
            Role.DEVICE,
            Heartbeat(source_id="robot-01", agent_version="0.7.1"),
            '{"type":"heartbeat","source_id":"robot-01","agent_version":"0.7.1"}',
        ),
        (
            Role.DEVICE,
            Unknown(name="telemetry", members={"points": []}),
            '{"type":"telemetry","points":[]}',
        ),
    ],
    ids=lambda value: value.type if isinstance(value, Message) else "",
)
def test_message_on_the_wire_looks_like_this(sender: Role, message: Message, text: str) -> None:
    assert encode(message) == text
    assert decode(text, sender=sender) == message


def test_members_in_any_order_with_white_space_and_strangers_between_are_read() -> None:
    """PW-AUTH-11, PW-VIEW-1."""
    text = ' {"x": [1], "api_key" : "plx_1"\n, "type": "auth", "y": {"api_key": "plx_2"}} '

    assert decode(text, sender=Role.VIEWER) == Auth(api_key="plx_1")


def test_doubled_member_counts_as_its_last() -> None:
    """PW-AUTH-14."""
    text = '{"type":"init","api_key":1,"type":"auth","api_key":"plx_1"}'

    assert decode(text, sender=Role.VIEWER) == Auth(api_key="plx_1")


@pytest.mark.parametrize("number", ["640", "640.0", "6.4e2", "6400E-1"])
def test_whole_number_may_be_written_in_any_way_of_json(number: str) -> None:
    text = f'{{"type":"video_frame","camera_id":"","width":{number},"height":0,"timestamp":0,{PICTURE}}}'

    frame = decode(text, sender=Role.DEVICE)

    assert isinstance(frame, VideoFrame)
    assert (frame.width, type(frame.width)) == (640, int)


@pytest.mark.parametrize(
    ("members", "report"),
    [
        ('"code":"a","detail":"b"', ErrorReport(code="a", detail="b")),
        ('"code":"a","message":"b"', ErrorReport(code="a", detail="b")),
        ('"code":"a","detail":"b","message":"c"', ErrorReport(code="a", detail="b")),
        ('"code":"a","detail":null,"message":"c"', ErrorReport(code="a", detail="c")),
        ('"code":"a"', ErrorReport(code="a")),
        ('"code":4001', ErrorReport(code="4001")),
    ],
)
def test_error_to_a_device_is_read_in_each_of_its_forms(members: str, report: ErrorReport) -> None:
    """PW-DEV-5."""
    assert decode(f'{{"type":"error",{members}}}', sender=Role.GATEWAY) == report


def test_frame_of_a_device_may_leave_out_its_source() -> None:
    """PW-TXT-1: the gateway, on the other hand, names it, by PW-FRAME-1."""
    text = f'{{"type":"video_frame","camera_id":"front",{PICTURE},{SIZES}}}'

    frame = decode(text, sender=Role.DEVICE)

    assert isinstance(frame, VideoFrame)
    assert frame.source_id == ""
    error = refused(text, Role.GATEWAY)
    assert (error.where, error.refusal) == ("source_id", Refusal.MISSING_MEMBER)


@pytest.mark.parametrize(
    ("sender", "data", "where", "refusal"),
    [
        (Role.VIEWER, "", "message", Refusal.NOT_JSON),
        (Role.VIEWER, "{", "message", Refusal.NOT_JSON),
        (Role.VIEWER, "\ufeff{}", "message", Refusal.NOT_JSON),
        (Role.VIEWER, '{"type":"auth","api_key":"\n"}', "message", Refusal.NOT_JSON),
        (Role.VIEWER, '{"a":' + "9" * 5000 + "}", "message", Refusal.NOT_JSON),
        (Role.VIEWER, "[]", "message", Refusal.NOT_AN_OBJECT),
        (Role.VIEWER, '"auth"', "message", Refusal.NOT_AN_OBJECT),
        (Role.VIEWER, "{}", "type", Refusal.NO_TYPE),
        (Role.VIEWER, '{"type":1}', "type", Refusal.NO_TYPE),
        (Role.VIEWER, '{"type":"auth"}', "api_key", Refusal.MISSING_MEMBER),
        (Role.VIEWER, '{"type":"auth","api_key":null}', "api_key", Refusal.WRONG_TYPE),
        (Role.VIEWER, '{"type":"auth","api_key":"\\ud800"}', "api_key", Refusal.NOT_UNICODE),
        (Role.VIEWER, b'{"type":"auth","api_key":"a"}', "message", Refusal.BINARY),
        (Role.GATEWAY, b"", "message", Refusal.BINARY),
        (Role.GATEWAY, '{"type":"init"}', "online_sources", Refusal.MISSING_MEMBER),
        (Role.GATEWAY, '{"type":"init","online_sources":{}}', "online_sources", Refusal.WRONG_TYPE),
        (
            Role.GATEWAY,
            '{"type":"init","online_sources":["a"]}',
            "online_sources",
            Refusal.WRONG_TYPE,
        ),
        (
            Role.GATEWAY,
            '{"type":"init","online_sources":[{"source_id":"a"}]}',
            "cameras",
            Refusal.MISSING_MEMBER,
        ),
        (
            Role.GATEWAY,
            '{"type":"init","online_sources":[{"source_id":"a","cameras":"front"}]}',
            "cameras",
            Refusal.WRONG_TYPE,
        ),
        (
            Role.GATEWAY,
            '{"type":"init","online_sources":[{"source_id":"a","cameras":[1]}]}',
            "cameras",
            Refusal.WRONG_TYPE,
        ),
        (Role.GATEWAY, '{"type":"error","code":true}', "code", Refusal.WRONG_TYPE),
        (Role.GATEWAY, '{"type":"error","code":"a","detail":[1]}', "detail", Refusal.WRONG_TYPE),
        (Role.DEVICE, '{"type":"video_frame"}', "camera_id", Refusal.MISSING_MEMBER),
        (
            Role.DEVICE,
            f'{{"type":"video_frame","camera_id":"a","frame":1,{SIZES}}}',
            "frame",
            Refusal.WRONG_TYPE,
        ),
        (
            Role.DEVICE,
            f'{{"type":"video_frame","camera_id":"a","frame":"/9j",{SIZES}}}',
            "frame",
            Refusal.NOT_BASE64,
        ),
        (
            Role.DEVICE,
            f'{{"type":"video_frame","camera_id":"a","frame":"iVBORw==",{SIZES}}}',
            "jpeg",
            Refusal.NOT_JPEG,
        ),
        (
            Role.DEVICE,
            f'{{"type":"video_frame","camera_id":"a",{PICTURE},"width":0.5,"height":0,"timestamp":0}}',
            "width",
            Refusal.WRONG_TYPE,
        ),
        (
            Role.DEVICE,
            '{"type":"device_auth","api_key":"a","source_id":"Robot"}',
            "source_id",
            Refusal.BAD_SOURCE_ID,
        ),
        (Role.DEVICE, '{"type":"heartbeat","source_id":1}', "source_id", Refusal.WRONG_TYPE),
    ],
)
def test_message_that_is_wrong_is_refused_by_name(
    sender: Role, data: str | bytes, where: str, refusal: Refusal
) -> None:
    error = refused(data, sender)

    assert (error.where, error.refusal) == (where, refusal)


@pytest.mark.parametrize("letter", ["a", "ä", "😀"])
@pytest.mark.parametrize("sender", [Role.VIEWER, Role.DEVICE])
def test_message_of_a_peer_is_read_up_to_the_limit_in_bytes(sender: Role, letter: str) -> None:
    """PW-LIM-2, PW-LIM-3: the limit counts bytes of UTF-8, not characters."""
    frame = '{"type":"x","a":""}'
    letters, rest = divmod(MAX_MESSAGE_BYTES - len(frame), len(letter.encode()))
    filling = letter * letters + "." * rest

    assert isinstance(read(f'{{"type":"x","a":"{filling}"}}', sender), Unknown)
    error = refused(f'{{"type":"x","a":"{filling}."}}', sender)
    assert (error.where, error.refusal) == ("message", Refusal.TOO_LARGE)


def test_binary_message_of_a_device_over_the_limit_is_refused_unread() -> None:
    """PW-LIM-3."""
    assert refused(bytes(MAX_MESSAGE_BYTES + 1), Role.DEVICE).refusal is Refusal.TOO_LARGE
    assert refused(bytes(MAX_MESSAGE_BYTES), Role.DEVICE).refusal is Refusal.UNKNOWN_VERSION


def test_message_of_the_gateway_has_no_limit() -> None:
    cameras = [f"camera {n}" for n in range(100_000)]
    init = Init(online_sources=[OnlineSource(source_id="a", cameras=cameras)])

    assert decode(encode(init), sender=Role.GATEWAY) == init


@given(st.data())
def test_message_that_belongs_to_another_role_is_unknown(data: st.DataObject) -> None:
    """A viewer that says `init` is no gateway."""
    speaker, sender = data.draw(st.permutations(list(Role)))[:2]
    message = data.draw(wire.messages(speaker))

    taken = read(encode(message), sender)

    name = message.name if isinstance(message, Unknown) else message.type
    known = {kind.type for kind in wire.VOCABULARY[sender]}
    assert isinstance(taken, Unknown) is (name not in known)
