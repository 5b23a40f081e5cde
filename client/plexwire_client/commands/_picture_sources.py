"""Where the pictures of `publish` come from: files, a folder, the test pattern, the thermal scene, a pipe, or ffmpeg."""

import re
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import trio
from attrs import define, frozen

from plexwire_client._encoding import to_jpeg
from plexwire_client._errors import ImageError
from plexwire_client._ffmpeg import is_video_device, require_ffmpeg
from plexwire_client._thermal_pictures import make_thermal_scene, render_thermal
from plexwire_client.pattern import make_pattern
from plexwire_protocol import PlexwireError

#: Gives picture number so many for a camera, as a JPEG.
Pictures: TypeAlias = Callable[[int, str], Awaitable[bytes]]

#: What a picture's file name ends with; other files are videos to ffmpeg.
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

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


@frozen
class JpegInput:
    """JPEGs one after another, from the named pipe or device at `path`; None is standard input."""

    path: Path | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return "Standard input" if self.path is None else str(self.path)


def find_source(
    path_or_url: str | None,
    pattern: tuple[int, int],
    thermal: tuple[int, int] | None,
    quality: int,
) -> Pictures | ThermalScene | JpegInput | str:
    """Return what *path_or_url* names: a picture, a folder of them, a pipe, a device, or what ffmpeg reads.

    `-` is standard input.  None is the thermal scene where *thermal* has a size, else the test pattern.

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
    if path_or_url == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise BadInput("Nothing is piped into standard input: write JPEGs into it.")
        return JpegInput(None)
    if _URL.match(path_or_url):
        require_ffmpeg()
        return path_or_url
    path = Path(path_or_url)
    try:
        return _stored(path, quality)
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}.") from None


def _stored(path: Path, quality: int) -> Pictures | JpegInput | str:
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        if not files:
            raise BadInput(f"There is no picture ({', '.join(SUFFIXES)}) in the folder {path}.")
        return stored_pictures(files, quality)
    if path.is_fifo():
        return JpegInput(path)
    if path.is_char_device():
        device = str(path.resolve())
        if not is_video_device(device):
            return JpegInput(path)
        require_ffmpeg()
        return device
    if path.exists() and not path.is_file():
        raise BadInput(f"{path} is not a file, a folder, a pipe or a camera.")
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
