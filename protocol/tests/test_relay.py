"""The relay against a naive model, and by example."""

import gc
import json
import weakref
from collections import Counter
from collections.abc import Sequence

import pytest
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from plexwire_protocol import (
    EncodedFrame,
    LocalProtocolError,
    OnlineSource,
    Publisher,
    Relay,
    Subscriber,
    VideoFrame,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import MAX_CAMERAS

FRAME = VideoFrame(
    source_id="drone-01", camera_id="front", jpeg=b"\xff\xd8", width=640, height=480, timestamp=0
)
ORGANISATIONS = ("acme", "zenith")
SOURCES = ("drone-01", "drone-02")
CAMERAS = ("front", "rear", "")

# Mostly the same source, so that frames find their viewers; now and then another.
organisations = st.sampled_from(("acme", *ORGANISATIONS))
sources = st.sampled_from(("drone-01", *SOURCES))
cameras = st.sampled_from(CAMERAS)


# ── against a model ──────────────────────────────────────────────────────────────────────────


@define(eq=False)
class Device:
    """What the model knows of a device."""

    publisher: Publisher
    organisation: str
    source_id: str
    cameras: set[str] = field(factory=set)


@define(eq=False)
class Viewer:
    """What the model knows of a viewer; `waiting` holds a frame a camera, those that wait longest first."""

    subscriber: Subscriber
    organisation: str
    source_id: str
    cameras: set[str]
    since: int
    waiting: list[VideoFrame] = field(factory=list)
    offered: int = 0
    taken: list[EncodedFrame] = field(factory=list)
    passed_over: Counter[str] = field(factory=Counter)


class RelayMachine(RuleBasedStateMachine):
    """Devices and viewers of two organisations come, go, send and read in any order.

    A frame's timestamp is its serial number, so that every frame can be told from every other.
    """

    devices = Bundle[Device]("devices")
    viewers = Bundle[Viewer]("viewers")

    def __init__(self) -> None:
        super().__init__()
        self.relay = Relay()
        self.serial = 0
        self.present_devices: list[Device] = []
        self.present_viewers: list[Viewer] = []
        self.texts: dict[int, str | bytes] = {}

    @initialize(target=devices)
    def first_device_joins(self) -> Device:
        return self.join("acme", "drone-01")

    @initialize(target=viewers, count=st.integers(1, 3))
    def first_viewers_subscribe(self, count: int) -> MultipleResults[Viewer]:
        return multiple(*(self.subscribe("acme", "drone-01", CAMERAS) for _ in range(count)))

    @rule(target=devices, organisation=organisations, source_id=sources)
    def device_joins(self, organisation: str, source_id: str) -> Device:
        return self.join(organisation, source_id)

    def join(self, organisation: str, source_id: str) -> Device:
        publisher = self.relay.join(organisation, source_id)
        device = Device(publisher, organisation, source_id)
        self.present_devices.append(device)
        return device

    @rule(device=consumes(devices))
    def device_leaves(self, device: Device) -> None:
        self.relay.leave(device.publisher)
        self.present_devices.remove(device)

    @rule(
        target=viewers,
        organisation=organisations,
        source_id=sources,
        wanted=st.lists(cameras, min_size=1, max_size=4),
    )
    def viewer_subscribes(self, organisation: str, source_id: str, wanted: list[str]) -> Viewer:
        return self.subscribe(organisation, source_id, wanted)

    def subscribe(self, organisation: str, source_id: str, wanted: Sequence[str]) -> Viewer:
        subscriber = self.relay.subscribe(organisation, source_id, wanted)
        viewer = Viewer(subscriber, organisation, source_id, set(wanted), self.serial)
        self.present_viewers.append(viewer)
        return viewer

    @rule(viewer=consumes(viewers))
    def viewer_leaves(self, viewer: Viewer) -> None:
        self.relay.unsubscribe(viewer.subscriber)
        self.present_viewers.remove(viewer)
        assert viewer.subscriber.waiting == 0
        assert self.relay.next_for(viewer.subscriber) is None

    @rule(device=devices, camera_ids=st.lists(cameras, min_size=1, max_size=6))
    def device_publishes(self, device: Device, camera_ids: list[str]) -> None:
        for camera_id in camera_ids:
            self.serial += 1
            frame = evolve(
                FRAME, source_id=device.source_id, camera_id=camera_id, timestamp=self.serial
            )
            device.cameras.add(camera_id)
            told = self.relay.publish(device.publisher, frame)
            watching = [v for v in self.present_viewers if watches(v, device, camera_id)]
            assert list(told) == [viewer.subscriber for viewer in watching]
            for viewer in watching:
                viewer.offered += 1
                replace_or_append(viewer.waiting, frame)

    @rule(viewer=viewers, count=st.integers(1, 4))
    def viewer_reads(self, viewer: Viewer, count: int) -> None:
        for _ in range(count):
            encoded = self.relay.next_for(viewer.subscriber)
            if not viewer.waiting:
                assert encoded is None
                return
            assert encoded is not None
            frame = viewer.waiting.pop(0)
            assert (encoded.camera_id, serial(encoded)) == (frame.camera_id, frame.timestamp)
            viewer.taken.append(encoded)
            self.check_turns(viewer, encoded.camera_id)
            self.check_text(encoded, frame)

    def check_turns(self, viewer: Viewer, served: str) -> None:
        """No camera with a waiting frame is passed over more often than there are others."""
        del viewer.passed_over[served]
        viewer.passed_over.update(frame.camera_id for frame in viewer.waiting)
        assert all(count < len(viewer.cameras) for count in viewer.passed_over.values())

    def check_text(self, encoded: EncodedFrame, frame: VideoFrame) -> None:
        """All viewers of a frame share one text, built once, and it is the text of that frame."""
        assert self.texts.setdefault(frame.timestamp, encoded.text) is encoded.text
        assert encoded.text == encode(frame)

    @invariant()
    def viewers_got_what_they_asked_for_in_order_and_once(self) -> None:
        """PW-FRAME-5, PW-FRAME-6, PW-FRAME-7, PW-ISO-1, PW-ISO-2."""
        for viewer in self.present_viewers:
            for camera_id in CAMERAS:
                serials = [
                    serial(encoded) for encoded in viewer.taken if encoded.camera_id == camera_id
                ]
                assert serials == sorted(set(serials))
                assert not serials or camera_id in viewer.cameras
                assert not serials or serials[0] > viewer.since
            named = {json.loads(encoded.text)["source_id"] for encoded in viewer.taken}
            assert named <= {viewer.source_id}

    @invariant()
    def memory_is_bounded_and_nothing_is_lost_uncounted(self) -> None:
        """PW-FLOW-3, PW-FLOW-5."""
        for viewer in self.present_viewers:
            subscriber = viewer.subscriber
            assert subscriber.waiting == len(viewer.waiting) <= len(viewer.cameras)
            assert viewer.offered == len(viewer.taken) + subscriber.waiting + subscriber.dropped

    @invariant()
    def cameras_are_online_from_their_first_frame_until_their_last_device_leaves(self) -> None:
        """PW-INIT-5, PW-INIT-6, PW-INIT-7, PW-INIT-8, PW-ISO-4."""
        for organisation in ORGANISATIONS:
            for source_id in SOURCES:
                online = {
                    camera
                    for device in self.present_devices
                    if (device.organisation, device.source_id) == (organisation, source_id)
                    for camera in device.cameras
                }
                entry = OnlineSource(source_id=source_id, cameras=sorted(online))
                assert self.relay.online(organisation, source_id) == ((entry,) if online else ())

    def teardown(self) -> None:
        """PW-FRAME-7: once everybody has left, nothing is kept."""
        for viewer in self.present_viewers:
            self.relay.unsubscribe(viewer.subscriber)
        for device in self.present_devices:
            self.relay.leave(device.publisher)
        assert self.relay.waiting_bytes == 0
        assert all(not kept for kept in vars(self.relay).values() if isinstance(kept, dict))


def serial(encoded: EncodedFrame) -> int:
    return int(json.loads(encoded.text)["timestamp"])


def watches(viewer: Viewer, device: Device, camera_id: str) -> bool:
    return (viewer.organisation, viewer.source_id) == (
        device.organisation,
        device.source_id,
    ) and camera_id in viewer.cameras


def replace_or_append(waiting: list[VideoFrame], frame: VideoFrame) -> None:
    for place, older in enumerate(waiting):
        if older.camera_id == frame.camera_id:
            waiting[place] = frame
            return
    waiting.append(frame)


TestRelay = RelayMachine.TestCase
TestRelay.settings = settings(max_examples=2 * settings().max_examples)


# ── by example ───────────────────────────────────────────────────────────────────────────────


def frame(camera_id: str, number: int) -> VideoFrame:
    return evolve(FRAME, camera_id=camera_id, timestamp=number)


def read_all(relay: Relay, subscriber: Subscriber) -> list[tuple[str, int]]:
    read = []
    while (encoded := relay.next_for(subscriber)) is not None:
        read.append((encoded.camera_id, serial(encoded)))
    return read


def test_relay_hands_frames_on_like_this() -> None:
    relay = Relay()
    device = relay.join("acme", "drone-01")
    assert relay.publish(device, frame("front", 1)) == ()

    viewer = relay.subscribe("acme", "drone-01", ["front", "rear"])
    assert relay.online("acme", "drone-01") == (
        OnlineSource(source_id="drone-01", cameras=["front"]),
    )
    assert relay.next_for(viewer) is None

    assert relay.publish(device, frame("rear", 2)) == (viewer,)
    assert relay.publish(device, frame("front", 3)) == (viewer,)
    assert relay.publish(device, frame("cabin", 4)) == ()
    assert read_all(relay, viewer) == [("rear", 2), ("front", 3)]
    (source,) = relay.online("acme", "drone-01")
    assert source.cameras == ("cabin", "front", "rear")

    relay.leave(device)
    assert relay.online("acme", "drone-01") == ()


def test_viewer_that_stalls_finds_the_newest_frame_of_each_camera() -> None:
    """PW-FLOW-4, PW-FLOW-5."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["front", "rear"])
    for number in range(1000):
        relay.publish(device, frame(("front", "rear")[number % 2], number))

    assert (viewer.waiting, viewer.dropped) == (2, 998)
    assert read_all(relay, viewer) == [("front", 998), ("rear", 999)]


def test_slow_camera_gets_its_turn_beside_a_fast_one() -> None:
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["fast", "slow"])
    relay.publish(device, frame("fast", 0))
    relay.publish(device, frame("slow", 0))

    served = []
    for number in range(1, 4):
        encoded = relay.next_for(viewer)
        assert encoded is not None
        served.append(encoded.camera_id)
        relay.publish(device, frame("fast", number))

    assert served == ["fast", "slow", "fast"]


def test_newer_frame_takes_the_place_of_the_older_one_in_the_queue() -> None:
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["fast", "slow"])
    for number, camera_id in enumerate(("fast", "slow", "fast", "fast")):
        relay.publish(device, frame(camera_id, number))

    assert read_all(relay, viewer) == [("fast", 3), ("slow", 1)]


def test_stalled_viewer_costs_the_others_nothing() -> None:
    """PW-FLOW-1, PW-FRAME-10."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    stalled, keen = (relay.subscribe("acme", "drone-01", ["front"]) for _ in range(2))
    read = []
    for number in range(10):
        relay.publish(device, frame("front", number))
        read += read_all(relay, keen)

    assert read == [("front", number) for number in range(10)]
    assert (keen.dropped, stalled.dropped) == (0, 9)


def test_frame_is_not_encoded_while_nobody_watches() -> None:
    """Else this would be an error: a set is not JSON."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    odd = evolve(FRAME, extra={"temps": {1, 2}})  # type: ignore[dict-item]

    assert relay.publish(device, odd) == ()
    viewer = relay.subscribe("acme", "drone-01", ["front"])
    with pytest.raises(LocalProtocolError, match="set is not JSON serializable"):
        relay.publish(device, odd)
    assert (viewer.waiting, viewer.dropped) == (0, 0)


def test_frame_that_is_encoded_already_is_handed_out_as_it_is() -> None:
    """PW-FRAME-2, PW-FRAME-3, PW-FRAME-4: what another gateway wrote, to the letter."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["front"])
    ready = EncodedFrame("front", '{ "type" : "video_frame" }')
    assert relay.publish(device, ready) == (viewer,)
    handed = relay.next_for(viewer)
    assert handed is not None
    assert (handed.camera_id, handed.text) == (ready.camera_id, ready.text)
    assert device.cameras == {"front"}


def test_two_connections_of_one_source_stand_side_by_side() -> None:
    """PW-DEV-10, PW-INIT-10."""
    relay = Relay()
    first, second = relay.join("acme", "drone-01"), relay.join("acme", "drone-01")
    relay.publish(first, frame("front", 1))
    relay.publish(second, frame("front", 2))
    relay.publish(second, frame("rear", 3))

    relay.leave(second)

    assert relay.online("acme", "drone-01") == (
        OnlineSource(source_id="drone-01", cameras=["front"]),
    )


def test_device_speaks_for_its_own_source_alone_whatever_its_frames_say() -> None:
    """PW-ISO-2."""
    relay = Relay()
    own = relay.subscribe("acme", "drone-01", ["front"])
    other = relay.subscribe("acme", "drone-02", ["front"])

    relay.publish(relay.join("acme", "drone-01"), evolve(FRAME, source_id="drone-02"))

    assert (own.waiting, other.waiting) == (1, 0)


def test_source_of_the_same_name_in_another_organisation_is_another_source() -> None:
    """PW-ISO-3, PW-ISO-4."""
    relay = Relay()
    viewer = relay.subscribe("acme", "drone-01", ["front"])

    relay.publish(relay.join("zenith", "drone-01"), frame("front", 1))

    assert viewer.waiting == 0
    assert relay.online("acme", "drone-01") == ()


def test_device_has_at_most_64_cameras() -> None:
    """PW-LIM-6: those it has go on, any further one is refused and counted."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    names = [f"camera:{number}" for number in range(MAX_CAMERAS + 1)]
    viewer = relay.subscribe("acme", "drone-01", names)
    for number, name in enumerate((*names, *names)):
        relay.publish(device, frame(name, number))

    assert device.refused == 2
    assert viewer.waiting == MAX_CAMERAS
    (source,) = relay.online("acme", "drone-01")
    assert len(source.cameras) == MAX_CAMERAS
    assert names[-1] not in source.cameras


def test_relay_keeps_nothing_of_a_frame_but_its_text() -> None:
    """PW-FRAME-7, PW-FLOW-3: neither the picture nor parsed members wait, and there is no history."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["front"])
    frames = [frame("front", number) for number in range(3)]
    alive = [weakref.ref(item) for item in frames]
    for item in frames:
        relay.publish(device, item)
    text = encode(frames[-1])
    del item
    frames.clear()
    gc.collect()

    assert [ref() for ref in alive] == [None, None, None]
    assert relay.waiting_bytes == viewer.waiting_bytes == len(text)


# ── misuse ───────────────────────────────────────────────────────────────────────────────────


def test_relay_refuses_what_was_done_already() -> None:
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["front"])
    relay.publish(device, frame("front", 1))
    relay.leave(device)
    relay.unsubscribe(viewer)

    with pytest.raises(LocalProtocolError, match="has left"):
        relay.leave(device)
    with pytest.raises(LocalProtocolError, match="has left"):
        relay.publish(device, frame("front", 2))
    with pytest.raises(LocalProtocolError, match="has left"):
        relay.publish_binary(device, encode_device_frame(FRAME))
    with pytest.raises(LocalProtocolError, match="twice"):
        relay.unsubscribe(viewer)
