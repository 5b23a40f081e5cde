"""The real device SDK from PyPI, our gateway, our viewer: the pictures arrive to the byte."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from plexwire_client import open_viewer
from plexwire_client.pattern import make_pattern, read_counter
from plexwire_conformance.target.reference_gateway import reference_gateway
from plexwire_protocol import VideoFrame

SCRIPT = Path(__file__).parents[2] / "examples" / "sdk_device.py"
CAMERAS = ("front", "rear")
WANTED = 12


@pytest.fixture
async def frames() -> dict[str, list[VideoFrame]]:
    """What a viewer gets from the SDK, a list a camera."""
    seen: dict[str, list[VideoFrame]] = {camera: [] for camera in CAMERAS}
    with trio.fail_after(60):
        async with reference_gateway() as target:
            env = {**os.environ, "PLEXWIRE_DEVICE_KEY": target.keys.device_key}
            command = [sys.executable, str(SCRIPT), target.devices.url, "robot-01", *CAMERAS]
            process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, env=env)
            async with (
                process.stdin or pytest.fail("no stdin"),
                open_viewer(
                    target.viewers.url,
                    api_key=target.keys.api_key,
                    source_id="robot-01",
                    cameras=CAMERAS,
                ) as viewer,
            ):
                async for frame in viewer:
                    seen[frame.camera_id].append(frame)
                    if all(len(of_camera) >= WANTED for of_camera in seen.values()):
                        break
            assert await process.wait() == 0
    return seen


async def test_sdk_sends_video_frames_and_the_viewer_gets_them_to_the_byte(
    frames: dict[str, list[VideoFrame]],
) -> None:
    for camera, of_camera in frames.items():
        for frame in of_camera:
            counter = read_counter(frame.jpeg)
            assert frame.jpeg == make_pattern(counter, 640, 360, label=camera)


async def test_sdk_stamps_its_frames_and_the_viewer_gets_them_in_order(
    frames: dict[str, list[VideoFrame]],
) -> None:
    for of_camera in frames.values():
        counters = [read_counter(frame.jpeg) for frame in of_camera]
        assert counters == sorted(set(counters))
        for frame in of_camera:
            assert (frame.source_id, frame.width, frame.height) == ("robot-01", 640, 360)
            assert abs(frame.timestamp / 1000 - time.time()) < 60
