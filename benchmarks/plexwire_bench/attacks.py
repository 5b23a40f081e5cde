"""What strangers cost the viewers that are there: a paced stream, quiet and beside each attack.

    python -m plexwire_bench.attacks --only plexwire

All attacks come from 127.0.0.1 to a gateway that this program starts, without any key, and end after a few seconds.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event
from typing import Any, Final

from attrs import frozen

from plexwire_bench import gateways, process
from plexwire_bench.endpoint import Endpoint
from plexwire_bench.frames import PING, PONG, client_frame
from plexwire_bench.gateways import Gateway, NotThere
from plexwire_bench.load import Run, measure
from plexwire_bench.plans import Plan
from plexwire_bench.viewers import Gone, connect

_BYTES_PER_S: Final = 1_000_000
_TICK_S: Final = 0.02
_FLOODED: Final = 1
_CROWD: Final = 300
_FORK: Final = multiprocessing.get_context("fork")

_EMPTY_FRAGMENT: Final = b"\x00\x80\0\0\0\0"
_TINY_FRAGMENT: Final = b"\x00\x81\0\0\0\0x"
_BEGINNING: Final = b"\x01\x80\0\0\0\0"


@frozen
class Attack:
    """What some connections do, before any auth: `first`, and then `repeated` at 1 MB/s all together."""

    name: str
    first: bytes
    repeated: bytes
    connections: int = _FLOODED


def _text(payload: bytes) -> bytes:
    return client_frame(1, payload)


def _unfinished() -> bytes:
    part = "\U0001f600".encode() * 4000
    frame = bytearray(_text(part))
    frame[0] = 0
    return bytes(frame)


ATTACKS: Final = (
    Attack("empty fragments", _BEGINNING, _EMPTY_FRAGMENT * 3000),
    Attack("tiny fragments", _BEGINNING, _TINY_FRAGMENT * 3000),
    Attack("unsolicited pongs", b"", client_frame(PONG, b"") * 3000),
    Attack("pings", b"", client_frame(PING, b"") * 3000),
    Attack("unfinished texts, 300 connections", _BEGINNING, _unfinished(), _CROWD),
    Attack("JSON of 349 000 lists", b"", _text(b'{"type":"x","a":[' + b"[]," * 349_000 + b"0]}")),
)


def attack(endpoint: Endpoint, what: Attack, stop: Event, counts: Any) -> None:
    """Do *what*, and connect anew when thrown out, until *stop*; `counts` is of connections and bytes."""
    pause = len(what.repeated) / _BYTES_PER_S
    sockets: list[Any] = []
    turn = 0
    while not stop.is_set():
        try:
            while len(sockets) < what.connections:
                sockets.append(connect(endpoint, "/ws/device"))
                counts[0] += 1
                sockets[-1].settimeout(0.2)
                sockets[-1].sendall(what.first)
            turn += 1
            sockets[turn % len(sockets)].sendall(what.repeated)
            counts[1] += len(what.repeated)
        except TimeoutError:
            pass  # not read: go on with the next connection
        except (OSError, Gone):
            if sockets:
                sockets.pop(turn % len(sockets)).close()
            time.sleep(_TICK_S)
        time.sleep(pause if what.connections == 1 else 0.002)
    for each in sockets:
        each.close()


@contextmanager
def beside(endpoint: Endpoint, what: Attack | None) -> Iterator[Any]:
    """Run *what* in a process of its own for the body; yields how many connections it made, and bytes."""
    counts = _FORK.Array("d", 2)
    if what is None:
        yield counts
        return
    stop = _FORK.Event()
    attacker = _FORK.Process(target=attack, args=(endpoint, what, stop, counts), daemon=True)
    attacker.start()
    try:
        time.sleep(0.3)
        yield counts
    finally:
        stop.set()
        attacker.join(5)
        attacker.kill()


def main() -> None:
    """Print a line for each gateway and attack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=gateways.OURS, help="default: plexwire")
    parser.add_argument("--plan", type=Plan.parse, default=Plan.parse("paced:30000:10"))
    parser.add_argument("--seconds", type=float, default=3.0, help="per attack; default: 3")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    head = f"{'':16}{'':36}{'p50_ms':>10}{'p99_ms':>10}{'max_ms':>10}{'grown_mb':>10}{'connections':>13}{'sent_mb':>9}"
    print(head)
    with ExitStack() as stack:
        for name in options.only.split(","):
            try:
                gateway = stack.enter_context(gateways.start(name, cpu=0))
            except NotThere as error:
                print(f"{name} is skipped: {error}")
                continue
            for what in (None, *ATTACKS):
                _report(gateway, what, options)


def _report(gateway: Gateway, what: Attack | None, options: argparse.Namespace) -> None:
    endpoint = Endpoint.parse(gateway.address)
    run = Run(
        endpoint,
        options.plan,
        gateway.viewer_key,
        gateway.device_key,
        options.seconds,
        0.3,
        15.0,
        gateway.pid,
        endpoint,
    )
    before = process.resident_mb(gateway.pid)
    name = "quiet" if what is None else what.name
    with beside(endpoint, what) as counts:
        try:
            result = measure(run)
        except (Gone, OSError) as error:
            print(f"{gateway.name:16}{name:36} no stream: {error}")
            return
        grown = process.resident_mb(gateway.pid, "VmHWM") - before
        connections, sent = counts
    row = [result.get(key, float("nan")) for key in ("p50_ms", "p99_ms", "max_ms")]
    text = "".join(f"{value:>10.1f}" for value in row)
    print(
        f"{gateway.name:16}{name:36}{text}{grown:>10.1f}{connections:>13.0f}{sent / 1e6:>9.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
