"""A program under judgement: how it is told where to connect, how it is started, and what is left of it at the end."""

import os
import secrets
import shlex
import signal
import subprocess
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, TypeAlias

import trio
from attrs import define, evolve, field, frozen

from plexwire_conformance.target.streams import NARROW_BUFFER, url_of
from plexwire_conformance.wire.roles import stream_target
from plexwire_spec import Party

#: Takes a connection of the program; it ends when the connection does.
Arrive: TypeAlias = Callable[[trio.abc.Stream], Awaitable[None]]

#: Seconds that a program has to end by itself once it is told to.
_GRACE_S: Final = 1.0
#: Lines of a program's output that are kept.
_KEPT_LINES: Final = 40
_SHOWN_LINE: Final = 160


def throw_away_key() -> str:
    """Return a key for one run, which opens nothing anywhere."""
    return f"plx_{secrets.token_hex(12)}"


@frozen(kw_only=True)
class Invitation:
    """What a program is told: the gateway's base URL, and as whom and for which camera it is to come."""

    api_key: str = field(repr=False)
    source_id: str = "robot-01"
    camera_id: str = "front"
    #: Known once somebody listens.
    url: str = ""

    @property
    def stream_url(self) -> str:
        """The whole address of a viewer's stream."""
        return f"{self.url}{stream_target(self.source_id, (self.camera_id,))}"

    def words(self) -> dict[str, str]:
        """Return what may stand in braces in a command."""
        return {
            "{url}": self.url,
            "{stream_url}": self.stream_url,
            "{key}": self.api_key,
            "{source_id}": self.source_id,
            "{camera_id}": self.camera_id,
        }

    def environment(self) -> dict[str, str]:
        """Return the same as variables, by our names and by those that the device SDK reads."""
        return {
            "PLEXWIRE_URL": self.url,
            "PLEXWIRE_STREAM_URL": self.stream_url,
            "PLEXWIRE_API_KEY": self.api_key,
            "PLEXWIRE_DEVICE_KEY": self.api_key,
            "PLEXWIRE_SOURCE_ID": self.source_id,
            "PLEXWIRE_CAMERA_ID": self.camera_id,
            "PLEXUS_GATEWAY_WS_URL": self.url,
            "PLEXUS_API_KEY": self.api_key,
        }


@define(eq=False)
class Started:
    """A program that was started for one play; `exit_code` once it has `ended`, and the lines that it printed last."""

    invitation: Invitation
    ended: trio.Event = field(factory=trio.Event, init=False)
    exit_code: int | None = field(default=None, init=False)
    _lines: deque[str] = field(factory=lambda: deque[str](maxlen=_KEPT_LINES), init=False)

    def note(self, line: str) -> None:
        """Keep a *line* of its output."""
        if line.strip():
            self._lines.append(line.rstrip()[:_SHOWN_LINE])

    def last_words(self) -> dict[str, object] | None:
        """Return how it ended, as a finding holds it; None while it runs."""
        if not self.ended.is_set():
            return None
        return {"exit": self.exit_code, "last": self._lines[-1] if self._lines else ""}


class Program(ABC):
    """A viewer or a device that can be had for a play, as often as the cases want."""

    role: Party
    #: How people know it.
    called: str
    #: The command that starts it; empty for one that comes by itself.
    command: tuple[str, ...] = ()
    #: How many may run at once.
    at_once: int = 1

    @abstractmethod
    def playing(
        self, invitation: Invitation, arrive: Arrive, *, narrow: bool
    ) -> AbstractAsyncContextManager[Started]:
        """Have it run while the context lasts: each of its connections goes to *arrive*.

        The URL of *invitation* is filled in here.  With *narrow* receive buffers little is under way to a gateway that
        does not read.
        """


@define(eq=False)
class CommandProgram(Program):
    """A program that a command starts, anew for each play, at a port of its own."""

    role: Party
    command: tuple[str, ...]
    at_once: int = 4

    @property
    def called(self) -> str:  # type: ignore[override]
        """The command, as it is typed."""
        return shlex.join(self.command)

    @asynccontextmanager
    async def playing(
        self, invitation: Invitation, arrive: Arrive, *, narrow: bool
    ) -> AsyncGenerator[Started]:
        """Start it while the context lasts.

        Raises:
            OSError: there is no such command.
        """
        listeners = await _listen("127.0.0.1", 0, narrow=narrow)
        invited = evolve(invitation, url=url_of(listeners[0]))
        started = Started(invited)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, arrive, listeners)
            process = await trio.lowlevel.open_process(
                _filled(self.command, invited),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **invited.environment()},
                # It stays open: many programs stop at its end.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            nursery.start_soon(_watch, process, started)
            try:
                yield started
            finally:
                with trio.CancelScope(shield=True):
                    await _end(process)
                nursery.cancel_scope.cancel()


def _filled(command: Sequence[str], invitation: Invitation) -> list[str]:
    words = list(command)
    for placeholder, value in invitation.words().items():
        words = [word.replace(placeholder, value) for word in words]
    return words


async def _listen(host: str, port: int, *, narrow: bool) -> list[trio.SocketListener]:
    listeners = await trio.open_tcp_listeners(port, host=host)
    if narrow:
        for listener in listeners:
            # What is accepted inherits it, before the window is negotiated.
            listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, NARROW_BUFFER)
    return listeners


async def _watch(process: trio.Process, started: Started) -> None:
    """Keep what *process* prints, and say when it has ended."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read_output, process, started)
        started.exit_code = await process.wait()
        # What it started may hold its output open, and says nothing that matters.
        nursery.cancel_scope.deadline = trio.current_time() + _GRACE_S
    started.ended.set()


async def _read_output(process: trio.Process, started: Started) -> None:
    assert process.stdout is not None
    rest = ""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while chunk := await process.stdout.receive_some():
            *lines, rest = (rest + bytes(chunk).decode("utf-8", "replace")).split("\n")
            for line in lines:
                started.note(line)
            rest = rest[-_SHOWN_LINE:]
    started.note(rest)


async def _end(process: trio.Process) -> None:
    """End *process* and all that it started: a request first, and no more patience than that."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with trio.move_on_after(_GRACE_S):
            await process.wait()
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@define(eq=False)
class VisitingProgram(Program):
    """A program that somebody else starts: whatever connects to the one address that is listened at."""

    role: Party
    invitation: Invitation
    _listeners: list[trio.SocketListener]
    #: Called when the next play waits for it.
    _waiting: Callable[[], None] = lambda: None
    _arrive: Arrive | None = field(default=None, init=False)
    _free: trio.Event = field(factory=trio.Event, init=False)

    @property
    def called(self) -> str:  # type: ignore[override]
        """The address that it comes to."""
        return f"whatever connects to {self.invitation.url}"

    async def listen(self) -> None:
        """Accept connections, until cancelled; one that comes between two plays waits for the next."""
        await trio.serve_listeners(self._take, self._listeners)

    async def _take(self, stream: trio.abc.Stream) -> None:
        while (arrive := self._arrive) is None:
            await self._free.wait()
        await arrive(stream)

    @asynccontextmanager
    async def playing(
        self, invitation: Invitation, arrive: Arrive, *, narrow: bool
    ) -> AsyncGenerator[Started]:
        """Take its connections while the context lasts."""
        self._arrive = arrive
        self._free.set()
        self._waiting()
        try:
            yield Started(self.invitation)
        finally:
            self._arrive, self._free = None, trio.Event()


@asynccontextmanager
async def visiting(
    role: Party, host: str, port: int, invitation: Invitation, waiting: Callable[[], None]
) -> AsyncGenerator[VisitingProgram]:
    """Listen at *host* and *port* for a program, while the context lasts.

    Raises:
        OSError: that address can't be listened at.
    """
    listeners = await _listen(host, port, narrow=False)
    invited = evolve(invitation, url=url_of(listeners[0]))
    program = VisitingProgram(role, invited, listeners, waiting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.listen)
        yield program
        nursery.cancel_scope.cancel()
