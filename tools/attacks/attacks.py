"""Attack a gateway on this machine, and measure what an honest viewer notices.

    python tools/attacks/attacks.py                     every attack, on a gateway that is started for it
    python tools/attacks/attacks.py lists slots         these attacks
    python tools/attacks/attacks.py --serve=--no-fast-lane

Beside each attack a device sends 15 pictures of 30 kB a second, and a viewer measures how old they are when they arrive,
in milliseconds.  `grown` is how much the gateway's memory grew at its peak, in MiB.  An attack lasts 3 seconds, has at
most 300 connections, and goes to 127.0.0.1 only.
"""

import argparse
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Final

HOST: Final = "127.0.0.1"
SECONDS: Final = 3.0
CROWD: Final = 300
RATE: Final = 15
JPEG: Final = b"\xff\xd8" + bytes(30_000)

STREAM: Final = "/v1/sources/bystander/video/stream"
DEVICE: Final = "/ws/device"
ATTACKED: Final = "attacked"


class Gone(Exception):
    """The gateway closed the connection."""


# ── a gateway and its peers ──────────────────────────────────────────────────────────────────


class Gateway:
    """A `plexwire serve` of its own, with its keys."""

    def __init__(self, options: list[str]) -> None:
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            keys = Path(folder, "keys.env")
            command = [
                str(Path(sys.executable).with_name("plexwire")),
                *("serve", "--port", str(self.port), "--write-keys", str(keys)),
                *options,
            ]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert self.process.stdout is not None
            self.process.stdout.readline()
            lines = keys.read_text().splitlines()
        known = dict(line.split("=", 1) for line in lines if "=" in line)
        self.api_key = known["PLEXWIRE_API_KEY"].strip("'\"")
        self.device_key = known["PLEXWIRE_DEVICE_KEY"].strip("'\"")

    def memory(self, what: str) -> float:
        """Return `VmRSS` or its peak, `VmHWM`, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)


def connect(gateway: Gateway, target: str) -> socket.socket:
    """Return a WebSocket, its handshake done."""
    ws = socket.create_connection((HOST, gateway.port), timeout=2)
    ws.sendall(
        f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    if not ws.recv(4096).startswith(b"HTTP/1.1 101"):
        raise Gone
    return ws


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Return a client's frame; a mask of zeros leaves the payload as it is."""
    size = len(payload)
    first = opcode | 0x80 * fin
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", first, 0x80 | 126, size) + bytes(4) + payload
    return struct.pack(">BBQ", first, 0x80 | 127, size) + bytes(4) + payload


def text(message: object) -> bytes:
    """Return *message* as the frame of a text message."""
    said = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
    return frame(1, said.encode())


def open_viewer(gateway: Gateway, target: str) -> socket.socket:
    """Return a viewer that has its init."""
    ws = connect(gateway, target)
    ws.sendall(text({"type": "auth", "api_key": gateway.api_key}))
    ws.recv(65_536)
    return ws


def open_device(gateway: Gateway, source_id: str) -> socket.socket:
    """Return a device that was accepted."""
    ws = connect(gateway, DEVICE)
    auth = {"type": "device_auth", "api_key": gateway.device_key, "source_id": source_id}
    ws.sendall(text(auth))
    ws.recv(4096)
    return ws


# ── the bystander ────────────────────────────────────────────────────────────────────────────


class Bystander:
    """A device and a viewer who have nothing to do with the attack; `ages` are those of pictures, in seconds."""

    def __init__(self, gateway: Gateway) -> None:
        self.ages: list[float] = []
        self._stop = Event()
        self._viewer = open_viewer(gateway, STREAM)
        self._viewer.settimeout(20)
        self._device = open_device(gateway, "bystander")
        self._threads = [Thread(target=self._send), Thread(target=self._watch)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        begun = time.monotonic()
        number = 0
        while not self._stop.is_set():
            number += 1
            stamp = time.monotonic_ns() // 1000
            head = b"\x01\x00\x07default" + struct.pack(">IIq", 1, 1, stamp)
            self._device.sendall(frame(2, head + JPEG))
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))

    def _watch(self) -> None:
        unread = b""
        while True:
            try:
                data = self._viewer.recv(1 << 20)
            except OSError:
                return
            if not data:
                return
            unread += data
            for stamp in re.findall(rb'"timestamp":(\d+)\}', unread):
                self.ages.append(time.monotonic() - int(stamp) / 1e6)
            unread = unread[unread.rfind(b'"timestamp":') + 30 :] if b"}" in data else unread

    def leave(self) -> None:
        """Stop, and take in what is still on its way."""
        self._stop.set()
        self._threads[0].join()
        time.sleep(0.3)
        self._viewer.shutdown(socket.SHUT_RDWR)
        self._threads[1].join()
        self._viewer.close()
        self._device.close()


# ── the attacks ──────────────────────────────────────────────────────────────────────────────

Attack = Callable[[Gateway, float], None]


def _again(
    gateway: Gateway,
    until: float,
    first: bytes,
    repeated: bytes,
    open_: Callable[[], socket.socket],
) -> None:
    """Send *repeated* at some MB/s over one connection, and connect again when thrown out."""
    while time.monotonic() < until:
        try:
            with open_() as ws:
                ws.sendall(first)
                while time.monotonic() < until:
                    ws.sendall(repeated)
                    time.sleep(len(repeated) / 2e6)
        except (OSError, Gone):
            time.sleep(0.02)


def fragments(gateway: Gateway, until: float) -> None:
    """F1: empty continuation frames, before any auth."""
    stranger = lambda: connect(gateway, DEVICE)  # noqa: E731
    _again(gateway, until, frame(1, b"", fin=False), frame(0, b"", fin=False) * 3000, stranger)


def fragments_of_a_viewer(gateway: Gateway, until: float) -> None:
    """F1: the same by a viewer that may only read."""
    viewer = lambda: open_viewer(gateway, STREAM)  # noqa: E731
    _again(gateway, until, frame(1, b"", fin=False), frame(0, b"", fin=False) * 3000, viewer)


def pongs(gateway: Gateway, until: float) -> None:
    """F1: pongs that answer nothing, before any auth."""
    _again(gateway, until, b"", frame(10, b"") * 3000, lambda: connect(gateway, DEVICE))


def memory(gateway: Gateway, until: float) -> None:
    """F2: 300 connections, each with the beginning of a message of a MiB, of characters of 4 bytes."""
    part = "\N{GRINNING FACE}".encode() * 17_000
    begin, more = frame(1, part, fin=False), frame(0, part, fin=False) * 14
    with ExitStack() as open_:
        for _ in range(CROWD):
            if time.monotonic() > until:
                return
            try:
                ws = open_.enter_context(connect(gateway, DEVICE))
                ws.sendall(begin + more)
            except (OSError, Gone):
                continue
        time.sleep(max(0.0, until - time.monotonic()))


def lists(gateway: Gateway, until: float) -> None:
    """F3: a first message of 349 000 empty lists."""
    bomb = text('{"type":"x","a":[' + "[]," * 349_000 + "0]}")
    _again(gateway, until, b"", bomb, lambda: connect(gateway, DEVICE))


def lists_of_a_device(gateway: Gateway, until: float) -> None:
    """F3: the same by a device that may write."""
    bomb = text('{"type":"x","a":[' + "[]," * 349_000 + "0]}")
    _again(gateway, until, b"", bomb, lambda: open_device(gateway, ATTACKED))


def slots(gateway: Gateway, until: float) -> None:
    """F4: a viewer of 64 cameras that never reads, and a device with a text frame of a MiB for each, twice."""
    names = [f"c{number}" for number in range(64)]
    cameras = "&".join(f"camera_id={name}" for name in names)
    with (
        open_viewer(gateway, f"/v1/sources/{ATTACKED}/video/stream?{cameras}"),
        open_device(gateway, ATTACKED) as device,
    ):
        device.settimeout(10)
        for name in names * 2:
            if time.monotonic() > until:
                return
            filling = "x" * (1_048_576 - 150)
            device.sendall(
                text(
                    f'{{"type":"video_frame","camera_id":"{name}","frame":"/9j/","width":1,'
                    f'"height":1,"timestamp":1,"x":"{filling}"}}'
                )
            )
        time.sleep(max(0.0, until - time.monotonic()))


ATTACKS: Final[dict[str, Attack]] = {
    "fragments": fragments,
    "fragments-of-a-viewer": fragments_of_a_viewer,
    "pongs": pongs,
    "memory": memory,
    "lists": lists,
    "lists-of-a-device": lists_of_a_device,
    "slots": slots,
}


# ── measuring ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def attacked(attack: Attack | None, gateway: Gateway) -> Iterator[None]:
    """Attack *gateway* in a process of its own for as long as the body lasts, and no longer than 5 s more."""
    if attack is None:
        yield
        return
    pid = os.fork()
    if pid == 0:
        try:
            attack(gateway, time.monotonic() + SECONDS)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def measure(name: str, attack: Attack | None, options: list[str]) -> None:
    """Print one line."""
    gateway = Gateway(options)
    try:
        bystander = Bystander(gateway)
        time.sleep(0.5)
        before = gateway.memory("VmRSS")
        with attacked(attack, gateway):
            time.sleep(SECONDS + 0.2)
            grown = gateway.memory("VmHWM") - before
        bystander.leave()
    finally:
        gateway.stop()
    ages = sorted(age * 1000 for age in bystander.ages)
    if not ages:
        print(f"{name:24} no picture arrived")
        return
    p99 = ages[min(len(ages) - 1, round(len(ages) * 0.99))]
    print(
        f"{name:24}{len(ages):>9}{ages[len(ages) // 2]:>9.1f}{p99:>9.1f}{ages[-1]:>9.1f}{grown:>9.1f}",
        flush=True,
    )


def main() -> None:
    """Print a line for each attack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], metavar="ATTACK")
    parser.add_argument("--serve", action="append", default=[], help="option for `plexwire serve`")
    chosen = parser.parse_args()
    print(f"{'':24}{'pictures':>9}{'p50_ms':>9}{'p99_ms':>9}{'max_ms':>9}{'grown':>9}")
    measure("quiet", None, chosen.serve)
    for name in chosen.attacks or ATTACKS:
        measure(name, ATTACKS[name], chosen.serve)


if __name__ == "__main__":
    main()
