"""Whatever viewers, frames and a failing wire do, in any order: what every viewer of an edge is owed."""

from typing import Any, TypeAlias

import trio
import trio.testing
from attrs import define, evolve, field, frozen
from edge_bench import Wire, open_edge_bench
from gateway_bench import WebSocketPeer, open_bench
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed

from plexwire_protocol import CloseCode, StreamAddress, VideoFrame, encode_device_frame

FRAME = VideoFrame(camera_id="front", jpeg=b"\xff\xd8", width=1, height=1, timestamp=0)
MAX_ATTEMPTS, DELAY_S = 5, 2.0


@frozen
class Join:
    """A viewer comes: with which of two keys, for which cameras."""

    foreign: bool
    cameras: tuple[str, ...]


@frozen
class Leave:
    """The viewer with this number, counted round, goes."""

    number: int


@frozen
class Publish:
    """The device sends a frame of this camera."""

    camera: str


@frozen
class Cut:
    """The wire to the upstream breaks."""


@frozen
class Mend:
    """It is whole again."""


@frozen
class Sleep:
    """Time passes."""

    seconds: float


Step: TypeAlias = Join | Leave | Publish | Cut | Mend | Sleep

cameras = st.sampled_from(("front", "rear"))
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Join, st.booleans(), st.sampled_from((("front",), ("rear",), ("front", "rear")))),
    st.builds(Leave, st.integers(0, 9)),
    st.builds(Publish, cameras),
    st.builds(Publish, cameras),
    st.builds(Cut),
    st.builds(Mend),
    st.builds(Sleep, st.sampled_from((0.5, 1.9, 2.1, 4.5, 11.0))),
)


@define(eq=False)
class Watcher:
    """A viewer, and all that it hears."""

    join: Join
    peer: WebSocketPeer
    heard: list[dict[str, Any]] = field(factory=list, init=False)
    code: int = field(default=0, init=False)
    left: bool = field(default=False, init=False)

    async def listen(self) -> None:
        try:
            while True:
                self.heard.append(await self.peer.hear())
        except ConnectionClosed as closed:
            self.code = CloseCode.ABNORMAL if closed.reason is None else closed.reason.code

    @property
    def here(self) -> bool:
        return not self.code and not self.left

    def check(self) -> None:
        """Judge what was heard, from the first message to the last."""
        if self.heard:
            assert self.heard[0]["type"] == "init"
        elif not self.left:
            assert self.code == CloseCode.INTERNAL_ERROR
        types = [message["type"] for message in self.heard]
        assert types.count("init") <= 1
        assert set(types) <= {"init", "video_frame", "gateway_reconnecting"}
        frames = [message for message in self.heard if message["type"] == "video_frame"]
        stamps = [frame["timestamp"] for frame in frames]
        assert stamps == sorted(set(stamps))
        assert all(frame["camera_id"] in self.join.cameras for frame in frames)
        self.check_attempts()

    def check_attempts(self) -> None:
        """Attempts count up from 1, and from 1 again; only after the last one is a viewer given up."""
        attempts = [
            message["attempt"]
            for message in self.heard
            if message["type"] == "gateway_reconnecting"
        ]
        last = 0
        for number, attempt in enumerate(attempts):
            # Who comes in the middle of an outage hears the rest of it.
            assert attempt in (1, last + 1) or number == 0
            assert 1 <= attempt <= MAX_ATTEMPTS
            last = attempt
        if self.heard and self.code:
            assert self.left or (self.code, last) == (CloseCode.INTERNAL_ERROR, MAX_ATTEMPTS)


async def play(script: list[Step]) -> None:
    async with open_bench() as upstream:
        wire = Wire(upstream)
        async with open_edge_bench(wire) as edge:
            device = await upstream.device()
            watchers: list[Watcher] = []
            stamp = 0

            async def publish(camera: str) -> None:
                nonlocal stamp
                stamp += 1
                frame = evolve(FRAME, camera_id=camera, timestamp=stamp)
                await device.say(encode_device_frame(frame))

            for step in script:
                match step:
                    case Join():
                        key = edge.keys.foreign_key if step.foreign else edge.keys.api_key
                        address = StreamAddress(source_id="robot-01", cameras=step.cameras)
                        peer = await edge.knock_as_viewer(key, address=address)
                        watchers.append(watcher := Watcher(step, peer))
                        edge.nursery.start_soon(watcher.listen)
                    case Leave():
                        if here := [watcher for watcher in watchers if watcher.here]:
                            leaving = here[step.number % len(here)]
                            leaving.left = True
                            await leaving.peer.ws.aclose()
                    case Publish():
                        await publish(step.camera)
                    case Cut():
                        await wire.cut()
                    case Mend():
                        wire.mend()
                    case Sleep():
                        await trio.sleep(step.seconds)
                await trio.testing.wait_all_tasks_blocked()

            # With the upstream back for good, everybody who was kept gets what is sent then.
            wire.mend()
            await trio.sleep(DELAY_S + 0.1)
            await publish("front")
            await publish("rear")
            await trio.testing.wait_all_tasks_blocked()
            for watcher in watchers:
                watcher.check()
                if watcher.here and not watcher.join.foreign:
                    last = {
                        message["camera_id"]: message["timestamp"]
                        for message in watcher.heard
                        if message["type"] == "video_frame"
                    }
                    newest = {"front": stamp - 1, "rear": stamp}
                    assert last == {camera: newest[camera] for camera in watcher.join.cameras}
                if watcher.join.foreign:
                    assert "video_frame" not in {message["type"] for message in watcher.heard}
            shared = {
                (watcher.join.foreign, frozenset(watcher.join.cameras))
                for watcher in watchers
                if watcher.here
            }
            gateway = edge.gateway
            assert edge.streams_upstream == len(shared)
            assert len(gateway.feeds.running) == len(gateway.feeds.shared) == len(shared)
            assert gateway.metrics.crashes == upstream.gateway.metrics.crashes == 0


@settings(max_examples=120, deadline=None)
@given(st.lists(steps, max_size=25))
def test_viewers_of_an_edge_get_one_init_frames_in_order_and_are_kept_until_the_last_attempt(
    script: list[Step],
) -> None:
    trio.run(play, script, clock=trio.testing.MockClock(autojump_threshold=0))
