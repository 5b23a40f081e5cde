"""The gateways that a benchmark starts, each a process of its own on a free port."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trustme
from attrs import evolve, field, frozen

from plexwire_bench import process
from plexwire_bench.peers.relaying import API_KEY

ROOM: Final = Path(__file__).parent.parent
FLOOR: Final = "floor"
OURS: Final = "plexwire"
#: Ours, over TLS; and as an edge of another one, which runs on the load generator's CPU.
TLS: Final = "plexwire tls"
EDGE: Final = "plexwire edge"
TARGET: Final = "target"
#: What the fast lane allows, with as little gateway around it as the peers have.
LANE: Final = "fast lane"

#: A peer's module or script, and the packages that it needs.
_PEERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    FLOOR: ("floor", ()),
    "websockets": ("websockets_uvloop", ("websockets", "uvloop")),
    "aiohttp": ("aiohttp_server", ("aiohttp",)),
    "picows": ("picows_server", ("picows",)),
    "node ws": ("node_ws.mjs", ("ws",)),
    LANE: ("trio_fastlane", ("trio_websocket",)),
    "trio-websocket": ("trio_websocket_server", ("trio_websocket",)),
}
NAMES: Final = (OURS, *_PEERS)
#: Measured only if asked for.
MORE_NAMES: Final = (TLS, EDGE)
#: Those that run our gateway.
OURSELVES: Final = (OURS, *MORE_NAMES, TARGET)


class NotThere(Exception):
    """A gateway can't be started; the text says why."""


@frozen
class Gateway:
    """One gateway that listens."""

    name: str
    address: str
    pid: int
    viewer_key: str = field(default=API_KEY, repr=False)
    device_key: str = field(default=API_KEY, repr=False)
    tls: bool = False
    #: Where its devices connect, if not there.
    devices_at: str | None = None


@contextmanager
def start(name: str, cpu: int) -> Iterator[Gateway]:
    """Run the gateway *name* on one CPU.

    Raises:
        NotThere: a package is missing, or it did not begin to listen within 15 s.

    """
    if name == EDGE:
        with (
            _ours(1 - cpu) as upstream,
            _ours(cpu, "--upstream", f"ws://{upstream.address}") as edge,
        ):
            yield evolve(
                edge,
                name=EDGE,
                viewer_key=upstream.viewer_key,
                device_key=upstream.device_key,
                devices_at=upstream.address,
            )
    elif name == TLS:
        with TemporaryDirectory() as folder:
            certificate = Path(folder, "certificate.pem")
            authority = trustme.CA()
            authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
                str(certificate)
            )
            with _ours(cpu, "--tls-cert", str(certificate), "--tls-key", str(certificate)) as ours:
                yield evolve(ours, name=TLS, tls=True)
    elif name == OURS:
        with _ours(cpu) as ours:
            yield ours
    else:
        port = _free_port()
        with _running(name, _peer_command(name, port), port, cpu) as pid:
            yield Gateway(name, f"127.0.0.1:{port}", pid)


@contextmanager
def _ours(cpu: int, *options: str) -> Iterator[Gateway]:
    with TemporaryDirectory() as folder:
        keys, port = Path(folder, "keys.env"), _free_port()
        command = [_plexwire(), "serve", "--port", str(port), *options]
        # A benchmark may have more viewers than one key is for.
        command += ["--max-streams-per-key", "1000"]
        if "--upstream" not in options:
            command += ["--write-keys", str(keys)]
        with _running(OURS, command, port, cpu) as pid:
            lines = keys.read_text().splitlines() if keys.exists() else []
            values = dict(line.partition("=")[::2] for line in lines)
            viewer = values.get("PLEXWIRE_API_KEY", API_KEY)
            device = values.get("PLEXWIRE_DEVICE_KEY", API_KEY)
            yield Gateway(OURS, f"127.0.0.1:{port}", pid, viewer, device)


@contextmanager
def _running(name: str, command: list[str], port: int, cpu: int) -> Iterator[int]:
    environment = {**os.environ, "PYTHONPATH": str(ROOM)}
    with subprocess.Popen(
        command,
        cwd=ROOM,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            _wait_until_it_listens(name, running, port)
            process.pin(running.pid, cpu)
            yield running.pid
        finally:
            running.kill()


@contextmanager
def target(address: str, viewer_key: str, device_key: str, cpu: int) -> Iterator[Gateway]:
    """Use a gateway that runs already; it may use all its CPUs again afterwards.

    Raises:
        NotThere: nothing that this user may see listens there.

    """
    pid = process.listener(int(address.rpartition(":")[2]))
    if pid is None:
        raise NotThere(f"nothing that this user may see listens at {address}")
    before = os.sched_getaffinity(pid)
    process.pin(pid, cpu)
    try:
        yield Gateway(TARGET, address, pid, viewer_key, device_key)
    finally:
        for each in before:
            process.pin(pid, each)
        os.sched_setaffinity(pid, before)


def _plexwire() -> str:
    command = Path(sys.executable).with_name("plexwire")
    if not command.exists():
        raise NotThere("the command `plexwire` is not installed beside this Python")
    return str(command)


def _peer_command(name: str, port: int) -> list[str]:
    module, packages = _PEERS[name]
    if module.endswith(".mjs"):
        node = shutil.which("node")
        if node is None:
            raise NotThere("`node` is not installed")
        if not (ROOM / "node_modules" / packages[0]).exists():
            raise NotThere("run `npm install` in benchmarks/ first")
        return [node, str(Path(__file__).parent / "peers" / module), str(port)]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise NotThere(f"{' and '.join(missing)} missing: pip install 'plexwire[bench]'")
    return [sys.executable, "-m", f"plexwire_bench.peers.{module}", str(port)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(name: str, running: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 15
    while process.listener(port) is None:
        if running.poll() is not None:
            raise NotThere(f"it ended with exit code {running.returncode}")
        if time.monotonic() > until:
            raise NotThere("it does not listen after 15 s")
        time.sleep(0.1)
