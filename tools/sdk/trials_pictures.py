"""Trials of `send_video_frame` and `send_thermal_frame`."""

import math
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageStat

from judging import PATIENCE_S, expect
from pictures import SIZE, Pictures
from plexwire_client.pattern import read_counter
from plexwire_protocol import CloseCode, VideoFrame
from plexwire_protocol.limits import MAX_JPEG_BYTES, MAX_MESSAGE_BYTES
from stage import Stage, Watch
from trials import NONE, YES, trial

_NO_OPENCV: Final = {"ModuleNotFoundError": "its `[video]` brings no OpenCV"}
_NO_THERMAL: Final = {"AttributeError": NONE}
_STAMP_MS: Final = 1_746_969_660_123
_BURST: Final = 60


def _expect_size(frame: VideoFrame, size: tuple[int, int]) -> None:
    said, real = (frame.width, frame.height), Image.open(BytesIO(frame.jpeg)).size
    expect(said == real == size, f"it is {real}, and said to be {said}, not {size}")


@trial("jpeg")
async def send_jpegs(stage: Stage, pictures: Pictures) -> str:
    """JPEG bytes arrive unaltered, each once and in order"""
    async with stage.watching("front") as watch:
        for counter in range(10):
            path = pictures.jpeg(counter)
            # Seconds and milliseconds are told apart by their size.
            stamp = _STAMP_MS if counter % 2 else _STAMP_MS / 1000
            await stage.device.send("front", path, timestamp=stamp)
            frame = await watch.next()
            expect(frame.jpeg == path.read_bytes(), f"picture {counter} came altered")
            expect(frame.timestamp == _STAMP_MS, f"its stamp came as {frame.timestamp}")
            _expect_size(frame, SIZE)
    expect(stage.notes.heard["binary frame"] >= 10, "they were not binary")
    return YES


@trial("burst")
async def send_burst(stage: Stage, pictures: Pictures) -> str:
    """Of 60 at once those that it takes arrive, in order"""
    async with stage.watching("burst", "end") as watch:
        paths = [str(pictures.jpeg(counter)) for counter in range(_BURST)]
        taken = await stage.device.do("burst", camera="burst", paths=paths)
        await stage.device.send("end", pictures.jpeg(0))
        seen = []
        while (frame := await watch.next()).camera_id != "end":
            seen.append(read_counter(frame.jpeg))
    expect(seen == sorted(set(seen)), f"they came as {seen}")
    never_taken = [counter for counter in seen if not taken[counter]]
    expect(seen and not never_taken, f"{never_taken} of {len(seen)} came and were not taken")
    return YES


@trial("undecodable")
async def send_undecodable(stage: Stage, pictures: Pictures) -> str:
    """Bytes that only begin like a JPEG arrive as they are, as 0 x 0"""
    path = pictures.raw("undecodable.jpg", b"\xff\xd8 and no more of a picture")
    async with stage.watching("undecodable") as watch:
        await stage.device.send("undecodable", path)
        frame = await watch.next()
    expect(frame.jpeg == path.read_bytes(), "it came altered")
    expect((frame.width, frame.height) == (0, 0), f"it came as {frame.width} x {frame.height}")
    return YES


@trial("formats")
async def send_formats(stage: Stage, pictures: Pictures) -> str:
    """PNG, BMP and WebP bytes arrive as JPEG"""
    async with stage.watching("formats") as watch:
        for counter, suffix in enumerate(("png", "bmp", "webp"), start=20):
            await stage.device.send("formats", pictures.converted(counter, suffix))
            frame = await watch.next()
            expect(read_counter(frame.jpeg) == counter, f"the {suffix} is another picture")
            _expect_size(frame, SIZE)
    return YES


@trial("array", raises=_NO_OPENCV)
async def send_arrays(stage: Stage, pictures: Pictures) -> str:
    """OpenCV arrays, in colour and grey, arrive as JPEG"""
    async with stage.watching("array") as watch:
        for path in (pictures.converted(30, "png"), pictures.grey(30)):
            await stage.device.send("array", path, as_array=True)
            frame = await watch.next()
            expect(read_counter(frame.jpeg) == 30, "it is another picture")
            _expect_size(frame, SIZE)
            _expect_alike(path, frame)
    return YES


def _expect_alike(path: Path, frame: VideoFrame) -> None:
    ours, theirs = Image.open(path).convert("RGB"), Image.open(BytesIO(frame.jpeg)).convert("RGB")
    off = max(ImageStat.Stat(ImageChops.difference(ours, theirs)).mean)
    expect(off < 8, f"its colours are off by {off:.0f} of 255")


@trial("oversize")
async def send_oversize_jpeg(stage: Stage, pictures: Pictures) -> str:
    """A JPEG over 750 000 bytes arrives within them, encoded again"""
    path = pictures.noisy(40, (1600, 1200), 60, suffix="jpg")
    expect(path.stat().st_size > MAX_JPEG_BYTES, "the picture is too small for the trial")
    async with stage.watching("oversize") as watch:
        await stage.device.send("oversize", path)
        await _expect_fits(watch, 40, (1600, 1200))
    return YES


@trial("oversize-array", raises=_NO_OPENCV)
async def send_oversize_array(stage: Stage, pictures: Pictures) -> str:
    """An array whose JPEG would be over 750 000 bytes arrives within them"""
    path = pictures.noisy(41, (1920, 1440), 60, suffix="png")
    async with stage.watching("oversize-array") as watch:
        await stage.device.send("oversize-array", path, as_array=True)
        await _expect_fits(watch, 41, (1920, 1440))
    return YES


async def _expect_fits(watch: Watch, counter: int, size: tuple[int, int]) -> None:
    frame = await watch.next()
    expect(len(frame.jpeg) <= MAX_JPEG_BYTES, f"{len(frame.jpeg)} bytes came")
    expect(len(frame.jpeg) > MAX_JPEG_BYTES // 5, f"only {len(frame.jpeg)} bytes came")
    expect(read_counter(frame.jpeg) == counter, "it is another picture")
    _expect_size(frame, size)


@trial("noise")
async def send_noise(stage: Stage, pictures: Pictures) -> str:
    """3000 x 2000 pixels of noise arrive within 750 000 bytes"""
    async with stage.watching("noise") as watch:
        await stage.device.send("noise", pictures.noise((3000, 2000)))
        frame = await watch.next()
    expect(MAX_JPEG_BYTES < len(frame.jpeg) < MAX_MESSAGE_BYTES, f"{len(frame.jpeg)} bytes came")
    return "no: more are sent, and relayed"


@trial("too-large")
async def send_too_large(stage: Stage, pictures: Pictures) -> str:
    """4000 x 3000 pixels of noise arrive within 750 000 bytes"""
    async with stage.watching("too-large") as watch:
        await stage.device.send("too-large", pictures.noise((4000, 3000)))
        await stage.notes.wait_for_close(CloseCode.TOO_BIG)
        # The SDK finds out in its own time.
        frames: list[VideoFrame] = []
        for _ in range(int(PATIENCE_S)):
            await stage.device.do("send", camera="too-large", path=str(pictures.jpeg(42)))
            if frames := await watch.until_silent(1):
                break
    expect(frames, "after 1009 it sent nothing more")
    expect(all(read_counter(frame.jpeg) == 42 for frame in frames), "it was relayed")
    return "no: sent over 1 MiB, closed with 1009, and back"


@trial("thermal", raises=_NO_THERMAL)
async def send_thermal(stage: Stage, pictures: Pictures) -> str:
    """Thermal, 32 x 24, arrives with every temperature"""
    temps = [[20 + (row + column) / 8 for column in range(32)] for row in range(24)]
    frame = await _thermal(stage, temps)
    flat = [degrees for row in temps for degrees in row]
    expected = {"video_type": "thermal", "sensor_width": 32, "sensor_height": 24}
    expected |= {"temp_min": 20.0, "temp_max": round(max(flat), 2), "temps": flat}
    expect(dict(frame.extra) == expected, f"the members differ: {sorted(frame.extra)}")
    _expect_size(frame, (213, 160))
    return YES


@trial("thermal-large", raises=_NO_THERMAL)
async def send_large_thermal(stage: Stage, pictures: Pictures) -> str:
    """Thermal, 256 x 192, arrives without them, as they are too many"""
    frame = await _thermal(stage, [[20.0 + column / 8] * 256 for column in range(192)])
    expect("temps" not in frame.extra, "they are listed")
    expect(frame.extra["sensor_width"] == 256, "the sensor's size is wrong")
    _expect_size(frame, (256, 192))
    return YES


@trial("thermal-nan", raises=_NO_THERMAL)
async def send_nan(stage: Stage, pictures: Pictures) -> str:
    """Thermal with NaN and infinity arrives, `null` in their place"""
    for value in (math.nan, math.inf):
        frame = await _thermal(stage, [[value, 20.0], [21.0, 22.5]])
        temps = frame.extra["temps"]
        expect(temps == [None, 20.0, 21.0, 22.5], f"they came as {temps}")
        expect(frame.extra["temp_max"] is None, f"the highest is {frame.extra['temp_max']}")
    return YES


async def _thermal(stage: Stage, temps: list[list[float]]) -> VideoFrame:
    async with stage.watching("thermal") as watch:
        sent = await stage.device.do("thermal", camera="thermal", temps=temps)
        expect(sent is True, f"send_thermal_frame returned {sent}")
        frame = await watch.next()
    expect(stage.notes.heard["text frame"] > 0, "it was binary")
    return frame


@trial("ids")
async def send_odd_ids(stage: Stage, pictures: Pictures) -> str:
    """An empty camera id arrives, and one that is cut in the middle of a character"""
    for camera, seen_as in (("", ""), ("ü" * 200, "ü" * 127)):
        async with stage.watching(seen_as) as watch:
            await stage.device.send(camera, pictures.jpeg(50))
            frame = await watch.next()
        expect(frame.camera_id == seen_as, f"it came as {frame.camera_id!r}")
    return YES


@trial("dots", raises={"ValueError": "refuses it itself"})
async def send_from_dotted_source(stage: Stage, pictures: Pictures) -> str:
    """A source id may have dots"""
    source_id = "site.robot-01"
    opening = {"url": stage.url, "key_name": "PLEXWIRE_DEVICE_KEY"}
    await stage.device.do("open", **opening, source_id=source_id)
    async with stage.watching("front", source_id=source_id) as watch:
        await stage.device.send("front", pictures.jpeg(51), source_id=source_id)
        frame = await watch.next()
    expect(frame.source_id == source_id, f"it came from {frame.source_id}")
    await stage.device.do("close", source_id=source_id)
    return YES
