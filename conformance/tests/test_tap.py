"""The tap between real peers and real gateways: what it relays, what it finds, what it writes, and what it outlives."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Final

import pytest
import trio
from attrs import define, field

from plexwire_client import open_device, open_viewer
from plexwire_conformance.cases.profiles import PROFILES
from plexwire_conformance.cases.selection import select
from plexwire_conformance.commands.judge import judge_transcripts
from plexwire_conformance.commands.options import make_settings
from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.passive.live_judge import LiveJudge
from plexwire_conformance.passive.tap import Tap
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.runner import Runner
from plexwire_conformance.target.reference_gateway import loopback_gateway
from plexwire_conformance.target.target import Endpoint, Target
from plexwire_conformance.wire.pictures import picture
from plexwire_spec import Party, clauses

#: A scene that moves: no two pictures in a row are alike.
JPEGS: Final = [picture(f"picture {number}", 120_001) for number in range(60)]


@define
class Bench:
    """A gateway, a tap in front of it, and what the tap says."""

    target: Target
    judge: LiveJudge
    found: list[str] = field(factory=list[str])
    transcripts: list[Transcript] = field(factory=list[Transcript])
    troubles: list[str] = field(factory=list[str])


@asynccontextmanager
async def tapped(target: Target) -> AsyncGenerator[Bench]:
    """Give *target* as it is reached through a tap."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    there = Endpoint.of_url(f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
    found: list[str] = []

    def note(finding: Finding, name: str) -> None:
        found.append(finding.check)

    through = Target(viewers=there, devices=there, keys=target.keys)
    bench = Bench(through, LiveJudge(note), found)
    tap = Tap(
        viewers=target.viewers,
        devices=target.devices,
        judge=bench.judge,
        clock=trio.current_time,
        transcribe=bench.transcripts.append,
        trouble=bench.troubles.append,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tap.run, listeners)
        yield bench
        nursery.cancel_scope.cancel()


async def watch_a_camera(target: Target, frames: int = 5) -> None:
    """Publish a camera and watch it, as ordinary peers do."""
    url = target.viewers.url
    key = target.keys.device_key or target.keys.api_key
    async with open_device(url, api_key=key, source_id="robot-01") as device:
        # So that `init` has something to list.
        await device.send_video_frame(JPEGS[0], "front")
        await trio.sleep(0.1)
        async with (
            open_viewer(
                url, api_key=target.keys.api_key, source_id="robot-01", cameras=["front"]
            ) as viewer,
            trio.open_nursery() as nursery,
        ):

            async def send() -> None:
                for jpeg in cycle(JPEGS[1:]):
                    await device.send_video_frame(jpeg, "front")
                    await device.send_video_frame(jpeg, "rear")
                    await trio.sleep(0.02)

            nursery.start_soon(send)
            for _ in range(frames):
                frame = await anext(aiter(viewer))
                assert frame.jpeg in JPEGS
            nursery.cancel_scope.cancel()


async def test_suite_says_the_same_of_a_gateway_behind_a_tap_which_accuses_it_of_nothing() -> None:
    gateway = FaultyGateway()
    cases = select((), ("scripts.*", "addr.*", "conn.*"), PROFILES["quick"])
    with trio.fail_after(120):
        async with loopback_gateway(gateway, gateway.given) as target, tapped(target) as bench:
            finished = await Runner(bench.target, make_settings()).run(cases, lambda event: None)
    assert Summary.of(finished).exit_code == 0, Summary.of(finished).conclusion
    # The suite is rude, and the tap says so; the gateway is not.
    roles = {clauses()[check.partition("/")[0]].role for check in bench.found}
    assert Party.GATEWAY not in roles
    assert Party.VIEWER in roles
    assert bench.judge.frames > 20


async def test_tap_hears_ordinary_peers_finds_nothing_and_writes_no_key() -> None:
    gateway = FaultyGateway()
    with trio.fail_after(60):
        async with loopback_gateway(gateway, gateway.given) as target, tapped(target) as bench:
            await watch_a_camera(bench.target)
    assert bench.found == []
    assert bench.judge.conversations == 2
    assert bench.judge.frames >= 5
    viewer, device = sorted(
        (each.conversations[0] for each in bench.transcripts), key=lambda c: c.role, reverse=True
    )
    assert (viewer.role, viewer.source_id, viewer.cameras) == ("viewer", "robot-01", ("front",))
    assert (device.role, device.source_id) == ("device", "robot-01")
    for secret in target.keys.secrets:
        assert secret not in repr(bench.transcripts)
    assert all(not result.findings for result in judge_transcripts(bench.transcripts))


@pytest.mark.parametrize(
    "fault_id",
    [
        "init.twice",
        "init.cameras-as-objects",
        "frames.twice",
        "frames.comments-stripped",
        "frames.stamp-in-seconds",
        "frames.own-clock",
        "frames.unpadded-base64",
        "frames.no-camera-id",
        "frames.binary",
        "iso.all-cameras",
    ],
)
async def test_tap_finds_the_fault_of_a_gateway_between_ordinary_peers(fault_id: str) -> None:
    fault = FAULTS[fault_id]
    gateway = fault.build()
    with trio.fail_after(60):
        async with loopback_gateway(gateway, gateway.given) as target, tapped(target) as bench:
            # What a sound viewer makes of it is its own affair.
            with trio.move_on_after(1.5), suppress(Exception):
                await watch_a_camera(bench.target, 30)
    assert fault.clause in {check.partition("/")[0] for check in bench.found}


async def test_gateway_that_is_away_is_answered_with_502_and_told_of() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    gone = Endpoint.of_url(f"ws://127.0.0.1:{port}")
    gateway = FaultyGateway()
    with trio.fail_after(60):
        async with (
            loopback_gateway(gateway, gateway.given) as target,
            tapped(Target(viewers=gone, devices=gone, keys=target.keys)) as bench,
            await bench.target.viewers.dial(False) as stream,
        ):
            await stream.send_all(b"GET /v1/sources/a/video/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await stream.receive_some()
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert bench.troubles == [f"ws://127.0.0.1:{port}: no connection: Connection refused"]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"A" * 200_000])
async def test_tap_outlives_whatever_connects(sent: bytes) -> None:
    gateway = FaultyGateway()
    with trio.fail_after(60):
        async with loopback_gateway(gateway, gateway.given) as target, tapped(target) as bench:
            for _ in range(5):
                stream = await bench.target.viewers.dial(False)
                await stream.send_all(sent)
                await stream.aclose()
            await watch_a_camera(bench.target)
    assert bench.found == []


@pytest.mark.parametrize("way", ["viewer", "gateway"])
async def test_peer_that_is_lost_takes_the_other_along(way: str) -> None:
    gateway = FaultyGateway()
    with trio.fail_after(60):
        async with tapped_loss(gateway) as (bench, stop):
            stream = await bench.target.viewers.dial(False)
            await stream.send_all(b"GET /v1/sources/a/video/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            await trio.sleep(0.3)
            if way == "gateway":
                stop.cancel()
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
                await stream.aclose()
            else:
                await trio.aclose_forcefully(stream)
            await trio.sleep(0.1)
    assert bench.judge.conversations == 1


@asynccontextmanager
async def tapped_loss(gateway: FaultyGateway) -> AsyncGenerator[tuple[Bench, trio.CancelScope]]:
    """Give a bench, and what ends the gateway behind it."""
    ready = trio.Event()
    targets: list[Target] = []
    scope = trio.CancelScope()

    async def serve() -> None:
        with scope:
            async with loopback_gateway(gateway, gateway.given) as target:
                targets.append(target)
                ready.set()
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await ready.wait()
        async with tapped(targets[0]) as bench:
            yield bench, scope
        nursery.cancel_scope.cancel()


# ── the command ──────────────────────────────────────────────────────────────────────────────


def test_command_relays_until_sigterm_and_says_what_it_heard(tmp_path: Path) -> None:
    said = tmp_path / "said.ndjson"
    gateway = FaultyGateway()

    async def play() -> tuple[int, str, str]:
        async with loopback_gateway(gateway, gateway.given) as target:
            command = [sys.executable, "-m", "plexwire_conformance.cli", "tap"]
            options = ["--upstream", target.viewers.url, "--listen", "127.0.0.1:0"]
            process = await trio.lowlevel.open_process(
                [*command, *options, "--transcripts", str(said)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(os.environ),
            )
            assert process.stdout is not None
            assert process.stderr is not None
            first = (await process.stderr.receive_some()).decode()
            url = re.findall(r"ws://[^,]+", first)[0]
            there = Endpoint.of_url(url)
            await watch_a_camera(Target(viewers=there, devices=there, keys=target.keys))
            process.send_signal(signal.SIGTERM)
            out = b"".join([chunk async for chunk in process.stdout])
            return await process.wait(), out.decode(), first

    async def bounded() -> tuple[int, str, str]:
        with trio.fail_after(60):
            return await play()

    code, out, first = trio.run(bounded)
    assert code == 0
    assert "connect to ws://127.0.0.1:" in first
    assert re.search(r"2 conversations, \d+ frames: nothing broken\.", out)
    lines = [json.loads(line) for line in said.read_text("utf-8").splitlines()]
    assert [line["type"] for line in lines] == ["header", "transcript", "transcript", "footer"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--upstream", "http://x"), "write ws:// instead of http://"),
        (("--upstream", "ws://127.0.0.1:1", "--listen", "x"), "write it as HOST:PORT"),
        (
            ("--upstream", "ws://127.0.0.1:1", "--listen", "127.0.0.1:0", "--for", "0.2"),
            "nobody connected",
        ),
    ],
)
def test_command_that_cannot_judge_says_why(options: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "plexwire_conformance.cli", "tap", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
