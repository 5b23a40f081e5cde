"""The command `plexwire publish`."""

import re
from functools import partial
from pathlib import Path

import click

from plexwire_client._jpeg import DEFAULT_QUALITY
from plexwire_client.commands._options import (
    ca_option,
    choose_key,
    keys_file_option,
    make_opener,
    proxy_option,
    reconnect_option,
    source_id_option,
)
from plexwire_client.commands._picture_sources import find_source
from plexwire_client.commands._publishing import PublishOptions, publish_pictures
from plexwire_client.commands._running import NotStarted, failed, run_command
from plexwire_protocol import PlexwireError
from plexwire_protocol.limits import DEFAULT_CAMERA
from plexwire_trio import API_KEY, DEVICE_KEY

_PATTERN = (640, 360)


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})[xX]([0-9]{1,5})", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a size such as 640x360.")
    return int(match[1]), int(match[2])


@click.command()
@click.argument("url")
@click.argument("source", required=False, metavar="[PICTURE|FOLDER|VIDEO|PIPE|-]")
@source_id_option
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    default=(DEFAULT_CAMERA,),
    show_default=True,
    metavar="ID",
    help="Camera to publish as; repeat it to publish the same pictures as several cameras.",
)
@click.option(
    "--pattern",
    callback=_size,
    metavar="WxH",
    help="Size of the moving test pattern, which is published if nothing else is given.  [default: 640x360]",
)
@click.option(
    "--thermal",
    is_flag=False,
    flag_value="64x48",
    callback=_size,
    metavar="[WxH]",
    help="Publish a moving thermal scene instead, as a sensor of WxH pixels would see it.  [WxH default: 64x48]",
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    help="Pictures per second.  [default: 15; JPEGs from a pipe and /dev/video0: as they come]",
)
@click.option(
    "--frames", type=click.IntRange(min=1), metavar="N", help="End after N pictures per camera."
)
@click.option(
    "--quality",
    type=click.IntRange(1, 95),
    default=DEFAULT_QUALITY,
    show_default=True,
    help="JPEG quality of pictures that have to be encoded.",
)
@reconnect_option
@keys_file_option
@ca_option
@proxy_option
def publish(
    url: str,
    source: str | None,
    source_id: str,
    cameras: tuple[str, ...],
    pattern: tuple[int, int] | None,
    thermal: tuple[int, int] | None,
    fps: float | None,
    frames: int | None,
    quality: int,
    reconnect: bool,
    keys_file: Path | None,
    ca_file: Path | None,
    proxy: str | None,
) -> None:
    """Be a device at the gateway URL: publish pictures, a video, a moving test pattern or a thermal scene.

    URL is the gateway's base address.  The key comes from PLEXWIRE_DEVICE_KEY, else PLEXWIRE_API_KEY, or from
    --keys-file, never from the command line.  PICTURE is sent again and again, and so are the pictures in FOLDER, by
    name; VIDEO is a file, a URL or a camera such as /dev/video0 that ffmpeg can read.  `-` is standard input, and PIPE a
    named pipe or a serial device: JPEGs back to back (MJPEG), or multipart/x-mixed-replace.  Each is sent as soon as it
    is complete, until the pipe ends.  Ctrl-C ends the command properly.

    \b
    Examples:
      export PLEXWIRE_API_KEY=plx_...
      plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera front
      plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera front --camera rear \\
          --pattern 1280x720 --fps 30
      plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera thermal --fps 9 --thermal
      plexwire publish wss://gateway.example pictures/ --source-id robot-01 --fps 1 --reconnect
      plexwire publish ws://127.0.0.1:8700 /dev/video0 --source-id robot-01
      rpicam-vid -t 0 --codec mjpeg -o - | plexwire publish ws://127.0.0.1:8700 - --source-id robot-01
      plexwire publish ws://127.0.0.1:8700 rtsp://192.0.2.7/live --source-id robot-01

    \b
    Exit codes:
      0  the command ended as it should, or you ended it
      1  the gateway refused, or the connection ended badly
      2  no connection, or an input can't be used
    """
    if sum(each is not None for each in (source, pattern, thermal)) > 1:
        raise NotStarted("Give only one of: a picture, a folder or a video; --pattern; --thermal.")
    try:
        pictures = find_source(source, pattern or _PATTERN, thermal, quality)
    except PlexwireError as error:
        raise failed(error) from None
    if isinstance(pictures, str) and len(cameras) > 1:
        raise NotStarted("A video can be published as one camera only: give --camera once.")
    options = PublishOptions(
        url=url,
        api_key=choose_key((DEVICE_KEY, API_KEY), keys_file),
        source_id=source_id,
        cameras=tuple(dict.fromkeys(cameras)),
        source=pictures,
        fps=fps,
        quality=quality,
        reconnect=reconnect,
        frames=frames,
        opener=make_opener(url, proxy=proxy, ca_file=ca_file),
    )
    run_command(partial(publish_pictures, options))
