"""Programs that use the blocking clients, as processes of their own: Ctrl-C, a forgotten close, and the examples."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from plexwire_client.blocking import open_device, open_viewer
from plexwire_protocol import CloseCode
from threaded_gateway import PATIENCE_S, ThreadedGateway, threaded_gateway, until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SOURCE = "robot-01"
JPEG = b"\xff\xd8not much of a picture\xff\xd9"
#: What the programs below begin with, and what each says when it is about to wait.
BEGIN = """
import os, sys, threading
from plexwire_client.blocking import open_device, open_viewer
url, api_key = sys.argv[1], os.environ["PLEXWIRE_API_KEY"]
def ready(): print("ready", flush=True)
def no_thread(): assert "plexwire client" not in [each.name for each in threading.enumerate()]
"""


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with threaded_gateway() as gateway:
        yield gateway


@contextmanager
def program(gateway: ThreadedGateway, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PLEXWIRE_API_KEY": gateway.keys.api_key, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait until *process* is ready, press Ctrl-C, and return what it writes until its end: output and errors."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGINT, errors
    return output, errors


WAITING = """
try:
    with open_viewer(url, api_key=api_key, source_id="robot-01") as viewer:
        ready()
        for frame in viewer:
            pass
finally:
    no_thread()
"""
CONNECTING = """
try:
    ready()
    open_viewer(url, api_key=api_key, source_id="robot-01")
finally:
    no_thread()
"""
STREAMING = """
try:
    with open_device(url, api_key=api_key, source_id="robot-01") as device:
        ready()
        device.stream_camera(sys.argv[2], "front")
finally:
    no_thread()
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child")
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a process")


@posix
def test_ctrl_c_ends_waiting_viewer(gateway: ThreadedGateway) -> None:
    with program(gateway, "-c", BEGIN + WAITING, gateway.url) as process:
        _, errors = interrupted(process)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert "During handling" not in errors
    assert gateway.wait_for_closes(1) == [CloseCode.NORMAL]


@posix
def test_ctrl_c_ends_viewer_that_is_still_connecting(gateway: ThreadedGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with program(gateway, "-c", BEGIN + CONNECTING, url) as process:
            silent.settimeout(PATIENCE_S)
            with silent.accept()[0]:
                _, errors = interrupted(process)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


@posix
@pytest.mark.skipif(which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_ctrl_c_ends_camera_and_its_ffmpeg(gateway: ThreadedGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_camera:
        camera = f"http://127.0.0.1:{silent_camera.getsockname()[1]}/camera.mjpg"
        with program(gateway, "-c", BEGIN + STREAMING, gateway.url, camera) as process:
            silent_camera.settimeout(PATIENCE_S)
            with silent_camera.accept()[0]:
                output, errors = interrupted(process)
    assert output == "no child\n"
    assert "KeyboardInterrupt" in errors
    assert "AssertionError" not in errors


FORGOTTEN = """
viewer = open_viewer(url, api_key=api_key, source_id="robot-01")
device = open_device(url, api_key=api_key, source_id="robot-01")
"""
DROPPED = """
import gc
open_device(url, api_key=api_key, source_id="robot-01")
gc.collect()
while True:
    try: no_thread(); break
    except AssertionError: pass
"""


@pytest.mark.parametrize(("forgetting", "names"), [(FORGOTTEN, 2), (DROPPED, 1)])
def test_process_that_forgets_to_close_is_warned_and_ends(
    gateway: ThreadedGateway, forgetting: str, names: int
) -> None:
    arguments = ("-W", "always::ResourceWarning", "-c", BEGIN + forgetting, gateway.url)
    with program(gateway, *arguments) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert errors.count("ResourceWarning: Blocking") == names
    assert "was not closed: open it in a `with`, or call close()." in errors
    assert gateway.wait_for_closes(names) == [CloseCode.NORMAL] * names


# ── examples ─────────────────────────────────────────────────────────────────────────────────


def test_example_of_a_blocking_device_sends_every_picture(gateway: ThreadedGateway) -> None:
    with open_viewer(
        gateway.url, api_key=gateway.keys.api_key, source_id=SOURCE, cameras=["front"]
    ) as viewer:
        example = str(EXAMPLES / "blocking_device.py")
        with program(gateway, example, gateway.url, SOURCE, "front") as process:
            frame = viewer.next_frame(timeout=PATIENCE_S)
            output, errors = process.communicate(timeout=PATIENCE_S)
    assert (output, errors) == ("50 sent, 0 dropped\n", "")
    assert frame is not None
    assert (frame.width, frame.height) == (640, 480)
    lines = (EXAMPLES / "blocking_device.py").read_text("utf-8").partition("url,")[2]
    assert len(lines.splitlines()) <= 10


@posix
def test_example_of_an_asyncio_viewer_watches_until_ctrl_c(gateway: ThreadedGateway) -> None:
    example = str(EXAMPLES / "asyncio_viewer.py")
    with (
        open_device(gateway.url, api_key=gateway.keys.device_key, source_id=SOURCE) as device,
        program(gateway, example, gateway.url, SOURCE, "front") as process,
    ):
        gateway.wait_for_viewers(1)
        device.send_video_frame(JPEG, "front")
        assert process.stdout is not None
        assert process.stdout.readline() == f"front 0x0 {len(JPEG)} bytes\n"
        # asyncio may sleep through a signal that arrives just before its loop waits, whatever the program does.
        for _ in range(int(PATIENCE_S)):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
                break
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert errors.splitlines()[-1] == "KeyboardInterrupt"


# ── the manual ───────────────────────────────────────────────────────────────────────────────


def manual() -> list[dict[str, Any]]:
    """Run the examples of the section for programs without Trio, and return what they define."""
    text = (ROOT / "docs" / "clients.md").read_text("utf-8").partition("\n## Without Trio\n")[2]
    blocks = re.findall(r"^```python\n(.*?)^```$", text.partition("\n## ")[0], re.M | re.S)
    namespaces: list[dict[str, Any]] = []
    for block in blocks:
        namespaces.append({"__name__": "manual"})
        exec(compile(block, "docs/clients.md", "exec"), namespaces[-1])
    return namespaces


def test_examples_of_the_manual_send_and_watch(
    gateway: ThreadedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    blocking, in_asyncio = manual()
    key = gateway.keys.api_key
    with ThreadPoolExecutor(2) as executor:
        watching = executor.submit(blocking["watch"], gateway.url, key)
        in_task = executor.submit(lambda: asyncio.run(in_asyncio["main"](gateway.url, key)))
        gateway.wait_for_viewers(2)
        blocking["send"](gateway.url, key)
        output = ""

        def all_printed() -> bool:
            nonlocal output
            output += capsys.readouterr().out
            return output.count("\n") == 2

        until(all_printed)
        gateway.stop()
        watching.result(PATIENCE_S)
        in_task.result(PATIENCE_S)
        gateway.start()
    assert "front (480, 640, 3)\n" in output
