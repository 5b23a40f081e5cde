"""The command `watch`: what it counts, says and saves."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import trio
from attrs import field, frozen

from plexwire_client._client import Reconnecting
from plexwire_client._meter import Meter, in_bytes
from plexwire_client._terminal import (
    CommandFailed,
    NotStarted,
    Reporter,
    show_regularly,
)
from plexwire_client._viewer import Viewer, ViewerEvent, open_viewer
from plexwire_protocol import GatewayReconnecting, Init, VideoFrame, describe_close
from plexwire_trio import helper_tasks

#: Characters of a camera's name in a file's: percent-encoding makes three of one, and file names end at 255.
_NAME_CHARACTERS = 150


@frozen(kw_only=True)
class WatchOptions:
    """What the command was given; `frames` ends it after so many, `save` is a folder for the pictures."""

    url: str
    api_key: str = field(repr=False)
    source_id: str
    cameras: tuple[str, ...]
    timeout: int | None = None
    reconnect: bool = False
    save: Path | None = None
    frames: int | None = None
    ssl_context: ssl.SSLContext | None = None


async def watch_stream(
    options: WatchOptions, to: Reporter, *, clock: Callable[[], float] = time.time
) -> None:
    """Watch as *options* say until the stream ends, and say so.

    Raises:
        PlexwireError: what `open_viewer` and its iteration raise.
        CommandFailed: the stream ended before the last of `frames`.
        NotStarted: a picture can't be saved.

    """
    if options.save is not None:
        await _prepare(options.save)
    async with open_viewer(
        options.url,
        api_key=options.api_key,
        source_id=options.source_id,
        cameras=options.cameras,
        timeout=options.timeout,
        reconnect=options.reconnect,
        ssl_context=options.ssl_context,
    ) as viewer:
        watching = _Watching(viewer, options, to, clock)
        to.say(f"Connected to {options.url}. {online(viewer.init, options.source_id)}")
        try:
            async with helper_tasks() as nursery:
                nursery.start_soon(show_regularly, to, watching.rows)
                await watching.take_all()
        finally:
            to.show(watching.rows())
    if watching.taken != options.frames:
        close = viewer.closed
        ended = "" if close is None else f"{describe_close(close.code)} [{int(close.code)}]"
        to.say(ended)
        if options.frames is not None:
            raise CommandFailed(
                f"The stream ended after {watching.taken} of {options.frames} frames."
            )


def online(init: Init, source_id: str) -> str:
    """Return one sentence about what *init* lists of *source_id*."""
    cameras = [
        camera
        for source in init.online_sources
        if source.source_id == source_id
        for camera in source.cameras
    ]
    if not cameras:
        return f"Nothing of {source_id} is online yet: waiting."
    return f"Online of {source_id}: {', '.join(cameras)}."


class _Watching:
    """One run of the command: a meter a camera."""

    def __init__(
        self, viewer: Viewer, options: WatchOptions, to: Reporter, clock: Callable[[], float]
    ) -> None:
        self.taken = 0
        self._viewer = viewer
        self._options = options
        self._to = to
        self._clock = clock
        now = trio.current_time()
        self._meters = {camera: Meter(now) for camera in viewer.address.cameras}
        self._sizes: dict[str, str] = {}

    async def take_all(self) -> None:
        async for event in self._viewer.events():
            await self._take(event)
            if self.taken == self._options.frames:
                return

    async def _take(self, event: ViewerEvent) -> None:
        match event:
            case VideoFrame():
                latency_ms = self._clock() * 1000 - event.timestamp
                self._meters[event.camera_id].take(trio.current_time(), len(event.jpeg), latency_ms)
                self._sizes[event.camera_id] = f"{event.width}x{event.height}"
                self.taken += 1
                if self._options.save is not None:
                    await _save(self._options.save, event, self.taken)
            case Init():
                self._to.say(f"Connected again. {online(event, self._options.source_id)}")
            case GatewayReconnecting():
                self._to.say(
                    f"The gateway lost its upstream and tries again in {event.delay_s:g} s"
                    f" (attempt {event.attempt} of {event.max_attempts})."
                )
            case Reconnecting():
                self._to.say(f"{event.cause} Connecting again in {event.delay_s:.1f} s.")

    def rows(self) -> list[list[str]]:
        now = trio.current_time()
        rows = []
        for camera, meter in self._meters.items():
            fps, bytes_per_s = meter.per_second(now)
            late = "-" if meter.latency_ms is None else f"{meter.latency_ms:.0f}"
            rows.append(
                [
                    camera or "(empty id)",
                    f"{fps:.1f} fps",
                    f"latency {late} ms",
                    f"{in_bytes(bytes_per_s)}/s",
                    self._sizes.get(camera, "no picture"),
                    f"{meter.count} frames",
                    f"{self._viewer.skips.get(camera, 0)} skipped",
                ]
            )
        return rows


def file_name(frame: VideoFrame, number: int) -> str:
    """Return the name that *frame*, the *number*-th of this run, is saved under; no camera's name leaves the folder."""
    camera = quote(frame.camera_id, safe="")[:_NAME_CHARACTERS]
    return f"{camera}-{frame.timestamp}-{number:06d}.jpg"


async def _prepare(folder: Path) -> None:
    try:
        await trio.Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_save(folder, error) from None


async def _save(folder: Path, frame: VideoFrame, number: int) -> None:
    path = trio.Path(folder) / file_name(frame, number)
    try:
        await path.write_bytes(frame.jpeg)
    except OSError as error:
        raise _cannot_save(folder, error) from None


def _cannot_save(folder: Path, error: OSError) -> NotStarted:
    return NotStarted(f"Pictures can't be saved in {folder}: {error.strerror}.")
