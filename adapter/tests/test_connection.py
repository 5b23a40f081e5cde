"""The pump: two sessions of the core joined by two WebSockets over streams in memory, on a clock that jumps."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
import trio.testing
from attrs import define, field
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection

from plexwire_protocol import (
    Auth,
    AuthReceived,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DeviceSession,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    Init,
    MessageReceived,
    PeerViolated,
    Role,
    StreamAddress,
    VideoFrame,
    ViewerSession,
)
from plexwire_protocol.limits import AUTH_DEADLINE_S, HEARTBEAT_INTERVAL_S
from plexwire_trio import Connection, wrap_client_stream, wrap_server_stream

GRACE_S = 2.0
ADDRESS = StreamAddress(source_id="robot-01", cameras=("front",))
JPEG = b"\xff\xd8" + bytes(200_000)


def frame(stamp: int = 1) -> VideoFrame:
    return VideoFrame(camera_id="front", jpeg=JPEG, width=2, height=1, timestamp=stamp)


def viewer_session(address: StreamAddress = ADDRESS) -> GatewayViewerSession:
    return GatewayViewerSession(address, now=trio.current_time())


Streams = tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]


@asynccontextmanager
async def open_pair(streams: Streams) -> AsyncGenerator[tuple[WebSocketConnection, ...], None]:
    """Yield the gateway's and the peer's end of one WebSocket."""
    gateway_stream, peer_stream = streams
    async with trio.open_nursery() as nursery:
        ends: dict[str, WebSocketConnection] = {}

        async def serve() -> None:
            request = await wrap_server_stream(nursery, gateway_stream)
            ends["gateway"] = await request.accept()

        async with trio.open_nursery() as handshake:
            handshake.start_soon(serve)
            ends["peer"] = await wrap_client_stream(nursery, peer_stream, "test", "/")
        yield ends["gateway"], ends["peer"]
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(gateway_stream)
    await trio.aclose_forcefully(peer_stream)


async def next_close(ws: WebSocketConnection) -> CloseReason:
    with pytest.raises(ConnectionClosed) as caught:
        await ws.get_message()
    assert caught.value.reason is not None
    return caught.value.reason


@define
class Log:
    """Collects the events of a `run`, and answers an auth where asked to."""

    events: list[Event] = field(factory=list[Event])
    on_auth: Callable[[], None] = field(default=lambda: None)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, AuthReceived):
            self.on_auth()

    @property
    def closed(self) -> ConversationClosed:
        last = self.events[-1]
        assert isinstance(last, ConversationClosed)
        return last


def letting_in(session: GatewayViewerSession) -> Log:
    return Log(on_auth=lambda: session.grant((), now=trio.current_time()))


class Ending:
    """How a `run` ended, and when."""

    close: Close | None = None
    at: float = inf

    async def of(self, connection: "Connection[GatewayViewerSession]", log: Log) -> None:
        self.close = await connection.run(log)
        self.at = trio.current_time()


# ── a conversation ───────────────────────────────────────────────────────────────────────────


async def test_viewer_and_gateway_talk_until_the_viewer_closes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        gateway = Connection(viewer_session(), gateway_ws)
        viewer = Connection(ViewerSession(now=trio.current_time()), peer_ws)
        gateway_log = letting_in(gateway.session)
        got: list[str] = []

        def read(event: Event) -> None:
            match event:
                case MessageReceived(message=Init()):
                    gateway.session.send(frame(), now=trio.current_time())
                    gateway.flush_soon()
                    got.append("init")
                case MessageReceived(message=VideoFrame(jpeg=jpeg)):
                    got.append("the frame" if jpeg == JPEG else "another frame")
                    viewer.session.close(now=trio.current_time())
                case _:
                    got.append(type(event).__name__)

        viewer.session.send(Auth(api_key="plx_x"), now=trio.current_time())
        ending = Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, gateway_log)
            close = await viewer.run(read)

    # The event of its own close went to whoever closed.
    assert got == ["init", "the frame"]
    assert close == Close(CloseCode.NORMAL)
    assert ending.close is not None
    assert ending.close.code == CloseCode.NORMAL
    assert gateway_log.closed.by is Role.VIEWER
    # Neither end waited for its grace or for a deadline.
    assert ending.at == trio.current_time() == 0


async def test_flush_before_run_sends_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        viewer = Connection(ViewerSession(now=trio.current_time()), peer_ws)
        viewer.session.send(Auth(api_key="plx_x"), now=trio.current_time())
        await viewer.flush()
        assert "plx_x" in await gateway_ws.get_message()


async def test_flush_sends_in_order_from_several_tasks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        gateway = Connection(viewer_session(), gateway_ws)
        gateway.session.receive('{"type":"auth","api_key":"x"}', now=trio.current_time())
        gateway.session.grant((), now=trio.current_time())

        async def send(first: int) -> None:
            for stamp in range(first, first + 5):
                gateway.session.send(frame(stamp), now=trio.current_time())
                await gateway.flush()

        async with trio.open_nursery() as nursery:
            for first in (0, 100, 200):
                nursery.start_soon(send, first)
            messages = [str(await peer_ws.get_message()) for _ in range(16)]
        assert '"init"' in messages[0]
        stamps = [int(text.rpartition(":")[2].rstrip("}")) for text in messages[1:]]
        for first in (0, 100, 200):
            assert [s for s in stamps if first <= s < first + 5] == list(range(first, first + 5))


# ── deadlines ────────────────────────────────────────────────────────────────────────────────


async def test_gateway_closes_silent_viewer_when_the_deadline_falls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        start = trio.current_time()
        gateway = Connection(viewer_session(), gateway_ws)
        log = Log()
        close = await gateway.run(log)
        assert trio.current_time() - start == pytest.approx(AUTH_DEADLINE_S)
        assert close.code == CloseCode.UNAUTHORIZED
        assert [type(event) for event in log.events] == [PeerViolated, ConversationClosed]
        assert (await next_close(peer_ws)).code == CloseCode.UNAUTHORIZED


async def test_flush_moves_the_deadline_of_a_waiting_reader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        address = StreamAddress(source_id="robot-01", timeout=60)
        gateway = Connection(viewer_session(address), gateway_ws)
        ending = Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, Log())
            await peer_ws.send_message('{"type":"auth","api_key":"x"}')
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(AUTH_DEADLINE_S - 1)
            gateway.session.grant((), now=trio.current_time())
            granted = trio.current_time()
            await gateway.flush()
            assert '"init"' in await peer_ws.get_message()
        assert ending.close is not None
        assert ending.close.code == CloseCode.TIMEOUT
        assert ending.at - granted == pytest.approx(60)


async def test_device_heartbeats_while_nothing_else_happens(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        device = Connection(DeviceSession(now=trio.current_time()), peer_ws)
        gateway = Connection(GatewayDeviceSession(now=trio.current_time()), gateway_ws)
        beats: list[float] = []

        def serve(event: Event) -> None:
            now = trio.current_time()
            if isinstance(event, AuthReceived):
                gateway.session.grant(server_time_ms=0, now=now)
            elif not isinstance(event, ConversationClosed):
                beats.append(now)
                if len(beats) == 3:
                    gateway.session.close(CloseCode.GOING_AWAY, now=now)

        device.session.send(DeviceAuth(api_key="k", source_id="robot-01"), now=trio.current_time())
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.run, serve)
            close = await device.run(lambda event: None)
        assert close.code == CloseCode.GOING_AWAY
        assert beats == pytest.approx([start + n * HEARTBEAT_INTERVAL_S for n in (1, 2, 3)])


# ── ends ─────────────────────────────────────────────────────────────────────────────────────


async def test_close_from_another_task_ends_run_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, _):
        gateway = Connection(viewer_session(), gateway_ws)
        log, ending = Log(), Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, log)
            await trio.testing.wait_all_tasks_blocked()
            gateway.session.close(CloseCode.GOING_AWAY, "so long", now=trio.current_time())
            gateway.flush_soon()
        assert ending.close == Close(CloseCode.GOING_AWAY, "so long")
        assert ending.at == 0
        assert log.events == []


async def test_crashed_handler_leaves_the_conversation_open_to_be_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Slip(Exception):
        pass

    def crash(event: Event) -> None:
        raise Slip

    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        gateway = Connection(viewer_session(), gateway_ws)
        await peer_ws.send_message('{"type":"auth","api_key":"x"}')
        with pytest.raises(ExceptionGroup) as caught:
            await gateway.run(crash)
        assert caught.group_contains(Slip)
        gateway.session.close(CloseCode.INTERNAL_ERROR, now=trio.current_time())
        assert (await gateway.run(Log())).code == CloseCode.INTERNAL_ERROR
        assert (await next_close(peer_ws)).code == CloseCode.INTERNAL_ERROR


async def test_close_reason_is_cut_to_what_a_close_frame_holds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_pair(trio.testing.memory_stream_pair()) as (gateway_ws, peer_ws):
        gateway = Connection(viewer_session(), gateway_ws)
        gateway.session.close(1011, "é" * 100 + "\ud800", now=trio.current_time())
        await gateway.run(Log())
        assert (await next_close(peer_ws)).reason == "é" * 61
