"""The command `watch`: what it counts and says, and whom it hands the frames to."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import trio
from attrs import field, frozen

from plexwire_client._client import Reconnecting
from plexwire_client._viewer import ViewerClient, ViewerEvent, open_viewer
from plexwire_client.commands._frame_sinks import FolderSink, FrameSink
from plexwire_client.commands._mjpeg_server import ListenAddress, serve_mjpeg
from plexwire_client.commands._rates import Meter, in_bytes
from plexwire_client.commands._running import CommandFailed
from plexwire_client.commands._status_display import (
    Board,
    Column,
    Health,
    Row,
    StatusDisplay,
    show_regularly,
)
from plexwire_client.commands._stdout_recorder import open_stdout_recorder
from plexwire_client.commands._video_recorder import open_video_recorder
from plexwire_protocol import (
    GatewayDeviated,
    GatewayReconnecting,
    Init,
    StreamAddress,
    VideoFrame,
    describe_close,
)
from plexwire_trio import StreamOpener, helper_tasks

#: What `record` is if the recording goes to standard output.
TO_STDOUT: Final = Path("-")
#: Seconds without a picture after which a camera counts as still.
STILL_S: Final = 2.0
_COLUMNS: Final = (
    Column("fps", "{} fps"),
    Column("latency", "latency {}"),
    Column("data"),
    Column("picture"),
    Column("frames", "{} frames"),
    Column("skipped", "{} skipped"),
)


@frozen(kw_only=True)
class WatchOptions:
    """What the command was given; `frames` ends it after so many.

    `save` is a folder for the pictures, `mjpeg` where to serve them, `mjpeg_origin` whose pages may read those, `record`
    the file to record them in, or `-`.
    """

    url: str
    api_key: str = field(repr=False)
    source_id: str
    cameras: tuple[str, ...]
    timeout: int | None = None
    reconnect: bool = False
    save: Path | None = None
    mjpeg: ListenAddress | None = None
    mjpeg_origin: str | None = None
    record: Path | None = None
    overwrite: bool = False
    frames: int | None = None
    opener: StreamOpener | None = None


async def watch_stream(
    options: WatchOptions, to: StatusDisplay, *, clock: Callable[[], float] = time.time
) -> None:
    """Watch as *options* say until the stream ends, and say so.

    Raises:
        PlexwireError: what `open_viewer` and its iteration raise.
        CommandFailed: the stream ended before the last of `frames`.
        SinkError, FfmpegError: pictures can't be saved, served or recorded.

    """
    # What can't be asked for is to be told before any file or port is opened for it.
    StreamAddress(source_id=options.source_id, cameras=options.cameras, timeout=options.timeout)
    async with AsyncExitStack() as stack:
        sinks = await _open_sinks(options, to, stack)
        viewer = await stack.enter_async_context(
            open_viewer(
                options.url,
                api_key=options.api_key,
                source_id=options.source_id,
                cameras=options.cameras,
                timeout=options.timeout,
                reconnect=options.reconnect,
                opener=options.opener,
            )
        )
        watching = _Watching(viewer, options, sinks, to, clock)
        to.say(f"Connected to {options.url}. {online(viewer.init, options.source_id)}")
        try:
            async with helper_tasks() as nursery:
                nursery.start_soon(show_regularly, to, watching.board)
                await watching.take_all()
        finally:
            to.show(watching.board())
    if watching.taken != options.frames:
        close = viewer.closed
        ended = "" if close is None else f"{describe_close(close.code)} [{int(close.code)}]"
        to.say(ended)
        if options.frames is not None:
            raise CommandFailed(
                f"The stream ended after {watching.taken} of {options.frames} frames."
            )


async def _open_sinks(
    options: WatchOptions, to: StatusDisplay, stack: AsyncExitStack
) -> list[FrameSink]:
    sinks: list[FrameSink] = []
    if options.record is not None and options.record != TO_STDOUT:
        recording = open_video_recorder(
            options.record,
            options.cameras,
            title=options.source_id,
            overwrite=options.overwrite,
            say=to.say,
        )
        sinks.append(await stack.enter_async_context(recording))
    if options.mjpeg is not None:
        serving = serve_mjpeg(
            options.mjpeg,
            source_id=options.source_id,
            cameras=options.cameras,
            allow_origin=options.mjpeg_origin,
        )
        server = await stack.enter_async_context(serving)
        sinks.append(server)
        to.say(f"Pictures for browsers and players: {server.url}")
        if not server.place.is_loopback:
            to.say("Anybody who can connect to that port can watch: no key is needed.")
    if options.save is not None:
        folder = FolderSink(options.save)
        await folder.prepare()
        sinks.append(folder)
    if options.record == TO_STDOUT:
        to_stdout = open_stdout_recorder(options.cameras, say=to.say)
        sinks.append(await stack.enter_async_context(to_stdout))
    return sinks


def online(init: Init, source_id: str) -> str:
    """Return one sentence about what *init* lists of *source_id*."""
    cameras = [
        camera
        for source in init.online_sources
        if source.source_id == source_id
        for camera in source.cameras
    ]
    if not cameras:
        return f"No camera of {source_id} is online yet: waiting."
    return f"Online cameras of {source_id}: {', '.join(cameras)}."


def deviation_sentence(deviation: GatewayDeviated) -> str:
    """Return one sentence about *deviation*."""
    what = "A message" if deviation.path == "message" else deviation.path
    return f"The gateway deviates from {deviation.clause}: {what} {deviation.problem}."


class _Watching:
    """One run of the command: a meter a camera."""

    def __init__(
        self,
        viewer: ViewerClient,
        options: WatchOptions,
        sinks: list[FrameSink],
        to: StatusDisplay,
        clock: Callable[[], float],
    ) -> None:
        self.taken = 0
        self._viewer = viewer
        self._options = options
        self._sinks = sinks
        self._to = to
        self._clock = clock
        self._began = now = trio.current_time()
        self._meters = {camera: Meter(now) for camera in viewer.address.cameras}
        self._newest: dict[str, tuple[float, str]] = {}
        self._upstream: GatewayReconnecting | None = None

    async def take_all(self) -> None:
        async for event in self._viewer.events():
            await self._take(event)
            if self.taken == self._options.frames:
                return

    async def _take(self, event: ViewerEvent) -> None:
        match event:
            case VideoFrame():
                self._upstream = None
                self._count(event)
                for sink in self._sinks:
                    await sink.take(event)
            case Init():
                back = "Connected again." if self._upstream is None else "The upstream is back."
                self._upstream = None
                self._to.say(f"{back} {online(event, self._options.source_id)}")
            case GatewayDeviated():
                self._to.say(deviation_sentence(event))
            case GatewayReconnecting():
                self._upstream = event
                self._to.say(
                    f"The gateway lost its upstream and tries again in {event.delay_s:g} s"
                    f" (attempt {event.attempt} of {event.max_attempts})."
                )
            case Reconnecting():
                self._upstream = None
                self._to.say(f"{event.cause} Connecting again in {event.delay_s:.1f} s.")

    def _count(self, frame: VideoFrame) -> None:
        now = trio.current_time()
        latency_ms = self._clock() * 1000 - frame.timestamp
        self._meters[frame.camera_id].take(now, len(frame.jpeg), latency_ms)
        self._newest[frame.camera_id] = now, f"{frame.width}x{frame.height}"
        self.taken += 1

    # ── what is shown ────────────────────────────────────────────────────────────────────────

    def board(self) -> Board:
        now = trio.current_time()
        rows = [self._row(camera, meter, now) for camera, meter in self._meters.items()]
        health, state = self._state()
        lasted = int(now - self._began)
        words = [state, f"{lasted // 60}:{lasted % 60:02d}"]
        if self._viewer.reconnects:
            words.append(f"reconnects: {self._viewer.reconnects}")
        more = [sink.status() for sink in self._sinks]
        return Board(_COLUMNS, rows, health, " · ".join(words), more)

    def _row(self, camera: str, meter: Meter, now: float) -> Row:
        fps, bytes_per_s = meter.per_second(now)
        arrived, size = self._newest.get(camera, (now, "-"))
        if size == "-":
            health, note = Health.WAITING, "waiting"
        elif now - arrived > STILL_S:
            health, note = Health.WAITING, f"still {now - arrived:.0f} s"
        else:
            health, note = Health.GOOD, ""
        return Row(
            camera or "(empty id)",
            Health.BAD if self._viewer.away else health,
            (
                f"{fps:.1f}",
                "-" if meter.latency_ms is None else f"{meter.latency_ms:.0f} ms",
                f"{in_bytes(bytes_per_s)}/s",
                size,
                str(meter.count),
                str(self._viewer.skips.get(camera, 0)),
            ),
            note,
        )

    def _state(self) -> tuple[Health, str]:
        away, upstream = self._viewer.away, self._upstream
        if away is not None:
            return Health.BAD, f"away, attempt {away.attempt}"
        if upstream is not None:
            tries = f"attempt {upstream.attempt} of {upstream.max_attempts}"
            return Health.WAITING, f"the gateway lost its upstream, {tries}"
        return Health.GOOD, self._options.url
