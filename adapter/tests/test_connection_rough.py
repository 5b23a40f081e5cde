"""The pump against a peer that misbehaves as no library would: it stalls, vanishes, breaks RFC 6455."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
import trio.testing
from attrs import define, field
from trio_websocket import WebSocketConnection
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws_events

from plexwire_protocol import (
    AuthReceived,
    Close,
    CloseCode,
    ConversationClosed,
    Event,
    GatewayViewerSession,
    Role,
    State,
    StreamAddress,
    VideoFrame,
)
from plexwire_protocol.limits import AUTH_DEADLINE_S, MAX_MESSAGE_BYTES
from plexwire_trio import Connection, wrap_server_stream

GRACE_S = 2.0
ADDRESS = StreamAddress(source_id="robot-01", cameras=("front",))
JPEG = b"\xff\xd8" + bytes(200_000)


def frame(stamp: int = 1) -> VideoFrame:
    return VideoFrame(camera_id="front", jpeg=JPEG, width=2, height=1, timestamp=stamp)


def viewer_session(address: StreamAddress = ADDRESS) -> GatewayViewerSession:
    return GatewayViewerSession(address, now=trio.current_time())


Streams = tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]


@asynccontextmanager
async def open_gateway_to_raw_peer(
    streams: Streams | None = None,
) -> AsyncGenerator[tuple[WebSocketConnection, "RawPeer"], None]:
    """Yield the gateway's WebSocket and a peer that sends what the library would not."""
    gateway_stream, peer_stream = streams or trio.testing.memory_stream_pair()
    peer = RawPeer(peer_stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.send, ws_events.Request(host="test", target="/"))
        request = await wrap_server_stream(nursery, gateway_stream)
        async with trio.open_nursery() as handshake:
            handshake.start_soon(request.accept)
            assert isinstance(await peer.next_event(), ws_events.AcceptConnection)
        yield request._connection, peer
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(gateway_stream)
    await trio.aclose_forcefully(peer_stream)


@define
class RawPeer:
    """A client of wsproto alone: it reads when asked and sends any bytes."""

    stream: trio.abc.Stream
    ws: WSConnection = field(factory=lambda: WSConnection(ConnectionType.CLIENT))
    _events: list[ws_events.Event] = field(factory=list[ws_events.Event])

    async def next_event(self) -> ws_events.Event:
        while not self._events:
            data = await self.stream.receive_some(65_536)
            if not data:
                raise EOFError
            self.ws.receive_data(bytes(data))
            self._events += self.ws.events()
        return self._events.pop(0)

    async def next_close(self) -> ws_events.CloseConnection:
        while True:
            event = await self.next_event()
            if isinstance(event, ws_events.CloseConnection):
                return event

    async def send(self, event: ws_events.Event) -> None:
        await self.stream.send_all(self.ws.send(event))


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


# ── ends ─────────────────────────────────────────────────────────────────────────────────────


async def test_run_returns_after_the_grace_when_the_peer_answers_no_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws, close_grace=GRACE_S)
        gateway.session.close(CloseCode.GOING_AWAY, now=trio.current_time())
        assert await gateway.run(Log()) == Close(CloseCode.GOING_AWAY)
        assert trio.current_time() == pytest.approx(GRACE_S)
        assert (await peer.next_close()).code == CloseCode.GOING_AWAY


async def test_close_gets_past_a_writer_that_the_peer_blocks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # On lockstep streams each send waits until the other side has received everything.
    streams = trio.testing.lockstep_stream_pair()
    async with open_gateway_to_raw_peer(streams) as (gateway_ws, peer):
        address = StreamAddress(source_id="robot-01", timeout=5)
        gateway = Connection(viewer_session(address), gateway_ws, close_grace=GRACE_S)
        ending = Ending()
        flushed: list[float] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, letting_in(gateway.session))
            await peer.send(ws_events.TextMessage(data='{"type":"auth","api_key":"x"}'))
            assert isinstance(await peer.next_event(), ws_events.TextMessage)
            granted = trio.current_time()
            gateway.session.send(frame(), now=granted)
            await gateway.flush()  # blocked: the peer reads no more
            flushed.append(trio.current_time())
        assert ending.close is not None
        assert ending.close.code == CloseCode.TIMEOUT
        assert ending.at == pytest.approx(granted + 5 + GRACE_S)
        assert flushed == [ending.at]


@pytest.mark.parametrize("half", [True, False])
async def test_vanished_peer_is_1006(half: bool, autojump_clock: trio.testing.MockClock) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws)
        log, ending = Log(), Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, log)
            await trio.testing.wait_all_tasks_blocked()
            if half:
                assert isinstance(peer.stream, trio.abc.HalfCloseableStream)
                await peer.stream.send_eof()
            else:
                await peer.stream.aclose()
        assert ending.close == Close(CloseCode.ABNORMAL)
        assert log.closed.by is Role.VIEWER
        assert gateway.session.state is State.CLOSED
        assert ending.at == 0


async def test_sending_to_a_vanished_peer_raises_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws)
        gateway.session.receive('{"type":"auth","api_key":"x"}', now=trio.current_time())
        gateway.session.grant((), now=trio.current_time())
        await peer.stream.aclose()
        await gateway.flush()
        gateway.session.send(frame(), now=trio.current_time())
        await gateway.flush()
        assert (await gateway.run(Log())).code == CloseCode.ABNORMAL


async def test_peer_that_closes_and_never_reads_ends_after_the_grace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer(trio.testing.lockstep_stream_pair()) as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws, close_grace=GRACE_S)
        ending = Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, letting_in(gateway.session))
            await peer.send(ws_events.TextMessage(data='{"type":"auth","api_key":"x"}'))
            assert isinstance(await peer.next_event(), ws_events.TextMessage)
            await peer.send(ws_events.CloseConnection(code=1000))
            await trio.testing.wait_all_tasks_blocked()  # the library's answer to it blocks
            gateway.session.send(frame(), now=trio.current_time())
            await gateway.flush()
        assert ending.close == Close(CloseCode.NORMAL)
        assert ending.at == pytest.approx(GRACE_S)


async def test_cancelled_flush_ends_the_conversation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer(trio.testing.lockstep_stream_pair()) as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws, close_grace=GRACE_S)
        ending = Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, letting_in(gateway.session))
            await peer.send(ws_events.TextMessage(data='{"type":"auth","api_key":"x"}'))
            assert isinstance(await peer.next_event(), ws_events.TextMessage)
            await trio.testing.wait_all_tasks_blocked()  # the task in `run` has let go of the line
            gateway.session.send(frame(), now=trio.current_time())
            with trio.move_on_after(1):
                await gateway.flush()
        assert ending.close is not None
        assert ending.close.code == CloseCode.ABNORMAL
        assert ending.at == pytest.approx(1)


# ── peers that break RFC 6455 ────────────────────────────────────────────────────────────────

MASK = bytes(4)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(b"\x81\x82" + MASK + b"\xff\xfe", CloseCode.INVALID_PAYLOAD, id="not UTF-8"),
        pytest.param(b"\x83\x80" + MASK, CloseCode.PROTOCOL_ERROR, id="unknown opcode"),
        pytest.param(b"\x81\x01a", CloseCode.PROTOCOL_ERROR, id="not masked"),
        pytest.param(b"\xc1\x81" + MASK + b"a", CloseCode.PROTOCOL_ERROR, id="reserved bit"),
        pytest.param(b"\x80\x81" + MASK + b"a", CloseCode.PROTOCOL_ERROR, id="continues nothing"),
        pytest.param(
            b"\x88\x82" + MASK + (1005).to_bytes(2), CloseCode.PROTOCOL_ERROR, id="close 1005"
        ),
        pytest.param(
            b"\x88\x82" + MASK + (999).to_bytes(2), CloseCode.PROTOCOL_ERROR, id="close 999"
        ),
        pytest.param(b"\x88\x81" + MASK + b"\x03", CloseCode.PROTOCOL_ERROR, id="half a code"),
    ],
)
async def test_peer_that_breaks_rfc_6455_gets_a_close_frame_that_says_so(
    sent: bytes, code: CloseCode, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws)
        await peer.stream.send_all(sent)
        log = Log()
        assert (await gateway.run(log)).code == code
        assert log.closed.by is Role.GATEWAY
        assert (await peer.next_close()).code == code


@pytest.mark.parametrize("fragments", [1, 8])
async def test_peer_with_an_oversize_message_is_closed_with_1009(
    fragments: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws)
        part = bytes(MAX_MESSAGE_BYTES // fragments + 1)
        for n in range(fragments):
            last = n == fragments - 1
            await peer.send(ws_events.BytesMessage(data=part, message_finished=last))
        log = Log()
        assert (await gateway.run(log)).code == CloseCode.TOO_BIG
        assert log.closed.by is Role.GATEWAY
        assert (await peer.next_close()).code == CloseCode.TOO_BIG


@pytest.mark.parametrize("code", [None, 1000, 1012, 3000, 4999])
async def test_close_of_the_peer_is_answered_and_told(
    code: int | None, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws)
        payload = b"" if code is None else code.to_bytes(2)
        await peer.stream.send_all(bytes((0x88, 0x80 | len(payload))) + MASK + payload)
        log = Log()
        assert (await gateway.run(log)).code == (1005 if code is None else code)
        assert log.closed.by is Role.VIEWER
        assert (await peer.next_close()).code == (1005 if code is None else code)


async def test_ping_that_crosses_our_close_does_no_harm(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws)
        gateway.session.close(CloseCode.GOING_AWAY, now=trio.current_time())
        ending = Ending()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.of, gateway, Log())
            await trio.testing.wait_all_tasks_blocked()
            await peer.send(ws_events.Ping(payload=b"late"))
            close = await peer.next_close()
            await peer.send(close.response())
        assert ending.close == Close(CloseCode.GOING_AWAY)
        assert ending.at == 0


# ── keepalive ────────────────────────────────────────────────────────────────────────────────


async def test_peer_is_pinged_and_answered_while_nothing_else_happens(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, peer):
        gateway = Connection(viewer_session(), gateway_ws, ping_interval=3, pong_timeout=2)
        pings = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.run, Log())
            await peer.send(ws_events.Ping(payload=b"hello"))
            assert await peer.next_event() == ws_events.Pong(payload=b"hello")
            while isinstance(event := await peer.next_event(), ws_events.Ping):
                pings += 1
                await peer.send(event.response())
            assert isinstance(event, ws_events.CloseConnection)
            await peer.send(event.response())
        # The auth deadline came, not the end of the peer's life.
        assert event.code == CloseCode.UNAUTHORIZED
        assert pings == AUTH_DEADLINE_S // 3


async def test_peer_that_answers_no_ping_has_vanished(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_gateway_to_raw_peer() as (gateway_ws, _peer):
        gateway = Connection(viewer_session(), gateway_ws, ping_interval=3, pong_timeout=2)
        assert await gateway.run(Log()) == Close(CloseCode.ABNORMAL)
        assert trio.current_time() == pytest.approx(5)
