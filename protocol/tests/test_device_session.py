"""The device's end, by example."""

from math import inf

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import (
    AnswerMissing,
    Authenticated,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DeviceSession,
    ErrorReport,
    Heartbeat,
    LocalProtocolError,
    MessageIgnored,
    MessageReceived,
    MessageRefused,
    PeerViolated,
    Role,
    State,
    UnexpectedMessage,
    Unknown,
    VideoFrame,
    decode,
    encode,
    encode_device_frame,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import (
    ANSWER_DEADLINE_S,
    HEARTBEAT_INTERVAL_S,
    MAX_JPEG_BYTES,
    MAX_MESSAGE_BYTES,
)

AUTH = DeviceAuth(api_key="plx_1", source_id="robot-01", extra={"agent_version": "1.0"})
AUTHENTICATED = Authenticated(source_id="robot-01", server_time_ms=1_746_100_800_000)
FRAME = VideoFrame(
    source_id="robot-01",
    camera_id="front",
    jpeg=b"\xff\xd8\xff",
    width=640,
    height=480,
    timestamp=1_746_969_660_000,
)
THERMAL = evolve(FRAME, extra={"video_type": "thermal", "temps": [20.5, 21.0]})
HEARTBEAT = '{"type":"heartbeat","source_id":"robot-01","agent_version":"1.0"}'


def device(state: State) -> DeviceSession:
    """Return a device in *state*; all that led there happened at 0 s."""
    session = DeviceSession(agent_version="1.0", now=0.0)
    if state is not State.AWAITING_AUTH:
        session.send(AUTH, now=0.0)
    if state is State.STREAMING:
        session.receive(encode(AUTHENTICATED), now=0.0)
    session.take_outbox()
    return session


def test_device_lives_like_this() -> None:
    session = DeviceSession(agent_version="1.0", now=0.0)
    session.send(AUTH, now=0.1)
    assert session.take_outbox() == [encode(AUTH)]
    assert repr(session) == "<DeviceSession checking key>"

    assert session.receive(encode(AUTHENTICATED), now=0.2) == [MessageReceived(AUTHENTICATED)]
    assert repr(session) == "<DeviceSession streaming>"

    session.send(FRAME, now=0.3)
    session.send(THERMAL, now=0.4)
    assert session.take_outbox() == [encode_device_frame(FRAME), encode(THERMAL)]

    assert session.handle_timeout(now=30.2) == []
    assert session.take_outbox() == [HEARTBEAT]

    over = Close(CloseCode.NORMAL, "done")
    assert session.close(reason="done", now=31.0) == [ConversationClosed(over, Role.DEVICE)]
    assert session.take_outbox() == [over]


@given(st.lists(wire.video_frames(), max_size=6))
def test_device_sends_frames_as_they_are_whichever_form_they_need(
    frames: list[VideoFrame],
) -> None:
    """PW-BIN-1, PW-TXT-1."""
    session = device(State.STREAMING)
    for frame in frames:
        session.send(frame, now=1.0)

    sent = session.take_outbox()

    assert [isinstance(item, str) for item in sent] == [bool(frame.extra) for frame in frames]
    assert [decode(i, sender=Role.DEVICE) for i in sent if not isinstance(i, Close)] == frames


# ── limits ───────────────────────────────────────────────────────────────────────────────────


def test_device_sends_a_message_up_to_the_limit_and_none_over_it() -> None:
    """PW-LIM-1, PW-LIM-2, PW-LIM-5."""
    session = device(State.STREAMING)
    room = MAX_MESSAGE_BYTES - len(encode_device_frame(FRAME)) + len(FRAME.jpeg)

    session.send(evolve(FRAME, jpeg=b"\xff\xd8" + bytes(room - 2)), now=1.0)
    session.send(evolve(THERMAL, jpeg=b"\xff\xd8" + bytes(MAX_JPEG_BYTES - 2)), now=1.0)
    with pytest.raises(LocalProtocolError, match="1048577 bytes, over 1048576"):
        session.send(evolve(FRAME, jpeg=b"\xff\xd8" + bytes(room - 1)), now=1.0)

    first, second = session.take_outbox()
    assert isinstance(first, bytes)
    assert isinstance(second, str)
    assert len(first) == MAX_MESSAGE_BYTES > len(second) > MAX_JPEG_BYTES * 4 // 3


def test_device_whose_auth_is_too_long_may_try_a_shorter_one() -> None:
    session = device(State.AWAITING_AUTH)

    with pytest.raises(LocalProtocolError, match="PW-LIM-5"):
        session.send(evolve(AUTH, extra={"sensors": "x" * MAX_MESSAGE_BYTES}), now=0.0)
    session.send(AUTH, now=0.0)

    assert session.take_outbox() == [encode(AUTH)]


# ── heartbeats ───────────────────────────────────────────────────────────────────────────────


@given(st.floats(0, 1e6))
def test_device_beats_once_however_late_it_is_woken(late: float) -> None:
    """PW-DEV-13."""
    session = device(State.STREAMING)
    due = HEARTBEAT_INTERVAL_S + late

    assert session.handle_timeout(now=due) == []

    assert session.take_outbox() == [HEARTBEAT]
    assert session.next_deadline() == due + HEARTBEAT_INTERVAL_S


def test_device_that_receives_something_beats_if_it_is_time() -> None:
    session = device(State.STREAMING)

    session.receive('{"type":"telemetry_ack","seq":1}', now=HEARTBEAT_INTERVAL_S)

    assert session.take_outbox() == [HEARTBEAT]


def test_device_does_not_beat_before_it_is_in() -> None:
    assert device(State.AWAITING_AUTH).next_deadline() == inf
    session = device(State.CHECKING_KEY)
    session.handle_timeout(now=ANSWER_DEADLINE_S - 0.1)
    assert session.take_outbox() == []


# ── the answer ───────────────────────────────────────────────────────────────────────────────


def test_device_gives_up_when_its_auth_is_not_answered_in_time() -> None:
    """PW-DEV-14."""
    session = device(State.CHECKING_KEY)

    violated, closed = session.handle_timeout(now=ANSWER_DEADLINE_S)

    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, AnswerMissing)
    assert str(violated.error) == "no answer within 10 s of the auth [PW-DEV-14]"
    close = Close(CloseCode.PROTOCOL_ERROR, "PW-DEV-14")
    assert closed == ConversationClosed(close, Role.DEVICE)
    assert session.take_outbox() == [close]


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.CHECKING_KEY])
def test_device_that_is_refused_tells_why_and_closes(state: State) -> None:
    """PW-DEV-5: also when the gateway did not wait for the auth any longer."""
    session = device(state)
    error = ErrorReport(code="unauthorized", detail="the key is not accepted")

    events = session.receive(encode(error), now=1.0)

    close = Close(CloseCode.NORMAL, "refused")
    assert events == [MessageReceived(error), ConversationClosed(close, Role.DEVICE)]
    assert session.take_outbox() == [close]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ('{"type":"welcome"}', "it is not `authenticated`"),
        ('{"type":"heartbeat"}', "it is not `authenticated`"),
        ('{"type":"authenticated"}', "source_id is missing"),
        ("authenticated", "message is not JSON"),
        (b"\x01", "message must be text; only frames of devices are binary"),
    ],
)
def test_device_takes_any_other_first_answer_as_a_refusal(
    answer: str | bytes, problem: str
) -> None:
    """PW-DEV-14."""
    session = device(State.CHECKING_KEY)

    violated, closed = session.receive(answer, now=1.0)

    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, UnexpectedMessage)
    assert violated.error.problem == f"the answer to the auth: {problem}"
    assert closed == ConversationClosed(Close(CloseCode.PROTOCOL_ERROR, "PW-DEV-14"), Role.DEVICE)


@pytest.mark.parametrize(("now", "in_time"), [(9.999, True), (10.0, False)])
def test_device_takes_an_answer_until_just_before_the_deadline(now: float, in_time: bool) -> None:
    session = device(State.CHECKING_KEY)

    session.receive(encode(AUTHENTICATED), now=now)

    assert session.state is (State.STREAMING if in_time else State.CLOSED)


# ── while it streams ─────────────────────────────────────────────────────────────────────────


def test_device_that_streams_is_told_of_errors_and_goes_on() -> None:
    """PW-DEV-5."""
    session = device(State.STREAMING)
    error = ErrorReport(code="rate_limited")

    assert session.receive(encode(error), now=1.0) == [MessageReceived(error)]
    assert session.state is State.STREAMING


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.STREAMING])
@given(wire.unknowns(Role.GATEWAY))
def test_device_ignores_what_it_does_not_know(state: State, message: Unknown) -> None:
    session = device(state)

    assert session.receive(encode(message), now=0.0) == [MessageIgnored(message)]


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.STREAMING])
def test_device_passes_over_what_it_cannot_read(state: State) -> None:
    session = device(state)

    (event,) = session.receive("?", now=0.0)

    assert isinstance(event, MessageRefused)
    assert session.state is not State.CLOSED


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.STREAMING])
def test_device_closes_when_it_is_authenticated_unasked(state: State) -> None:
    """PW-DEV-2."""
    session = device(state)

    violated, closed = session.receive(encode(AUTHENTICATED), now=0.0)

    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, UnexpectedMessage)
    assert closed == ConversationClosed(Close(CloseCode.PROTOCOL_ERROR, "PW-DEV-2"), Role.DEVICE)


def test_device_beats_without_a_version_if_it_has_none() -> None:
    session = DeviceSession(now=0.0)
    session.send(AUTH, now=0.0)
    session.receive(encode(AUTHENTICATED), now=0.0)
    session.take_outbox()
    session.handle_timeout(now=30.0)

    assert session.take_outbox() == [encode(Heartbeat(source_id="robot-01"))]
