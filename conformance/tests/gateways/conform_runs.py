"""Runs of `plexwire conform`, in this process or in one of its own, and what it said."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import trio
from attrs import frozen
from click.testing import CliRunner

from plexwire_conformance.cli import main

Handler: TypeAlias = Callable[[trio.SocketStream], Awaitable[None]]

COULD_NOT_JUDGE, NOTHING, INTERRUPTED = 2, 3, 130

#: A key that looks like one, and is in nobody's store.
KEY = "plx_0123456789abcdef0123"
ENVIRONMENT = {"PLEXWIRE_API_KEY": KEY}
#: Seconds that no run here takes: twice the longest wait, on a busy machine.
PATIENCE_S = 40.0


@frozen
class Said:
    """What a command said and how it left."""

    exit_code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error, without its first word."""
        assert "Traceback" not in self.out + self.err
        (line,) = self.err.splitlines()
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")


def conform(*arguments: str, environment: Mapping[str, str] = ENVIRONMENT) -> Said:
    """Call the command in this process."""
    without = {name: None for name in os.environ if name.startswith("PLEXWIRE_") or name == "CI"}
    result = CliRunner().invoke(main, ["conform", *arguments], env={**without, **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


PROGRAM = (sys.executable, "-c", "from plexwire_conformance.cli import main; main()")


async def run(*arguments: str, program: tuple[str, ...] = PROGRAM, **environment: str) -> Said:
    """Call the command in a process of its own."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [*program, "conform", *arguments],
            env={**os.environ, **ENVIRONMENT, **environment},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())
