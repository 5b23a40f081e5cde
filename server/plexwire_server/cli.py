"""`plexwire serve` and `plexwire keys`."""

import errno
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from plexwire_protocol import __version__
from plexwire_server._banner import base_url, describe
from plexwire_server._gateway import Gateway
from plexwire_server._keyfile import KeyFileError, append_table, write_environment
from plexwire_server._keys import KeyRecord, KeyStore, Scope, digest_of, draw_key
from plexwire_server._limits import Limits
from plexwire_server._report import ConnectionReport, as_json, as_text
from plexwire_server._serve import Address
from plexwire_server._serve import serve as serve_gateway

#: Where the gateway listens unless told otherwise.
DEFAULT_PORT: Final = 8700

_LIMITS: Final = Limits()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="TCP port; 0 takes a free one.",
)
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(path_type=Path),
    help="File of real keys, see `plexwire keys add`.  Without it keys are made up.",
)
@click.option(
    "--write-keys",
    type=click.Path(path_type=Path),
    help="Write the made-up keys to this file too, as NAME=value lines.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option(
    "--max-unauthenticated",
    type=click.IntRange(min=1),
    default=_LIMITS.unauthenticated,
    show_default=True,
    help="Connections without a good auth yet.",
)
@click.option(
    "--max-streams-per-key",
    type=click.IntRange(min=1),
    default=_LIMITS.streams_per_key,
    show_default=True,
    help="Open streams of one key.",
)
@click.option(
    "--max-message-bytes",
    type=click.IntRange(min=1024),
    default=_LIMITS.message_bytes,
    show_default=True,
    help="Largest message; a larger one is closed with 1009.",
)
@click.option(
    "--handshake-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=_LIMITS.head_s,
    show_default=True,
    help="Time for TLS and the HTTP request.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the line that each connection leaves on stderr.",
)
def serve(
    host: str,
    port: int,
    keys_file: Path | None,
    write_keys: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_unauthenticated: int,
    max_streams_per_key: int,
    max_message_bytes: int,
    handshake_seconds: float,
    log_format: str,
) -> None:
    """Run a gateway: viewers and devices on one port, until Ctrl-C or SIGTERM.

    Also there: GET /health and GET /metrics.
    """
    if keys_file is not None and write_keys is not None:
        raise click.UsageError("--write-keys writes made-up keys; it does not go with --keys.")
    ssl_context = _load_tls(tls_cert, tls_key)
    try:
        if keys_file is not None:
            store, made_up = KeyStore.read(keys_file), None
        else:
            store, made_up = KeyStore.throw_away()
        if write_keys is not None and made_up is not None:
            write_environment(write_keys, made_up.as_environment())
    except KeyFileError as error:
        raise click.ClickException(str(error)) from None

    form = as_json if log_format == "json" else as_text

    def log(report: ConnectionReport) -> None:
        if report.worth_a_line:
            print(form(report), file=sys.stderr, flush=True)

    def announce(addresses: list[Address]) -> None:
        url = base_url(*addresses[0], secure=ssl_context is not None)
        if write_keys is not None and made_up is not None:
            # The file is written again: only now is it known where we listen, and a script may wait for that line.
            write_environment(write_keys, {**made_up.as_environment(), "PLEXWIRE_URL": url})
        click.echo(describe(url, made_up, version=__version__))

    limits = Limits(
        unauthenticated=max_unauthenticated,
        streams_per_key=max_streams_per_key,
        message_bytes=max_message_bytes,
        head_s=handshake_seconds,
    )
    gateway = Gateway(store, limits=limits, on_end=log)
    refused = trio.run(_serve_until_told, gateway, host, port, ssl_context, announce)
    if refused is not None:
        raise click.ClickException(_explain(refused, host, port))


async def _serve_until_told(
    gateway: Gateway,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    announce: Callable[[list[Address]], None],
) -> OSError | None:
    """Serve until a signal, then let everybody go; a second signal does not wait for that."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            start = partial(serve_gateway, gateway, host=host, port=port, ssl_context=ssl_context)
            try:
                addresses: list[Address] = await nursery.start(start)
            except OSError as error:
                return error
            announce(addresses)
            await anext(signals)
            nursery.start_soon(_hurry, signals, nursery.cancel_scope)
            await gateway.drain()
            nursery.cancel_scope.cancel()
    return None


async def _hurry(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def _load_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key go together.")
    for path in (cert, key):
        if not path.is_file():
            raise click.ClickException(f"{path}: there is no such file.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise click.ClickException(f"{cert} and {key} are no pair to use: {what}") from None
    return context


def _explain(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"There is no interface named {host}: {error.strerror}."
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is in use; choose another with --port."
        case errno.EADDRNOTAVAIL:
            return f"This machine has no address {host}; choose another with --host."
        case errno.EACCES:
            return f"Port {port} needs more rights; choose one above 1023 with --port."
        case _:
            return f"Can't listen on {host} port {port}: {error.strerror}."


@click.group()
def keys() -> None:
    """Make and list the keys of a keys file."""


_keys_file = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path("keys.toml"),
    show_default=True,
    help="The keys file.",
)


@keys.command("add")
@_keys_file
@click.option("--organisation", required=True, help="Whose key it is.")
@click.option("--name", required=True, help="What to call it; shows in logs.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    default=[scope.value for scope in Scope],
    show_default=True,
    help="What it allows: viewers read, devices write.  Repeat it for both.",
)
@click.option("--no-api-access", is_flag=True, help="The plan has no API access: closed with 4002.")
def add_key(
    path: Path, organisation: str, name: str, scopes: tuple[str, ...], no_api_access: bool
) -> None:
    """Draw a key, print it once, and keep its SHA-256 in the file.

    To revoke a key, set `revoked = true` in its table.
    """
    api_key = draw_key()
    try:
        record = KeyRecord(
            name=name,
            organisation=organisation,
            digest=digest_of(api_key),
            scopes=frozenset(map(Scope, scopes)),
            api_access=not no_api_access,
        )
    except ValueError as error:
        raise click.UsageError(f"The {error}.") from None
    try:
        known = KeyStore.read(path).records if path.exists() else ()
        if any(name == other.name for other in known):
            raise KeyFileError(f"{path}: the name {name!r} is taken")
        append_table(path, record.as_table())
    except KeyFileError as error:
        raise click.ClickException(str(error)) from None
    click.echo(api_key)
    click.echo(f"Added to {path}.  The key is not kept anywhere: copy it now.", err=True)


@keys.command("list")
@_keys_file
def list_keys(path: Path) -> None:
    """List the keys of the file, without the keys."""
    try:
        records = KeyStore.read(path).records
    except KeyFileError as error:
        raise click.ClickException(str(error)) from None
    for record in records:
        words = [record.name, record.organisation, "+".join(sorted(record.scopes)) or "nothing"]
        words += ["no API access"] * (not record.api_access) + ["revoked"] * record.revoked
        click.echo("  ".join(words))
