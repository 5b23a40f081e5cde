"""How often a picture is copied on its way through Cutter and Hub, counted without a clock."""

import gc
import tracemalloc

import pytest
from attrs import evolve
from hub_bench import FRAME, streaming_device, streaming_viewer

from lane_conversations import masked
from plexwire_protocol import Hub, encode_device_frame
from plexwire_trio.fastlane import DEVICE, Binary, Cutter, text_frame, unmask

JPEG_BYTES = 300_000
#: Bytes for what is allocated beside the copies: headers, objects, a list of viewers.
SMALL = 10_000
JPEG_FRAME = evolve(FRAME, jpeg=b"\xff\xd8\xff" + bytes(JPEG_BYTES - 3))


@pytest.mark.parametrize("viewers", [1, 20])
def test_picture_is_copied_three_times_however_many_watch(viewers: int) -> None:
    """Unmasked, encoded, and joined with its header: the message, and 4/3 of the picture twice."""
    hub = Hub(unix_ms=lambda: 0, finish=text_frame)
    written: list[int] = []

    def write(frame: bytes) -> float:
        written.append(len(frame))
        return 0.0

    for _ in range(viewers):
        streaming_viewer(hub).offer = write
    device = streaming_device(hub)

    cutter = Cutter(DEVICE, unmask=unmask, upgraded=True)
    cutter.binary = True
    peaks: list[int] = []
    tracemalloc.start()
    try:
        for number in range(3):
            sent = masked(0x82, encode_device_frame(evolve(JPEG_FRAME, timestamp=number)))
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
