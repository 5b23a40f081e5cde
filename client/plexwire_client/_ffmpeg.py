"""A camera, a stream or a file read by ffmpeg, one JPEG after another."""

import re
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from shutil import which
from typing import Final

import trio

from plexwire_client._errors import FfmpegError
from plexwire_client._jpeg import JpegSplitter
from plexwire_protocol import MAX_MESSAGE_BYTES
from plexwire_trio import helper_tasks

#: A picture larger than this is none: ffmpeg's JPEGs are cut out of an endless stream.
_LARGEST_PICTURE: Final = 64 * MAX_MESSAGE_BYTES
_PIPE_BYTES: Final = 65_536
_LAST_WORDS: Final = 2000
_MISSING: Final = (
    "ffmpeg is not installed, or not on the PATH: install it (apt-get install ffmpeg)."
)
_WITH_SCHEME: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]*://")
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")


def require_ffmpeg() -> None:
    """Look for ffmpeg on the PATH.

    Raises:
        FfmpegError: it is not there.

    """
    if which("ffmpeg") is None:
        raise FfmpegError(_MISSING)


def ffmpeg_command(url: str, *, fps: float, quality: int) -> list[str]:
    """Return the command that writes *url* as JPEGs to its standard output.

    *quality* is that of a JPEG, 1 to 95; ffmpeg counts the other way round, from 31 to 2.
    """
    scale = round(31 - (min(max(quality, 1), 95) - 1) * 29 / 94)
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error"]
    if url.lower().startswith(("rtsp://", "rtsps://")):
        command += ["-rtsp_transport", "tcp"]
    elif _WITH_SCHEME.match(url) is None:
        command += ["-re"]  # a file would otherwise be over in a moment
    command += ["-i", url, "-an", "-vf", f"fps={fps:g}"]
    return [*command, "-c:v", "mjpeg", "-q:v", str(scale), "-f", "image2pipe", "pipe:1"]


async def play_camera(
    url: str,
    take: Callable[[bytes], Awaitable[None]],
    *,
    fps: float,
    quality: int,
    pictures: int | None = None,
) -> None:
    """Call *take* with each picture that ffmpeg reads from *url*, until its end, or so many *pictures*.

    Cancelled, or having had enough, ffmpeg is asked to end, and killed where it does not within five seconds.

    Raises:
        FfmpegError: it is not installed, or gave up; the error says what it said, without passwords.

    """
    last_words = bytearray()
    async with helper_tasks() as nursery:
        process = await _start(nursery, ffmpeg_command(url, fps=fps, quality=quality))
        assert process.stdout is not None
        assert process.stderr is not None
        nursery.start_soon(_collect, process.stderr, last_words)
        splitter = JpegSplitter(_LARGEST_PICTURE)
        taken = 0
        async for data in process.stdout:
            for picture in splitter.feed(bytes(data)):
                await take(picture)
                taken += 1
                if taken == pictures:
                    return
        status = await process.wait()
    if status:
        said = _USERINFO.sub("", last_words.decode("utf-8", "replace")).strip()
        raise FfmpegError(f"ffmpeg gave up: {' / '.join(said.splitlines()) or f'status {status}'}")


async def _start(nursery: trio.Nursery, command: list[str]) -> trio.Process:
    run = partial(
        trio.run_process, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
    )
    try:
        process: trio.Process = await nursery.start(run)
    except FileNotFoundError:
        raise FfmpegError(_MISSING) from None
    except OSError as error:
        raise FfmpegError(f"ffmpeg can't be started: {error.strerror}") from None
    return process


async def _collect(stream: trio.abc.ReceiveStream, into: bytearray) -> None:
    async for data in stream:
        into += data
        del into[:-_LAST_WORDS]
