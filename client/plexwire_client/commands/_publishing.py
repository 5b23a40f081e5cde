"""What `publish` does: it sends pictures at their rate, and shows what became of them."""

from functools import partial
from typing import Final

import trio
from attrs import field, frozen

from plexwire_client._device import DeviceClient, DeviceCounters, open_device
from plexwire_client._ffmpeg import is_video_device
from plexwire_client._thermal_pictures import make_thermal_scene
from plexwire_client.commands._jpeg_input import play_jpegs
from plexwire_client.commands._picture_sources import JpegInput, Pictures, ThermalScene
from plexwire_client.commands._rates import Meter, in_bytes
from plexwire_client.commands._status_display import (
    Board,
    Column,
    Health,
    Row,
    StatusDisplay,
    show_regularly,
)
from plexwire_trio import StreamOpener, helper_tasks

#: Pictures per second of what has no rate of its own.
DEFAULT_FPS: Final = 15.0
#: Seconds that a picture from a pipe waits for a slow link, until the next one may replace it.
LINK_WAIT_S: Final = 0.25
_COLUMNS: Final = (
    Column("fps", "{} fps"),
    Column("data"),
    Column("sent", "{} sent"),
    Column("dropped", "{} dropped"),
    Column("encoded again", "{} encoded again"),
)


@frozen(kw_only=True)
class PublishOptions:
    """What the command was given; `frames` ends it after so many pictures a camera.

    `source` gives the pictures or the temperatures, or is what ffmpeg reads: a URL or the path of a video.  With `fps`
    None, JPEGs from a pipe and pictures of a camera are sent at the rate at which they come, and others 15 times per second.
    """

    url: str
    api_key: str = field(repr=False)
    source_id: str
    cameras: tuple[str, ...]
    source: Pictures | ThermalScene | JpegInput | str = field(repr=False)
    fps: float | None
    quality: int
    reconnect: bool = False
    frames: int | None = None
    opener: StreamOpener | None = None


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
            opener=options.opener,
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
        (counters.dropped_slow, "because the link was slow"),
        (counters.dropped_away, "because the gateway was away"),
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


class Pace:
    """Lets `next` return at most *fps* times per second; None is no limit."""

    def __init__(self, fps: float | None) -> None:
        self._interval_s = 0.0 if fps is None else 1 / fps
        #: When the last picture was due: a first one may be long in coming, and is due whenever it comes.
        self._due: float | None = None

    async def next(self) -> None:
        """Wait until the next picture is due; what took too long is not made up for by a burst."""
        now = trio.current_time()
        last = now if self._due is None else self._due
        self._due = max(last + self._interval_s, now)
        await trio.sleep_until(self._due)


async def _pass_on(
    device: DeviceClient, options: PublishOptions, pace: Pace, picture: bytes
) -> None:
    for camera in options.cameras:
        await device.send_video_frame(picture, camera)
    # Pictures that a pipe holds together must not replace each other before the link could take them.
    with trio.move_on_after(LINK_WAIT_S):
        await device._drained()
    await pace.next()


async def _send_all(device: DeviceClient, options: PublishOptions) -> None:
    if isinstance(options.source, JpegInput):
        await play_jpegs(
            options.source,
            partial(_pass_on, device, options, Pace(options.fps)),
            pictures=options.frames,
        )
        return
    if isinstance(options.source, str):
        own_rate = options.fps is None and is_video_device(options.source)
        await device.stream_camera(
            options.source,
            options.cameras[0],
            fps=None if own_rate else options.fps or DEFAULT_FPS,
            quality=options.quality,
            frames=options.frames,
        )
        return
    pace = Pace(options.fps or DEFAULT_FPS)
    number = 0
    while number != options.frames:
        for camera in options.cameras:
            await _send(device, options, number, camera)
        number += 1
        await pace.next()


async def _send(device: DeviceClient, options: PublishOptions, number: int, camera: str) -> None:
    match options.source:
        case ThermalScene(width, height):
            temps = await trio.to_thread.run_sync(make_thermal_scene, number, width, height)
            await device.send_thermal_frame(temps, camera, quality=options.quality)
        case str() | JpegInput():
            raise TypeError("these pictures come by themselves")
        case pictures:
            await device.send_video_frame(await pictures(number, camera), camera)
