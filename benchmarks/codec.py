"""What the core's codec costs beside the base64 in it; pyperf makes processes, warms them up and reports the spread.

    python benchmarks/codec.py --fast

Compare within one run: `encode` with `base64`, `decode` with `unbase64`.
"""

import os
from base64 import b64encode
from binascii import a2b_base64
from typing import Final

import pyperf

from plexwire_protocol import Role, VideoFrame, decode, encode

JPEG: Final = b"\xff\xd8\xff\xe0" + os.urandom(99_994) + b"\xff\xd9"
FRAME: Final = VideoFrame(
    source_id="robot-01",
    camera_id="front",
    jpeg=JPEG,
    width=1280,
    height=720,
    timestamp=1_750_000_000_000,
)


def main() -> None:
    """Measure each function."""
    runner = pyperf.Runner()
    text = encode(FRAME)
    base64 = b64encode(JPEG).decode()
    small = '{"type":"heartbeat","source_id":"robot-01","agent_version":"0"}'
    runner.bench_func("base64 of 100 kB, as str", lambda: b64encode(JPEG).decode())
    runner.bench_func("encode a frame of 100 kB for viewers", encode, FRAME)
    runner.bench_func("unbase64 of 100 kB", a2b_base64, base64)
    runner.bench_func(
        "decode a frame of 100 kB as a viewer", lambda: decode(text, sender=Role.GATEWAY)
    )
    runner.bench_func("decode a heartbeat of a device", lambda: decode(small, sender=Role.DEVICE))


if __name__ == "__main__":
    main()
