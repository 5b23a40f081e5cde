"""A peer of a hub over a WebSocket, in memory and on a clock that jumps: with the fast lane and without it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
import trio.testing
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection

from plexwire_protocol import (
    DEVICE_PATH,
    AnyPeer,
    Auth,
    Authenticated,
    AuthReceived,
    Close,
    CloseCode,
    DeviceAuth,
    Event,
    Hub,
    Init,
    Role,
    State,
    StreamAddress,
    VideoFrame,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import AUTH_DEADLINE_S, CLOSE_GRACE_S
from plexwire_trio import accept_upgrade, wrap_client_stream
from plexwire_trio.fastlane import DEVICE, FastLane, FastStream, open_fast_lane, text_frame
from plexwire_trio.playing import Player

FRAME = VideoFrame(
    source_id="robot-01",
    camera_id="front",
    jpeg=b"\xff\xd8" + bytes(200_000),
    width=2,
    height=1,
    timestamp=1,
)
ADDRESS = StreamAddress(source_id="robot-01", cameras=("front",))
AUTH = encode(Auth(api_key="plx_a"))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

StreamPairs = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]


@define
class Stage:
    """A hub with its connections; the events of all of them are in `events`."""

    hub: Hub
    lane: FastLane
    nursery: trio.Nursery
    in_lane: bool
    events: list[Event] = field(factory=list)
    far: list[trio.abc.Stream] = field(factory=list)
    peers: list[AnyPeer] = field(factory=list)
    ended: list[AnyPeer] = field(factory=list)
    errors: list[Exception] = field(factory=list)
    handle: Callable[[AnyPeer, Event], None] = field(default=lambda peer, event: None)
    pings: float = inf

    async def connect(
        self, target: str, *, pair: StreamPairs = trio.testing.memory_stream_pair
    ) -> WebSocketConnection:
        """Return the far end of a new connection."""
        near, far = pair()
        self.far.append(far)
        self.nursery.start_soon(self._serve, near, target)
        return await wrap_client_stream(self.nursery, far, "stage", target)

    async def viewer(
        self,
        address: StreamAddress = ADDRESS,
        *,
        pair: StreamPairs = trio.testing.memory_stream_pair,
    ) -> WebSocketConnection:
        """Return a viewer that has its init."""
        ws = await self.connect(address.target(), pair=pair)
        await ws.send_message(AUTH)
        assert await ws.get_message() == encode(Init(online_sources=()))
        return ws

    async def device(self) -> WebSocketConnection:
        """Return a device that was accepted."""
        ws = await self.connect(DEVICE_PATH)
        await ws.send_message(encode(DeviceAuth(api_key="plx_a", source_id="robot-01")))
        answer = Authenticated(source_id="robot-01", server_time_ms=7)
        assert await ws.get_message() == encode(answer)
        return ws

    async def _serve(self, stream: trio.abc.Stream, target: str) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += bytes(await stream.receive_some())
        key = next(
            line.split(b": ")[1].decode()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        async with trio.open_nursery() as nursery:
            fast = self.lane.attach(stream, upgraded=True)
            ws = await accept_upgrade(nursery, fast, target, key)
            await self._play(ws, fast, target)
            nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(fast)

    async def _play(self, ws: WebSocketConnection, fast: FastStream, target: str) -> None:
        player = Player(ws, fast, ping_interval=self.pings, pong_timeout=5)
        peer = self.hub.connect(target, wake=player.wake, now=trio.current_time())
        player.peer = peer
        if self.in_lane:
            player.use_fast_lane()
        self.peers.append(peer)

        def handle(event: Event) -> None:
            self.events.append(event)
            self.handle(peer, event)
            if isinstance(event, AuthReceived):
                peer.judge("acme", now=trio.current_time())
                fast.budget = DEVICE
                if self.in_lane and peer.role is Role.DEVICE:
                    fast.on_binary = lambda data: self.events.extend(
                        peer.receive(data, now=trio.current_time())
                    )

        try:
            await player.run(handle)
        except* ValueError as group:
            self.errors.extend(group.exceptions)
            peer.close(CloseCode.INTERNAL_ERROR, now=trio.current_time())
            await player.run(handle)
        self.ended.append(peer)


@asynccontextmanager
async def open_stage(in_lane: bool) -> AsyncGenerator[Stage, None]:
    hub = Hub(unix_ms=lambda: 7, finish=text_frame) if in_lane else Hub(unix_ms=lambda: 7)
    async with open_fast_lane() as lane, trio.open_nursery() as nursery:
        yield Stage(hub, lane, nursery, in_lane)
        nursery.cancel_scope.cancel()


async def close_of(ws: WebSocketConnection) -> Close:
    """Return how *ws* is closed, whatever comes before that."""
    while True:
        try:
            await ws.get_message()
        except ConnectionClosed as error:
            reason = error.reason
            return Close(1006) if reason is None else Close(reason.code, reason.reason or "")


both = pytest.mark.parametrize("in_lane", [True, False], ids=["lane", "no-lane"])


@both
async def test_frames_pass_from_a_device_to_its_viewers(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        viewers = [await stage.viewer() for _ in range(3)]
        device = await stage.device()
        for _ in range(3):
            await device.send_message(encode_device_frame(FRAME))
            for viewer in viewers:
                assert await viewer.get_message() == encode(FRAME)

        await viewers[0].aclose(1001)
        await trio.testing.wait_all_tasks_blocked()

        [left] = stage.ended
        assert (left.closed, left.closed_by) == (Close(1001), Role.VIEWER)
        assert len(stage.hub.viewers) == 2


@both
async def test_peer_that_says_nothing_is_closed_at_its_deadline(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        ws = await stage.connect(ADDRESS.target())

        assert (await close_of(ws)).code == CloseCode.UNAUTHORIZED

        assert trio.current_time() == pytest.approx(AUTH_DEADLINE_S)


@both
async def test_viewer_that_stalls_is_dropped_two_seconds_after_its_timeout(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    address = StreamAddress(source_id="robot-01", cameras=("front",), timeout=5)
    async with open_stage(in_lane) as stage:
        device = await stage.device()
        await stage.viewer(address, pair=trio.testing.lockstep_stream_pair)
        stalled = stage.peers[-1]
        for _ in range(3):
            await device.send_message(encode_device_frame(FRAME))
        await trio.testing.wait_all_tasks_blocked()
        assert stalled.session.state is State.STREAMING

        await trio.sleep(5 + CLOSE_GRACE_S + 0.1)

        assert stage.ended == [stalled]
        assert stalled.aborted
        assert stalled.closed == Close(CloseCode.TIMEOUT, "PW-TIME-1")


@both
async def test_viewer_that_reads_again_in_time_gets_its_close_after_the_frame_at_hand(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    address = StreamAddress(source_id="robot-01", cameras=("front",), timeout=5)
    async with open_stage(in_lane) as stage:
        device = await stage.device()
        viewer = await stage.viewer(address, pair=trio.testing.lockstep_stream_pair)
        for _ in range(6):
            await device.send_message(encode_device_frame(FRAME))
        await trio.sleep(6)

        assert (await close_of(viewer)).code == CloseCode.TIMEOUT

        await trio.testing.wait_all_tasks_blocked()
        assert not stage.peers[-1].aborted
        assert stage.peers[-1].frames <= 3


@both
async def test_close_that_is_asked_for_elsewhere_goes_out_and_is_waited_for(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        viewer = await stage.viewer()

        stage.peers[0].close(CloseCode.GOING_AWAY, "bye", now=trio.current_time())

        assert await close_of(viewer) == Close(CloseCode.GOING_AWAY, "bye")
        await trio.testing.wait_all_tasks_blocked()
        assert stage.ended == stage.peers
        assert trio.current_time() == 0


@both
async def test_peer_that_breaks_rfc_6455_gets_the_close_that_is_due(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        viewer = await stage.viewer()
        await viewer._stream.send_all(b"\x81\x81\0\0\0\0\xff")  # text that is not UTF-8

        assert (await close_of(viewer)).code == CloseCode.INVALID_PAYLOAD

        [peer] = stage.peers
        assert peer.closed_by is Role.GATEWAY


@both
async def test_peer_that_exceeds_its_budget_gets_the_close_that_is_due(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        stranger = await stage.connect(ADDRESS.target())
        await stranger._stream.send_all(b"\x81\xfe\x10\x01\0\0\0\0")  # 4097 bytes, declared

        assert (await close_of(stranger)).code == CloseCode.TOO_BIG

        await trio.testing.wait_all_tasks_blocked()
        [peer] = stage.ended
        assert (peer.closed and peer.closed.code, peer.closed_by) == (1009, Role.GATEWAY)


@both
async def test_peer_that_vanishes_leaves(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        await stage.viewer()
        await trio.aclose_forcefully(stage.far[0])
        await trio.testing.wait_all_tasks_blocked()

        [peer] = stage.ended
        assert (peer.closed, peer.closed_by) == (Close(CloseCode.ABNORMAL), Role.VIEWER)


@both
async def test_peer_that_answers_no_ping_has_vanished(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_stage(in_lane) as stage:
        stage.pings = 10
        await stage.viewer()
        device = await stage.device()
        # Whoever reads no messages answers no pings either.
        for _ in range(3):
            await device.send_message(encode_device_frame(FRAME))
        await trio.sleep(14)
        assert stage.ended == []

        await trio.sleep(2)

        assert stage.ended == stage.peers[:1]
        assert stage.ended[0].closed == Close(CloseCode.ABNORMAL)


@both
async def test_error_of_the_handler_leaves_the_peer_to_be_closed(
    in_lane: bool, autojump_clock: trio.testing.MockClock
) -> None:
    def slip(peer: AnyPeer, event: Event) -> None:
        raise ValueError("a slip")

    async with open_stage(in_lane) as stage:
        stage.handle = slip
        viewer = await stage.connect(ADDRESS.target())
        await viewer.send_message(AUTH)

        assert (await close_of(viewer)).code == CloseCode.INTERNAL_ERROR

        assert [str(error) for error in stage.errors] == ["a slip"]


@both
async def test_error_of_the_peer_while_it_is_asked_is_the_readers_to_raise(
    in_lane: bool, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(in_lane) as stage:
        viewer, device = await stage.viewer(), await stage.device()

        def slip(now: float) -> str:
            raise ValueError("a slip")

        monkeypatch.setattr(stage.peers[0], "_next_frame", slip)
        await device.send_message(encode_device_frame(FRAME))

        assert (await close_of(viewer)).code == CloseCode.INTERNAL_ERROR

        await trio.testing.wait_all_tasks_blocked()
        assert [str(error) for error in stage.errors] == ["a slip"]
        assert stage.ended == stage.peers[:1]
