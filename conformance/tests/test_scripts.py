"""Scripts: drawn whole, played in virtual time here, and shrunk to the steps that matter."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import ClassVar, TypeVar

import pytest
import trio
import trio.testing
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.faults._wire import CLOSE, ClientFrame, FrameWire
from plexwire_conformance.report.sentences import lacking
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.network import Network
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts import (
    PROPERTIES,
    RELAY,
    Property,
    draw_scripts,
    explore,
    read_token,
    write_token,
)
from plexwire_conformance.scripts.exploring import play_script
from plexwire_conformance.scripts.properties import Script, Step
from plexwire_conformance.scripts.shrinking import shrink
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_conformance.target.target import Camera
from plexwire_protocol import (
    CloseCode,
    EncodedFrame,
    Publisher,
    Relay,
    Subscriber,
    VideoFrame,
    decode_device_frame,
)
from plexwire_server import Gateway, KeyGranted, KeyStore
from plexwire_server.extending import DeviceConnection

R = TypeVar("R")

_UNIX_MS = 1_750_000_000_000


# ── bugs that need four steps ────────────────────────────────────────────────────────────────


class Slow(Relay):
    """Reads binary frames like any others, and so hands each to `publish`."""

    def publish_binary(self, publisher: Publisher, data: bytes, *, now: float = 0.0) -> int:
        frame = decode_device_frame(data, source_id=publisher.source_id)
        self.publish(publisher, frame, now=now)
        return len(frame.jpeg)


class Forgetful(Relay):
    """A viewer of `rear` who leaves a camera that is online takes `front2` along, for all who come later.

    A frame, a viewer of `rear`, its end, a viewer of `front2`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: set[tuple[str, str, str]] = set()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        super().unsubscribe(subscriber)
        if "rear" in subscriber.cameras and self.online(*subscriber.source):
            self.spoilt.add((*subscriber.source, "front2"))

    def subscribe(
        self,
        organisation: str,
        source_id: str,
        cameras: Iterable[str],
        *,
        take: Callable[[EncodedFrame], bool] | None = None,
    ) -> Subscriber:
        kept = [c for c in cameras if (organisation, source_id, c) not in self.spoilt]
        return super().subscribe(organisation, source_id, kept, take=take)


class LastOneOut(Slow):
    """The first of two viewers who leaves a camera that was online turns off the light for the other.

    A frame, a viewer, another viewer, the first one's end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[tuple[str, str, str], Subscriber] = {}
        self.dark: set[tuple[str, str, str]] = set()

    def subscribe(
        self,
        organisation: str,
        source_id: str,
        cameras: Iterable[str],
        *,
        take: Callable[[EncodedFrame], bool] | None = None,
    ) -> Subscriber:
        subscriber = super().subscribe(organisation, source_id, cameras, take=take)
        online = {
            camera for each in self.online(organisation, source_id) for camera in each.cameras
        }
        for channel in channels_of(subscriber):
            first, *others = self._channels[channel].subscribers
            if others == [subscriber] and channel[2] in online:
                self.first[channel] = first
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        super().unsubscribe(subscriber)
        self.dark |= {c for c in channels_of(subscriber) if self.first.get(c) is subscriber}

    def publish(
        self, publisher: Publisher, frame: VideoFrame | EncodedFrame, *, now: float = 0.0
    ) -> tuple[Subscriber, ...]:
        channel = (publisher.organisation, publisher.source_id, frame.camera_id)
        if channel not in self.dark:
            return super().publish(publisher, frame, now=now)
        watching = self._channel(*channel)
        held, watching.subscribers, watching.ready = watching.subscribers, {}, None
        super().publish(publisher, frame, now=now)
        watching.subscribers, watching.ready = held, None
        return ()


class SameName(Slow):
    """A device that leaves hands its viewers to the other device that has a camera of the same name.

    A frame of the one, a frame of the other, a viewer, the device's end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handed: dict[Subscriber, str] = {}

    def leave(self, publisher: Publisher) -> None:
        cameras = publisher.cameras
        super().leave(publisher)
        organisation, source_id = publisher.organisation, publisher.source_id
        twin = re.sub(r"-d([01])-", lambda m: f"-d{1 - int(m[1])}-", source_id)
        for each in self.online(organisation, twin):
            for camera in cameras.intersection(each.cameras):
                channel = self._channels.get((organisation, source_id, camera))
                self.handed |= dict.fromkeys(channel.subscribers if channel else (), twin)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self.handed.pop(subscriber, None)
        super().unsubscribe(subscriber)

    def publish(
        self, publisher: Publisher, frame: VideoFrame | EncodedFrame, *, now: float = 0.0
    ) -> tuple[Subscriber, ...]:
        own = (publisher.organisation, publisher.source_id, frame.camera_id)
        mine = self._channel(*own)
        held = mine.subscribers
        astray = {
            subscriber: None
            for subscriber, twin in self.handed.items()
            if twin == publisher.source_id and frame.camera_id in subscriber.cameras
        }
        mine.subscribers = {s: None for s in held if s not in self.handed} | astray
        mine.ready = None
        told = super().publish(publisher, frame, now=now)
        mine.subscribers, mine.ready = held, None
        return told


class DeadSeat(Relay):
    """A viewer who comes after a device was lost in front of others, and before it is back, stays without a picture.

    A device, a viewer, the device's end, another viewer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[tuple[str, str]] = set()

    def leave(self, publisher: Publisher) -> None:
        super().leave(publisher)
        source = (publisher.organisation, publisher.source_id)
        if any(key[:2] == source and c.subscribers for key, c in self._channels.items()):
            self.lost.add(source)

    def join(self, organisation: str, source_id: str, *, key: str = "") -> Publisher:
        self.lost.discard((organisation, source_id))
        return super().join(organisation, source_id, key=key)

    def subscribe(
        self,
        organisation: str,
        source_id: str,
        cameras: Iterable[str],
        *,
        take: Callable[[EncodedFrame], bool] | None = None,
    ) -> Subscriber:
        lost = (organisation, source_id) in self.lost
        return super().subscribe(organisation, source_id, () if lost else cameras, take=take)


def channels_of(subscriber: Subscriber) -> list[tuple[str, str, str]]:
    return [(*subscriber.source, camera) for camera in subscriber.cameras]


# ── playing in virtual time ──────────────────────────────────────────────────────────────────


#: What the cases that play scripts answer for.
CITED = tuple(dict.fromkeys(clause for each in PROPERTIES.values() for clause in each.clauses))


def in_virtual_time(
    relay: type[Relay],
    nonce: str,
    do: Callable[[Trial], Awaitable[R]],
    kind: type[Gateway] = Gateway,
) -> R:
    async def main() -> R:
        store, given = KeyStore.throw_away()
        gateway = kind(store)
        gateway.hub.relay = relay()
        async with memory_gateway(gateway, given) as target, trio.open_nursery() as nursery:
            stage = Stage(
                case_id="scripts",
                target=target,
                tolerances=Tolerances(),
                nonce=nonce,
                online=Camera("plexwire-online", "front"),
                network=Network(trio.current_time),
                timeout=120,
                nursery=nursery,
                clock=trio.current_time,
                stamp=iter(range(_UNIX_MS, 2 * _UNIX_MS)).__next__,
            )
            result = await do(Trial(stage, CITED))
            await stage.close()
        return result

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def explored(relay: type[Relay], property_: Property, nonce: str, examples: int) -> list[Finding]:
    async def do(trial: Trial) -> list[Finding]:
        await explore(trial, property_, examples=examples)
        return trial.findings

    return in_virtual_time(relay, nonce, do)


@pytest.mark.parametrize("nonce", ["one", "two"])
@pytest.mark.parametrize("relay", [Forgetful, LastOneOut, DeadSeat])
def test_search_finds_a_bug_that_needs_four_steps_and_shrinks_it_to_five_or_fewer(
    relay: type[Relay], nonce: str
) -> None:
    (finding,) = explored(relay, RELAY, nonce, 200)
    property_, script = read_token(finding.replay)
    assert property_ is RELAY
    assert len(script) <= 5
    assert finding.steps == tuple(map(RELAY.say, script))
    assert finding.shown == (4, 4)
    assert not lacking(finding)


def test_search_finds_a_leak_between_two_sources() -> None:
    # It takes a fifth step to see where the pictures of the other source went.
    (finding,) = explored(SameName, RELAY, "one", 200)
    assert finding.check in ("PW-ISO-2/other-source", "PW-FRAME-9/not-sent")


def test_first_message_that_is_longer_than_any_gateway_must_read_accuses_none() -> None:
    async def play(trial: Trial) -> tuple[Finding, ...]:
        return await play_script(trial, PROPERTIES["scripts.auth"], (("pad", 1000),) * 5)

    assert in_virtual_time(Relay, "long", play) == ()


@pytest.mark.parametrize("property_", PROPERTIES.values(), ids=list(PROPERTIES))
def test_search_finds_nothing_on_the_reference_gateway(property_: Property) -> None:
    assert explored(Relay, property_, "reference", 60) == []


class _BeginningAnew(DeviceConnection):
    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        assert isinstance(self.gateway, Renewing)
        source_id = self.peer.source_id
        if source_id in self.gateway.seen:
            for viewer in self.gateway.hub.viewers:
                if viewer.address.source_id == source_id:
                    viewer.close(CloseCode.GOING_AWAY, now=trio.current_time())
        self.gateway.seen.add(source_id)


class Renewing(Gateway):
    """Closes the streams of a source that was away once it is back, as PW-FRAME-13 leaves to gateways."""

    device_connection = _BeginningAnew

    def __init__(self, keys: KeyStore) -> None:
        self.seen: set[str] = set()
        super().__init__(keys)


@pytest.mark.parametrize("departure", ["unplug", "crash"])
def test_script_accuses_no_gateway_that_closes_streams_when_their_source_is_back(
    departure: str,
) -> None:
    script: Script = (
        ("publish", 0, "front", 1),
        ("watch", 0, 0, ("front",)),
        (departure, 0),
        ("look", 0),
    )

    async def play(trial: Trial) -> tuple[Finding, ...]:
        return await play_script(trial, RELAY, script)

    assert in_virtual_time(Relay, "renewing", play, Renewing) == ()


class _DeafToClose(FrameWire):
    def hears_frame(self, frame: ClientFrame) -> bytes:
        return b"" if frame.opcode == CLOSE else super().hears_frame(frame)


class DeafToClose(Gateway):
    """Never answers a close, and counts who is there."""

    most = 0

    def __init__(self, keys: KeyStore) -> None:
        self.there = 0
        super().__init__(keys)

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        self.there += 1
        DeafToClose.most = max(self.most, self.there)
        try:
            await super().serve_stream(_DeafToClose(stream))
        finally:
            self.there -= 1


def test_script_has_no_more_connections_than_it_says_where_no_close_is_answered() -> None:
    script: Script = (("publish", 0, "front", 1), *(("watch", 0, 0, ("front",)),) * 12)

    async def play(trial: Trial) -> tuple[Finding, ...]:
        return await play_script(trial, RELAY, script)

    in_virtual_time(Relay, "deaf", play, DeafToClose)
    # A gateway may notice a moment later that another one has gone.
    assert 2 < DeafToClose.most <= RELAY.connections + 1


# ── what shows only now and then ─────────────────────────────────────────────────────────────


class Moody(Relay):
    """Loses each viewer whose turn is in `unlucky`, and notes which it lost; the first turn is 0."""

    unlucky: ClassVar[frozenset[int]]
    lost: ClassVar[list[bool]]

    def subscribe(
        self,
        organisation: str,
        source_id: str,
        cameras: Iterable[str],
        *,
        take: Callable[[EncodedFrame], bool] | None = None,
    ) -> Subscriber:
        lost = len(self.lost) in self.unlucky
        self.lost.append(lost)
        return super().subscribe(organisation, source_id, () if lost else cameras, take=take)


_WATCH: Script = (("watch", 0, 0, ("front",)),)
_JUST_WATCH = evolve(RELAY, scripts=st.just(_WATCH))
#: Times that a script is played after a breach, before the breach is reported.
_CONFIRMATIONS = 3


@pytest.mark.parametrize("turns", range(32))
def test_search_labels_a_finding_with_how_often_it_showed_again(turns: int) -> None:
    class Sometimes(Moody):
        unlucky = frozenset(turn for turn in range(5) if turns >> turn & 1)
        lost: ClassVar[list[bool]] = []

    try:
        findings = explored(Sometimes, _JUST_WATCH, "moody", 1)
    except* Inconclusive:
        findings = None
    confirmed = sum(Sometimes.lost[-_CONFIRMATIONS:])
    if not all(Sometimes.lost[:2]):
        # A silence that did not show twice is not a breach, and is not played again.
        assert findings == []
        assert len(Sometimes.lost) <= 2
    elif confirmed == 0:
        assert findings is None
    else:
        (finding,) = findings or []
        # The first time counts as well.
        assert finding.shown == (confirmed + 1, _CONFIRMATIONS + 1)


def test_search_that_met_a_silence_once_does_not_pass_and_does_not_accuse() -> None:
    class Once(Moody):
        unlucky = frozenset({0, 1})
        lost: ClassVar[list[bool]] = []

    def says_how_to_replay(error: Inconclusive) -> bool:
        token = str(error).partition("plexwire replay ")[2].rstrip("`")
        return read_token(token) == (RELAY, _WATCH)

    with pytest.RaisesGroup(
        pytest.RaisesExc(Inconclusive, check=says_how_to_replay), flatten_subgroups=True
    ):
        explored(Once, _JUST_WATCH, "moody", 1)


# ── shrinking and tokens ─────────────────────────────────────────────────────────────────────


@given(
    noise=st.lists(st.integers(3, 9), max_size=10),
    places=st.tuples(st.integers(0, 10), st.integers(0, 10)),
)
def test_shrink_leaves_the_steps_that_matter_in_their_order(
    noise: list[int], places: tuple[int, int]
) -> None:
    steps = list(noise)
    first = min(places[0], len(steps))
    steps.insert(first, 1)
    steps.insert(first + 1 + places[1] % (len(steps) - first), 2)
    script: Script = tuple((step,) for step in steps)

    async def breaks(candidate: Script) -> bool:
        await trio.lowlevel.checkpoint()
        flat = [step[0] for step in candidate]
        return 1 in flat and 2 in flat[flat.index(1) :]

    assert trio.run(shrink, script, breaks, _none) == ((1,), (2,))


def _none(step: Step) -> tuple[Step, ...]:
    return ()


@given(script=RELAY.scripts)
def test_token_carries_a_script_and_gives_it_back(script: Script) -> None:
    assert read_token(write_token(RELAY.id, script)) == (RELAY, script)


@pytest.mark.parametrize("property_", PROPERTIES.values(), ids=list(PROPERTIES))
def test_drawing_gives_the_same_scripts_for_the_same_seed(property_: Property) -> None:
    def drawn(seed: int, most: int = 100) -> list[Script]:
        scripts: list[Script] = []

        def take(script: Script) -> bool:
            scripts.append(script)
            return len(scripts) < most

        draw_scripts(property_, 20, take, seed_=seed)
        return scripts

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1, 5)[:5] == drawn(1)[:5]
