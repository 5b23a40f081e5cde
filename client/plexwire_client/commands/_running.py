"""What both commands share: running until stopped, and errors as one line with an exit code."""

import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import trio

from plexwire_client._errors import StreamEnded
from plexwire_client.commands._status_display import StatusDisplay, printable
from plexwire_protocol import MalformedMessage, PlexwireError, RemoteProtocolError
from plexwire_trio import helper_tasks


class CommandFailed(click.ClickException):
    """The stream was refused, or ended badly: one line for people, and exit code 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class NotStarted(CommandFailed):
    """No connection, or bad input: one line for people, and exit code 2."""

    exit_code = 2


def run_command(body: Callable[[], Awaitable[None]], to: StatusDisplay) -> None:
    """Run *body* in Trio until it ends or the user stops it, which is no error.

    Raises:
        CommandFailed: *body* raised one of our errors.

    """
    try:
        stopped = trio.run(_until_stopped, body)
    except PlexwireError as error:
        raise failed(error) from None
    if stopped:
        to.say("Stopped.")


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
        raise NotStarted(f"{ca_file} holds no certificate in PEM form.") from None
    except OSError as error:
        raise NotStarted(f"{ca_file} can't be read: {error.strerror}.") from None
