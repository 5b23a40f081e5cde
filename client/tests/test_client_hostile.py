"""Clients against a peer that says anything at all: one of the documented errors, in bounded time, and no traceback."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_client import (
    ConnectionLost,
    GatewayUrl,
    StreamEnded,
    open_device,
    open_viewer,
)
from plexwire_client._client import PING_INTERVAL_S
from plexwire_protocol import (
    Authenticated,
    ErrorReport,
    GatewayReconnecting,
    Init,
    RemoteProtocolError,
    VideoFrame,
    encode,
)
from plexwire_trio import wrap_server_stream

#: Whatever a peer does, a client that is told to leave after so long has left after that and the close's grace.
STAY_S = 30.0
GRACE_S = 10.0


def websocket_frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
    size = len(payload)
    length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2)
    return bytes((final << 7 | opcode,)) + length + payload


messages = st.sampled_from(
    [
        encode(Init(online_sources=())),
        encode(Authenticated(source_id="robot-01", server_time_ms=0)),
        encode(ErrorReport(code="unauthorized", detail="no")),
        encode(GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)),
        encode(
            VideoFrame(
                source_id="robot-01",
                camera_id="default",
                jpeg=b"\xff\xd8",
                width=1,
                height=1,
                timestamp=1,
            )
        ),
        '{"type":"video_frame"}',
        '{"type":"hello"}',
        "[]",
        "",
    ]
).map(lambda text: websocket_frame(0x1, text.encode()))

frames = st.builds(
    websocket_frame,
    st.sampled_from((0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xA, 0xF)),
    st.binary(max_size=130),
    st.booleans(),
)
closes = st.builds(
    lambda code, reason: websocket_frame(0x8, code.to_bytes(2) + reason.encode()),
    st.integers(0, 5000),
    st.text(max_size=20),
)
scripts = st.lists(messages | frames | closes | st.binary(max_size=30), max_size=6)


class Peer:
    """Accepts the handshake, says *script*, then hangs up or falls silent."""

    def __init__(self, nursery: trio.Nursery, script: list[bytes], hangs_up: bool) -> None:
        self._nursery = nursery
        self._script = script
        self._hangs_up = hangs_up

    async def open_stream(self, url: GatewayUrl) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._talk, ours)
        return theirs

    async def _talk(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as handshake:
            request = await wrap_server_stream(handshake, stream)
            await request.accept()
            handshake.cancel_scope.cancel()
        with suppress(trio.BrokenResourceError):
            for data in self._script:
                await stream.send_all(data)
                await trio.sleep(0.1)
            if self._hangs_up:
                await stream.aclose()


async def _watch(script: list[bytes], hangs_up: bool, reconnect: bool) -> float:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        peer = Peer(nursery, script, hangs_up)
        with trio.move_on_after(STAY_S), suppress(StreamEnded, RemoteProtocolError):
            async with open_viewer(
                "ws://gateway.example",
                api_key="plx_key",
                source_id="robot-01",
                reconnect=reconnect,
                opener=peer.open_stream,
            ) as viewer:
                async for _ in viewer.events():
                    pass
        nursery.cancel_scope.cancel()
    return trio.current_time() - began


async def _publish(script: list[bytes], hangs_up: bool, reconnect: bool) -> float:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        peer = Peer(nursery, script, hangs_up)
        with trio.move_on_after(STAY_S), suppress(StreamEnded, RemoteProtocolError):
            async with open_device(
                "ws://gateway.example",
                api_key="plx_key",
                source_id="robot-01",
                reconnect=reconnect,
                opener=peer.open_stream,
            ) as device:
                while True:
                    await device.send_video_frame(b"\xff\xd8")
                    await trio.sleep(0.25)
        nursery.cancel_scope.cancel()
    return trio.current_time() - began


@pytest.mark.parametrize("act", [_watch, _publish])
@settings(deadline=None, max_examples=80)
@given(script=scripts, hangs_up=st.booleans(), reconnect=st.booleans())
def test_client_ends_in_one_of_its_errors_whatever_the_peer_says(
    act: Callable[[list[bytes], bool, bool], Awaitable[float]],
    script: list[bytes],
    hangs_up: bool,
    reconnect: bool,
) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(act, script, hangs_up, reconnect, clock=clock) <= STAY_S + GRACE_S


async def test_viewer_raises_connection_lost_where_network_vanishes_without_a_word(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    init = websocket_frame(0x1, encode(Init(online_sources=())).encode())
    peer = Peer(nursery, [init], hangs_up=False)
    began = trio.current_time()
    async with open_viewer(
        "ws://gateway.example", api_key="plx_key", source_id="robot-01", opener=peer.open_stream
    ) as viewer:
        with pytest.raises(ConnectionLost):
            await anext(viewer)
    assert trio.current_time() - began <= 2 * PING_INTERVAL_S + GRACE_S
