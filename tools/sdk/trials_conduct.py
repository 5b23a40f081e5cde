"""Trials of what a device says and does beside video."""

import math
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trio

from device import SdkDevice
from judging import PATIENCE_S, Raised, Unlike, expect
from pictures import Pictures
from plexwire_client.pattern import read_counter
from plexwire_protocol import CloseCode
from processes import ending
from stage import Stage, Watch, watching
from trials import NONE, YES, trial

_PLEXWIRE: Final = (sys.executable, "-m", "plexwire_conformance.cli")

_COMMANDS: Final[dict[str, dict[str, Any]]] = {
    "command_result": {"type": "typed_command", "id": "1", "command": "blink", "params": {}},
    "command_status": {
        "type": "command_run",
        "run_id": "1",
        "command": "turn",
        "params": {"degrees": 90},
        "attempt": 1,
        "ttl_ms": 30_000,
    },
}


@asynccontextmanager
async def _undisturbed(stage: Stage, pictures: Pictures) -> AsyncGenerator[None, None]:
    """Afterwards a frame comes through as before, over the connection that there was, and nothing was refused."""
    ends, refused = len(stage.notes.closes()), stage.notes.refused.total()
    yield
    async with stage.watching("after") as watch:
        await stage.device.send("after", pictures.jpeg(60))
        frame = await watch.next()
    expect(frame.jpeg == pictures.jpeg(60).read_bytes(), "a frame after it came altered")
    expect(len(stage.notes.closes()) == ends, "the device had to connect anew")
    expect(stage.notes.refused.total() == refused, f"refused were {dict(stage.notes.refused)}")


@trial("auth")
async def read_auth(stage: Stage, pictures: Pictures) -> str:
    """Members of its `device_auth` beside key and source"""
    members = stage.notes.auth - {"type", "api_key", "source_id"}
    return ", ".join(f"`{member}`" for member in sorted(members))


@trial("telemetry")
async def send_telemetry(stage: Stage, pictures: Pictures) -> str:
    """Its `telemetry` disturbs no video"""
    readings: dict[str, Any] = {"temperature": 21.5, "state": "RUNNING", "pose": {"x": [1, 2]}}
    async with _undisturbed(stage, pictures):
        for metric, value in readings.items():
            await stage.device.do("telemetry", metric=metric, value=value)
        with suppress(Raised):  # newer ones know that JSON has no NaN
            await stage.device.do("telemetry", metric="power", value=math.nan)
        await stage.notes.wait_to_hear("telemetry", times=len(readings))
    return YES


@trial("commands")
async def answer_commands(stage: Stage, pictures: Pictures) -> str:
    """Its answers to commands disturb no video"""
    answers = ["command_result"] + ["command_status"] * _knows_runs(stage)
    async with _undisturbed(stage, pictures):
        for answer in answers:
            stage.gateway.tell_device(_COMMANDS[answer])
            await stage.notes.wait_to_hear(answer, times=2)  # that it has it, and what came of it
        # It ignores what it does not know, as we do.
        stage.gateway.tell_device({"type": "never_heard_of", "id": 1})
    return ", ".join(f"`{answer}`" for answer in answers)


def _knows_runs(stage: Stage) -> bool:
    """Whether the device has commands of the second generation."""
    return "protocol" in stage.notes.auth


@trial("sync")
async def sync_commands(stage: Stage, pictures: Pictures) -> str:
    """What it says of its commands after a reconnect disturbs no video"""
    if not _knows_runs(stage):
        return NONE
    closes = len(stage.notes.closes())
    stage.gateway.drop_device()
    async with stage.watching("sync") as watch:
        await _send_until_seen(stage.device, watch, pictures, 61)
    expect(len(stage.notes.closes()) > closes, "it had not gone")
    async with _undisturbed(stage, pictures):
        await stage.notes.wait_to_hear("command_sync")
    return "`command_sync`"


@trial("heartbeat", slow=True)
async def wait_for_heartbeat(stage: Stage, pictures: Pictures) -> str:
    """Its `heartbeat`, after 30 s, disturbs no video"""
    async with _undisturbed(stage, pictures):
        await stage.notes.wait_to_hear("heartbeat", seconds=30 + PATIENCE_S)
    return YES


@trial("bad-key", apart=True)
async def knock_with_bad_key(stage: Stage, pictures: Pictures) -> str:
    """With a bad key it is refused, closed with 4001, and comes again"""
    source = "robot-02"
    opening = {"url": stage.url, "key_name": "PLEXWIRE_REVOKED_KEY"}
    async with stage.another_device() as device, stage.watching("front", source_id=source) as watch:
        await device.do("open", source_id=source, **opening)
        picture = str(pictures.jpeg(0))
        sent = await device.do("send", source_id=source, camera="front", path=picture)
        expect(sent is False, f"send_video_frame returned {sent}")
        expect(not await watch.until_silent(0.5), "its frame was relayed")
        first, second = await stage.notes.wait_for_auths(source, times=2)
    await stage.notes.wait_for_close(CloseCode.UNAUTHORIZED, source_id=source)
    stage.measured["again after a bad key"] = second - first
    return YES


@trial("restart", apart=True)
async def survive_restart(stage: Stage, pictures: Pictures) -> str:
    """It comes back by itself when the gateway ends by SIGTERM and starts again"""
    keys_file = stage.folder / "keys.toml"
    add = [*_PLEXWIRE, "keys", "add", "--file", str(keys_file)]
    naming = ["--organisation", "bench", "--name", "both"]
    said = stage.folder / "gateway.log"
    with said.open("wb") as log:
        done = await trio.run_process([*add, *naming], capture_stdout=True, stderr=log)
    key = done.stdout.decode().strip()
    async with stage.another_device({"PLEXWIRE_DEVICE_KEY": key}) as device:
        async with _gateway_process(keys_file, 0, said) as url:
            await device.do("open", url=url, key_name="PLEXWIRE_DEVICE_KEY")
            async with watching(url, key, "restart") as watch:
                await _send_until_seen(device, watch, pictures, 70)
        port = int(url.rpartition(":")[2])
        async with _gateway_process(keys_file, port, said) as url:
            started = trio.current_time()
            async with watching(url, key, "restart") as watch:
                await _send_until_seen(device, watch, pictures, 71)
            stage.measured["back after"] = trio.current_time() - started
            await device.do("close")
    return YES


async def _send_until_seen(
    device: SdkDevice, watch: Watch, pictures: Pictures, counter: int
) -> None:
    """Send a picture again and again, as a camera does, until the viewer has it."""
    with trio.move_on_after(PATIENCE_S):
        while True:
            await device.do("send", camera=watch.camera, path=str(pictures.jpeg(counter)))
            if frames := await watch.until_silent(0.2):
                expect(read_counter(frames[-1].jpeg) == counter, "it is another picture")
                return
    raise Unlike(f"no frame came within {PATIENCE_S:g} s")


@asynccontextmanager
async def _gateway_process(keys_file: Path, port: int, said: Path) -> AsyncGenerator[str, None]:
    """Run `plexwire serve` on *port*, yield its URL, and end it by SIGTERM."""
    command = [*_PLEXWIRE, "serve", "--keys", str(keys_file), "--port", str(port)]
    with said.open("ab") as log:
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    async with ending(process), process.stdout:
        with trio.fail_after(PATIENCE_S):
            greeting = (await process.stdout.receive_some()).decode()
        yield next(word for word in greeting.split() if word.startswith("ws://"))
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE_S):
            status = await process.wait()
        expect(status == 0, f"the gateway ended with {status}")


@trial("close")
async def close_device(stage: Stage, pictures: Pictures) -> str:
    """Its `close()` ends with 1000"""
    await stage.device.do("close")
    await stage.notes.wait_for_close(CloseCode.NORMAL)
    return YES
