"""WebSocket conversations in captured packets, which tshark reads: plain ones, since keys of TLS are in no capture."""

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from attrs import define, field

from plexwire_conformance.passive.heard import Heard
from plexwire_conformance.passive.stored import Saying
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.recording.recorder import Entry

#: What pcap and pcapng files begin with.
MAGICS: Final = (
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x0a\x0d\x0d\x0a",
)
_FIELDS: Final = (
    "tcp.stream",
    "frame.time_epoch",
    "ip.src",
    "ipv6.src",
    "tcp.srcport",
    "tcp.seq",
    "tcp.payload",
)
_REQUEST: Final = b"GET "


def read_capture(path: Path) -> list[Saying]:
    """Return what was said over plain WebSockets in the capture at *path*, in the order of time.

    Raises:
        BadFile: tshark is not installed, can't read it, or found no WebSocket in it.
    """
    tshark = shutil.which("tshark")
    if tshark is None:
        raise BadFile(
            f"{path.name} is a capture of packets, and tshark reads those: apt-get install tshark"
        )
    options = ["-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.relative_sequence_numbers:TRUE"]
    command = [tshark, "-r", str(path), *options, "-Y", "tcp.len > 0", "-T", "fields"]
    command += [word for name in _FIELDS for word in ("-e", name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadFile(f"tshark can't read {path.name}: {done.stderr.strip().splitlines()[-1]}")
    sayings = _sayings(line.split("\t") for line in done.stdout.splitlines())
    if not sayings:
        raise BadFile(
            f"{path.name} holds no plain WebSocket from its beginning. TLS can't be read in a capture: use plexwire tap, "
            "or capture behind what ends TLS"
        )
    return sayings


def _sayings(packets: Iterable[list[str]]) -> list[Saying]:
    streams: dict[str, _Stream] = {}
    sayings: list[Saying] = []
    for stream, at, ip, ipv6, port, sequence, payload in packets:
        talk = streams.setdefault(stream, _Stream(Heard(f"connection {len(streams) + 1}")))
        data = bytes.fromhex(payload.replace(":", ""))
        sayings += talk.take(f"{ip}{ipv6}:{port}", int(sequence), data, float(at))
    return sayings


@define(eq=False)
class _Stream:
    """One TCP connection; whoever speaks first is the client."""

    heard: Heard
    _client: str = ""
    _is_ours: bool = True
    _sides: "dict[str, _Side]" = field(factory=dict[str, "_Side"], init=False)

    def take(self, sender: str, sequence: int, data: bytes, at: float) -> list[Saying]:
        """Take one packet; return what is said by it, and by those that waited for it."""
        if not self._client:
            self._client = sender
            self._is_ours = data.startswith(_REQUEST)
        if not self._is_ours:
            return []
        side = self._sides.setdefault(sender, _Side())
        hear = self.heard.hear_client if sender == self._client else self.heard.hear_gateway
        return [
            Saying(at, self.heard, partial(_entries, hear, part))
            for part in side.in_order(sequence, data)
        ]


def _entries(
    hear: Callable[[bytes, float], Iterator[Entry]], data: bytes, at: float
) -> list[Entry]:
    return list(hear(data, at))


@define(eq=False)
class _Side:
    """The packets of one direction, put in order: a lost one was sent again, and what is missing for good ends it."""

    _next: int | None = field(default=None, init=False)
    _early: dict[int, bytes] = field(factory=dict[int, bytes], init=False)

    def in_order(self, sequence: int, data: bytes) -> list[bytes]:
        """Return what can be told to follow what came before."""
        if self._next is None:
            self._next = sequence
        if sequence > self._next:
            self._early[sequence] = data
            return []
        parts: list[bytes] = []
        known = self._next - sequence
        if known < len(data):
            parts.append(data[known:])
            self._next += len(data) - known
        while (waiting := self._early.pop(self._next, None)) is not None:
            parts.append(waiting)
            self._next += len(waiting)
        return parts
