"""One run: devices and viewers against one gateway that listens on this machine; prints one JSON object.

    python -m plexwire_bench.load 127.0.0.1:8700 --plan window:100000:10 --viewer-key plx_… --device-key plx_…

The devices are a process of their own.  Viewers look only at frame headers and let the kernel throw the pictures away
unread, so that one CPU is enough for a hundred of them; `bound_by` tells when it was not.
"""

import argparse
import json
import os
import select
import signal
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

from attrs import define

from plexwire_bench import process
from plexwire_bench.board import Board
from plexwire_bench.devices import FIRST_STAMP, run_devices
from plexwire_bench.endpoint import Endpoint
from plexwire_bench.plans import MAX_SECONDS, PACED, Plan
from plexwire_bench.viewers import Gone, Viewer, join

if TYPE_CHECKING:
    import socket

#: Bytes per second that a viewer reads in mode slow: half of what 15 pictures of 100 kB are as text.
SLOW_BYTES_PER_S: Final = 1_000_000
STALL_S: Final = 4.0


@define
class Run:
    """What one run is asked for."""

    endpoint: Endpoint
    plan: Plan
    viewer_key: str
    device_key: str
    seconds: float
    warm_up_s: float
    fps: float
    pid: int
    #: Where the devices connect.
    device_endpoint: Endpoint


def main() -> None:
    """Run once, as the command line says, and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gateway", help="HOST:PORT")
    parser.add_argument("--tls", action="store_true", help="it speaks TLS")
    parser.add_argument(
        "--devices-at", help="HOST:PORT of the gateway of the devices, if it is another"
    )
    parser.add_argument("--plan", type=Plan.parse, default=Plan.parse("window:100000:10"))
    parser.add_argument("--viewer-key", default="plx_bench")
    parser.add_argument("--device-key", default="plx_bench")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured time; default 1")
    parser.add_argument("--warm-up", type=float, default=0.3, help="seconds before it; default 0.3")
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--cpu", type=int, help="run on this CPU only")
    options = parser.parse_args()
    if options.seconds + options.warm_up > MAX_SECONDS:
        parser.error(f"a run lasts at most {MAX_SECONDS:g} s")
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    endpoint = Endpoint.parse(options.gateway, tls=options.tls)
    pid = process.listener(endpoint.port)
    if pid is None:
        sys.exit(f"No process that this user may see listens on port {endpoint.port}.")
    run = Run(
        endpoint,
        options.plan,
        options.viewer_key,
        options.device_key,
        options.seconds,
        options.warm_up,
        options.fps,
        pid,
        Endpoint.parse(options.devices_at) if options.devices_at else endpoint,
    )
    try:
        print(json.dumps(measure(run)))
    except (Gone, OSError) as error:
        sys.exit(f"{options.gateway}: {error}")


def measure(run: Run) -> dict[str, Any]:
    """Let devices and viewers loose, and return what came of it.

    Raises:
        Gone: the gateway refused or closed a connection.

    """
    board = Board()
    with _devices(run, board):
        return _Audience(run, board).watch()


@contextmanager
def _devices(run: Run, board: Board) -> Iterator[None]:
    child = os.fork()
    if child == 0:
        try:
            run_devices(run.device_endpoint, run.plan, run.device_key, run.fps, board)
        except (Gone, OSError) as error:
            if not board.stop:
                print(f"device: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(0)
    try:
        until = time.monotonic() + 10
        while not board.ready:
            if os.waitpid(child, os.WNOHANG)[0] or time.monotonic() > until:
                raise Gone("the devices were not authenticated")
            time.sleep(0.002)
        yield
    finally:
        board.stop = 1
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


@define
class _Reading:
    """Counters at one moment."""

    at: float
    gateway_cpu: float
    viewers_cpu: float
    devices_cpu: float
    sent: float
    delivered: int


class _Audience:
    """All viewers of a run, in one loop."""

    def __init__(self, run: Run, board: Board) -> None:
        self._run = run
        self._plan = run.plan
        self._board = board
        self._delivered = 0
        self._lost = 0
        self._latencies: list[float] = []
        self._stalled: list[socket.socket] = []
        self._viewers: dict[int, Viewer] = {}
        self._epoll = select.epoll()
        stall = self._plan.mode == "stall"
        timed = self._plan.mode in PACED
        if stall:
            self._stalled = [
                join(run.endpoint, 0, self._plan.cameras, run.viewer_key)
                for _ in range(self._plan.viewers)
            ]
        for device in range(self._plan.devices):
            for _ in range(1 if stall else self._plan.viewers):
                connection = join(run.endpoint, device, self._plan.cameras, run.viewer_key)
                viewer = Viewer(connection, keep_edges=timed)
                self._viewers[viewer.socket.fileno()] = viewer
                self._epoll.register(viewer.socket, select.EPOLLIN)
        self._expected_per_frame = len(self._viewers) // self._plan.devices

    def watch(self) -> dict[str, Any]:
        time.sleep(0.1)
        run, mode = self._run, self._plan.mode
        process.restart_peak(run.pid)
        resident, kernel = process.resident_mb(run.pid), process.tcp_memory_mb()
        begin = time.monotonic()
        if mode == "stall":
            measured_from, until = begin, begin + STALL_S
        else:
            measured_from = begin + run.warm_up_s
            until = measured_from + run.seconds
        self._board.go()
        first: _Reading | None = None
        while self._viewers and (now := time.monotonic()) < until:
            if first is None and now >= measured_from:
                first = self._read_counters()
                self._latencies.clear()
            if mode == "slow":
                time.sleep(0.002)
                allowance = (time.monotonic() - begin) * SLOW_BYTES_PER_S
                ready = [fd for fd, viewer in self._viewers.items() if viewer.received < allowance]
            else:
                ready = [fd for fd, _ in self._epoll.poll(0.02)]
            self._serve(ready, most=16_384 if mode == "slow" else 1 << 20)
        last = self._read_counters()
        if first is None or self._lost == self._expected_per_frame * self._plan.devices:
            raise Gone("the gateway closed every viewer")
        result = self._describe(first, last)
        if mode == "stall":
            grown = process.resident_mb(run.pid, "VmHWM") - resident
            in_kernel = process.tcp_memory_mb() - kernel
            result.update(
                resident_mb=round(resident, 1),
                process_grown_mb=round(grown, 1),
                kernel_grown_mb=round(in_kernel, 1),
                grown_mb=round(grown + in_kernel, 1),
            )
        return result

    def _serve(self, ready: list[int], most: int) -> None:
        per_frame, before = self._expected_per_frame, self._delivered
        todo = deque(ready)
        while todo:
            fd = todo.popleft()
            viewer = self._viewers[fd]
            try:
                whole = viewer.read(most)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except (Gone, ConnectionError):
                self._epoll.unregister(fd)
                del self._viewers[fd]
                self._lost += 1
                continue
            if viewer.pending:
                todo.append(fd)
            if whole > self._plan.jpeg_bytes:  # too long for anything but a picture
                self._delivered += 1
                if viewer.keep_edges:
                    number = viewer.stamp() - FIRST_STAMP
                    self._latencies.append(time.monotonic() - self._board.sent_at(number))
        if self._delivered != before:
            self._board.delivered = self._delivered
            if self._plan.mode == "window" and self._delivered // per_frame != before // per_frame:
                self._board.give_credit()

    def _read_counters(self) -> _Reading:
        board = self._board
        return _Reading(
            time.monotonic(),
            process.cpu_seconds(self._run.pid),
            time.process_time(),
            board.devices_cpu,
            board.sent,
            self._delivered,
        )

    def _describe(self, first: _Reading, last: _Reading) -> dict[str, Any]:
        wall = last.at - first.at
        delivered, sent = last.delivered - first.delivered, last.sent - first.sent
        gateway = (last.gateway_cpu - first.gateway_cpu) / wall
        viewers = (last.viewers_cpu - first.viewers_cpu) / wall
        devices = (last.devices_cpu - first.devices_cpu) / wall
        expected = max(1.0, sent * self._expected_per_frame)
        result = {
            "plan": str(self._plan),
            "seconds": round(wall, 3),
            "sent": int(sent),
            "delivered": delivered,
            "frames_per_s": round(delivered / wall, 1),
            "dropped": round(max(0.0, 1 - delivered / expected), 4),
            "us_per_frame": round(gateway * wall / max(1, delivered) * 1e6, 2),
            "gateway_cpu": round(gateway, 3),
            "viewers_cpu": round(viewers, 3),
            "devices_cpu": round(devices, 3),
            "viewers_lost": self._lost,
            "bound_by": bound_by(gateway, viewers + devices),
        }
        if len(self._latencies) > 1:
            cuts = quantiles(self._latencies, n=100)
            result.update(p50_ms=round(cuts[49] * 1e3, 3), p99_ms=round(cuts[98] * 1e3, 3))
            result.update(max_ms=round(max(self._latencies) * 1e3, 3))
        return result


def bound_by(gateway: float, generator: float) -> str:
    """Name what limited the rate, from the shares of a CPU that gateway and load generator used.

    Neither of them could do more if its CPU was taken by other programs: then both shares are low.
    """
    if gateway >= 0.8 and gateway >= generator:
        return "gateway"
    return "generator" if generator >= 0.8 else "machine"


if __name__ == "__main__":
    main()
