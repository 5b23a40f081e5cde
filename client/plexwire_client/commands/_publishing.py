"""The command `publish`: where its pictures come from, and how fast they go out."""

import re
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import trio
from attrs import define, field, frozen

from plexwire_client._device import DeviceClient, DeviceCounters, open_device
from plexwire_client._encoding import to_jpeg
from plexwire_client._errors import ImageError
from plexwire_client._ffmpeg import require_ffmpeg
from plexwire_client._thermal_pictures import make_thermal_scene, render_thermal
from plexwire_client.commands._rates import Meter, in_bytes
from plexwire_client.commands._status_display import (
    Board,
    Column,
    Health,
    Row,
    StatusDisplay,
    show_regularly,
)
from plexwire_client.pattern import make_pattern
from plexwire_protocol import PlexwireError
from plexwire_trio import helper_tasks

#: Gives picture number so many for a camera, as a JPEG.
Pictures: TypeAlias = Callable[[int, str], Awaitable[bytes]]

#: What a picture's file name ends with; other files are videos to ffmpeg.
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

_COLUMNS: Final = (
    Column("fps", "{} fps"),
    Column("data"),
    Column("sent", "{} sent"),
    Column("dropped", "{} dropped"),
    Column("encoded again", "{} encoded again"),
)
_URL: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]+://")


@define(eq=False)
class BadInput(PlexwireError):
    """What is to be published is not there, or is nothing that can be."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@frozen
class ThermalScene:
    """The moving thermal scene, as a sensor of so many pixels sees it."""

    width: int
    height: int


@frozen(kw_only=True)
class PublishOptions:
    """What the command was given; `frames` ends it after so many pictures a camera.

    `source` gives the pictures or the temperatures, or is what ffmpeg reads: a URL or the path of a video.
    """

    url: str
    api_key: str = field(repr=False)
    source_id: str
    cameras: tuple[str, ...]
    source: Pictures | ThermalScene | str = field(repr=False)
    fps: float
    quality: int
    reconnect: bool = False
    frames: int | None = None
    ssl_context: ssl.SSLContext | None = None


async def publish_pictures(options: PublishOptions, to: StatusDisplay) -> None:
    """Publish as *options* say until there is nothing more, and say what became of it.

    Raises:
        PlexwireError: what `open_device` and sending raise.

    """
    device: DeviceClient | None = None
    try:
        async with open_device(
            options.url,
            api_key=options.api_key,
            source_id=options.source_id,
            reconnect=options.reconnect,
            ssl_context=options.ssl_context,
        ) as device:
            cameras = ", ".join(camera or "(empty id)" for camera in options.cameras)
            to.say(f"Connected to {options.url} as {options.source_id}, camera {cameras}.")
            board = partial(_board, device, options, Meter(trio.current_time()))
            try:
                async with helper_tasks() as nursery:
                    nursery.start_soon(show_regularly, to, board)
                    await _send_all(device, options)
            finally:
                to.show(board())
    finally:
        if device is not None:
            to.say(f"Sent {device.counters.sent} pictures, dropped {_dropped(device.counters)}.")


def _dropped(counters: DeviceCounters) -> str:
    reasons = (
        (counters.dropped_slow, "as the link was slow"),
        (counters.dropped_away, "as the gateway was away"),
    )
    return ", ".join(f"{count} {why}" for count, why in reasons if count) or "none"


def _board(device: DeviceClient, options: PublishOptions, meter: Meter) -> Board:
    counters = device.counters
    now = trio.current_time()
    fresh, fresh_bytes = counters.sent - meter.count, counters.sent_bytes - meter.bytes
    for number in range(fresh):
        meter.take(now, fresh_bytes * (number + 1) // fresh - fresh_bytes * number // fresh)
    fps, bytes_per_s = meter.per_second(now)
    away = device.away
    row = Row(
        device.source_id,
        Health.GOOD if away is None else Health.BAD,
        (
            f"{fps:.1f}",
            f"{in_bytes(bytes_per_s)}/s",
            str(counters.sent),
            str(counters.dropped),
            str(counters.reencoded),
        ),
        "" if away is None else f"away: {away.cause}",
    )
    words = [options.url if away is None else f"away, attempt {away.attempt}: {away.cause}"]
    if device.reconnects:
        words.append(f"reconnects: {device.reconnects}")
    return Board(_COLUMNS, [row], row.health, " · ".join(words))


async def _send_all(device: DeviceClient, options: PublishOptions) -> None:
    if isinstance(options.source, str):
        await device.stream_camera(
            options.source,
            options.cameras[0],
            fps=options.fps,
            quality=options.quality,
            frames=options.frames,
        )
        return
    begin = trio.current_time()
    number = 0
    while number != options.frames:
        for camera in options.cameras:
            await _send(device, options, number, camera)
        number += 1
        due = begin + number / options.fps
        # What took too long is not made up for by a burst.
        begin += max(0.0, trio.current_time() - due)
        await trio.sleep_until(due)


async def _send(device: DeviceClient, options: PublishOptions, number: int, camera: str) -> None:
    match options.source:
        case ThermalScene(width, height):
            temps = await trio.to_thread.run_sync(make_thermal_scene, number, width, height)
            await device.send_thermal_frame(temps, camera, quality=options.quality)
        case str():
            raise TypeError("ffmpeg's pictures come by themselves")
        case pictures:
            await device.send_video_frame(await pictures(number, camera), camera)


# ── where the pictures come from ─────────────────────────────────────────────────────────────


def find_source(
    path_or_url: str | None,
    pattern: tuple[int, int],
    thermal: tuple[int, int] | None,
    quality: int,
) -> Pictures | ThermalScene | str:
    """Return what *path_or_url* names: a picture, a folder of them, or what ffmpeg reads.

    None is the thermal scene where *thermal* has a size, else the test pattern.

    Raises:
        BadInput: there is nothing of that name, or no picture in that folder.
        FfmpegError: it takes ffmpeg, which is not installed.
        ImageError: the pattern or the scene can't have that size, or Pillow is missing.

    """
    if thermal is not None:
        render_thermal(make_thermal_scene(0, *thermal))  # to be told before anything is connected
        return ThermalScene(*thermal)
    if path_or_url is None:
        return moving_pattern(*pattern)
    if _URL.match(path_or_url):
        require_ffmpeg()
        return path_or_url
    path = Path(path_or_url)
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        if not files:
            raise BadInput(f"There is no picture ({', '.join(SUFFIXES)}) in the folder {path}.")
        return stored_pictures(files, quality)
    if not path.is_file():
        raise BadInput(f"There is no file or folder {path}.")
    if path.suffix.lower() in SUFFIXES:
        return stored_pictures([path], quality)
    require_ffmpeg()
    return f"file:{path}"  # or ffmpeg takes 10:00.mp4 for an address of the protocol 10


def moving_pattern(width: int, height: int) -> Pictures:
    """Return the moving test pattern, each camera's name in its picture."""
    make_pattern(0, width, height)  # what can't be drawn is to be told before anything is connected

    async def pictures(number: int, camera: str) -> bytes:
        draw = partial(make_pattern, number, width, height, label=camera)
        return await trio.to_thread.run_sync(draw)

    return pictures


def stored_pictures(files: list[Path], quality: int) -> Pictures:
    """Return the pictures in *files*, one after another and again from the first.

    Each is read whenever its turn comes, so a file that another program keeps replacing is always up to date.
    """
    last: tuple[bytes, bytes] = b"", b""

    def load(path: Path) -> bytes:
        nonlocal last
        try:
            data = path.read_bytes()
            if data != last[0]:
                last = data, to_jpeg(data, quality=quality).data
        except OSError as error:
            raise BadInput(f"{path} can't be read: {error.strerror}.") from None
        except ImageError as error:
            raise BadInput(f"{path} can't be sent: {error}.") from None
        return last[1]

    async def pictures(number: int, camera: str) -> bytes:
        return await trio.to_thread.run_sync(load, files[number % len(files)])

    load(files[0])
    return pictures
