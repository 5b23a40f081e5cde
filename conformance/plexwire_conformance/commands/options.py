"""What every command that talks to a gateway is given: where it is, with which keys, and how to fail."""

import os
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn, TypeVar, TypeVarTuple

import click
import trio
from hypothesis.configuration import set_hypothesis_home_dir

from plexwire_conformance.commands.config_file import OWN_FILE, resolve
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.runner import Settings
from plexwire_conformance.target.description import (
    MAX_CONNECTIONS,
    SOURCE_ID,
    TargetDescription,
    check_header,
    check_proxy,
    looks_like_a_key,
)
from plexwire_conformance.target.target import BadTarget, Target

COULD_NOT_JUDGE: Final = 2
NOTHING: Final = 3
INTERRUPTED: Final = 130

FILE: Final = click.Path(dir_okay=False, path_type=Path)

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


def fail(message: str, exit_code: int) -> NoReturn:
    """Say *message* in one line and leave with *exit_code*."""
    click.echo(f"Error: {message}", err=True)
    raise SystemExit(exit_code)


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that say how a target is reached, but for its URL; it gets them as `description`."""

    @wraps(command)
    def bundled(
        *,
        device_url: str | None,
        source_id: str | None,
        live: str | None,
        keys_file: Path | None,
        ca: Path | None,
        client_cert: Path | None,
        client_key: Path | None,
        header: tuple[str, ...],
        proxy: str | None,
        **others: object,
    ) -> None:
        try:
            headers = dict(map(_header, header))
            if proxy is not None:
                check_proxy(proxy)
        except BadTarget as error:
            fail(str(error), COULD_NOT_JUDGE)
        description = TargetDescription(
            device_url=device_url,
            source_id=source_id,
            live=live,
            keys_file=keys_file,
            ca=ca,
            client_cert=client_cert,
            client_key=client_key,
            headers=headers,
            proxy=proxy,
        )
        command(description=description, **others)

    for option in reversed(_TARGET_OPTIONS):
        bundled = option(bundled)
    return bundled


_TARGET_OPTIONS: Final = (
    click.option("--device-url", metavar="URL", help="Where devices connect, if elsewhere."),
    click.option(
        "--source-id",
        metavar="ID",
        help=f"What the ids of all sources begin with that the run makes up.  [default: {SOURCE_ID}]",
    ),
    click.option(
        "--live",
        metavar="SOURCE/CAMERA",
        help="A camera that runs there and may be watched; without PLEXWIRE_DEVICE_KEY nothing is published then.",
    ),
    click.option("--keys-file", type=FILE, help="Take the keys from here, lines NAME=value."),
    click.option("--ca", type=FILE, help="Trust this certificate authority (PEM) for wss://."),
    click.option("--client-cert", type=FILE, help="Show this certificate (PEM) for wss://."),
    click.option("--client-key", type=FILE, help="Its key, if it stands in another file."),
    click.option(
        "--header", multiple=True, metavar="'NAME: VALUE'", help="Send this with every handshake."
    ),
    click.option(
        "--proxy",
        metavar="URL",
        help="Go through this HTTP proxy, by CONNECT; 'none' for none.  [default: as HTTPS_PROXY and NO_PROXY say]",
    ),
)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = (part.strip() for part in text.partition(":"))
    if not colon:
        raise BadTarget("--header goes as 'Name: value'")
    if looks_like_a_key(value):
        raise BadTarget(
            f"--header {name} holds a key, which others see on the command line; put it into {OWN_FILE} as "
            f'headers.{name} = {{ env = "VARIABLE" }}'
        )
    check_header(name, value)
    return name, value


def make_target(place: str | None, description: TargetDescription) -> Target | None:
    """Return the target at *place*, a URL or a name, as *description* describes it; None is the reference gateway itself.

    Raises:
        BadTarget: there is none; the message says what to do.
        BadFile: it has a name, and something is wrong with the file that names are in.
    """
    return resolve(place, description, Path.cwd()).target(os.environ)


def make_settings(*, max_connections: int = MAX_CONNECTIONS, case_budget: float = 30.0) -> Settings:
    """Return the settings of a run that begins now."""
    return Settings(
        nonce=secrets.token_hex(3),
        unix_ms=time.time_ns() // 1_000_000,
        max_connections=max_connections,
        case_budget=case_budget,
    )


def run_trio(function: Callable[[*Ts], Awaitable[R]], *arguments: *Ts) -> R:
    """Do what `trio.run` does, with what ended it early taken out of the groups that nurseries wrap it in.

    Raises:
        CouldNotJudge: there was nothing to judge.
        KeyboardInterrupt: somebody had enough.
        OSError: a report can't be written any more.
    """
    try:
        with _own_hypothesis_home():
            return trio.run(function, *arguments)
    except BaseExceptionGroup as group:
        for kind in (KeyboardInterrupt, CouldNotJudge, OSError):
            found: BaseException | None = group.subgroup(kind)
            while isinstance(found, BaseExceptionGroup):
                found = found.exceptions[0]
            if found is not None:
                raise found from None
        raise


@contextmanager
def _own_hypothesis_home() -> Iterator[None]:
    """Keep Hypothesis from leaving a folder where the user stands."""
    # Interrupted, a thread of it may still write there.
    with TemporaryDirectory(prefix="plexwire-", ignore_cleanup_errors=True) as home:
        set_hypothesis_home_dir(home)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


@asynccontextmanager
async def given_or_reference(target: Target | None) -> AsyncGenerator[Target]:
    """Have *target*, or the reference gateway on a loopback port while the context lasts.

    Raises:
        CouldNotJudge: the reference gateway is not installed.
    """
    if target is not None:
        yield target
        return
    try:
        from plexwire_conformance.target.reference_gateway import reference_gateway
    except ModuleNotFoundError as error:
        raise CouldNotJudge(
            f"without a URL the reference gateway is judged, and that needs {error.name}: "
            "pip install 'plexwire[server]'"
        ) from None
    async with reference_gateway() as reference:
        yield reference
