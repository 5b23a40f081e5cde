"""Whatever bytes come, the gateway counts no crash of its own and goes on serving.  [PW-ROB-1, PW-ROB-2]"""

from collections.abc import Callable, Coroutine
from contextlib import suppress

import trio
import trio.testing
from gateway_bench import ADDRESS, Bench, open_bench
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_protocol import DEVICE_PATH

TARGETS = st.sampled_from([ADDRESS.target(), DEVICE_PATH])


def handshake(target: str) -> bytes:
    return (
        f"GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def ws_frame(first: int, payload: bytes, masked: bool, stated: int | None) -> bytes:
    length = len(payload) if stated is None else stated
    mask_bit = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, mask_bit | length))
    else:
        head = bytes((first, mask_bit | 126)) + length.to_bytes(2)
    return head + (bytes(4) if masked else b"") + payload


#: Mostly well-formed frames, with every opcode, flag and length now and then wrong.
FRAMES = st.builds(
    ws_frame,
    st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A]) | st.integers(0, 255),
    st.binary(max_size=140) | st.sampled_from([b"{}", b'{"type":"auth"}', b"\x03\xe8", b"\xff"]),
    st.sampled_from([True] * 9 + [False]),
    st.none() | st.none() | st.integers(0, 65_535),
)


def run(scene: Callable[[Bench], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        async with open_bench() as bench:
            await scene(bench)
            # The auth deadline, a grace and a linger: by then every one of them is gone.
            await trio.sleep(60)
            assert bench.gateway.metrics.crashes == 0
            await bench.viewer()
            assert len(bench.gateway.hub.viewers) == 1

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_gateway_outlives_garbage_before_the_handshake(garbage: bytes) -> None:
    async def scene(bench: Bench) -> None:
        await bench.connect().send_all(garbage)

    run(scene)


@settings(max_examples=150, deadline=None)
@given(TARGETS, st.lists(FRAMES, max_size=6), st.booleans(), st.booleans())
def test_gateway_outlives_odd_frames_after_the_handshake(
    target: str, frames: list[bytes], at_once: bool, hang_up: bool
) -> None:
    async def scene(bench: Bench) -> None:
        stream = bench.connect()
        if at_once:
            await stream.send_all(handshake(target) + b"".join(frames))
        else:
            with suppress(trio.BrokenResourceError):  # closed meanwhile
                for data in (handshake(target), *frames):
                    await stream.send_all(data)
                    await trio.testing.wait_all_tasks_blocked()
        if hang_up:
            await stream.aclose()

    run(scene)
