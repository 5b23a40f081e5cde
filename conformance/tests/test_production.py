"""A watch of production: hours of it in virtual time, and the command over real sockets."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio
import trio.testing
from attrs import evolve, frozen
from prometheus_client import CollectorRegistry, generate_latest

from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.passive.live_judge import LiveJudge
from plexwire_conformance.passive.production import STREAM_S, KeyRefused, Pace, Production
from plexwire_conformance.passive.production_metrics import ProductionMetrics
from plexwire_conformance.recording.recorder import WireRecorder
from plexwire_conformance.run.exception_groups import first_of
from plexwire_conformance.target.reference_gateway import loopback_gateway, memory_gateway
from plexwire_conformance.target.target import Keys, Target
from plexwire_conformance.wire.peer import RawPeer
from plexwire_conformance.wire.roles import RawDevice

SOURCE: Final = "robot-01"


@frozen
class Bench:
    watched: Production
    found: list[str]
    troubles: list[str]


def bench_at(target: Target) -> Bench:
    found: list[str] = []
    troubles: list[str] = []
    judge = LiveJudge(lambda finding, name: found.append(finding.check))
    watched = Production(
        target,
        SOURCE,
        ("front",),
        judge,
        chance=lambda: 0.5,
        unix_s=trio.current_time,
        trouble=troubles.append,
    )
    return Bench(watched, found, troubles)


@asynccontextmanager
async def a_camera(target: Target, every: float) -> AsyncGenerator[None]:
    """Publish a frame of 300 ms ago every so many seconds."""
    stream = await target.devices.dial(False)
    peer = RawPeer(stream, WireRecorder("device", ()), trio.current_time)
    await peer.handshake("/ws/device", "gateway.test")
    device = RawDevice(peer, SOURCE, lambda: int(trio.current_time() * 1000) - 300)

    async def publish() -> None:
        while True:
            await device.publish("front", size=1000)
            await trio.sleep(every)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.run)
        await device.authenticate(target.keys.device_key or target.keys.api_key)
        await device.await_answer(5)
        nursery.start_soon(publish)
        yield
        nursery.cancel_scope.cancel()


async def test_sound_gateway_is_watched_for_an_hour_and_nothing_is_found(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gateway = FaultyGateway()
    async with memory_gateway(gateway, gateway.given) as target, a_camera(target, 2.0):
        bench = bench_at(target)
        with trio.move_on_after(3600):
            await bench.watched.run()
        watched = bench.watched
    assert bench.found == []
    assert bench.troubles == []
    # It asks for streams that end, and comes back at once.
    assert dict(watched.closes) == {"4008": 3600 // STREAM_S - 1} or dict(watched.closes) == {
        "4008": 3600 // STREAM_S
    }
    assert watched.frames == pytest.approx(1800, abs=20)
    assert watched.gaps == 0
    minute = watched.minute(3600)
    assert minute.latency_p50 == pytest.approx(0.3, abs=0.01)
    assert minute.bytes > 1000 * minute.frames
    assert watched.minute(60).frames == 0


async def test_faulty_gateway_is_found_out_once_however_often_it_errs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gateway = FAULTS["init.twice"].build()
    async with memory_gateway(gateway, gateway.given) as target, a_camera(target, 1.0):
        bench = bench_at(target)
        with trio.move_on_after(2000):
            await bench.watched.run()
    assert bench.found == ["PW-INIT-1/second-init"]
    assert bench.watched.judge.findings["PW-INIT-1/second-init"].connections == 4
    registry = CollectorRegistry()
    registry.register(ProductionMetrics(bench.watched))
    text = generate_latest(registry).decode()
    assert 'plexwire_monitor_findings_total{check="PW-INIT-1/second-init",level="MUST"} 4.0' in text
    assert 'plexwire_monitor_ends_total{how="4008"} 3.0' in text
    assert re.search(r'plexwire_monitor_latency_seconds\{quantile="0.5"\} 0\.(3|29999)', text)


async def test_refused_key_ends_the_watch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gateway = FaultyGateway()
    async with memory_gateway(gateway, gateway.given) as target:
        bench = bench_at(evolve(target, keys=Keys(api_key="plx_nobody_has_this_key")))
        with pytest.raises(KeyRefused) as caught:
            await bench.watched.run()
    assert "close 4001" in str(first_of(caught.value))


async def test_gateway_that_is_away_is_asked_ever_more_rarely(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gateway = FaultyGateway()

    async def refuse(narrow: bool) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(111, "Connection refused")

    async with memory_gateway(gateway, gateway.given) as target:
        away = evolve(target, viewers=evolve(target.viewers, dial=refuse))
        bench = bench_at(away)
        with trio.move_on_after(200):
            await bench.watched.run()
    # After 1, 2, 4, … and at most 60 seconds.
    assert bench.watched.connects == 9
    assert bench.troubles[0] == "memory:: no connection: Connection refused"


def test_pace_calls_unusual_what_is_unusual_for_that_camera() -> None:
    pace = Pace()
    at = 0.0
    for step in [0.1] * 20 + [0.9, 0.1, 1.1] + [0.1] * 5:
        at += step
        pace.frame(at)
    # 0.9 s is nine times the usual, and no second; 1.1 s is a gap.
    assert pace.gaps == 1
    assert pace.longest == pytest.approx(1.1)
    slow = Pace()
    for number in range(10):
        slow.frame(10.0 * number)
    assert slow.gaps == 0
    assert not slow.is_gap(40.0)
    assert slow.is_gap(51.0)
    slow.begin_again()
    slow.frame(1000.0)
    assert slow.gaps == 0


# ── the command ──────────────────────────────────────────────────────────────────────────────

COMMAND: Final = (sys.executable, "-m", "plexwire_conformance.cli", "monitor")


async def test_command_tells_a_line_serves_metrics_and_ends_on_sigterm() -> None:
    gateway = FaultyGateway()
    port = 0
    async with loopback_gateway(gateway, gateway.given) as target, a_camera(target, 0.05):
        with trio.fail_after(60):
            listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
            port = listener.socket.getsockname()[1]
            await listener.aclose()
            options = ["--source-id", SOURCE, "--camera", "front", "--every", "1"]
            process = await trio.lowlevel.open_process(
                [*COMMAND, target.viewers.url, *options, "--metrics", f"127.0.0.1:{port}"],
                stdout=subprocess.PIPE,
                env={**os.environ, "PLEXWIRE_API_KEY": target.keys.api_key},
            )
            assert process.stdout is not None
            first = (await process.stdout.receive_some()).decode()
            metrics = await trio.to_thread.run_sync(_get, f"http://127.0.0.1:{port}/metrics")
            process.send_signal(signal.SIGTERM)
            rest = b"".join([chunk async for chunk in process.stdout]).decode()
            assert await process.wait() == 0, first + rest
    assert re.match(r"\d\d:\d\d:\d\dZ · \d+\.\d frames/s · ", first)
    assert "plexwire_monitor_connected 1.0" in metrics
    assert "nothing broken" in rest


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no URL was given"),
        (("http://x",), "write ws:// instead of http://"),
        (("ws://127.0.0.1:1", "--for", "0.5"), "no init came, so there was nothing to judge"),
        (("ws://127.0.0.1:1", "--metrics", "9101"), "write it as HOST:PORT"),
    ],
)
def test_command_that_cannot_judge_says_why(arguments: tuple[str, ...], words: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PLEXWIRE_URL"}
    done = subprocess.run(
        [*COMMAND, "--source-id", SOURCE, "--camera", "front", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environment, "PLEXWIRE_API_KEY": "plx_any"},
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
