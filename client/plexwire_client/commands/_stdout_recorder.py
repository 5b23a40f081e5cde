"""A recording into a pipe: one camera's pictures as Matroska on standard output, without ffmpeg."""

import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial

import trio

from plexwire_client._jpeg import jpeg_size
from plexwire_client.commands import _matroska
from plexwire_client.commands._frame_sinks import FrameSink, SinkError
from plexwire_client.commands._rates import in_bytes
from plexwire_client.commands._video_recorder import FINISH_S, PictureTimes
from plexwire_protocol import VideoFrame


class StdoutRecorder(FrameSink):
    """What `open_stdout_recorder` gives.

    While the reader of the pipe is slow, frames are skipped as they are for any slow viewer.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._times = PictureTimes()
        self._idle = threading.Event()
        self._idle.set()
        self.written = 0
        self.written_bytes = 0
        self.length_ms = 0

    async def take(self, frame: VideoFrame) -> None:
        """Write *frame*, as soon as the reader takes it.

        Raises:
            SinkError: standard output can't be written to.
            BrokenPipeError: its reader has gone.

        """
        at = self._times.place(frame.timestamp, trio.current_time())
        data = _matroska.picture(at, frame.jpeg)
        if not self.written:
            width, height = jpeg_size(frame.jpeg) or (frame.width, frame.height)
            data = _matroska.begin(width, height) + data
        self._idle.clear()
        try:
            # Cancelled, the thread goes on, so that no picture is cut short.
            await trio.to_thread.run_sync(partial(self._write, data), abandon_on_cancel=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(f"Standard output can't be written to: {error.strerror}.") from None
        self.length_ms = at

    def status(self) -> str:
        """Return how much is written."""
        return f"{self.written} pictures recorded to standard output"

    async def finish(self) -> None:
        """Wait until the last picture is written whole, ten seconds at most."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._idle.wait, FINISH_S)

    def _write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            self.written += 1
            self.written_bytes += len(data)
        finally:
            self._idle.set()


@asynccontextmanager
async def open_stdout_recorder(
    cameras: Iterable[str], *, say: Callable[[str], None]
) -> AsyncGenerator[StdoutRecorder, None]:
    """Record what the recorder takes inside to standard output, and *say* at the end how much it was.

    Raises:
        SinkError: there is more than one camera, or standard output is closed or a terminal.

    """
    if len(set(cameras)) > 1:
        raise SinkError("--record - takes one camera: give --camera once, or a file's name.")
    if sys.stdout is None or sys.stdout.isatty():
        raise SinkError("--record - needs a reader: send standard output to a program or a file.")
    recorder = StdoutRecorder(sys.stdout.fileno())
    try:
        yield recorder
    finally:
        await recorder.finish()
        say(
            f"Recorded to standard output: {recorder.written} pictures,"
            f" {recorder.length_ms / 1000:.1f} s, {in_bytes(recorder.written_bytes)}."
        )
