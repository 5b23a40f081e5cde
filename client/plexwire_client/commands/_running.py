"""What both commands share: running until stopped, and errors as one line with an exit code."""

import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import EPIPE
from functools import partial
from pathlib import Path
from typing import IO, Any

import click
import trio

from plexwire_client._errors import StreamEnded
from plexwire_client.commands._status_display import (
    OutputFailed,
    StatusDisplay,
    printable,
    status_display,
)
from plexwire_protocol import MalformedMessage, PlexwireError, RemoteProtocolError
from plexwire_trio import helper_tasks


class CommandFailed(click.ClickException):
    """The stream was refused, or ended badly: one line for people, and exit code 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line to standard error; if nobody can read it there, the exit code still counts."""
        with suppress(OSError):
            super().show(file)


class NotStarted(CommandFailed):
    """No connection, or bad input: one line for people, and exit code 2."""

    exit_code = 2


def run_command(
    body: Callable[[StatusDisplay], Awaitable[None]], *, show_on_stderr: bool = False
) -> None:
    """Run *body* in Trio with the display that suits, until it ends or the user stops it, which is not an error.

    Raises:
        CommandFailed: *body* raised one of our errors, or standard output can't be written to.

    """
    try:
        with status_display(err=show_on_stderr) as to:
            if trio.run(_until_stopped, partial(body, to)):
                to.say("Stopped.")
    except PlexwireError as error:
        raise failed(error) from None
    except ExceptionGroup as group:
        # The task that shows the table and the body at its end write to the same standard output.
        if group.subgroup(BrokenPipeError) is not None:
            raise BrokenPipeError(EPIPE, "the reader of standard output has gone") from None
        lost: Exception | None = group.subgroup(OutputFailed)
        while isinstance(lost, ExceptionGroup):
            lost = lost.exceptions[0]
        if not isinstance(lost, OutputFailed):
            raise
        raise failed(lost) from None


def stop_signals() -> list[signal.Signals]:
    """Return the signals that end a command: also the closing of its terminal, unless it is told to outlive that."""
    stops = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stops.append(signal.SIGHUP)  # or an ffmpeg, which has a session of its own, would stay
    return stops


async def _until_stopped(body: Callable[[], Awaitable[None]]) -> bool:
    stopped = False
    with trio.open_signal_receiver(*stop_signals()) as signals:
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
        raise NotStarted(f"{ca_file} contains no certificate in PEM form.") from None
    except OSError as error:
        raise NotStarted(f"{ca_file} can't be read: {error.strerror}.") from None
