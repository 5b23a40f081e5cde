"""What every command that talks to a gateway is given: where it is, with which keys, and how to fail."""

import os
import secrets
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn, TypeVar, TypeVarTuple

import click
import trio
from attrs import evolve
from hypothesis.configuration import set_hypothesis_home_dir

from plexwire_conformance.commands.config_file import OWN_FILE, resolve
from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.events import WHOLE, Part
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
from plexwire_trio import BadKeys, clean_key, read_keys_file

NOTHING: Final = 3
#: The exit code of a command that a signal ends, less the signal's number.
INTERRUPTED_BY: Final = 128
INTERRUPTED: Final = INTERRUPTED_BY + signal.SIGINT

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
    click.option("--device-url", metavar="URL", help="Base URL for devices, if it is another."),
    click.option(
        "--source-id",
        metavar="ID",
        help=f"Prefix of the source ids that the run creates.  [default: {SOURCE_ID}]",
    ),
    click.option(
        "--live",
        metavar="SOURCE/CAMERA",
        help="Camera that already runs there, to watch; without PLEXWIRE_DEVICE_KEY the run then publishes nothing.",
    ),
    click.option("--keys-file", type=FILE, help="File with the keys, in lines of NAME=value."),
    click.option("--ca", type=FILE, help="Certificate authority (PEM) to trust for wss://."),
    click.option("--client-cert", type=FILE, help="Certificate (PEM) to show for wss://."),
    click.option(
        "--client-key", type=FILE, help="Key of that certificate, if it is in another file."
    ),
    click.option(
        "--header",
        multiple=True,
        metavar="'NAME: VALUE'",
        help="Header to send with every handshake.",
    ),
    click.option(
        "--proxy",
        metavar="URL",
        help="HTTP proxy to go through, by CONNECT; 'none' for none.  [default: as HTTPS_PROXY and NO_PROXY say]",
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


#: Names the gateway if no URL is given; `plexwire serve --write-keys` writes it.
URL_VARIABLE: Final = "PLEXWIRE_URL"
_LAST_PORT: Final = 65535
_OFF: Final = ("", "0", "false", "no", "off")


def place_of(
    place: str | None,
    keys_file: Path | None,
    environment: Mapping[str, str],
    *,
    is_ci: bool = False,
) -> tuple[str | None, str]:
    """Return *place*, or the URL that *keys_file* or else *environment* has; and where it is from, if it was not given.

    There may be none, and then the reference gateway is judged, but not in CI: there an empty variable would be green.

    Raises:
        BadTarget: *place* is empty, there is none in CI, or *keys_file* can't be read.
    """
    if place is not None:
        if not place.strip():
            raise BadTarget("the URL is empty; is the variable that should hold it unset?")
        return place.strip(), ""
    try:
        held = environment if keys_file is None else read_keys_file(keys_file)
    except BadKeys as error:
        raise BadTarget(str(error)) from None
    if url := clean_key(held.get(URL_VARIABLE, "")):
        return url, URL_VARIABLE if keys_file is None else f"{URL_VARIABLE} in {keys_file}"
    if is_ci or environment.get("CI", "").strip().lower() not in _OFF:
        raise BadTarget(
            f"no URL was given, and in CI the reference gateway is not judged instead: give the gateway's "
            f"URL, or set {URL_VARIABLE} (is a variable of the job empty?)"
        )
    return None, ""


def make_target(place: str | None, description: TargetDescription) -> Target | None:
    """Return the target at *place*, a URL or a name, as *description* describes it; None is the reference gateway itself.

    Raises:
        BadTarget: there is none; the message says what to do.
        BadFile: it has a name, and something is wrong with the file that names are in.
    """
    return resolve(place, description).target(os.environ)


#: Seconds that a case of a thorough run may take beyond its own waits, at least.
_THOROUGH_BUDGET: Final = 120.0


def make_settings(
    *,
    max_connections: int = MAX_CONNECTIONS,
    case_budget: float = 30.0,
    thorough: bool = False,
    part: Part = WHOLE,
) -> Settings:
    """Return the settings of a run that begins now."""
    return Settings(
        nonce=secrets.token_hex(3),
        unix_ms=time.time_ns() // 1_000_000,
        max_connections=max_connections,
        case_budget=max(case_budget, _THOROUGH_BUDGET) if thorough else case_budget,
        thorough=thorough,
        part=part,
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
async def given_or_reference(target: Target | None, fault: str = "") -> AsyncGenerator[Target]:
    """Have *target*, or the reference gateway on a loopback port while the context lasts, with *fault* if one is given.

    Raises:
        CouldNotJudge: the reference gateway is not installed.
    """
    if target is not None:
        yield target
        return
    try:
        from plexwire_conformance.faults import FAULTS
        from plexwire_conformance.target.reference_gateway import (
            loopback_gateway,
            reference_gateway,
        )
    except ModuleNotFoundError as error:
        raise CouldNotJudge(
            f"without a URL the reference gateway is judged, and that needs {error.name}: "
            "pip install 'plexwire[server]'"
        ) from None
    if not fault:
        async with reference_gateway() as reference:
            yield reference
        return
    gateway = FAULTS[fault].build()
    async with loopback_gateway(gateway, gateway.given) as faulty:
        title = FAULTS[fault].title.rstrip(".")
        called = f"the reference gateway with the fault {fault}: {title[0].lower()}{title[1:]}"
        yield evolve(faulty, streams=gateway.streams, called=called, chosen_by=("--fault", fault))


def faulty(context: click.Context, option: click.Parameter, fault: str | None) -> str:
    """Check the id of a fault, as click asks a callback to; return "" for none."""
    if fault is None:
        return ""
    from plexwire_conformance.faults import FAULTS

    if fault not in FAULTS:
        near = get_close_matches(fault, FAULTS, 3, 0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise click.BadParameter(
            f"there is no fault {fault}{hint} `plexwire selftest --list` lists them."
        )
    return fault


def place_to_listen(text: str) -> tuple[str, int]:
    """Return the host and the port in *text*, HOST:PORT.

    Raises:
        BadTarget: it is something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > _LAST_PORT:
        raise BadTarget(f"--listen {text}: write it as HOST:PORT, such as 127.0.0.1:8701")
    return host.strip("[]"), int(port)


def check_place(place: str | None, fault: str) -> None:
    """Check that not both a target and a fault are given.

    Raises:
        BadTarget: they are.
    """
    if fault and place is not None:
        raise BadTarget(f"--fault is a fault of the reference gateway; leave out {place}")
