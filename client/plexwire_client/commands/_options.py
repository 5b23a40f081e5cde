"""What the commands `watch` and `publish` share: the options that say where a gateway is and who asks."""

import os
from pathlib import Path

import click

from plexwire_client.commands._keys import find_key
from plexwire_client.commands._running import failed
from plexwire_protocol import PlexwireError

FILE = click.Path(path_type=Path)

keys_file_option = click.option(
    "--keys-file",
    type=FILE,
    metavar="FILE",
    help="Take the key from FILE, lines of NAME=value as `plexwire serve --write-keys` writes them.",
)
ca_option = click.option(
    "--ca-file",
    type=FILE,
    metavar="FILE",
    help="For wss://: trust the authorities in FILE (PEM), not the system's.",
)
source_id_option = click.option("--source-id", required=True, metavar="ID", help="The source.")
reconnect_option = click.option(
    "--reconnect",
    is_flag=True,
    help="Connect again, with growing pauses, when the connection ends or breaks.",
)


def read_key(names: tuple[str, ...], keys_file: Path | None) -> str:
    """Return the first of *names* that the keys file or the environment has.

    Raises:
        CommandFailed: there is none.

    """
    try:
        return find_key(names, os.environ, keys_file)
    except PlexwireError as error:
        raise failed(error) from None
