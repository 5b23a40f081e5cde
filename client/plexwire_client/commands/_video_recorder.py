"""Recordings: each camera's pictures, as they came, in a video file that ffmpeg writes."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from plexwire_client._errors import FfmpegError
from plexwire_client._ffmpeg import Ffmpeg, require_ffmpeg, start_ffmpeg
from plexwire_client._jpeg import jpeg_size
from plexwire_client.commands import _matroska
from plexwire_client.commands._frame_sinks import FrameSink, SinkError, camera_name
from plexwire_client.commands._rates import in_bytes
from plexwire_protocol import VideoFrame
from plexwire_trio import helper_tasks

#: Bytes of pictures that wait for a slow disk; what comes beyond them is dropped, and counted.
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
#: What a picture takes beside its own bytes.
_OVERHEAD_BYTES: Final = 1024
#: Seconds that ffmpeg gets at the end to write what waits and finish the file.
FINISH_S: Final = 10.0
#: Milliseconds that a device's stamp may be off the time of arrival, and be believed.
BELIEVED_MS: Final = 2000


@define
class PictureTimes:
    """Where each picture stands in a recording, in ms after the first: evenly as the device stamped it.

    A stamp that does not go on from the last, or strays from the time of arrival by over two seconds, is not
    believed; its picture stands where it arrived, and the next stamps count from there.
    """

    _began_s: float | None = field(default=None, init=False)
    _offset: int = field(default=0, init=False)
    _stamp: int = field(default=0, init=False)
    _last: int = field(default=-1, init=False)

    def place(self, stamp: int, arrived_s: float) -> int:
        """Return the place of a picture stamped *stamp* (ms), which is later than the last one's.

        *arrived_s* is on any clock that never goes back.
        """
        if self._began_s is None:
            self._began_s = arrived_s
        arrived = round((arrived_s - self._began_s) * 1000)
        goes_on = self._last >= 0 and stamp > self._stamp
        self._stamp = stamp
        if not goes_on or abs(stamp + self._offset - arrived) > BELIEVED_MS:
            self._offset = arrived - stamp
        self._last = max(self._last + 1, stamp + self._offset)
        return self._last


class _CameraFile:
    """One camera's file: what waits for ffmpeg, and what became of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.timeline = PictureTimes()
        self.begun = False
        self.fed = False
        self.written = 0
        self.written_bytes = 0
        self.size = 0
        self.dropped = 0
        self.waiting_bytes = 0
        self.length_ms = 0
        self.scope = trio.CancelScope(shield=True)
        self.to_write, self.waiting = trio.open_memory_channel[tuple[int, bytes]](float("inf"))


class VideoRecorder(FrameSink):
    """What `open_video_recorder` gives."""

    def __init__(self, tracks: dict[str, _CameraFile], title: str, *, overwrite: bool) -> None:
        self._tracks = tracks
        self._title = title
        self._overwrite = overwrite
        self._failure: FfmpegError | None = None
        self._body = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._open = 0
        self._closed = trio.Event()

    async def take(self, frame: VideoFrame) -> None:
        """Leave *frame* for ffmpeg, or drop it where the disk is too slow; never waits."""
        track = self._tracks[frame.camera_id]
        at = track.timeline.place(frame.timestamp, trio.current_time())
        if track.waiting_bytes > MAX_WAITING_BYTES:
            track.dropped += 1
            return
        if not track.begun:
            assert self._nursery is not None
            track.begun = True
            self._open += 1
            self._nursery.start_soon(self._write, track, frame)
        track.waiting_bytes += len(frame.jpeg) + _OVERHEAD_BYTES
        track.to_write.send_nowait((at, frame.jpeg))

    def status(self) -> str:
        """Return what is recorded, and what the disk was too slow for."""
        first, *others = (track.path.name for track in self._tracks.values())
        names = f"{first} and {len(others)} more" if others else first
        dropped = sum(track.dropped for track in self._tracks.values())
        return f"recording {names}" + (f", {dropped} dropped: the disk is slow" if dropped else "")

    async def _write(self, track: _CameraFile, first: VideoFrame) -> None:
        try:
            with track.scope:
                await self._feed_ffmpeg(track, first)
            if track.scope.cancelled_caught:
                raise FfmpegError(
                    f"ffmpeg did not complete {track.path} within {FINISH_S:.0f} seconds."
                )
        except FfmpegError as error:
            self._failure = self._failure or error
            self._body.cancel()
        finally:
            self._open -= 1
            if not self._open:
                self._closed.set()

    async def _feed_ffmpeg(self, track: _CameraFile, first: VideoFrame) -> None:
        command = record_command(
            track.path, title=self._title, camera_id=first.camera_id, overwrite=self._overwrite
        )
        async with helper_tasks() as nursery:
            ffmpeg = await start_ffmpeg(nursery, command, stdin=subprocess.PIPE)
            # Not only a broken pipe tells of its end: a dead one may still have room for what it will never read.
            nursery.start_soon(_feed, ffmpeg, track, first)
            await ffmpeg.ended()
            if not track.fed:
                raise FfmpegError(f"ffmpeg ended before the recording of {track.path} did.")
            # Of what it fails to write at the very end ffmpeg complains, and calls it a success.
            size = await trio.to_thread.run_sync(_size, track.path)
            if size < track.written_bytes:
                raise FfmpegError(
                    f"{track.path} is not complete: {ffmpeg.last_words or 'ffmpeg gave no reason'}"
                )
            track.size = size


async def _feed(ffmpeg: Ffmpeg, track: _CameraFile, first: VideoFrame) -> None:
    pipe = ffmpeg.process.stdin
    assert pipe is not None
    width, height = jpeg_size(first.jpeg) or (first.width, first.height)
    try:
        await pipe.send_all(_matroska.begin(width, height))
        async for at, jpeg in track.waiting:
            await pipe.send_all(_matroska.picture(at, jpeg))
            track.waiting_bytes -= len(jpeg) + _OVERHEAD_BYTES
            track.written += 1
            track.written_bytes += len(jpeg)
            track.length_ms = at
        track.fed = True
    except trio.BrokenResourceError:
        return  # it says why at its end
    await pipe.aclose()


def _sentence(track: _CameraFile) -> str:
    if not track.begun:
        return f"No picture came for {track.path}."
    if not track.size:
        return f"{track.path} is not complete."
    seconds = track.length_ms / 1000
    dropped = f", {track.dropped} dropped because the disk was slow" if track.dropped else ""
    return (
        f"Recorded {track.path}: {track.written} pictures, {seconds:.1f} s,"
        f" {in_bytes(track.size)}{dropped}."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def record_command(path: Path, *, title: str, camera_id: str, overwrite: bool) -> list[str]:
    """Return the command that copies Matroska from its standard input into the file *path*."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return [
        *("ffmpeg", "-hide_banner", "-loglevel", "error", "-y" if overwrite else "-n"),
        # Its guess at a frame rate would take it many pictures, and pad a stream that has none.
        *("-fpsprobesize", "0", "-f", "matroska", "-i", "pipe:0", "-map", "0:v", "-c", "copy"),
        *("-metadata", f"title={title} {camera_id}", "-metadata", f"creation_time={now}"),
        # A name of any characters is a file's, never an option or another protocol.
        f"file:{path}",
    ]


def record_paths(out: Path, cameras: Iterable[str]) -> dict[str, Path]:
    """Return the file of each camera: *out* itself for one, out-CAMERA.mkv for each of several."""
    cameras = tuple(dict.fromkeys(cameras))
    if len(cameras) == 1:
        return {cameras[0]: out}
    paths: dict[str, Path] = {}
    taken: set[str] = set()
    for number, camera in enumerate(cameras, 1):
        name = f"{out.stem}-{camera_name(camera)}"
        while name.casefold() in taken:  # cut to one length, or on a disk that knows no capitals
            name += f"-{number}"
        taken.add(name.casefold())
        paths[camera] = out.with_name(name + out.suffix)
    return paths


@asynccontextmanager
async def open_video_recorder(
    out: Path,
    cameras: Iterable[str],
    *,
    title: str,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> AsyncGenerator[VideoRecorder, None]:
    """Record what the recorder takes inside, until the body ends however it does; then finish the files, and *say* so.

    A file begins with its camera's first picture.  Where ffmpeg fails, the body is cancelled.

    Raises:
        SinkError: *out* can't be the name of a video, or a file exists and *overwrite* is not given.
        FfmpegError: ffmpeg is not installed, or gave up; the error says what it said.

    """
    require_ffmpeg()
    paths = record_paths(out, cameras)
    await trio.to_thread.run_sync(partial(_check, out, paths.values(), overwrite=overwrite))
    recorder = VideoRecorder(
        {camera: _CameraFile(path) for camera, path in paths.items()}, title, overwrite=overwrite
    )
    async with helper_tasks() as nursery:
        recorder._nursery = nursery
        try:
            with recorder._body:
                yield recorder
        finally:
            await _finish(recorder)
            for track in recorder._tracks.values():
                say(_sentence(track))
            # Also to whoever was cancelled: who ends a recording by Ctrl-C wants it whole.
            if recorder._failure is not None and not isinstance(sys.exception(), Exception):
                raise recorder._failure


async def _finish(recorder: VideoRecorder) -> None:
    for track in recorder._tracks.values():
        track.to_write.close()
        track.scope.deadline = trio.current_time() + FINISH_S
    if recorder._open:
        with trio.CancelScope(shield=True):
            await recorder._closed.wait()


def _check(out: Path, paths: Iterable[Path], *, overwrite: bool) -> None:
    if not out.suffix:
        raise SinkError(
            f"{out} has no suffix that names its format: call it {out}.mkv, or .mp4, .mov or .avi."
        )
    try:
        if not out.parent.is_dir():
            raise SinkError(f"There is no folder {out.parent} for the recording.")
        for path in paths:
            if _exists(path) and not overwrite:
                raise SinkError(f"{path} exists: choose another name, or give --overwrite.")
    except OSError as error:
        raise SinkError(f"{out} can't be recorded: {error.strerror}.") from None


def _exists(path: Path) -> bool:
    # Path.exists() has taken every error for an absence since Python 3.14: names too long, folders that can't be read.
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True
