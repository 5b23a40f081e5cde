"""The viewer's end, by example."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import (
    AnswerMissing,
    AnyMessage,
    Auth,
    Close,
    CloseCode,
    ConversationClosed,
    GatewayReconnecting,
    Init,
    LocalProtocolError,
    MessageIgnored,
    MessageReceived,
    MessageRefused,
    OnlineSource,
    PeerViolated,
    Refusal,
    Role,
    State,
    Unknown,
    VideoFrame,
    ViewerSession,
    encode,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import ANSWER_DEADLINE_S

AUTH = Auth(api_key="plx_1")
INIT = Init(online_sources=[OnlineSource(source_id="drone-01", cameras=["front"])])
FRAME = VideoFrame(
    source_id="drone-01",
    camera_id="front",
    jpeg=b"\xff\xd8\xff",
    width=640,
    height=480,
    timestamp=1_746_969_660_000,
)
OPEN = (State.AWAITING_AUTH, State.CHECKING_KEY, State.STREAMING)
RECONNECTING = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)


def viewer(state: State) -> ViewerSession:
    """Return a viewer in *state*; all that led there happened at 0 s."""
    session = ViewerSession(now=0.0)
    if state is not State.AWAITING_AUTH:
        session.send(AUTH, now=0.0)
    if state is State.STREAMING:
        session.receive(encode(INIT), now=0.0)
    session.take_outbox()
    return session


def test_viewer_lives_like_this() -> None:
    session = ViewerSession(now=0.0)
    session.send(AUTH, now=0.1)
    assert session.take_outbox() == ['{"type":"auth","api_key":"plx_1"}']
    assert repr(session) == "<ViewerSession checking key>"

    assert session.receive(encode(INIT), now=0.2) == [MessageReceived(INIT)]
    assert repr(session) == "<ViewerSession streaming>"

    assert session.receive(encode(FRAME), now=0.3) == [MessageReceived(FRAME)]
    assert session.receive(encode(RECONNECTING), now=0.4) == [MessageReceived(RECONNECTING)]

    over = ConversationClosed(Close(CloseCode.TIMEOUT, "PW-TIME-1"), Role.GATEWAY)
    assert session.receive_close(4008, "PW-TIME-1", now=60.2) == [over]
    assert over.close.may_retry
    assert repr(session) == "<ViewerSession closed>"
    assert session.take_outbox() == []


@given(st.lists(wire.video_frames() | wire.gateway_reconnectings(), max_size=10))
def test_viewer_tells_of_everything_in_order(messages: list[AnyMessage]) -> None:
    session = viewer(State.STREAMING)

    events = [event for m in messages for event in session.receive(encode(m), now=1.0)]

    assert events == [MessageReceived(message) for message in messages]


def test_viewer_sends_its_auth_once() -> None:
    """PW-AUTH-1."""
    session = viewer(State.CHECKING_KEY)

    with pytest.raises(LocalProtocolError, match="can't send auth while checking key"):
        session.send(AUTH, now=0.0)


# ── the answer that does not come ────────────────────────────────────────────────────────────


def test_viewer_gives_up_when_no_init_came_in_time() -> None:
    """PW-VIEW-4."""
    session = ViewerSession(now=0.0)
    assert session.next_deadline() == inf
    session.send(AUTH, now=3.0)
    assert session.next_deadline() == 3.0 + ANSWER_DEADLINE_S
    session.take_outbox()

    violated, closed = session.handle_timeout(now=13.0)

    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, AnswerMissing)
    assert str(violated.error) == "no init within 10 s of the auth [PW-VIEW-4]"
    close = Close(CloseCode.PROTOCOL_ERROR, "PW-VIEW-4")
    assert closed == ConversationClosed(close, Role.VIEWER)
    assert session.take_outbox() == [close]


@pytest.mark.parametrize(("now", "in_time"), [(9.999, True), (10.0, False), (11.0, False)])
def test_viewer_takes_an_init_until_just_before_the_deadline(now: float, in_time: bool) -> None:
    session = viewer(State.CHECKING_KEY)

    events = session.receive(encode(INIT), now=now)

    assert (MessageReceived(INIT) in events) is in_time
    assert session.state is (State.STREAMING if in_time else State.CLOSED)


def test_viewer_that_streams_waits_for_ever() -> None:
    assert viewer(State.STREAMING).next_deadline() == inf


# ── what should not come ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.CHECKING_KEY])
def test_viewer_never_closes_because_the_gateway_reconnects(state: State) -> None:
    """PW-RECON-2: not even before its init."""
    session = viewer(state)

    assert session.receive(encode(RECONNECTING), now=0.0) == [MessageIgnored(RECONNECTING)]
    assert session.state is state


@pytest.mark.parametrize("state", OPEN)
@given(wire.unknowns(Role.GATEWAY))
def test_viewer_ignores_what_it_does_not_know(state: State, message: Unknown) -> None:
    """PW-VIEW-1."""
    session = viewer(state)

    assert session.receive(encode(message), now=0.0) == [MessageIgnored(message)]
    assert session.state is state


@pytest.mark.parametrize("state", OPEN)
def test_viewer_passes_over_what_it_cannot_read(state: State) -> None:
    """PW-VIEW-3."""
    session = viewer(state)

    (event,) = session.receive('{"type":"video_frame"}', now=0.0)

    assert isinstance(event, MessageRefused)
    assert event.error.refusal is Refusal.MISSING_MEMBER
    assert session.state is state


# ── after the end ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "may_retry"), [(4001, False), (4002, False), (4008, True), (1006, True), (1011, True)]
)
def test_viewer_learns_whether_to_come_back(code: int, may_retry: bool) -> None:
    """PW-VIEW-2, PW-TIME-3."""
    (event,) = viewer(State.STREAMING).receive_close(code, now=1.0)

    assert isinstance(event, ConversationClosed)
    assert event.close.may_retry is may_retry


def test_viewer_that_left_hears_nothing_more() -> None:
    session = viewer(State.STREAMING)
    session.close(CloseCode.GOING_AWAY, "the page was left", now=1.0)

    assert session.receive(encode(FRAME), now=1.1) == []
    assert session.take_outbox() == [Close(CloseCode.GOING_AWAY, "the page was left")]
    with pytest.raises(LocalProtocolError, match="while closed"):
        session.send(AUTH, now=1.2)
