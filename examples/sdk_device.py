"""The real device SDK, `plexus-python` 0.7.1 from PyPI, sends a moving test pattern to a gateway of ours.

    PLEXWIRE_DEVICE_KEY=plx_… python examples/sdk_device.py ws://127.0.0.1:8700 robot-01 front rear

It runs until its standard input closes.  The SDK keeps files in the home folder, so it gets one of its own.
"""

import os
import sys
import tempfile
import threading
from itertools import count

from plexwire_client.pattern import make_pattern

FRAMES_PER_SECOND = 15


def main() -> None:
    """Publish until standard input closes."""
    url, source_id, *cameras = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        # It reads its configuration from the home folder when it is imported.
        from plexus import Plexus

        device = Plexus(
            api_key=os.environ["PLEXWIRE_DEVICE_KEY"],
            source_id=source_id,
            ws_url=url,
            persistent_buffer=False,
        )
        stop = threading.Event()
        threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
        for number in count():
            for camera in cameras or ["front"]:
                device.send_video_frame(make_pattern(number, 640, 360, label=camera), camera)
            if stop.wait(1 / FRAMES_PER_SECOND):
                break
        device.close()


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()
