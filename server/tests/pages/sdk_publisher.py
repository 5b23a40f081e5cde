"""The real device SDK publishes the same pictures again and again, until its standard input closes.

python sdk_publisher.py URL SOURCE CAMERA=FILE …, with the key in PLEXWIRE_DEVICE_KEY
"""

import os
import sys
import tempfile
import threading
from itertools import cycle
from pathlib import Path

FRAMES_PER_SECOND = 10


def main() -> None:
    url, source_id, *assignments = sys.argv[1:]
    pictures = {
        camera: Path(file).read_bytes()
        for camera, _, file in (assignment.partition("=") for assignment in assignments)
    }
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
        # One after another: the SDK drops what comes while two frames wait in it.
        for camera in cycle(pictures):
            device.send_video_frame(pictures[camera], camera)
            if stop.wait(1 / FRAMES_PER_SECOND / len(pictures)):
                break
        device.close()


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()
