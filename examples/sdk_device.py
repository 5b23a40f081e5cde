"""The real device SDK, `plexus-python` 0.7.1 from PyPI, publishes cameras to a gateway of ours.

    PLEXWIRE_DEVICE_KEY=plx_… python examples/sdk_device.py ws://127.0.0.1:8700 robot-01 front rear=rear.jpg

A camera shows the JPEG in its file again and again, or else a moving test pattern.  The program runs until its standard
input closes.  The SDK keeps files in the home folder, so it gets one of its own.
"""

import os
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path

from plexwire_client.pattern import make_pattern

FRAMES_PER_SECOND = 15


def main() -> None:
    """Publish until standard input closes."""
    url, source_id, *arguments = sys.argv[1:]
    named = [argument.partition("=") for argument in arguments or ["front"]]
    stored = {camera: Path(file).read_bytes() if file else None for camera, _, file in named}
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        # The SDK reads its configuration from the home folder when it is imported.
        from plexus import Plexus

        device = Plexus(
            api_key=os.environ["PLEXWIRE_DEVICE_KEY"],
            source_id=source_id,
            ws_url=url,
            persistent_buffer=False,
        )
        stop = threading.Event()
        threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
        pause_s = 1 / FRAMES_PER_SECOND / len(stored)
        for number in count():
            for camera, jpeg in stored.items():
                # Evenly: the SDK drops what comes while two frames wait in it.
                picture = make_pattern(number, 640, 360, label=camera) if jpeg is None else jpeg
                device.send_video_frame(picture, camera)
                if stop.wait(pause_s):
                    device.close()
                    return


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()
