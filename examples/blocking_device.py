"""A device in a script without an event loop: python examples/blocking_device.py ws://127.0.0.1:8700 robot-01 front."""

import os
import sys
import time

import numpy as np

from plexwire_client.blocking import open_device

url, source_id, camera_id = sys.argv[1:]
key = os.environ["PLEXWIRE_API_KEY"]
with open_device(url, api_key=key, source_id=source_id, reconnect=True) as device:
    for number in range(50):
        picture = np.full((480, 640, 3), 5 * number, np.uint8)  # as OpenCV gives it: blue first
        device.send_video_frame(picture, camera_id)
        time.sleep(0.02)
print(f"{device.counters.sent} sent, {device.counters.dropped} dropped")
