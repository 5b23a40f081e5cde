"""`plexwire serve` and `plexwire keys`."""

import logging
import ssl
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from plexwire_protocol import __version__
from plexwire_server._connection_report import ConnectionReport, as_event
from plexwire_server._gateway import Gateway, open_gateway
from plexwire_server._limits import Limits
from plexwire_server._log import LogEvent, LogFormat, LogFormatter, write_line
from plexwire_server._startup_message import base_url, describe, describe_edge
from plexwire_server._tcp import Address
from plexwire_server._tls import TlsError, client_context, server_context
from plexwire_server._until_signal import explain, serve_until_told
from plexwire_server.edge._edge_gateway import open_edge
from plexwire_server.edge._upstream import DELAY_S, MAX_ATTEMPTS, Upstream
from plexwire_server.keys._key_decision import Scope
from plexwire_server.keys._key_file import KeyFileError, append_table, write_environment
from plexwire_server.keys._key_store import KeyRecord, KeyStore, ThrowAwayKeys, digest_of, draw_key
from plexwire_trio import BadUrl, GatewayUrl

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
@click.option(
    "--upstream",
    metavar="URL",
    help="Be an edge: relay this other gateway, which judges the keys.",
)
@click.option(
    "--upstream-ca",
    type=click.Path(path_type=Path),
    help="Who signed the certificate of a wss:// upstream, PEM.  Without it, whom the system trusts.",
)
@click.option(
    "--upstream-attempts",
    type=click.IntRange(min=1),
    default=MAX_ATTEMPTS,
    show_default=True,
    help="How often an edge tries to get a lost upstream back before it closes viewers with 1011.",
)
@click.option(
    "--upstream-delay",
    type=click.FloatRange(min=0.1, max=3600),
    default=DELAY_S,
    show_default=True,
    help="Seconds before each of these attempts.",
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
    "--fast-lane/--no-fast-lane",
    default=True,
    show_default=True,
    help="Write pictures beneath the WebSocket library, for a fraction of the CPU time.",
)
@click.option(
    "--log-format",
    type=click.Choice([form.value for form in LogFormat]),
    default=LogFormat.TEXT.value,
    show_default=True,
    help="Form of the log on stderr: a line a connection, and what else happens.",
)
def serve(
    host: str,
    port: int,
    keys_file: Path | None,
    write_keys: Path | None,
    upstream: str | None,
    upstream_ca: Path | None,
    upstream_attempts: int,
    upstream_delay: float,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_unauthenticated: int,
    max_streams_per_key: int,
    max_message_bytes: int,
    handshake_seconds: float,
    fast_lane: bool,
    log_format: str,
) -> None:
    """Run a gateway: viewers and devices on one port, until Ctrl-C or SIGTERM.

    With --upstream it is an edge: viewers connect here and devices there, and viewers stay while that gateway restarts.

    Also there: a page that shows the pictures in a browser (GET /), GET /health and GET /metrics.
    """
    if keys_file is not None and write_keys is not None:
        raise click.UsageError("--write-keys writes made-up keys; it does not go with --keys.")
    if upstream is not None and (keys_file is not None or write_keys is not None):
        raise click.UsageError(
            "The upstream judges keys; --keys and --write-keys are for it alone."
        )
    if upstream_ca is not None and upstream is None:
        raise click.UsageError("--upstream-ca goes with --upstream.")
    log = partial(write_line, form=LogFormat(log_format))
    _log_like(LogFormat(log_format))

    def log_end(report: ConnectionReport) -> None:
        if report.worth_a_line:
            log(as_event(report))

    limits = Limits(
        unauthenticated=max_unauthenticated,
        streams_per_key=max_streams_per_key,
        message_bytes=max_message_bytes,
        head_s=handshake_seconds,
    )
    made_up: ThrowAwayKeys | None = None
    edge_of: Upstream | None = None
    opening: AbstractAsyncContextManager[Gateway]
    try:
        ssl_context = _load_tls(tls_cert, tls_key)
        if upstream is not None:
            edge_of = Upstream(
                url=_other_gateway(upstream, host, port, authority=upstream_ca),
                max_attempts=upstream_attempts,
                delay_s=upstream_delay,
                ssl_context=None if upstream_ca is None else client_context(upstream_ca),
            )
            opening = open_edge(
                edge_of, limits=limits, on_end=log_end, on_event=log, fast_lane=fast_lane
            )
        else:
            store, made_up = _load_keys(keys_file)
            if write_keys is not None and made_up is not None:
                write_environment(write_keys, made_up.as_environment())
            opening = open_gateway(store, limits=limits, on_end=log_end, fast_lane=fast_lane)
    except (BadUrl, KeyFileError, TlsError) as error:
        raise click.ClickException(str(error)) from None

    def announce(addresses: list[Address]) -> None:
        url = base_url(*addresses[0], secure=ssl_context is not None)
        if write_keys is not None and made_up is not None:
            # The file is written again: only now is it known where we listen, and a script may wait for that line.
            write_environment(write_keys, {**made_up.as_environment(), "PLEXWIRE_URL": url})
        started = {"url": url, "version": __version__}
        if edge_of is None:
            _greet(describe(url, made_up, version=__version__))
        else:
            started["upstream"] = str(edge_of.url)
            _greet(describe_edge(url, str(edge_of.url), version=__version__))
        log(LogEvent("started", started))

    refused = trio.run(serve_until_told, opening, host, port, ssl_context, announce, log)
    if refused is not None:
        raise click.ClickException(explain(refused, host, port))


def _greet(text: str) -> None:
    """Print *text*; that nobody reads it keeps nobody from serving."""
    with suppress(OSError):
        click.echo(text)


def _log_like(form: LogFormat) -> None:
    """Let the libraries' warnings, and crashes, go where the other lines go, and look like them."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(form))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _load_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key go together.")
    return server_context(cert, key)


def _load_keys(keys_file: Path | None) -> tuple[KeyStore, ThrowAwayKeys | None]:
    return KeyStore.throw_away() if keys_file is None else (KeyStore.read(keys_file), None)


def _other_gateway(text: str, host: str, port: int, *, authority: Path | None) -> GatewayUrl:
    url = GatewayUrl.parse(text)
    if authority is not None and not url.secure:
        raise click.UsageError("--upstream-ca goes with a wss:// upstream.")
    if url.port == port and url.host in _reached_at(host):
        raise click.UsageError("An edge can't be its own upstream; choose another --port.")
    return url


def _reached_at(host: str) -> tuple[str, ...]:
    match host:
        case "0.0.0.0" | "::" | "localhost":
            return host, "localhost", "127.0.0.1", "::1"
        case "127.0.0.1" | "::1":
            return host, "localhost"
        case _:
            return (host,)


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
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
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
