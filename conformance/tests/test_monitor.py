"""The monitor is silent on whatever the core's own relay and sessions let through, and total on anything else."""

import base64
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve, field, frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from plexwire_conformance.recording.recorder import Kind, RecordedConversation, Way, WireRecorder
from plexwire_conformance.report.sentences import lacking
from plexwire_conformance.run.checks import checks
from plexwire_conformance.run.monitor import MONITORED, monitor
from plexwire_protocol import (
    JPEG_START,
    AuthReceived,
    Close,
    CloseCode,
    EncodedFrame,
    GatewayDeviceSession,
    GatewayReconnecting,
    GatewayViewerSession,
    MessageReceived,
    Publisher,
    Relay,
    Role,
    StreamAddress,
    Subscriber,
    VideoFrame,
    encode_device_frame,
)
from plexwire_protocol import strategies as wire

HOME, FOREIGN = "home", "foreign"
KEY = "plx_0123456789abcdef"
CAMERAS = ("front", "rear", "", "Küche 台所")

# ── a gateway that is correct, and everybody around it, as one pure machine ──────────────────


@define(eq=False)
class Played:
    """One connection; what is sent on it lies in a queue until its receiver takes it."""

    recorder: WireRecorder
    role: str
    organisation: str
    source_id: str
    cameras: tuple[str, ...] = ()
    to_gateway: deque[str | bytes] = field(factory=deque, init=False)
    from_gateway: deque[str | Close] = field(factory=deque, init=False)
    over: bool = field(default=False, init=False)

    @property
    def conversation(self) -> RecordedConversation:
        return RecordedConversation(
            name=self.recorder.peer,
            role=self.role,
            source_id=self.source_id,
            cameras=self.cameras,
            organisation=self.organisation,
            entries=tuple(self.recorder.entries),
        )


@define(eq=False)
class Watcher(Played):
    session: GatewayViewerSession = field(init=False)
    subscriber: Subscriber | None = field(default=None, init=False)


@define(eq=False)
class Camera(Played):
    session: GatewayDeviceSession = field(init=False)
    publisher: Publisher | None = field(default=None, init=False)


@frozen
class Step:
    """What happens next: `what` is done by the so-manieth viewer or device, `after` seconds."""

    what: str
    who: int = 0
    camera: str = "front"
    after: float = 0.01


class World:
    """The relay with its sessions, driven step by step; every message waits until its step comes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.frames = 0
        self.relay = Relay()
        self.viewers: list[Watcher] = []
        self.devices: list[Camera] = []

    def do(self, step: Step) -> None:
        self.now += step.after
        lines = self.devices if step.what.startswith("device") else self.viewers
        if not step.what.endswith("opens") and not lines:
            return
        match step.what:
            case "viewer opens":
                self.open_viewer(*VIEWERS[step.who % len(VIEWERS)])
            case "device opens":
                self.open_device(*DEVICES[step.who % len(DEVICES)])
            case "device publishes":
                self.publish(self.device(step.who), step.camera)
            case "device publishes text":
                self.publish(self.device(step.who), step.camera, as_text=True)
            case "device misspeaks":
                self.say(self.device(step.who), '{"type": "video_frame", "camera_id": "front"}')
            case "device arrives":
                self.arrive(self.device(step.who))
            case "device leaves":
                self.leave_device(self.device(step.who))
            case "viewer speaks":
                line = self.viewer(step.who)
                self.say(line, json.dumps({"type": "auth", "api_key": KEY}))
            case "viewer arrives":
                self.arrive(self.viewer(step.who))
            case "viewer gets":
                self.deliver(self.viewer(step.who))
            case "viewer leaves":
                self.leave_viewer(self.viewer(step.who))
            case "viewer is told to wait":
                self.reconnecting(self.viewer(step.who))
            case other:
                raise NotImplementedError(other)

    def viewer(self, number: int) -> Watcher:
        return self.viewers[number % len(self.viewers)]

    def device(self, number: int) -> Camera:
        return self.devices[number % len(self.devices)]

    def open_viewer(self, organisation: str, source_id: str, cameras: tuple[str, ...]) -> None:
        recorder = WireRecorder(f"viewer {len(self.viewers)}", (KEY,))
        line = Watcher(recorder, "viewer", organisation, source_id, cameras)
        address = StreamAddress(source_id=source_id, cameras=cameras)
        line.session = GatewayViewerSession(address, now=self.now)
        recorder.event(self.now, Way.SENT, Kind.HANDSHAKE, f"GET {address.target()}")
        recorder.event(self.now, Way.RECEIVED, Kind.HANDSHAKE, "HTTP 101")
        self.viewers.append(line)

    def open_device(self, organisation: str, source_id: str) -> None:
        recorder = WireRecorder(f"device {len(self.devices)}", (KEY,))
        line = Camera(recorder, "device", organisation, source_id)
        line.session = GatewayDeviceSession(now=self.now)
        self.devices.append(line)
        hello = {"type": "device_auth", "api_key": KEY, "source_id": source_id}
        self.say(line, json.dumps(hello))

    def publish(self, line: Camera, camera: str, *, as_text: bool = False) -> None:
        self.frames += 1
        frame = VideoFrame(
            camera_id=camera,
            jpeg=JPEG_START + f"picture {self.frames}".encode(),
            width=640 + self.frames,
            height=480 + self.frames,
            timestamp=1_750_000_000_000 + self.frames,
        )
        if as_text:
            members = {
                "type": "video_frame",
                "camera_id": camera,
                "frame": base64.b64encode(frame.jpeg).decode(),
                "width": frame.width,
                "height": frame.height,
                "timestamp": frame.timestamp,
                "temp_min": float("nan"),
            }
            self.say(line, json.dumps(members))
        else:
            self.say(line, encode_device_frame(frame))

    def say(self, line: Played, data: str | bytes) -> None:
        if line.over:
            return
        if isinstance(data, str):
            line.recorder.text(self.now, Way.SENT, data)
        else:
            line.recorder.binary(self.now, Way.SENT, data)
        line.to_gateway.append(data)

    def arrive(self, line: Watcher | Camera) -> None:
        """Let the gateway take the next message of *line*."""
        if line.over or not line.to_gateway:
            return
        for event in line.session.receive(line.to_gateway.popleft(), now=self.now):
            match line, event:
                case Watcher(), AuthReceived():
                    online = self.relay.online(line.organisation, line.source_id)
                    line.session.grant(online, now=self.now)
                    line.subscriber = self.relay.subscribe(
                        line.organisation, line.source_id, line.cameras
                    )
                case Camera(), AuthReceived():
                    line.session.grant(server_time_ms=0, now=self.now)
                    line.publisher = self.relay.join(line.organisation, line.source_id)
                case Camera(publisher=Publisher() as publisher), MessageReceived(VideoFrame() as f):
                    self.relay.publish(publisher, f)
                case _:
                    pass
        for said in line.session.take_outbox():
            assert not isinstance(said, bytes)
            line.from_gateway.append(said)

    def deliver(self, line: Watcher) -> None:
        """Let a viewer take what is on its way, or else its next frame."""
        if line.over:
            return
        if not line.from_gateway and line.subscriber is not None:
            frame = self.relay.next_for(line.subscriber)
            if isinstance(frame, EncodedFrame):
                line.session.send(frame, now=self.now)
                line.from_gateway.extend(map(str, line.session.take_outbox()))
        if line.from_gateway:
            said = line.from_gateway.popleft()
            if isinstance(said, Close):
                line.recorder.event(self.now, Way.RECEIVED, Kind.CLOSE, said.reason, code=said.code)
            else:
                line.recorder.text(self.now, Way.RECEIVED, said)

    def reconnecting(self, line: Watcher) -> None:
        if line.subscriber is not None and not line.over:
            word = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=0.5)
            line.session.send(word, now=self.now)
            line.from_gateway.extend(map(str, line.session.take_outbox()))

    def leave_viewer(self, line: Watcher) -> None:
        if not line.over:
            line.over = True
            line.recorder.event(self.now, Way.SENT, Kind.CLOSE, code=CloseCode.NORMAL)
            if line.subscriber is not None:
                self.relay.unsubscribe(line.subscriber)

    def leave_device(self, line: Camera) -> None:
        if not line.over:
            line.over = True
            if line.publisher is not None:
                self.relay.leave(line.publisher)

    @property
    def conversations(self) -> list[RecordedConversation]:
        lines: list[Played] = [*self.devices, *self.viewers]
        return [line.conversation for line in lines]


VIEWERS = (
    (HOME, "one", ("front",)),
    (HOME, "one", ("front", "rear", "")),
    (HOME, "two", ("front", "rear")),
    (FOREIGN, "one", ("front",)),
)
DEVICES = ((HOME, "one"), (HOME, "two"), (FOREIGN, "one"))

WHAT = (
    *("viewer opens", "viewer speaks", "viewer arrives", "device opens", "device leaves"),
    *("viewer gets", "device publishes", "device arrives") * 3,
    *("device publishes text", "device misspeaks", "viewer leaves", "viewer is told to wait"),
)


def steps() -> SearchStrategy[Step]:
    return st.builds(
        Step,
        what=st.sampled_from(WHAT),
        who=st.integers(0, 5),
        camera=st.sampled_from(CAMERAS),
        after=st.sampled_from((0.0, 0.001, 0.5)),
    )


def _in_turn(*whats: str, who: int = 0, camera: str = "front") -> list[Step]:
    return [Step(what, who, camera) for what in whats]


#: Everybody opens and authenticates; an early frame is seen by the first viewer before the others come.
BEGINNING = [
    *(Step("device opens", number) for number in range(3)),
    *(Step("device arrives", number) for number in range(3)),
    *_in_turn("viewer opens", "viewer speaks", "viewer arrives", "viewer gets"),
    *_in_turn("device publishes", "device arrives", "viewer gets"),
    *(Step("viewer opens", number) for number in (1, 2, 3)),
    *(
        Step(what, number)
        for number in (1, 2, 3)
        for what in ("viewer speaks", "viewer arrives", "viewer gets")
    ),
]

#: Each device sends of each of two cameras three times, and each viewer takes what it gets.
TRAFFIC = [
    Step(what, number, camera)
    for _ in range(3)
    for camera in ("front", "rear")
    for number in range(4)
    for what in ("device publishes", "device arrives", "viewer gets", "viewer gets")
]


def played(*script: list[Step]) -> list[RecordedConversation]:
    world = World()
    for part in script:
        for step in part:
            world.do(step)
    return world.conversations


# ── what is right ────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(st.lists(steps(), max_size=60))
@example([*BEGINNING, *TRAFFIC])
def test_monitor_sees_a_correct_gateway_in_any_interleaving_and_finds_nothing(
    script: list[Step],
) -> None:
    assert monitor(played(script)) == []


@settings(deadline=None)
@given(st.lists(steps(), max_size=40))
def test_monitor_sees_a_correct_gateway_amid_its_traffic_and_finds_nothing(
    script: list[Step],
) -> None:
    assert monitor(played(BEGINNING, script, TRAFFIC)) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(steps(), max_size=40))
def test_monitor_sees_frames_of_devices_that_it_does_not_know_and_blames_nobody_for_them(
    script: list[Step],
) -> None:
    everybody = played(BEGINNING, script, TRAFFIC)
    viewers = [each for each in everybody if each.role == "viewer"]
    assert sum(entry.type == "video_frame" for each in viewers for entry in each.entries) > 0
    # Whatever they saw is not theirs by their addresses.
    elsewhere = [evolve(each, source_id="robot-99", cameras=("other",)) for each in viewers]
    assert monitor(viewers) == monitor(elsewhere) == []


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_monitor_sees_any_conversations_and_gives_findings_that_can_be_said(
    data: st.DataObject,
) -> None:
    conversations = []
    for number in range(data.draw(st.integers(0, 3))):
        role = data.draw(st.sampled_from(("viewer", "device")))
        recorder = WireRecorder(f"{role} {number}", (KEY,))
        for at in range(data.draw(st.integers(0, 5))):
            _record_anything(recorder, at, data.draw)
        conversations.append(
            RecordedConversation(
                name=recorder.peer,
                role=role,
                source_id="one",
                cameras=("front",),
                organisation=data.draw(st.sampled_from((HOME, FOREIGN))),
                entries=tuple(recorder.entries),
            )
        )
    findings = monitor(conversations)
    assert {finding.check for finding in findings} <= set(checks())
    assert {finding.clause for finding in findings} <= set(MONITORED)
    assert len({finding.check for finding in findings}) == len(findings)
    assert not [finding for finding in findings if lacking(finding)]


def _record_anything(recorder: WireRecorder, at: float, draw: Callable[..., Any]) -> None:
    way = draw(st.sampled_from(tuple(Way)))
    odd: SearchStrategy[object] = st.sampled_from((0, 1.5, True, None, "x", [], {}, "/9g=", 10**30))
    names = ("source_id", "camera_id", "frame", "width", "height", "timestamp")
    frames = st.fixed_dictionaries(
        {"type": st.just("video_frame")},
        optional={**dict.fromkeys(names, odd), "frame": st.just("/9g=") | odd},
    )
    said = draw(wire.garbage(Role.GATEWAY) | wire.garbage(Role.DEVICE) | frames.map(json.dumps))
    match draw(st.sampled_from(("message", "message", "event"))), said:
        case "message", str():
            recorder.text(at, way, said)
        case "message", bytes():
            recorder.binary(at, way, said)
        case _:
            recorder.event(at, way, draw(st.sampled_from(tuple(Kind))), "anything")


@pytest.mark.parametrize("name", ["source_id", "width", "height", "timestamp"])
def test_monitor_sees_a_device_that_left_a_member_out_and_blames_no_gateway_that_filled_it_in(
    name: str,
) -> None:
    names: dict[str, object] = {"source_id": "one", "camera_id": "front", "frame": "/9j/"}
    whole = {"type": "video_frame", **names, "width": 1, "height": 1, "timestamp": 1}
    device, viewer = WireRecorder("device", ()), WireRecorder("viewer", ())
    viewer.text(0, Way.SENT, '{"type": "auth"}')
    viewer.text(1, Way.RECEIVED, '{"type": "init", "online_sources": []}')
    device.text(2, Way.SENT, json.dumps({n: v for n, v in whole.items() if n != name}))
    viewer.text(3, Way.RECEIVED, json.dumps(whole))
    lines = [
        Played(device, "device", HOME, "one"),
        Played(viewer, "viewer", HOME, "one", ("front",)),
    ]
    assert monitor(line.conversation for line in lines) == []
