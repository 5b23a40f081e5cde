"""A device on the real SDK, in a process of its own."""

import json
import os
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from judging import PATIENCE_S, SOURCE, Raised, Unlike, expect
from processes import ending

_DRIVER: Final = Path(__file__).with_name("driver.py")


class SdkDevice:
    """A process with the SDK in it, that does one thing after another."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._answers = b""
        self._orders = 0

    async def do(self, what: str, **arguments: Any) -> Any:
        """Have it done, and return what the SDK returned.

        Raises:
            Raised: the SDK raised.
            Unlike: the process ended, or did not answer in time.

        """
        self._orders += 1
        order = {"number": self._orders, "do": what, "source_id": SOURCE, **arguments}
        assert self._process.stdin is not None
        with trio.move_on_after(PATIENCE_S):
            await self._process.stdin.send_all(json.dumps(order).encode() + b"\n")
            answer = await self._answer_to(self._orders)
            if "raised" in answer:
                raise Raised(answer["raised"], answer["said"])
            return answer["returned"]
        raise Unlike(f"the SDK did not come back from {what}")

    async def send(self, camera: str, path: Path, **arguments: Any) -> None:
        """Have a picture sent, once the SDK takes it: its queue holds two, and more it refuses."""
        with trio.move_on_after(PATIENCE_S):
            while True:
                if await self.do("send", camera=camera, path=str(path), **arguments):
                    return
                await trio.sleep(0.01)
        raise Unlike(f"send_video_frame returned False for {PATIENCE_S:g} s")

    def said(self) -> bytes:
        """Return what it wrote to standard error."""
        return self._log.read_bytes()

    def has_ffmpeg(self) -> bool:
        """Whether an ffmpeg runs that the SDK started."""
        return bool(children_of(self._process.pid, "ffmpeg"))

    async def wait_without_ffmpeg(self) -> None:
        """Wait until there is none."""
        with trio.move_on_after(PATIENCE_S):
            while True:
                if not self.has_ffmpeg():
                    return
                await trio.sleep(0.02)
        raise Unlike("an ffmpeg was left behind")

    async def _answer_to(self, number: int) -> dict[str, Any]:
        while True:
            answer: dict[str, Any] = json.loads(await self._next_line())
            if answer["number"] == number:  # others are to orders that nobody waited for
                return answer

    async def _next_line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._answers:
            more = await self._process.stdout.receive_some()
            expect(more, "the device's process ended")
            self._answers += more
        line, _, self._answers = self._answers.partition(b"\n")
        return line


def children_of(process_id: int, name: str) -> list[int]:
    """Return the running children of a process that bear *name*, as /proc tells."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = status.read_text().rpartition(")")
        except OSError:
            continue  # it ended meanwhile
        number, _, comm = head.partition(" (")
        if comm == name and int(rest.split()[1]) == process_id:
            found.append(int(number))
    return found


@asynccontextmanager
async def open_driver(
    python: Path, folder: Path, keys: Mapping[str, str], log: Path
) -> AsyncGenerator[SdkDevice, None]:
    """Run a device under *python* with a home in *folder*; its standard error goes to *log*."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    # Where the SDK would turn to over HTTP, nothing listens: no trial leaves this machine.
    nowhere = "http://127.0.0.1:9"
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        **keys,
        "HOME": str(home),
        "PLEXUS_ENDPOINT": nowhere,
        "PLEXUS_GATEWAY_URL": nowhere,
    }
    with log.open("ab") as said:
        process = await trio.lowlevel.open_process(
            [str(python), str(_DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=env,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    async with ending(process), process.stdin, process.stdout:
        yield SdkDevice(process, log)
