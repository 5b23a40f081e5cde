"""What both commands share: running until stopped, lines for people, and errors as one line with an exit code."""

import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import click
import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from plexwire_client._errors import StreamEnded
from plexwire_protocol import MalformedMessage, PlexwireError, RemoteProtocolError
from plexwire_trio import helper_tasks

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class CommandFailed(click.ClickException):
    """The stream was refused, or ended badly: one line for people, and exit code 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class NotStarted(CommandFailed):
    """No connection, or bad input: one line for people, and exit code 2."""

    exit_code = 2


def run_command(body: Callable[[], Awaitable[None]]) -> None:
    """Run *body* in Trio until it ends or the user stops it, which is no error.

    Raises:
        CommandFailed: *body* raised one of our errors.

    """
    try:
        stopped = trio.run(_until_stopped, body)
    except PlexwireError as error:
        raise failed(error) from None
    if stopped:
        click.echo("Stopped.")


async def _until_stopped(body: Callable[[], Awaitable[None]]) -> bool:
    stopped = False
    with trio.open_signal_receiver(*_STOP_SIGNALS) as signals:
        async with helper_tasks() as nursery:

            async def stop() -> None:
                nonlocal stopped
                await anext(signals)
                stopped = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop)
            await body()
    return stopped


def failed(error: PlexwireError) -> CommandFailed:
    """Return what the command says of *error*, and ends with."""
    match error:
        case MalformedMessage():  # a value of ours: what the gateway sends never raises it
            return NotStarted(str(error))
        case RemoteProtocolError():
            return CommandFailed(f"The gateway broke the protocol: {error}")
        case StreamEnded():
            return CommandFailed(str(error))
        case _:
            return NotStarted(str(error))


def trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    """Return a TLS context that trusts the authorities in *ca_file* and no other; None for the system's.

    Raises:
        NotStarted: it holds none.

    """
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise NotStarted(f"{ca_file} holds no certificate in PEM form.") from None
    except OSError as error:
        raise NotStarted(f"{ca_file} can't be read: {error.strerror}.") from None


def printable(text: str) -> str:
    """Return *text* on one line, without what could steer a terminal: it may come from a stranger."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


class Reporter(AbstractContextManager["Reporter"], Protocol):
    """Where a command's lines go; `interval_s` is how often it likes to be shown rows."""

    interval_s: float

    def say(self, line: str) -> None:
        """Say *line*, which stays."""

    def show(self, rows: Sequence[Sequence[str]]) -> None:
        """Show how things stand: a row a camera, each cell a short text."""


class PlainReporter(Reporter):
    """Plain lines, once a second, for files and pipes."""

    interval_s = 1.0

    def say(self, line: str) -> None:
        """Write *line*."""
        click.echo(printable(line))

    def show(self, rows: Sequence[Sequence[str]]) -> None:
        """Write a line a row."""
        for row in rows:
            click.echo(printable("  ".join(row)).rstrip())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""


class LiveReporter(Reporter):
    """A table that stays in place on a terminal, with what is said scrolling by above it."""

    interval_s = 0.25

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(highlight=False) if console is None else console
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Print *line* above the table."""
        self._console.print(Text(printable(line)))

    def show(self, rows: Sequence[Sequence[str]]) -> None:
        """Draw the table anew."""
        table = Table.grid(padding=(0, 2))
        for index, _ in enumerate(rows[0] if rows else ()):
            if index == 0:
                table.add_column(style="bold cyan", no_wrap=True)
            else:
                table.add_column(justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._live.update(table, refresh=True)


def reporter() -> Reporter:
    """Return the reporter that suits standard output."""
    return LiveReporter() if sys.stdout.isatty() else PlainReporter()


async def show_regularly(to: Reporter, rows: Callable[[], Sequence[Sequence[str]]]) -> None:
    """Show *rows* every `interval_s`, until cancelled."""
    while True:
        await trio.sleep(to.interval_s)
        to.show(rows())
