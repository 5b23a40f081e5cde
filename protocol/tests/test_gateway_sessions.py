"""The gateway's two ends, by example."""

from collections.abc import Iterator
from math import inf

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import (
    AnyMessage,
    Auth,
    Authenticated,
    AuthReceived,
    AuthViolation,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    EncodedFrame,
    ErrorReport,
    Event,
    GatewayDeviceSession,
    GatewayReconnecting,
    GatewayViewerSession,
    Heartbeat,
    Init,
    LocalProtocolError,
    MessageIgnored,
    MessageReceived,
    MessageRefused,
    OnlineSource,
    Outgoing,
    PeerViolated,
    Refusal,
    Role,
    State,
    StreamAddress,
    Unknown,
    VideoFrame,
    encode,
    encode_device_frame,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import AUTH_DEADLINE_S, MAX_MESSAGE_BYTES

ADDRESS = StreamAddress(source_id="drone-01", cameras=("front", "rear"))
AUTH = Auth(api_key="plx_1")
ONLINE = [OnlineSource(source_id="drone-01", cameras=["front"])]
INIT = Init(online_sources=ONLINE)
DEVICE_AUTH = DeviceAuth(api_key="plx_2", source_id="drone-01", extra={"platform": "python-sdk"})
FRAME = VideoFrame(
    source_id="drone-01",
    camera_id="front",
    jpeg=b"\xff\xd8\xff",
    width=640,
    height=480,
    timestamp=1_746_969_660_000,
)
RECONNECTING = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)


def to_viewer(state: State) -> GatewayViewerSession:
    """Return the end towards a viewer in *state*; all that led there happened at 0 s."""
    session = GatewayViewerSession(ADDRESS, now=0.0)
    if state is not State.AWAITING_AUTH:
        session.receive(encode(AUTH), now=0.0)
    if state is State.STREAMING:
        session.grant(ONLINE, now=0.0)
    session.take_outbox()
    return session


def to_device(state: State) -> GatewayDeviceSession:
    """Return the end towards a device in *state*; all that led there happened at 0 s."""
    session = GatewayDeviceSession(now=0.0)
    if state is not State.AWAITING_AUTH:
        session.receive(encode(DEVICE_AUTH), now=0.0)
    if state is State.STREAMING:
        session.grant(server_time_ms=0, now=0.0)
    session.take_outbox()
    return session


def assert_turned_away(
    session: GatewayViewerSession | GatewayDeviceSession, events: list[Event], clause: str
) -> list[Outgoing]:
    """Assert that *events* are those of a refused auth, and return what was sent before the close."""
    violated, closed = events
    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, AuthViolation)
    assert violated.error.clause == clause
    close = Close(CloseCode.UNAUTHORIZED, clause)
    assert closed == ConversationClosed(close, Role.GATEWAY)
    *said, last = session.take_outbox()
    assert last == close
    return said


# ── a viewer ─────────────────────────────────────────────────────────────────────────────────


def test_gateway_serves_a_viewer_like_this() -> None:
    session = GatewayViewerSession(evolve(ADDRESS, timeout=60), now=0.0)
    assert session.address.cameras == ("front", "rear")

    (event,) = session.receive(encode(AUTH), now=1.0)
    assert event == AuthReceived(AUTH)
    assert isinstance(event, AuthReceived)
    assert event.api_key == "plx_1"

    session.grant(ONLINE, now=1.5)
    assert session.take_outbox() == [encode(INIT)]

    encoded = EncodedFrame.of(FRAME)
    session.send(encoded, now=2.0)
    session.send(FRAME, now=2.1)
    session.send(RECONNECTING, now=2.2)
    first, *others = session.take_outbox()
    assert first is encoded.text
    assert others == [encode(FRAME), encode(RECONNECTING)]

    over = Close(CloseCode.TIMEOUT, "PW-TIME-1")
    assert session.handle_timeout(now=61.5) == [ConversationClosed(over, Role.GATEWAY)]
    assert session.take_outbox() == [over]


@given(st.floats(0, 9.99), st.integers(1, 10**6), st.floats(0, 30))
def test_gateway_counts_the_timeout_from_the_init(
    authenticated: float, timeout: int, checking: float
) -> None:
    """PW-TIME-1, PW-TIME-2, PW-TIME-4."""
    session = GatewayViewerSession(evolve(ADDRESS, timeout=timeout), now=0.0)
    session.receive(encode(AUTH), now=authenticated)
    assert session.next_deadline() == inf  # how long a key is checked is the embedder's affair
    session.grant(ONLINE, now=authenticated + checking)

    assert session.next_deadline() == authenticated + checking + timeout


def test_gateway_without_a_timeout_streams_for_ever() -> None:
    """PW-TIME-6."""
    assert to_viewer(State.STREAMING).next_deadline() == inf


@pytest.mark.parametrize(
    ("now", "in_time"), [(0.0, True), (9.999, True), (10.0, False), (10.001, False), (60, False)]
)
def test_gateway_takes_an_auth_until_just_before_the_deadline(now: float, in_time: bool) -> None:
    """PW-AUTH-2, PW-AUTH-3, PW-AUTH-4: at 10 s exactly it is too late."""
    session = to_viewer(State.AWAITING_AUTH)
    assert session.next_deadline() == AUTH_DEADLINE_S

    events = session.receive(encode(AUTH), now=now)

    if in_time:
        assert events == [AuthReceived(AUTH)]
    else:
        assert assert_turned_away(session, events, "PW-AUTH-3") == []


def test_gateway_closes_a_silent_viewer_at_the_deadline() -> None:
    """PW-AUTH-3."""
    session = to_viewer(State.AWAITING_AUTH)

    events = session.handle_timeout(now=AUTH_DEADLINE_S)

    assert assert_turned_away(session, events, "PW-AUTH-3") == []


@pytest.mark.parametrize(
    ("data", "clause"),
    [
        ("", "PW-AUTH-6"),
        ("[]", "PW-AUTH-6"),
        ("{}", "PW-AUTH-6"),
        ('{"type":"auth"}', "PW-AUTH-6"),
        ('{"type":"auth","api_key":1}', "PW-AUTH-6"),
        ('{"api_key":"plx_1"}', "PW-AUTH-6"),
        (encode(AUTH).encode(), "PW-AUTH-12"),
        (" " * (MAX_MESSAGE_BYTES + 1), "PW-LIM-3"),
        (encode(INIT), "PW-AUTH-5"),
        (encode(DEVICE_AUTH), "PW-AUTH-5"),
        ('{"type":"Auth","api_key":"plx_1"}', "PW-AUTH-5"),
    ],
)
def test_gateway_closes_a_viewer_whose_first_message_is_no_proper_auth(
    data: str | bytes, clause: str
) -> None:
    """PW-AUTH-5, PW-AUTH-6, PW-AUTH-10: at once, and without a word."""
    session = to_viewer(State.AWAITING_AUTH)

    assert assert_turned_away(session, session.receive(data, now=0.5), clause) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CloseCode.UNAUTHORIZED, "the key is not accepted"),
        (CloseCode.NO_API_ACCESS, "the plan does not include API access"),
        (CloseCode.INTERNAL_ERROR, "the key could not be checked"),
        (CloseCode.GOING_AWAY, ""),
    ],
)
def test_gateway_refuses_a_viewer_with_the_code_that_fits(code: CloseCode, reason: str) -> None:
    """PW-AUTH-7, PW-AUTH-8, PW-AUTH-9, PW-CLOSE-1."""
    session = to_viewer(State.CHECKING_KEY)

    events = session.refuse(code, now=1.0)

    close = Close(code, reason)
    assert events == [ConversationClosed(close, Role.GATEWAY)]
    assert session.take_outbox() == [close]


@pytest.mark.parametrize("state", [State.CHECKING_KEY, State.STREAMING])
@given(wire.messages(Role.VIEWER))
def test_gateway_ignores_what_a_viewer_says_after_its_auth(
    state: State, message: AnyMessage
) -> None:
    """PW-AUTH-13."""
    session = to_viewer(state)

    assert session.receive(encode(message), now=1.0) == [MessageIgnored(message)]
    assert session.state is state


@pytest.mark.parametrize("state", [State.CHECKING_KEY, State.STREAMING])
def test_gateway_passes_over_what_it_cannot_read_after_the_auth(state: State) -> None:
    session = to_viewer(state)

    (event,) = session.receive(b"\x00", now=1.0)

    assert isinstance(event, MessageRefused)
    assert event.error.refusal is Refusal.BINARY


def test_gateway_sends_nothing_to_a_viewer_before_its_init() -> None:
    """PW-INIT-3, PW-AUTH-10."""
    for session in (to_viewer(State.AWAITING_AUTH), to_viewer(State.CHECKING_KEY)):
        for message in (FRAME, EncodedFrame.of(FRAME), RECONNECTING):
            with pytest.raises(LocalProtocolError, match="PW-INIT-3"):
                session.send(message, now=1.0)
        assert session.take_outbox() == []


def test_gateway_sends_one_init() -> None:
    """PW-INIT-1."""
    session = to_viewer(State.STREAMING)

    with pytest.raises(LocalProtocolError, match="can't send init while streaming"):
        session.grant(ONLINE, now=1.0)


# ── a device ─────────────────────────────────────────────────────────────────────────────────


def test_gateway_serves_a_device_like_this() -> None:
    session = GatewayDeviceSession(now=0.0)
    assert session.source_id == ""

    assert session.receive(encode(DEVICE_AUTH), now=0.5) == [AuthReceived(DEVICE_AUTH)]
    assert session.source_id == "drone-01"

    session.grant(server_time_ms=1_746_100_800_000, now=0.6)
    answer = Authenticated(source_id="drone-01", server_time_ms=1_746_100_800_000)
    assert session.take_outbox() == [encode(answer)]
    assert session.next_deadline() == inf

    assert session.receive(encode_device_frame(FRAME), now=0.7) == [MessageReceived(FRAME)]
    assert session.receive(encode(FRAME), now=0.8) == [MessageReceived(FRAME)]
    assert session.receive(encode(Heartbeat()), now=0.9) == [MessageIgnored(Heartbeat())]

    session.report(ErrorReport(code="rate_limited"), now=1.0)
    assert session.take_outbox() == ['{"type":"error","code":"rate_limited","detail":""}']

    over = Close(CloseCode.GOING_AWAY)
    assert session.close(over.code, now=2.0) == [ConversationClosed(over, Role.GATEWAY)]


@given(wire.video_frames())
def test_gateway_goes_by_the_authenticated_source_alone(frame: VideoFrame) -> None:
    """PW-BIN-2, PW-THERM-1: and leaves everything else as it came."""
    session = to_device(State.STREAMING)
    data = encode(frame) if frame.extra else encode_device_frame(frame)

    (event,) = session.receive(data, now=1.0)

    assert event == MessageReceived(evolve(frame, source_id="drone-01"))


@pytest.mark.parametrize(("now", "in_time"), [(9.999, True), (10.0, False), (3600.0, False)])
def test_gateway_takes_a_device_auth_until_just_before_the_deadline(
    now: float, in_time: bool
) -> None:
    """PW-DEV-11."""
    session = to_device(State.AWAITING_AUTH)

    events = session.receive(encode(DEVICE_AUTH), now=now)

    if in_time:
        assert events == [AuthReceived(DEVICE_AUTH)]
    else:
        report = ErrorReport(code="unauthorized", detail="no auth within 10 s")
        assert assert_turned_away(session, events, "PW-DEV-11") == [encode(report)]
        assert session.source_id == ""


@pytest.mark.parametrize(
    ("data", "detail", "clause"),
    [
        ("", "message is not JSON", "PW-TXT-2"),
        ('{"type":"device_auth","source_id":"a"}', "api_key is missing", "PW-DEV-1"),
        (encode(AUTH), "the first message was not the auth", "PW-DEV-1"),
        (encode(FRAME), "the first message was not the auth", "PW-DEV-1"),
        (encode_device_frame(FRAME), "the first message was not the auth", "PW-DEV-1"),
    ],
)
def test_gateway_tells_a_device_what_was_wrong_with_its_auth_and_closes(
    data: str | bytes, detail: str, clause: str
) -> None:
    """PW-DEV-5."""
    session = to_device(State.AWAITING_AUTH)

    (said,) = assert_turned_away(session, session.receive(data, now=0.5), clause)

    assert said == encode(ErrorReport(code="unauthorized", detail=detail))


@pytest.mark.parametrize(
    ("code", "name", "detail"),
    [
        (CloseCode.UNAUTHORIZED, "unauthorized", "the key is not accepted"),
        (CloseCode.INTERNAL_ERROR, "internal_error", "the key could not be checked"),
        (CloseCode.GOING_AWAY, "going_away", "refused"),
    ],
)
def test_gateway_refuses_a_device_with_an_error_and_a_close(
    code: CloseCode, name: str, detail: str
) -> None:
    """PW-DEV-4, PW-DEV-5."""
    session = to_device(State.CHECKING_KEY)

    events = session.refuse(code, now=1.0)

    close = Close(code, detail)
    assert events == [ConversationClosed(close, Role.GATEWAY)]
    assert session.take_outbox() == [encode(ErrorReport(code=name, detail=detail)), close]
    assert session.receive(encode_device_frame(FRAME), now=1.1) == []


def test_gateway_does_not_tell_of_frames_before_the_device_is_in() -> None:
    """PW-DEV-4."""
    session = to_device(State.CHECKING_KEY)

    (event,) = session.receive(encode_device_frame(FRAME), now=1.0)

    assert event == MessageIgnored(FRAME)


def test_gateway_ignores_a_second_auth_of_a_device() -> None:
    session = to_device(State.STREAMING)
    other = evolve(DEVICE_AUTH, source_id="drone-02")

    assert session.receive(encode(other), now=1.0) == [MessageIgnored(other)]
    assert session.source_id == "drone-01"


@pytest.mark.parametrize(
    "name", ["telemetry", "command_result", "command_status", "command_sync", "hologram"]
)
def test_gateway_ignores_what_devices_send_beside_video(name: str) -> None:
    """PW-DEV-7, PW-DEV-9."""
    message = Unknown(name=name, members={"points": [1]})

    assert to_device(State.STREAMING).receive(encode(message), now=1.0) == [MessageIgnored(message)]


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", Refusal.TRUNCATED),
        (b"\x02", Refusal.UNKNOWN_VERSION),
        # The source is known from the auth; a frame whose own one is no text is malformed all the same.
        (b"\x01\x01\xff" + encode_device_frame(FRAME)[10:], Refusal.NOT_UNICODE),
        (encode(FRAME).replace('"drone-01"', "7"), Refusal.WRONG_TYPE),
        (encode(FRAME).replace('"drone-01"', '"\\ud800"'), Refusal.NOT_UNICODE),
        ('{"type":"video_frame"}', Refusal.MISSING_MEMBER),
        ("{", Refusal.NOT_JSON),
        (bytes(MAX_MESSAGE_BYTES + 1), Refusal.TOO_LARGE),
    ],
)
def test_gateway_drops_a_frame_that_it_cannot_read_and_keeps_the_device(
    data: str | bytes, refusal: Refusal
) -> None:
    """PW-BIN-4, PW-TXT-2, PW-LIM-3."""
    session = to_device(State.STREAMING)

    (event,) = session.receive(data, now=1.0)

    assert isinstance(event, MessageRefused)
    assert event.error.refusal is refusal
    assert session.receive(encode_device_frame(FRAME), now=1.1) == [MessageReceived(FRAME)]


@pytest.mark.parametrize("by_close", [True, False])
def test_gateway_may_grant_or_refuse_a_peer_that_has_left_meanwhile(by_close: bool) -> None:
    """A key check takes its time, and nobody has to look before it answers."""
    viewer, device = to_viewer(State.CHECKING_KEY), to_device(State.CHECKING_KEY)
    for session in (viewer, device):
        if by_close:
            session.receive_close(CloseCode.ABNORMAL, now=1.0)
        else:
            session.close(CloseCode.GOING_AWAY, now=1.0)
        session.take_outbox()

    viewer.grant([], now=2.0)
    device.grant(server_time_ms=0, now=2.0)

    for session in (viewer, device):
        assert session.refuse(now=2.0) == []
        assert (session.state, session.take_outbox()) == (State.CLOSED, [])


def test_gateway_whose_own_answer_is_malformed_sends_nothing_and_stays() -> None:
    def online() -> Iterator[OnlineSource]:
        yield OnlineSource(source_id="drone-01", cameras=["\ud800"])

    device, viewer = to_device(State.CHECKING_KEY), to_viewer(State.CHECKING_KEY)

    with pytest.raises(LocalProtocolError, match="server_time_ms must be from"):
        device.grant(server_time_ms=2**63, now=1.0)
    with pytest.raises(LocalProtocolError, match="lone surrogate"):
        viewer.grant(online(), now=1.0)
    with pytest.raises(LocalProtocolError, match="must hold sources"):
        viewer.grant(["drone-01"], now=1.0)  # type: ignore[list-item]
    with pytest.raises(LocalProtocolError, match="not iterable"):
        viewer.grant(None, now=1.0)  # type: ignore[arg-type]

    for session in (device, viewer):
        assert (session.state, session.take_outbox()) == (State.CHECKING_KEY, [])
