"""The commands `plexwire watch` and `plexwire publish`."""

import os
import re
from functools import partial
from pathlib import Path

import click

from plexwire_client._images import DEFAULT_QUALITY
from plexwire_client._keyring import API_KEY, DEVICE_KEY, find_key
from plexwire_client._mjpeg import Place
from plexwire_client._publish import PublishOptions, find_source, publish_pictures
from plexwire_client._reporter import reporter
from plexwire_client._terminal import NotStarted, failed, run_command, trusting
from plexwire_client._watch import WatchOptions, watch_stream
from plexwire_protocol import PlexwireError
from plexwire_protocol.limits import DEFAULT_CAMERA

_FILE = click.Path(path_type=Path)
_PATTERN = (640, 360)

_keys_file = click.option(
    "--keys-file",
    type=_FILE,
    metavar="FILE",
    help="Take the key from FILE, lines of NAME=value as `plexwire serve --write-keys` writes them.",
)
_ca_file = click.option(
    "--ca-file",
    type=_FILE,
    metavar="FILE",
    help="For wss://: trust the authorities in FILE (PEM), not the system's.",
)
_source_id = click.option("--source-id", required=True, metavar="ID", help="The source.")
_reconnect = click.option(
    "--reconnect",
    is_flag=True,
    help="Connect again, with growing pauses, when the connection ends or breaks.",
)


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})[xX]([0-9]{1,5})", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is no size such as 640x360.")
    return int(match[1]), int(match[2])


def _place(ctx: click.Context, param: click.Parameter, value: str | None) -> Place | None:
    if value is None:
        return None
    try:
        return Place.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


@click.command()
@click.argument("url")
@_source_id
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    default=(DEFAULT_CAMERA,),
    show_default=True,
    metavar="ID",
    help="A camera to watch; repeat it for several.",
)
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Ask the gateway to end the stream after so long.",
)
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Save every picture in DIR, as CAMERA-TIMESTAMP-NUMBER.jpg.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Record in FILE, such as out.mkv, through ffmpeg and without encoding anything again; several cameras in"
    " out-CAMERA.mkv each.  It ends with a whole file, however the command ends.",
)
@click.option("--overwrite", is_flag=True, help="Let --record write over files that are there.")
@click.option(
    "--mjpeg",
    callback=_place,
    metavar="[HOST]:PORT",
    help="Serve the cameras over HTTP to browsers and players: a page at /, a stream at /CAMERA.mjpg, the newest"
    " picture at /CAMERA.jpg.  Without HOST only this machine gets there; with one, anybody does who reaches it.",
)
@click.option(
    "--frames", type=click.IntRange(min=1), metavar="N", help="End after N pictures in all."
)
@_reconnect
@_keys_file
@_ca_file
def watch(
    url: str,
    source_id: str,
    cameras: tuple[str, ...],
    timeout: int | None,
    save: Path | None,
    record: Path | None,
    overwrite: bool,
    mjpeg: Place | None,
    frames: int | None,
    reconnect: bool,
    keys_file: Path | None,
    ca_file: Path | None,
) -> None:
    """Watch cameras of a source at the gateway URL: pictures a second, latency, bytes, what was skipped.

    URL is the gateway's base address.  The key comes from PLEXWIRE_API_KEY or from --keys-file, never from the command
    line.  Latency is this machine's clock less the device's stamp.  Ctrl-C ends it properly.

    \b
    Examples:
      export PLEXWIRE_API_KEY=plx_...
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front
      plexwire watch wss://gateway.example --source-id robot-01 \\
          --camera front --camera rear --save pictures --reconnect
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --frames 1 --timeout 10
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front --record front.mkv
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front --camera rear \\
          --reconnect --mjpeg :8081

    \b
    With --mjpeg :8081, from another terminal:
      xdg-open http://127.0.0.1:8081/
      vlc http://127.0.0.1:8081/front.mjpg
      curl -o front.jpg http://127.0.0.1:8081/front.jpg

    \b
    Exit codes:
      0  it ended as it should, or you ended it
      1  the gateway refused, or the stream ended badly or before --frames
      2  no connection, or something is wrong with the input, or with what is written
    """
    options = WatchOptions(
        url=url,
        api_key=_key((API_KEY,), keys_file),
        source_id=source_id,
        cameras=cameras,
        timeout=timeout,
        reconnect=reconnect,
        save=save,
        mjpeg=mjpeg,
        record=record,
        overwrite=overwrite,
        frames=frames,
        ssl_context=trusting(ca_file),
    )
    with reporter() as to:
        run_command(partial(watch_stream, options, to), to)


@click.command()
@click.argument("url")
@click.argument("source", required=False, metavar="[PICTURE|FOLDER|VIDEO]")
@_source_id
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    default=(DEFAULT_CAMERA,),
    show_default=True,
    metavar="ID",
    help="The camera to be; repeat it for several with the same pictures.",
)
@click.option(
    "--pattern",
    callback=_size,
    metavar="WxH",
    help="The size of the moving test pattern, which is published unless there is something else.  [default: 640x360]",
)
@click.option(
    "--thermal",
    is_flag=False,
    flag_value="64x48",
    callback=_size,
    metavar="[WxH]",
    help="Publish a moving thermal scene instead, as a sensor of WxH pixels sees it; 64x48 unless given.",
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    default=15.0,
    show_default=True,
    help="Pictures a second.",
)
@click.option(
    "--frames", type=click.IntRange(min=1), metavar="N", help="End after N pictures a camera."
)
@click.option(
    "--quality",
    type=click.IntRange(1, 95),
    default=DEFAULT_QUALITY,
    show_default=True,
    help="JPEG quality of what has to be encoded.",
)
@_reconnect
@_keys_file
@_ca_file
def publish(
    url: str,
    source: str | None,
    source_id: str,
    cameras: tuple[str, ...],
    pattern: tuple[int, int] | None,
    thermal: tuple[int, int] | None,
    fps: float,
    frames: int | None,
    quality: int,
    reconnect: bool,
    keys_file: Path | None,
    ca_file: Path | None,
) -> None:
    """Be a device at the gateway URL: publish pictures, a video, a moving test pattern or a thermal scene.

    URL is the gateway's base address.  The key comes from PLEXWIRE_DEVICE_KEY, else PLEXWIRE_API_KEY, or from
    --keys-file, never from the command line.  PICTURE is sent again and again, and so are the pictures in FOLDER, by
    name; VIDEO is a file or a URL that ffmpeg can read.  Ctrl-C ends it properly.

    \b
    Examples:
      export PLEXWIRE_API_KEY=plx_...
      plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera front
      plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera front --camera rear \\
          --pattern 1280x720 --fps 30
      plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera thermal --fps 9 --thermal
      plexwire publish wss://gateway.example pictures/ --source-id robot-01 --fps 1 --reconnect
      plexwire publish ws://127.0.0.1:8700 rtsp://192.0.2.7/live --source-id robot-01

    \b
    Exit codes:
      0  it ended as it should, or you ended it
      1  the gateway refused, or the connection ended badly
      2  no connection, or something is wrong with the input
    """
    if sum(each is not None for each in (source, pattern, thermal)) > 1:
        raise NotStarted(
            "Give a picture, a folder or a video, or --pattern, or --thermal, not both."
        )
    try:
        pictures = find_source(source, pattern or _PATTERN, thermal, quality)
    except PlexwireError as error:
        raise failed(error) from None
    if isinstance(pictures, str) and len(cameras) > 1:
        raise NotStarted("A video is published as one camera: give --camera once.")
    options = PublishOptions(
        url=url,
        api_key=_key((DEVICE_KEY, API_KEY), keys_file),
        source_id=source_id,
        cameras=tuple(dict.fromkeys(cameras)),
        source=pictures,
        fps=fps,
        quality=quality,
        reconnect=reconnect,
        frames=frames,
        ssl_context=trusting(ca_file),
    )
    with reporter() as to:
        run_command(partial(publish_pictures, options, to), to)


def _key(names: tuple[str, ...], keys_file: Path | None) -> str:
    try:
        return find_key(names, os.environ, keys_file)
    except PlexwireError as error:
        raise failed(error) from None
