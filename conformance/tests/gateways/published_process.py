"""The published system as a process, and bare clients of another library for it."""

import contextlib
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from websockets.sync.client import ClientConnection, connect

PROGRAM: Final = Path(__file__).with_name("published_system.py")
HOME, FOREIGN = "plx_independent_home", "plx_independent_foreign"
NO_ACCESS, REVOKED = "plx_independent_no_access", "plx_independent_revoked"
AUTH: Final = json.dumps({"type": "auth", "api_key": HOME})
JPEG: Final = b"\xff\xd8 a picture \xff\xd9"
#: Seconds within which an answer comes, and after which none does.
SOON: Final = 5.0
SILENCE: Final = 0.3


@frozen
class System:
    """A running system."""

    process: "subprocess.Popen[str]"
    api: int
    gateway: int

    def ask(self, command: str) -> dict[str, Any]:
        """Have *command* done, and return the counters after it."""
        if self.process.stdin is None or self.process.stdout is None:
            raise AssertionError("no pipes, though they were asked for")
        self.process.stdin.write(f"{command}\ncounters\n")
        self.process.stdin.flush()
        counters: dict[str, Any] = json.loads(self.process.stdout.readline())
        return counters

    def open(self) -> dict[str, int]:
        """Return how many connections are open, by kind."""
        counted: dict[str, int] = self.ask("")["open"]
        return counted

    def becomes(self, counted: dict[str, int], within: float = SOON) -> bool:
        """Whether so many connections are open before that time has passed."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if self.open() == counted:
                return True
        return False

    def connect(
        self, target: str, port: int | None = None, max_queue: int | None = 16
    ) -> ClientConnection:
        return connect(
            f"ws://127.0.0.1:{port or self.api}{target}",
            compression=None,
            proxy=None,
            max_size=None,
            max_queue=max_queue,
        )

    def address(self, source: str, query: str = "") -> str:
        return f"/v1/sources/{source}/video/stream{query}"

    @contextlib.contextmanager
    def viewer(
        self, source: str, query: str = "?camera_id=front", *, settled: bool = True
    ) -> Iterator[ClientConnection]:
        """A viewer that has its `init`, and whose subscription has been read unless it is not *settled*."""
        with self.connect(self.address(source, query), max_queue=2) as ws:
            ws.send(AUTH)
            assert heard(ws)["type"] == "init"
            if settled:
                self.settle(ws)
            yield ws

    def settle(self, ws: ClientConnection) -> None:
        """Let the time pass in which a subscription is read."""
        with contextlib.suppress(TimeoutError):
            ws.recv(SILENCE)

    @contextlib.contextmanager
    def device(self, source: str, key: str = HOME) -> Iterator[ClientConnection]:
        with self.connect("/ws/device", self.gateway) as ws:
            ws.send(json.dumps({"type": "device_auth", "api_key": key, "source_id": source}))
            assert heard(ws)["type"] == "authenticated"
            yield ws


@contextlib.contextmanager
def running(*options: str) -> Iterator[System]:
    """Run a system."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None:
            raise AssertionError("no standard output, though a pipe was asked for")
        api, gateway = map(int, process.stdout.readline().split())
        try:
            yield System(process, api, gateway)
        finally:
            process.communicate(timeout=SOON)


def heard(ws: ClientConnection, within: float = SOON) -> dict[str, Any]:
    """Return the next message."""
    message: dict[str, Any] = json.loads(ws.recv(within))
    return message


def binary(camera: str, stamp: int = 1, jpeg: bytes = JPEG, version: int = 1) -> bytes:
    named = camera.encode()
    head = bytes((version, 1)) + b"x" + bytes((len(named),)) + named
    return head + struct.pack(">IIq", 640, 480, stamp) + jpeg
