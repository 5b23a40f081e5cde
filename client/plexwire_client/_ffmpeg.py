"""The program ffmpeg, and what it reads for us: a camera, a stream or a file, one JPEG after another."""

import re
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from shutil import which
from typing import Final

import trio
from attrs import frozen

from plexwire_client._errors import FfmpegError
from plexwire_client._jpeg_splitter import JpegSplitter
from plexwire_protocol.limits import MAX_MESSAGE_BYTES
from plexwire_trio import helper_tasks

#: A picture larger than this is none: ffmpeg's JPEGs are cut out of an endless stream.
_LARGEST_PICTURE: Final = 64 * MAX_MESSAGE_BYTES
_LAST_WORDS: Final = 2000
#: Seconds that ffmpeg gets to end after the first signal, and after the second.
_PATIENCE_S: Final = 0.5
_LAST_PATIENCE_S: Final = 4.5
_MISSING: Final = (
    "ffmpeg is not installed, or not on the PATH: install it (apt-get install ffmpeg)."
)
_WITH_SCHEME: Final = re.compile(r"(?i)(?!file:)[a-z][a-z0-9+.-]*://")
#: What a stored video's name ends with, wherever it is; a live stream has another, or none.
_STORED: Final = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
#: What the addresses of cameras have in common that send JPEGs over HTTP.
_MOTION_JPEG: Final = re.compile(r"(?i)^https?://.*(?:mjpe?g|[?&]action=stream|:81/stream)")
#: Up to the last @ of the host's part, and of what follows where a password with a slash in it looks like a port.
_USERINFO: Final = re.compile(r"(?<=://)(?:[^/\s]*@|[^/\s@:]*:(?![0-9]{1,5}/)[^\s@]*@)")
#: A camera of Video4Linux, also under the name that does not change when it is plugged in again.
_VIDEO_DEVICE: Final = re.compile(r"/dev/(?:video[0-9]+$|v4l/)")
_QUERY: Final = re.compile(r"(?<=://)([^\s?'\"]*\?)[^\s'\"]*?(?=:?(?:[\s'\"]|$))")


def require_ffmpeg() -> None:
    """Look for ffmpeg on the PATH.

    Raises:
        FfmpegError: it is not there.

    """
    if which("ffmpeg") is None:
        raise FfmpegError(_MISSING)


def is_video_device(path: str) -> bool:
    """Return whether *path* is a camera's such as `/dev/video0`, by its name."""
    return _VIDEO_DEVICE.match(path) is not None


def ffmpeg_command(url: str, *, fps: float | None, quality: int) -> list[str]:
    """Return the command that writes *url* as JPEGs to its standard output.

    With *fps* None, each picture is written once, at the camera's own rate.  *quality* is that of a JPEG, 1 to 95; ffmpeg counts the other way round, from 31 to 2.
    """
    scale = round(31 - (min(max(quality, 1), 95) - 1) * 29 / 94)
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error"]
    if url.lower().startswith(("rtsp://", "rtsps://")):
        command += ["-rtsp_transport", "tcp"]
    elif is_video_device(url):
        command += ["-f", "v4l2"]
    elif _is_stored(url):
        command += ["-re"]  # it would otherwise be over in a moment
    elif _MOTION_JPEG.search(url):
        # It tells no time, and ffmpeg would take it for 25 pictures a second, whatever they are.
        command += ["-use_wallclock_as_timestamps", "1"]
    # Its other name, -fps_mode, is missing before ffmpeg 5.1.
    rate = ["-vsync", "passthrough"] if fps is None else ["-vf", f"fps={fps:g}"]
    command += ["-i", url, "-an", *rate]
    return [*command, "-c:v", "mjpeg", "-q:v", str(scale), "-f", "image2pipe", "pipe:1"]


def _is_stored(url: str) -> bool:
    if _WITH_SCHEME.match(url) is None:
        return True
    return url.partition("?")[0].lower().endswith(_STORED)


async def play_camera(
    url: str,
    take: Callable[[bytes], Awaitable[None]],
    *,
    fps: float | None,
    quality: int,
    pictures: int | None = None,
) -> None:
    """Call *take* with each picture that ffmpeg reads from *url*, until its end, or so many *pictures*.

    Cancelled, or having had enough, ffmpeg is asked to end, and killed where it does not within five seconds.

    Raises:
        FfmpegError: it is not installed, or gave up; the error says what it said, without passwords.

    """
    async with helper_tasks() as nursery:
        command = ffmpeg_command(url, fps=fps, quality=quality)
        ffmpeg = await start_ffmpeg(nursery, command, stdout=subprocess.PIPE)
        assert ffmpeg.process.stdout is not None
        splitter = JpegSplitter(_LARGEST_PICTURE)
        taken = 0
        async for data in ffmpeg.process.stdout:
            for picture in splitter.feed(bytes(data)):
                await take(picture)
                taken += 1
                if taken == pictures:
                    return
        await ffmpeg.ended()


@frozen
class Ffmpeg:
    """A running ffmpeg, and the last of what it wrote to its standard error."""

    process: trio.Process
    _said: bytearray
    _silent: trio.Event

    async def ended(self) -> None:
        """Wait for its end.

        Raises:
            FfmpegError: it gave up; the error says what it said, without passwords.

        """
        status = await self.process.wait()
        with trio.move_on_after(1):
            await self._silent.wait()
        if status:
            raise FfmpegError(f"ffmpeg failed: {self.last_words or f'status {status}'}")

    @property
    def last_words(self) -> str:
        """What it said last, on one line, without passwords."""
        said = without_secrets(self._said.decode("utf-8", "replace"))
        return " / ".join(said.strip().splitlines())


async def start_ffmpeg(
    nursery: trio.Nursery,
    command: list[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> Ffmpeg:
    """Start *command*, which lives in *nursery*: cancelled, it is asked to end, and killed five seconds later.

    Raises:
        FfmpegError: it is not installed, or can't be started.

    """
    run = partial(
        trio.run_process,
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        deliver_cancel=_end,
        # Ctrl-C reaches every program of the terminal; this one is ours to end.
        start_new_session=True,
    )
    try:
        process: trio.Process = await nursery.start(run)
    except FileNotFoundError:
        raise FfmpegError(_MISSING) from None
    except OSError as error:
        raise FfmpegError(f"ffmpeg can't be started: {error.strerror}") from None
    assert process.stderr is not None
    ffmpeg = Ffmpeg(process, bytearray(), trio.Event())
    nursery.start_soon(_collect, process.stderr, ffmpeg._said, ffmpeg._silent)
    return ffmpeg


async def _end(process: trio.Process) -> None:
    process.terminate()
    await trio.sleep(_PATIENCE_S)
    # While it waits for a camera that says nothing, ffmpeg heeds the second signal alone.
    process.terminate()
    await trio.sleep(_LAST_PATIENCE_S)
    process.kill()


async def _collect(stream: trio.abc.ReceiveStream, into: bytearray, over: trio.Event) -> None:
    async for data in stream:
        into += data
        if len(into) > _LAST_WORDS:
            # Whole lines, as half an address might no longer show that it is one.
            del into[: into.find(b"\n", len(into) - _LAST_WORDS) + 1 or len(into)]
    over.set()


def without_secrets(text: str) -> str:
    """Return *text* with nothing of an address that may be a password: neither user nor query."""
    return _QUERY.sub(r"\1...", _USERINFO.sub("", text))
