"""The command `plexwire watch`."""

import re
from functools import partial
from pathlib import Path

import click

from plexwire_client.commands._mjpeg_server import ListenAddress
from plexwire_client.commands._options import (
    ca_option,
    choose_key,
    keys_file_option,
    make_opener,
    proxy_option,
    reconnect_option,
    source_id_option,
)
from plexwire_client.commands._running import run_command
from plexwire_client.commands._watching import TO_STDOUT, WatchOptions, watch_stream
from plexwire_protocol.limits import DEFAULT_CAMERA
from plexwire_trio import API_KEY


def _place(ctx: click.Context, param: click.Parameter, value: str | None) -> ListenAddress | None:
    if value is None:
        return None
    try:
        return ListenAddress.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def _origin(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None or re.fullmatch(r"\*|https?://[a-z0-9.:\[\]-]+", value):
        return value
    raise click.BadParameter(
        "An origin is such as https://dashboard.example, without a path; or *."
    )


@click.command()
@click.argument("url")
@source_id_option
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    default=(DEFAULT_CAMERA,),
    show_default=True,
    metavar="ID",
    help="Camera to watch; repeat it to watch several.",
)
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Seconds after which the gateway ends the stream.  [default: the gateway's own]",
)
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for every picture, as CAMERA-TIMESTAMP-NUMBER.jpg.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Video to record, such as out.mkv, through ffmpeg and without encoding again; several cameras get a file each,"
    " out-CAMERA.mkv.  The file is complete however the command ends.  `-` writes Matroska to standard output, without"
    " ffmpeg, and the table to standard error.",
)
@click.option("--overwrite", is_flag=True, help="Let --record replace files that exist.")
@click.option(
    "--mjpeg",
    callback=_place,
    metavar="[HOST]:PORT",
    help="Serve the cameras over HTTP to browsers and players: a page at /, a stream at /CAMERA.mjpg, the newest"
    " picture at /CAMERA.jpg.  Without HOST only this machine can connect; with HOST anybody can who reaches it.",
)
@click.option(
    "--mjpeg-origin",
    callback=_origin,
    metavar="ORIGIN",
    help="Origin whose pages may read the pictures of --mjpeg, such as https://dashboard.example, or * for all.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after N pictures of all cameras together.",
)
@reconnect_option
@keys_file_option
@ca_option
@proxy_option
def watch(
    url: str,
    source_id: str,
    cameras: tuple[str, ...],
    timeout: int | None,
    save: Path | None,
    record: Path | None,
    overwrite: bool,
    mjpeg: ListenAddress | None,
    mjpeg_origin: str | None,
    frames: int | None,
    reconnect: bool,
    keys_file: Path | None,
    ca_file: Path | None,
    proxy: str | None,
) -> None:
    """Watch cameras of a source at the gateway URL: pictures a second, latency, bytes, what was skipped.

    URL is the gateway's base address.  The key comes from PLEXWIRE_API_KEY or from --keys-file, never from the command
    line.  Latency is this machine's clock minus the device's stamp.  Ctrl-C ends the command properly.

    \b
    Examples:
      export PLEXWIRE_API_KEY=plx_...
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front
      plexwire watch wss://gateway.example --source-id robot-01 \\
          --camera front --camera rear --save pictures --reconnect
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --frames 1 --timeout 10
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front --record front.mkv
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front --record - | ffplay -
      plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front --camera rear \\
          --reconnect --mjpeg :8081

    \b
    With --mjpeg :8081, from another terminal:
      xdg-open http://127.0.0.1:8081/
      vlc http://127.0.0.1:8081/front.mjpg
      curl -o front.jpg http://127.0.0.1:8081/front.jpg

    \b
    Exit codes:
      0  the command ended as it should, or you ended it
      1  the gateway refused, or the stream ended badly or before --frames
      2  no connection, or an input or an output can't be used
    """
    if mjpeg_origin is not None and mjpeg is None:
        raise click.UsageError("--mjpeg-origin needs --mjpeg.")
    options = WatchOptions(
        url=url,
        api_key=choose_key((API_KEY,), keys_file),
        source_id=source_id,
        cameras=cameras,
        timeout=timeout,
        reconnect=reconnect,
        save=save,
        mjpeg=mjpeg,
        mjpeg_origin=mjpeg_origin,
        record=record,
        overwrite=overwrite,
        frames=frames,
        opener=make_opener(url, proxy=proxy, ca_file=ca_file),
    )
    run_command(partial(watch_stream, options), show_on_stderr=record == TO_STDOUT)
