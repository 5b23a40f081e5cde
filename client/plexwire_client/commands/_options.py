"""What the commands `watch` and `publish` share: the options that say how a gateway is reached and who asks."""

import os
from functools import partial
from pathlib import Path

import click

from plexwire_client.commands._running import failed, trusting
from plexwire_protocol import PlexwireError
from plexwire_trio import (
    GatewayUrl,
    StreamOpener,
    choose_proxy,
    find_key,
    open_stream,
    opener_through,
)

FILE = click.Path(path_type=Path)

keys_file_option = click.option(
    "--keys-file",
    type=FILE,
    metavar="FILE",
    help="File to take the key from, lines of NAME=value as `plexwire serve --write-keys` writes them.",
)
ca_option = click.option(
    "--ca",
    "ca_file",
    type=FILE,
    metavar="FILE",
    help="Certificate authorities (PEM) to trust for wss://, instead of the system's.",
)
proxy_option = click.option(
    "--proxy",
    metavar="URL",
    help="HTTP proxy to go through, by CONNECT; 'none' for none.  [default: as HTTPS_PROXY and NO_PROXY say]",
)
source_id_option = click.option("--source-id", required=True, metavar="ID", help="The source.")
reconnect_option = click.option(
    "--reconnect",
    is_flag=True,
    help="Connect again, with growing pauses, when the connection ends or breaks.",
)


def make_opener(url: str, *, proxy: str | None, ca_file: Path | None) -> StreamOpener | None:
    """Return what opens byte streams to *url* as the options say; None if they say nothing.

    Raises:
        CommandFailed: an option or a variable of the environment can't be used.

    """
    try:
        context = trusting(ca_file)
        parsed = GatewayUrl.parse(url)
        chosen = choose_proxy(proxy, os.environ, parsed.scheme, parsed.host, parsed.port)
    except PlexwireError as error:
        raise failed(error) from None
    if chosen is not None:
        return opener_through(chosen, ssl_context=context)
    return None if context is None else partial(open_stream, ssl_context=context)


def choose_key(names: tuple[str, ...], keys_file: Path | None) -> str:
    """Return the key of the first of *names* that has one; a hint about it goes to standard error.

    Raises:
        CommandFailed: there is none.

    """

    def hint(sentence: str) -> None:
        click.echo(f"Hint: {sentence}", err=True)

    try:
        return find_key(names, os.environ, keys_file, hint=hint)
    except PlexwireError as error:
        raise failed(error) from None
