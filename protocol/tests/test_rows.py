"""The tables drive the sessions: a session whose table lacks one row, or has another one, behaves differently.

`SCENARIOS` play conversations through the public methods of both ends and assert what each end reports, sends and
waits for.  They pass with the tables as they are.  For each row, at least one must fail if the row is gone or altered.
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import inf

import pytest
from attrs import evolve, frozen

from plexwire_protocol import (
    AnswerMissing,
    Auth,
    Authenticated,
    AuthReceived,
    AuthViolation,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DeviceSession,
    ErrorReport,
    Event,
    GatewayDeviated,
    GatewayDeviceSession,
    GatewayReconnecting,
    GatewayViewerSession,
    Heartbeat,
    Init,
    LocalProtocolError,
    MessageIgnored,
    MessageReceived,
    PeerViolated,
    Role,
    Session,
    State,
    StreamAddress,
    VideoFrame,
    ViewerSession,
    encode,
)
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
    Edge,
    Timer,
)

AUTH = Auth(api_key="plx_1")
INIT = Init(online_sources=())
DEVICE_AUTH = DeviceAuth(api_key="plx_2", source_id="drone-01")
AUTHENTICATED = Authenticated(source_id="drone-01", server_time_ms=0)
FRAME = VideoFrame(
    source_id="drone-01", camera_id="front", jpeg=b"\xff\xd8", width=2, height=1, timestamp=0
)
RECONNECTING = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)
REPORT = ErrorReport(code="rate_limited")
GONE = Close(CloseCode.GOING_AWAY, "gone")

#: From entering a state until its deadline, in seconds, as the specification says.  [PW-AUTH-3, PW-VIEW-4, PW-DEV-13]
AUTH_S = ANSWER_S = 10.0
HEARTBEAT_S = 30.0
TIMEOUT_S = 60


@frozen
class Tables:
    """The tables that the two ends follow: the same one, unless a test cuts it at one end."""

    peer: ConversationTable
    gateway: ConversationTable


def pass_on(sender: Session, receiver: Session, now: float) -> list[Event]:
    """Deliver what *sender* has to send, and return what *receiver* reports."""
    events: list[Event] = []
    for item in sender.take_outbox():
        if isinstance(item, Close):
            events += receiver.receive_close(item.code, item.reason, now=now)
        else:
            events += receiver.receive(item, now=now)
    return events


def closed(close: Close, by: Role) -> list[Event]:
    return [ConversationClosed(close, by)]


# ── a viewer and a gateway ───────────────────────────────────────────────────────────────────


def viewer_pair(tables: Tables, state: State) -> tuple[ViewerSession, GatewayViewerSession]:
    """Return both ends in *state*, entered at 0 s."""

    class Viewer(ViewerSession):
        _table = tables.peer

    class Gateway(GatewayViewerSession):
        _table = tables.gateway

    viewer = Viewer(now=0.0)
    gateway = Gateway(StreamAddress(source_id="drone-01", timeout=TIMEOUT_S), now=0.0)
    if state is not State.AWAITING_AUTH:
        viewer.send(AUTH, now=0.0)
        assert pass_on(viewer, gateway, 0.0) == [AuthReceived(AUTH)]
    if state is State.STREAMING:
        gateway.grant((), now=0.0)
        assert pass_on(gateway, viewer, 0.0) == [MessageReceived(INIT)]
    assert (viewer.state, gateway.state) == (state, state)
    return viewer, gateway


def viewer_watches_frames(tables: Tables) -> None:
    viewer, gateway = viewer_pair(tables, State.STREAMING)
    for message in (FRAME, RECONNECTING, FRAME):
        gateway.send(message, now=1.0)
        assert pass_on(gateway, viewer, 1.0) == [MessageReceived(message)]
    assert viewer.state is gateway.state is State.STREAMING
    assert (viewer.next_deadline(), gateway.next_deadline()) == (inf, TIMEOUT_S)


def gateway_deviates(tables: Tables) -> None:
    """The gateway sends a frame before its init, and a second init."""
    viewer, _ = viewer_pair(tables, State.CHECKING_KEY)
    for message, clauses in (
        (FRAME, ["PW-INIT-3"]),
        (INIT, []),
        (INIT, ["PW-INIT-1"]),
        (FRAME, []),
    ):
        *deviations, received = viewer.receive(encode(message), now=1.0)
        assert [d.clause for d in deviations if isinstance(d, GatewayDeviated)] == clauses
        assert received == MessageReceived(message)
        assert (viewer.state, viewer.next_deadline()) == (State.STREAMING, inf)


def gateway_stays_in_order(tables: Tables) -> None:
    """A gateway may not send what a viewer tolerates."""
    _, gateway = viewer_pair(tables, State.CHECKING_KEY)
    assert_cannot(lambda: gateway.send(FRAME, now=1.0))
    _, gateway = viewer_pair(tables, State.STREAMING)
    assert_cannot(lambda: gateway.grant((), now=1.0))


def viewer_leaves(tables: Tables, state: State) -> None:
    viewer, gateway = viewer_pair(tables, state)
    assert viewer.close(GONE.code, GONE.reason, now=1.0) == closed(GONE, Role.VIEWER)
    assert pass_on(viewer, gateway, 1.0) == closed(GONE, Role.VIEWER)
    assert_over(viewer, gateway)


def gateway_leaves_viewer(tables: Tables, state: State) -> None:
    viewer, gateway = viewer_pair(tables, state)
    assert gateway.close(GONE.code, GONE.reason, now=1.0) == closed(GONE, Role.GATEWAY)
    assert pass_on(gateway, viewer, 1.0) == closed(GONE, Role.GATEWAY)
    assert_over(viewer, gateway)


def viewer_sends_no_auth(tables: Tables) -> None:
    _, gateway = viewer_pair(tables, State.AWAITING_AUTH)
    close = Close(CloseCode.UNAUTHORIZED, "PW-AUTH-3")
    violated, *rest = fall_due(gateway, AUTH_S)
    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, AuthViolation)
    assert rest == closed(close, Role.GATEWAY)
    assert gateway.take_outbox() == [close]
    assert gateway.state is State.CLOSED


def gateway_sends_no_init(tables: Tables) -> None:
    viewer, _ = viewer_pair(tables, State.CHECKING_KEY)
    assert_answer_missing(viewer, Role.VIEWER, "PW-VIEW-4")


def timeout_passes(tables: Tables) -> None:
    _, gateway = viewer_pair(tables, State.STREAMING)
    close = Close(CloseCode.TIMEOUT, "PW-TIME-1")
    assert fall_due(gateway, TIMEOUT_S) == closed(close, Role.GATEWAY)
    assert gateway.take_outbox() == [close]
    assert gateway.state is State.CLOSED


# ── a device and a gateway ───────────────────────────────────────────────────────────────────


def device_pair(tables: Tables, state: State) -> tuple[DeviceSession, GatewayDeviceSession]:
    """Return both ends in *state*, entered at 0 s."""

    class Device(DeviceSession):
        _table = tables.peer

    class Gateway(GatewayDeviceSession):
        _table = tables.gateway

    device, gateway = Device(now=0.0), Gateway(now=0.0)
    if state is not State.AWAITING_AUTH:
        device.send(DEVICE_AUTH, now=0.0)
        assert pass_on(device, gateway, 0.0) == [AuthReceived(DEVICE_AUTH)]
    if state is State.STREAMING:
        gateway.grant(server_time_ms=0, now=0.0)
        assert pass_on(gateway, device, 0.0) == [MessageReceived(AUTHENTICATED)]
    assert (device.state, gateway.state) == (state, state)
    return device, gateway


def device_publishes_frames(tables: Tables) -> None:
    device, gateway = device_pair(tables, State.STREAMING)
    device.send(FRAME, now=1.0)
    assert pass_on(device, gateway, 1.0) == [MessageReceived(FRAME)]
    gateway.report(REPORT, now=1.0)
    assert pass_on(gateway, device, 1.0) == [MessageReceived(REPORT)]
    assert device.state is gateway.state is State.STREAMING
    assert (device.next_deadline(), gateway.next_deadline()) == (HEARTBEAT_S, inf)


def device_beats(tables: Tables) -> None:
    device, gateway = device_pair(tables, State.STREAMING)
    heartbeat = Heartbeat(source_id="drone-01")
    for due in (HEARTBEAT_S, 2 * HEARTBEAT_S):
        assert fall_due(device, due) == []
        assert pass_on(device, gateway, due) == [MessageIgnored(heartbeat)]
        assert device.state is gateway.state is State.STREAMING
    assert (device.next_deadline(), gateway.next_deadline()) == (3 * HEARTBEAT_S, inf)


def device_leaves(tables: Tables, state: State) -> None:
    device, gateway = device_pair(tables, state)
    assert device.close(GONE.code, GONE.reason, now=1.0) == closed(GONE, Role.DEVICE)
    assert pass_on(device, gateway, 1.0) == closed(GONE, Role.DEVICE)
    assert_over(device, gateway)


def gateway_leaves_device(tables: Tables, state: State) -> None:
    device, gateway = device_pair(tables, state)
    assert gateway.close(GONE.code, GONE.reason, now=1.0) == closed(GONE, Role.GATEWAY)
    assert pass_on(gateway, device, 1.0) == closed(GONE, Role.GATEWAY)
    assert_over(device, gateway)


def device_sends_no_auth(tables: Tables) -> None:
    device, gateway = device_pair(tables, State.AWAITING_AUTH)
    close = Close(CloseCode.UNAUTHORIZED, "PW-DEV-11")
    violated, *rest = fall_due(gateway, AUTH_S)
    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, AuthViolation)
    assert rest == closed(close, Role.GATEWAY)
    assert_refused(gateway, device)


def device_sends_wrong_auth(tables: Tables) -> None:
    device, gateway = device_pair(tables, State.AWAITING_AUTH)
    violated, last = gateway.receive("hello", now=1.0)
    assert isinstance(violated, PeerViolated)
    assert isinstance(last, ConversationClosed)
    assert_refused(gateway, device)


def device_has_bad_key(tables: Tables) -> None:
    device, gateway = device_pair(tables, State.CHECKING_KEY)
    (last,) = gateway.refuse(now=1.0)
    assert isinstance(last, ConversationClosed)
    assert_refused(gateway, device)


def gateway_does_not_authenticate(tables: Tables) -> None:
    device, _ = device_pair(tables, State.CHECKING_KEY)
    assert_answer_missing(device, Role.DEVICE, "PW-DEV-14")


# ── what the scenarios share ─────────────────────────────────────────────────────────────────


def assert_cannot(call: Callable[[], object]) -> None:
    try:
        call()
    except LocalProtocolError:
        return
    raise AssertionError("a call was allowed")


def assert_over(*sessions: Session) -> None:
    for session in sessions:
        assert (session.state, session.next_deadline()) == (State.CLOSED, inf)
        assert session.take_outbox() == []


def fall_due(session: Session, due: float) -> list[Event]:
    """Assert that *session* waits exactly until *due*, and return what it does then."""
    assert session.next_deadline() == due
    return session.handle_timeout(now=due)


def assert_answer_missing(session: Session, role: Role, clause: str) -> None:
    close = Close(CloseCode.PROTOCOL_ERROR, clause)
    violated, *rest = fall_due(session, ANSWER_S)
    assert isinstance(violated, PeerViolated)
    assert isinstance(violated.error, AnswerMissing)
    assert rest == closed(close, role)
    assert session.take_outbox() == [close]
    assert_over(session)


def assert_refused(gateway: GatewayDeviceSession, device: DeviceSession) -> None:
    """Assert that *gateway* has sent an `error` and closed, and that *device* closes when it hears the first."""
    error, close = gateway.take_outbox()
    assert isinstance(error, str)
    assert isinstance(close, Close)
    assert close.code == CloseCode.UNAUTHORIZED
    received, last = device.receive(error, now=1.0)
    assert isinstance(received, MessageReceived)
    assert isinstance(received.message, ErrorReport)
    assert last == ConversationClosed(Close(CloseCode.NORMAL, "refused"), Role.DEVICE)
    assert device.take_outbox() == [Close(CloseCode.NORMAL, "refused")]
    assert_over(gateway, device)


# ── the tables on trial ──────────────────────────────────────────────────────────────────────

Scenario = Callable[[Tables], None]

OPEN = (State.AWAITING_AUTH, State.CHECKING_KEY, State.STREAMING)

SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "viewer": (
        viewer_watches_frames,
        gateway_deviates,
        gateway_stays_in_order,
        *(partial(viewer_leaves, state=state) for state in OPEN),
        *(partial(gateway_leaves_viewer, state=state) for state in OPEN),
        viewer_sends_no_auth,
        gateway_sends_no_init,
        timeout_passes,
    ),
    "device": (
        device_publishes_frames,
        device_beats,
        *(partial(device_leaves, state=state) for state in OPEN),
        *(partial(gateway_leaves_device, state=state) for state in OPEN),
        device_sends_no_auth,
        device_sends_wrong_auth,
        device_has_bad_key,
        gateway_does_not_authenticate,
    ),
}
TABLES = {table.name: table for table in (VIEWER_CONVERSATION, DEVICE_CONVERSATION)}


def failures(tables: Tables) -> list[Scenario]:
    """Return the scenarios that fail when the two ends follow *tables*."""
    failed: list[Scenario] = []
    for scenario in SCENARIOS[tables.peer.name]:
        try:
            scenario(tables)
        except (
            AssertionError,
            LocalProtocolError,
            ValueError,
        ):  # ValueError: an event too many or too few
            failed.append(scenario)
    return failed


@pytest.mark.parametrize("name", TABLES)
def test_scenarios_pass_with_the_tables_as_they_are(name: str) -> None:
    for scenario in SCENARIOS[name]:
        scenario(Tables(TABLES[name], TABLES[name]))


Row = Edge | Timer


def without(table: ConversationTable, row: Row) -> ConversationTable:
    return ConversationTable(
        table.name,
        tuple(edge for edge in table.edges if edge is not row),
        tuple(timer for timer in table.timers if timer is not row),
    )


def altered(table: ConversationTable, row: Row, twin: Row) -> ConversationTable:
    return ConversationTable(
        table.name,
        tuple(twin if edge is row and isinstance(twin, Edge) else edge for edge in table.edges),
        tuple(
            twin if timer is row and isinstance(twin, Timer) else timer for timer in table.timers
        ),
    )


def rows() -> Iterator[object]:
    for name, table in TABLES.items():
        for edge in table.edges:
            trigger = (
                edge.trigger.name if isinstance(edge.trigger, Deadline) else edge.trigger.__name__
            )
            yield pytest.param(
                name, edge, id=f"{name}-{edge.source.name}-{edge.sender.value}-{trigger}"
            )
        for timer in table.timers:
            yield pytest.param(name, timer, id=f"{name}-timer-{timer.deadline.name}")


each_row = pytest.mark.parametrize(("name", "row"), tuple(rows()))


@each_row
def test_row_that_is_deleted_changes_behaviour(name: str, row: Row) -> None:
    table = without(TABLES[name], row)

    assert failures(Tables(table, table))


@each_row
def test_row_that_one_end_lacks_changes_its_behaviour(name: str, row: Row) -> None:
    whole, cut = TABLES[name], without(TABLES[name], row)
    for is_gateway in (False, True):
        tables = Tables(whole, cut) if is_gateway else Tables(cut, whole)
        if isinstance(row, Edge) and not isinstance(row.trigger, Deadline):
            # A gateway ignores heartbeats, with or without a row, and follows no row that is tolerated.
            unused = is_gateway and (row.trigger is Heartbeat or row.tolerated)
            assert bool(failures(tables)) is not unused
        else:
            # Only the end that keeps the time notices a deadline.
            owner = row.owner if isinstance(row, Timer) else row.sender
            assert bool(failures(tables)) is (is_gateway is (owner is Role.GATEWAY))


@each_row
def test_row_that_is_altered_changes_behaviour(name: str, row: Row) -> None:
    twins: list[Row] = []
    match row:
        case Edge():
            twins += [evolve(row, target=state) for state in State if state is not row.target]
            twins += [evolve(row, tolerated=False)] if row.tolerated else []
        case Timer():
            # The seconds of a timeout are those of the address.
            twins += [evolve(row, seconds=row.seconds + 1)] if row.seconds else []
            twins += [evolve(row, code=CloseCode.INTERNAL_ERROR)]
            twins += [evolve(row, clause="PW-CONN-3")] if row.code else []
    for twin in twins:
        table = altered(TABLES[name], row, twin)
        assert failures(Tables(table, table)), twin
