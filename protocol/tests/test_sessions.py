"""What the four sessions have in common, held against the tables."""

import copy
import traceback
from collections.abc import Callable
from functools import cache, partial
from math import inf, isfinite, nan, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

#: When everything begins here, in seconds on the caller's clock.
from session_bench import (
    AUTH,
    DEVICE_AUTH,
    ENDS,
    FRAME,
    KEY,
    MESSAGES,
    NOW,
    End,
    any_end,
    any_open_state,
    each_end,
    each_open_state,
    each_state,
    say,
)

from plexwire_protocol import (
    Authenticated,
    AuthReceived,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceSession,
    ErrorReport,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    Heartbeat,
    Init,
    LocalProtocolError,
    MessageRefused,
    Outgoing,
    PeerViolated,
    Role,
    Session,
    State,
    ViewerSession,
    decode,
    encode,
    encode_device_frame,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import MAX_OUTBOX
from plexwire_protocol.tables import (
    Timer,
)


@each_end
@each_state
def test_session_says_where_it_stands(end: End, state: State) -> None:
    session = end.session(state)

    assert session.state is state
    assert repr(session) == f"<{type(session).__name__} {state.value}>"
    assert session.take_outbox() == []


# ── whatever comes ───────────────────────────────────────────────────────────────────────────

codes = st.integers(0, 2**16 - 1) | st.sampled_from(CloseCode)
texts = st.text(st.characters(), max_size=200)
times = st.floats(allow_nan=True, allow_infinity=True) | st.floats(NOW - 1, NOW + 100)


@cache
def steps(peer: Role) -> st.SearchStrategy[Callable[[Session, float], list[Event]]]:
    """Return what can happen to a session: what *peer* does, and what falls due."""
    heard = wire.garbage(peer) | wire.messages(peer).map(encode)
    return st.one_of(
        heard.map(lambda data: lambda session, now: session.receive(data, now=now)),
        st.builds(
            lambda code, reason: lambda session, now: session.receive_close(code, reason, now=now),
            codes,
            texts,
        ),
        st.just(lambda session, now: session.handle_timeout(now=now)),
    )


@settings(max_examples=3 * settings().max_examples)
@given(any_end, st.sampled_from(State), st.data())
def test_session_never_raises_whatever_its_peer_does(
    end: End, state: State, data: st.DataObject
) -> None:
    session = end.session(state)
    events: list[Event] = []
    outbox: list[Outgoing] = []
    for step in data.draw(st.lists(steps(end.peer), max_size=5)):
        closed_before = session.state is State.CLOSED
        news = step(session, data.draw(times))
        events += news
        outbox += session.take_outbox()
        assert not (closed_before and news)

    endings = [event for event in events if isinstance(event, ConversationClosed)]
    closes = [item for item in outbox if isinstance(item, Close)]
    violations = [event for event in events if isinstance(event, PeerViolated)]
    if state is State.CLOSED:
        assert (events, outbox, session.next_deadline()) == ([], [], inf)
    else:
        assert len(endings) == (session.state is State.CLOSED)
        assert events[-1:] == endings or not endings
        assert closes == [ending.close for ending in endings if ending.by is end.role]
        assert outbox[-1:] == closes or not closes
        assert len(violations) <= len(closes)


@each_end
@each_state
def test_session_that_hears_a_message_moves_as_the_table_says(end: End, state: State) -> None:
    for message in MESSAGES:
        session = end.session(state)

        session.receive(encode(message), now=NOW)

        edge = end.conversation.edge(state, end.peer, type(message))
        if edge:
            assert session.state is edge.target
        else:
            assert session.state in (state, State.CLOSED)


# ── what the embedder may not do ─────────────────────────────────────────────────────────────


@each_end
@each_state
def test_session_says_a_message_where_the_table_has_it_and_else_changes_nothing(
    end: End, state: State
) -> None:
    for message in end.says:
        session = end.session(state)
        edge = end.conversation.edge(state, end.role, type(message))
        if edge and not edge.tolerated:
            say(session, message)
            assert session.state is edge.target
            assert len(session.take_outbox()) == 1
        elif state is State.CLOSED and isinstance(message, Init | Authenticated):
            say(session, message)  # the answer to a peer that has left meanwhile
            assert facts(session) == (state, inf, [])
        else:
            assert_refused(session, partial(say, session, message))


def assert_refused(session: Session, call: Callable[[], object]) -> None:
    """Assert that *call* is a mistake which changes nothing."""
    before = facts(session)
    with pytest.raises(LocalProtocolError) as caught:
        call()
    assert session.state.value in caught.value.problem
    assert facts(session) == before


def facts(session: Session) -> tuple[State, float, list[Outgoing]]:
    """Return all that shows of *session*; its outbox is looked at in a copy."""
    return session.state, session.next_deadline(), copy.deepcopy(session).take_outbox()


@each_end
def test_session_keeps_what_waits_in_the_outbox_when_a_call_is_refused(end: End) -> None:
    session = end.connect()
    if end.role is Role.GATEWAY:
        session.receive(encode(end.auth), now=NOW)
        say(session, end.answer)
        assert_refused(session, lambda: say(session, end.answer))
    else:
        say(session, end.auth)
        assert_refused(session, lambda: say(session, end.auth))


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.STREAMING])
@pytest.mark.parametrize("end", [ENDS[1], ENDS[3]], ids=["viewer", "device"])
def test_gateway_refuses_a_key_only_while_it_checks_one(end: End, state: State) -> None:
    session = end.session(state)
    assert isinstance(session, GatewayViewerSession | GatewayDeviceSession)

    assert_refused(session, lambda: session.refuse(now=NOW))


@pytest.mark.parametrize("state", [s for s in State if s is not State.STREAMING])
def test_gateway_reports_errors_only_to_a_streaming_device(state: State) -> None:
    session = ENDS[3].session(state)
    assert isinstance(session, GatewayDeviceSession)

    assert_refused(session, lambda: session.report(ErrorReport(code="x"), now=NOW))


@each_end
def test_session_sends_nothing_that_is_not_a_message(end: End) -> None:
    session = end.connect()
    if isinstance(session, ViewerSession | DeviceSession | GatewayViewerSession):
        send: Callable[..., None] = session.send
        for thing in ("auth", 5, None):
            assert_refused(session, partial(send, thing, now=NOW))


@pytest.mark.parametrize("thing", [5, None, ["auth"]])
@each_end
def test_session_receives_text_or_bytes_and_nothing_else(end: End, thing: object) -> None:
    session = end.connect()
    before = facts(session)

    with pytest.raises(LocalProtocolError, match="a WebSocket message is text or bytes, not"):
        session.receive(thing, now=NOW)  # type: ignore[arg-type]

    assert facts(session) == before


@pytest.mark.parametrize("kind", [bytearray, memoryview])
@each_end
def test_session_takes_binary_data_in_any_form(end: End, kind: type) -> None:
    sessions = end.session(State.STREAMING), end.session(State.STREAMING)
    data = encode_device_frame(FRAME)

    events = sessions[0].receive(kind(data), now=NOW)

    assert repr(events) == repr(sessions[1].receive(data, now=NOW))


def test_outbox_that_is_never_taken_is_noticed_by_whoever_fills_it() -> None:
    session = ENDS[1].session(State.STREAMING)
    assert isinstance(session, GatewayViewerSession)
    for _ in range(MAX_OUTBOX):
        session.send(FRAME, now=NOW)

    with pytest.raises(LocalProtocolError, match=r"256 items wait: call take_outbox\(\)"):
        session.send(FRAME, now=NOW)

    assert len(session.take_outbox()) == MAX_OUTBOX
    session.send(FRAME, now=NOW)


@pytest.mark.parametrize("end", [ENDS[0], ENDS[2]], ids=["viewer", "device"])
def test_auth_that_never_left_the_outbox_is_named_where_its_answer_is_missed(end: End) -> None:
    session = end.connect()
    say(session, end.auth)

    violated, *_ = session.handle_timeout(now=NOW + 100)

    assert isinstance(violated, PeerViolated)
    assert "still in the outbox: send what take_outbox() returns" in violated.error.problem


def test_deadline_is_also_told_as_the_seconds_that_are_left_or_none() -> None:
    gateway, viewer = ENDS[1].connect(), ENDS[0].connect()
    due = gateway.next_deadline()

    assert gateway.seconds_left(now=due - 2.5) == 2.5
    assert gateway.seconds_left(now=due + 1) == 0.0
    assert viewer.seconds_left(now=NOW) is None


# ── closing ──────────────────────────────────────────────────────────────────────────────────


@given(any_end, any_open_state, codes, texts, times)
def test_session_that_is_closed_by_its_embedder_asks_for_one_close(
    end: End, state: State, code: int, reason: str, now: float
) -> None:
    session = end.session(state)

    events = session.close(code, reason, now=now)

    close = Close(code, reason)
    assert len(close.reason.encode()) <= 123
    assert events == [ConversationClosed(close, end.role)]
    assert session.take_outbox() == [close]
    assert session.next_deadline() == inf
    assert session.close(now=now) == session.receive_close(1000, now=now) == []
    assert session.take_outbox() == []


@each_end
@each_open_state
def test_session_whose_peer_vanishes_says_so_once_and_sends_nothing(end: End, state: State) -> None:
    """PW-ROB-3."""
    session = end.session(state)

    events = session.receive_close(CloseCode.ABNORMAL, now=NOW)

    assert events == [ConversationClosed(Close(CloseCode.ABNORMAL), end.peer)]
    assert session.receive_close(CloseCode.ABNORMAL, now=NOW) == []
    assert session.take_outbox() == []


# ── deadlines ────────────────────────────────────────────────────────────────────────────────


@each_end
@each_state
def test_deadline_is_armed_exactly_while_the_table_has_a_timer(end: End, state: State) -> None:
    session = end.session(state)

    assert isfinite(session.next_deadline()) is bool(end.conversation.timers_of(state, end.role))


@each_end
@each_state
def test_session_that_is_woken_early_or_by_a_broken_clock_does_nothing(
    end: End, state: State
) -> None:
    session = end.session(state)
    before = facts(session)
    for now in (-inf, 0.0, NOW, nextafter(NOW + 10, 0), nan, inf):
        assert session.handle_timeout(now=now) == []
        assert facts(session) == before


#: Every timer of the tables with the end that keeps it.
TIMERS = [
    pytest.param(end, timer, id=f"{end.role.value}-{timer.deadline.value}".replace(" ", "-"))
    for end in ENDS
    for timer in end.conversation.timers
    if timer.owner is end.role
]


@pytest.mark.parametrize(("end", "timer"), TIMERS)
@pytest.mark.parametrize("late", [0.0, 0.001, 3600.0])
def test_session_does_at_the_deadline_what_the_table_says_and_later_the_same(
    end: End, timer: Timer, late: float
) -> None:
    session = end.session(timer.state)
    due = session.next_deadline()
    assert due == NOW + (timer.seconds or 60)

    events = session.handle_timeout(now=due + late)

    *said, last = session.take_outbox()
    if timer.code is None:
        assert (session.state, events, said) == (timer.state, [], [])
        assert isinstance(last, str)
        assert isinstance(decode(last, sender=end.role), Heartbeat)
        assert session.next_deadline() == due + late + (timer.seconds or 0)
    else:
        assert session.state is State.CLOSED
        assert last == Close(timer.code, timer.clause)
        assert events[-1] == ConversationClosed(last, end.role)


@pytest.mark.parametrize(("end", "timer"), TIMERS)
def test_session_that_hears_something_late_first_does_what_was_due(end: End, timer: Timer) -> None:
    session = end.session(timer.state)

    session.receive(encode(end.auth), now=session.next_deadline())

    last = session.take_outbox()[-1]
    if timer.code is None:
        assert isinstance(last, str)
        assert isinstance(decode(last, sender=end.role), Heartbeat)
    else:
        assert last == Close(timer.code, timer.clause)


# ── secrets ──────────────────────────────────────────────────────────────────────────────────


TOLD_OF_THE_KEY: tuple[str | bytes, ...] = (
    encode(AUTH),
    encode(DEVICE_AUTH),
    f'{{"type":"auth","api_key":"{KEY}',
    f'{{"type":"auth","api_key":["{KEY}"]}}',
    f'{{"type":"device_auth","api_key":"{KEY}","source_id":"{KEY} "}}',
    f'{{"type":"login","api_key":"{KEY}"}}',
    f'{{"type":"error","code":["{KEY}"]}}',
    f'{{"type":"video_frame","frame":"{KEY}","api_key":"{KEY}"}}',
    KEY,
    KEY.encode(),
)


@each_end
@each_state
def test_key_never_shows_in_what_a_session_tells_or_sends(end: End, state: State) -> None:
    for data in TOLD_OF_THE_KEY:
        session = end.session(state)

        events = session.receive(data, now=NOW)

        assert {e.api_key for e in events if isinstance(e, AuthReceived)} <= {KEY}
        for thing in (session, *events, *session.take_outbox()):
            assert KEY not in f"{thing!r} {thing!s}"


@each_end
def test_refused_message_is_not_kept_alive_by_its_error(end: End) -> None:
    session = end.session(State.STREAMING)

    (event,) = session.receive(f'{{"type":"auth","api_key":"{KEY}', now=NOW)

    assert isinstance(event, MessageRefused)
    assert event.error.__context__ is None
    assert event.error.__traceback__ is None
    assert KEY not in "".join(traceback.format_exception(event.error))
