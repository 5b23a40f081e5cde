"""The hub between devices and viewers that come, go, send, stall and vanish in any order, on a clock of floats."""

import json
from collections import deque
from math import inf

import pytest
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from plexwire_protocol import (
    DEVICE_PATH,
    Abort,
    Auth,
    Authenticated,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DevicePeer,
    DeviceSession,
    GatewayReconnecting,
    Hub,
    HubLimits,
    Init,
    MessageReceived,
    Outgoing,
    State,
    StreamAddress,
    VideoFrame,
    ViewerPeer,
    ViewerSession,
)
from plexwire_protocol.limits import AUTH_DEADLINE_S, CLOSE_GRACE_S

FRAME = VideoFrame(camera_id="front", jpeg=b"\xff\xd8", width=640, height=480, timestamp=0)
ORGANISATIONS = ("acme", "zenith")
SOURCES = ("drone-01", "drone-02")
CAMERAS = ("front", "rear")
#: For the clients time stands still: their deadlines are not what is tried here.
THEN = 0.0


@define(eq=False)
class Client:
    """A viewer or device with its end of the link: what is on its way to the hub, and what its gateway's writer holds.

    A `stalled` client reads nothing, so the writer can't get rid of what it holds.
    """

    session: ViewerSession | DeviceSession
    peer: ViewerPeer | DevicePeer
    organisation: str
    to_hub: deque[Outgoing] = field(factory=deque)
    held: Outgoing | None = None
    stalled: bool = False
    awake: bool = True
    gone: bool = False
    #: When a close of the hub fell due.
    closing: float = inf
    after_close: list[Outgoing] = field(factory=list)


@define(eq=False)
class Viewer(Client):
    """A viewer: `since` is the number of the last frame that was published before its init."""

    address: StreamAddress = field(kw_only=True)
    since: int = 0
    got: list[VideoFrame] = field(factory=list)


class HubMachine(RuleBasedStateMachine):
    """A frame's timestamp is its serial number, so that every frame can be told from every other."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.hub = Hub(unix_ms=lambda: 0, limits=HubLimits(streams_per_key=6))
        self.serial = 0
        self.viewers: list[Viewer] = []
        self.devices: list[Client] = []
        #: By serial number: organisation, source and the frame.
        self.sent: dict[int, tuple[str, str, VideoFrame]] = {}

    @property
    def clients(self) -> list[Client]:
        return [*self.viewers, *self.devices]

    # ── coming ───────────────────────────────────────────────────────────────────────────────

    @initialize()
    def some_are_here(self) -> None:
        self.device_connects("acme")
        self.device_speaks(0, "drone-01")
        for _ in range(2):
            self.viewer_connects("acme", "drone-01", ["front", "rear"], None)
        for client in self.clients:
            self.deliver(client)
            client.peer.judge(client.organisation, now=self.now)
            self.write(client)

    @rule(
        organisation=st.sampled_from(("acme", *ORGANISATIONS)),
        source_id=st.sampled_from(("drone-01", *SOURCES)),
        cameras=st.lists(st.sampled_from(CAMERAS), min_size=1, max_size=2),
        timeout=st.none() | st.integers(1, 20),
    )
    def viewer_connects(
        self, organisation: str, source_id: str, cameras: list[str], timeout: int | None
    ) -> None:
        address = StreamAddress(source_id=source_id, cameras=tuple(cameras), timeout=timeout)
        session = ViewerSession(now=THEN)
        session.send(Auth(api_key="plx_a"), now=THEN)
        peer = self.hub.connect(address.target(), wake=lambda: self.wake(viewer), now=self.now)
        viewer = Viewer(session, peer, organisation, address=address)
        viewer.to_hub.extend(session.take_outbox())
        self.viewers.append(viewer)

    @rule(organisation=st.sampled_from(("acme", *ORGANISATIONS)))
    def device_connects(self, organisation: str) -> None:
        session = DeviceSession(now=THEN)
        peer = self.hub.connect(DEVICE_PATH, wake=lambda: self.wake(device), now=self.now)
        device = Client(session, peer, organisation)
        self.devices.append(device)

    @rule(which=st.integers(0, 5), source_id=st.sampled_from(("drone-01", *SOURCES)))
    def device_speaks(self, which: int, source_id: str) -> None:
        for device in self.devices[which : which + 1]:
            session = device.session
            assert isinstance(session, DeviceSession)
            if session.state is State.AWAITING_AUTH:
                session.send(DeviceAuth(api_key="plx_a", source_id=source_id), now=THEN)
            device.to_hub.extend(session.take_outbox())

    @rule(good=st.booleans(), which=st.integers(0, 9))
    def key_is_judged(self, good: bool, which: int) -> None:
        waiting = [client for client in self.clients if client.peer.api_key is not None]
        for client in waiting[which : which + 1] or waiting[:1]:
            client.peer.judge(client.organisation if good else CloseCode.UNAUTHORIZED, now=self.now)
            self.note_close(client)
            if isinstance(client, Viewer):
                client.since = self.serial

    # ── sending and writing ──────────────────────────────────────────────────────────────────

    @rule(which=st.integers(0, 5), cameras=st.lists(st.sampled_from(CAMERAS), max_size=6))
    def device_sends(self, which: int, cameras: list[str]) -> None:
        for device in self.devices[which : which + 1]:
            session = device.session
            assert isinstance(session, DeviceSession)
            for camera in cameras:
                if session.state is not State.STREAMING:
                    return
                self.serial += 1
                extra = {"temp": self.serial} if self.serial % 5 == 0 else {}
                frame = evolve(FRAME, camera_id=camera, timestamp=self.serial, extra=extra)
                session.send(frame, now=THEN)
                device.to_hub.extend(session.take_outbox())

    @rule(which=st.integers(0, 9))
    def messages_arrive_at_the_hub(self, which: int) -> None:
        for client in self.clients[which : which + 1]:
            self.deliver(client)

    def deliver(self, client: Client) -> None:
        while client.to_hub:
            match client.to_hub.popleft():
                case Close(code, reason):
                    client.peer.receive_close(code, reason, now=self.now)
                case data:
                    self.note_published(client, data)
                    client.peer.receive(data, now=self.now)
            self.note_close(client)

    def note_published(self, client: Client, data: str | bytes) -> None:
        peer = client.peer
        if isinstance(peer, DevicePeer) and peer.session.state is State.STREAMING:
            for event in DeviceReader(peer.source_id).read(data):
                self.sent[event.timestamp] = (client.organisation, peer.source_id, event)

    def wake(self, client: Client) -> None:
        client.awake = True

    @rule(which=st.integers(0, 9), count=st.integers(1, 5))
    def writer_writes(self, which: int, count: int) -> None:
        for client in self.clients[which : which + 1]:
            for _ in range(count):
                self.write(client)

    def write(self, client: Client) -> None:
        """Get rid of what the writer holds, and ask for the next item, as a stack does."""
        if client.held is not None:
            if client.stalled:
                return
            self.hear(client, client.held)
            client.held = None
        if client.awake:
            match client.peer.next_outgoing(now=self.now):
                case None:
                    client.awake = False
                case Abort():
                    assert client.peer.aborted
                    client.awake = False
                case item:
                    assert not client.peer.ended
                    client.held = item

    def hear(self, client: Client, item: Outgoing) -> None:
        """Take what the hub sent, at the client's end."""
        assert not client.after_close, "nothing follows a close"
        session = client.session
        if isinstance(item, Close):
            client.after_close.append(item)
            session.receive_close(item.code, item.reason, now=THEN)
            return
        for event in session.receive(item, now=THEN):
            match event:
                case MessageReceived(message=VideoFrame() as frame):
                    assert isinstance(client, Viewer)
                    client.got.append(frame)
                case MessageReceived(message=Init() | Authenticated() | GatewayReconnecting()):
                    pass
                case MessageReceived() | ConversationClosed():
                    assert isinstance(session, DeviceSession), event
                case _:
                    pytest.fail(f"{event} from a hub")

    @rule(which=st.integers(0, 5), attempt=st.integers(1, 5))
    def upstream_is_away(self, which: int, attempt: int) -> None:
        for viewer in self.viewers[which : which + 1]:
            assert isinstance(viewer.peer, ViewerPeer)
            viewer.peer.announce(GatewayReconnecting(attempt=attempt, max_attempts=5, delay_s=2))

    # ── stalling, leaving and time ───────────────────────────────────────────────────────────

    @rule(which=st.integers(0, 9))
    def client_stalls_or_goes_on(self, which: int) -> None:
        for client in self.clients[which : which + 1]:
            client.stalled = not client.stalled

    @precondition(lambda self: len(self.viewers) > 2)
    @rule(which=st.integers(0, 9), kind=st.sampled_from(("closes", "vanishes", "is closed")))
    def client_leaves(self, which: int, kind: str) -> None:
        for client in self.clients[which : which + 1]:
            if kind == "vanishes":
                client.peer.receive_close(1006, now=self.now)
                assert client.peer.ended
            elif kind == "closes":
                client.session.close(now=THEN)
                client.to_hub.extend(client.session.take_outbox())
            else:
                client.peer.close(CloseCode.GOING_AWAY, now=self.now)
                self.note_close(client)

    def note_close(self, client: Client) -> None:
        if client.peer.closed is not None and not client.peer.ended and client.closing == inf:
            client.closing = self.now

    @rule(step=st.sampled_from((0.1, 1.0, 2.0, 5.0, AUTH_DEADLINE_S)))
    def time_passes(self, step: float) -> None:
        """Every deadline is kept when it is due, and no earlier."""
        until = self.now + step
        while True:
            due = min((client.peer.next_deadline() for client in self.clients), default=inf)
            if due > until:
                break
            self.now = max(self.now, due)
            for client in self.clients:
                if client.peer.next_deadline() <= self.now:
                    client.peer.handle_timeout(now=self.now)
                    assert client.peer.next_deadline() > self.now
                    self.note_close(client)
        self.now = until

    # ── what always holds ────────────────────────────────────────────────────────────────────

    @invariant()
    def viewers_got_what_they_asked_for_unaltered_in_order_and_once(self) -> None:
        """PW-FRAME-2 to PW-FRAME-7, PW-ISO-1 to PW-ISO-3."""
        for viewer in self.viewers:
            for camera in CAMERAS:
                serials = [f.timestamp for f in viewer.got if f.camera_id == camera]
                assert serials == sorted(set(serials))
            for frame in viewer.got:
                organisation, source_id, sent = self.sent[frame.timestamp]
                assert (organisation, source_id) == (viewer.organisation, viewer.address.source_id)
                assert frame.camera_id in viewer.address.cameras
                assert frame == evolve(sent, source_id=source_id)

    @invariant()
    def memory_is_bounded_by_a_frame_per_camera(self) -> None:
        """PW-FLOW-3, PW-FLOW-5."""
        for viewer in self.viewers:
            assert isinstance(viewer.peer, ViewerPeer)
            assert viewer.peer.waiting <= len(viewer.address.cameras)

    @invariant()
    def conversation_has_ended_two_seconds_after_its_close_at_the_latest(self) -> None:
        for client in self.clients:
            if client.peer.closed is not None:
                assert client.peer.ended or self.now < client.closing + CLOSE_GRACE_S
            if client.peer.ended:
                assert client.peer.next_deadline() == inf
                assert client.peer.closed is not None

    @invariant()
    def only_who_streams_is_in_the_hub(self) -> None:
        streaming = {c.peer for c in self.clients if c.peer.session.state is State.STREAMING}
        assert {*self.hub.viewers, *self.hub.devices} == streaming

    @invariant()
    def stranger_has_ten_seconds(self) -> None:
        """PW-AUTH-3, PW-DEV-11."""
        for client in self.clients:
            if client.peer.session.state is State.AWAITING_AUTH:
                assert self.now < client.peer.next_deadline() <= self.now + AUTH_DEADLINE_S

    def teardown(self) -> None:
        """Once all have left, nothing is kept; and a viewer that reads gets the newest frame of each camera."""
        for client in self.clients:
            client.stalled = False
            for _ in range(20):
                self.write(client)
        for viewer in self.viewers:
            if viewer.peer.session.state is State.STREAMING and viewer.peer.frames:
                assert isinstance(viewer.peer, ViewerPeer)
                assert viewer.peer.waiting == 0
        for client in self.clients:
            client.peer.receive_close(1006, now=self.now)
        assert (self.hub.viewers, self.hub.devices) == ((), ())
        assert self.hub.relay.waiting_bytes == 0
        assert not any(kept for kept in vars(self.hub.relay).values() if isinstance(kept, dict))


@define
class DeviceReader:
    """Reads what a device sends by itself, to know what viewers may get."""

    source_id: str

    def read(self, data: str | bytes) -> list[VideoFrame]:
        if isinstance(data, bytes):
            number = int.from_bytes(data[-10:-2], "big")
            camera = data[3 + data[1] :][: data[2 + data[1]]].decode()
            return [evolve(FRAME, camera_id=camera, timestamp=number)]
        members = json.loads(data)
        if members["type"] != "video_frame":
            return []
        return [
            evolve(
                FRAME,
                camera_id=members["camera_id"],
                timestamp=members["timestamp"],
                extra={"temp": members["temp"]},
            )
        ]


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=40)
