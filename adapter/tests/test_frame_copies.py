"""How often a picture is copied on its way through Cutter and Hub, counted without a clock."""

import gc
import tracemalloc

import pytest
from attrs import evolve

from plexwire_protocol import (
    DEVICE_PATH,
    Auth,
    DeviceAuth,
    Hub,
    VideoFrame,
    ViewerPeer,
    encode,
    encode_device_frame,
)
from plexwire_trio.fastlane import DEVICE, Binary, Cutter, text_frame, unmask

JPEG_BYTES = 300_000
#: What is no copy of the picture: headers, objects, a list of viewers.
SMALL = 10_000
FRAME = VideoFrame(
    source_id="robot-01",
    camera_id="default",
    jpeg=b"\xff\xd8\xff" + bytes(JPEG_BYTES - 3),
    width=640,
    height=480,
    timestamp=0,
)


def masked(payload: bytes) -> bytes:
    """Return *payload* as a client frames it; the mask of zeros is one that RFC 6455 allows."""
    return b"\x82\xff" + len(payload).to_bytes(8, "big") + bytes(4) + payload


@pytest.mark.parametrize("viewers", [1, 20])
def test_picture_is_copied_three_times_however_many_watch(viewers: int) -> None:
    """Unmasked, encoded, and joined with its header: the message, and 4/3 of the picture twice."""
    hub = Hub(unix_ms=lambda: 0, finish=text_frame)
    written: list[int] = []

    def write(frame: bytes) -> float:
        written.append(len(frame))
        return 0.0

    for _ in range(viewers):
        viewer = hub.connect("/v1/sources/robot-01/video/stream", wake=lambda: None, now=0.0)
        assert isinstance(viewer, ViewerPeer)
        viewer.receive(encode(Auth(api_key="plx_a")), now=0.0)
        viewer.judge("acme", now=0.0)
        while viewer.next_outgoing(now=0.0) is not None:
            pass
        viewer.offer = write
    device = hub.connect(DEVICE_PATH, wake=lambda: None, now=0.0)
    device.receive(encode(DeviceAuth(api_key="plx_a", source_id="robot-01")), now=0.0)
    device.judge("acme", now=0.0)

    cutter = Cutter(DEVICE, unmask=unmask, upgraded=True)
    cutter.binary = True
    peaks: list[int] = []
    tracemalloc.start()
    try:
        for number in range(3):
            sent = masked(encode_device_frame(evolve(FRAME, timestamp=number)))
            cutter.room(len(sent))[: len(sent)] = sent
            cutter.filled(len(sent))
            del sent
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            piece = cutter.take(0.0)
            assert isinstance(piece, Binary)
            device.receive(piece.payload, now=0.0)
            del piece
            after, peak = tracemalloc.get_traced_memory()
            assert after - before < SMALL
            peaks.append(peak - before)
    finally:
        tracemalloc.stop()

    assert len(written) == 3 * viewers
    # The first frame of a camera is decoded in full.
    assert max(peaks[1:]) < JPEG_BYTES * (1 + 4 / 3 + 4 / 3) + SMALL
