"""A camera on the real device SDK, whatever its release: 100 kB × 15 fps, until it is ended.

With the argument `thermal` it is a thermal camera, one of whose pixels is dead.
"""

import io
import os
import sys
import tempfile
import time

import numpy as np
from PIL import Image


def picture(size: int) -> bytes:
    """Return a JPEG of about *size* bytes."""
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(out, "JPEG", quality=20)
    return out.getvalue() + bytes(max(0, size - out.tell()))


def main() -> None:
    """Publish until SIGTERM."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        # The SDK reads its configuration from the home folder when it is imported.
        from plexus import Plexus

        device = Plexus(
            api_key=os.environ["PLEXWIRE_API_KEY"],
            source_id=os.environ["PLEXWIRE_SOURCE_ID"],
            ws_url=os.environ["PLEXWIRE_URL"],
            persistent_buffer=False,
        )
        camera = os.environ["PLEXWIRE_CAMERA_ID"]
        jpeg = picture(100_000)
        temperatures = np.full((8, 8), 21.5)
        temperatures[0, 0] = np.nan
        while True:
            if sys.argv[1:] == ["thermal"]:
                device.send_thermal_frame(temperatures, camera)
            else:
                device.send_video_frame(jpeg, camera)
            time.sleep(1 / 15)


if __name__ == "__main__":
    main()
