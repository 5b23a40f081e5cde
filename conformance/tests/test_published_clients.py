"""Our own clients, the edge and its page with the published system in `gateways/`, over real sockets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from page_harness import PATIENCE_MS, Visitor, draw
from published_process import HOME, System, binary, heard, running
from websockets.sync.client import connect

pytest_plugins = ("chromium", "page_harness", "pytester")

#: Seconds that nothing here takes.
PATIENCE_S: Final = 10.0
OBJECTS: Final = (
    "The gateway deviates from PW-INIT-4: online_sources[0].cameras[0] is an object, not a string."
)
NULL: Final = "The gateway deviates from PW-INIT-4: online_sources is null, not a list."
SECOND: Final = "The gateway deviates from PW-INIT-1: A message is an init after the first."
ANONYMOUS: Final = "The gateway deviates from PW-FRAME-1: source_id is missing."


@pytest.fixture
def system() -> Iterator[System]:
    with running() as one:
        yield one


class Program:
    """A command of ours that runs; `lines` is what was read of its output."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

    def says(self, words: str) -> str:
        """Read until a line has *words*, and return it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return self.lines[-1]
        raise AssertionError("\n".join(self.lines))

    def ends(self) -> list[str]:
        """Wait for its proper end, and return all that it said."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        assert self.process.wait() == 0, "\n".join(self.lines)
        return self.lines

    def stop(self) -> list[str]:
        self.process.send_signal(signal.SIGINT)
        return self.ends()


@contextmanager
def program(*command: str) -> Iterator[Program]:
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PLEXWIRE_API_KEY": HOME, "PYTHONUNBUFFERED": "1"},
    ) as process:
        # What hangs is ended, and says what it said.
        watchdog = threading.Timer(3 * PATIENCE_S, process.kill)
        watchdog.start()
        try:
            yield Program(process)
        finally:
            watchdog.cancel()
            process.kill()


def client(name: str, port: int, *options: str) -> Any:
    code = f"from plexwire_client.commands.{name} import {name}; {name}()"
    return program("-c", code, f"ws://127.0.0.1:{port}", *options)


def publishing(system: System) -> Any:
    """Publish a test pattern as the cameras front and rear of the source one."""
    cameras = ("--camera", "front", "--camera", "rear")
    return client("publish", system.gateway, "--source-id", "one", *cameras, "--fps", "20")


def wait_until_online(system: System, *cameras: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with system.connect(system.address("one", "?timeout=1")) as ws:
            ws.send(json.dumps({"type": "auth", "api_key": HOME}))
            sources = heard(ws)["online_sources"] or [{"cameras": None}]
        if {camera["camera_id"] for camera in sources[0]["cameras"] or ()} >= {*cameras}:
            return
    raise AssertionError(f"{cameras} did not come online")


# ── the commands ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None and "CI" not in os.environ, reason="ffmpeg is not installed"
)
def test_watch_shows_saves_and_records_and_reports_each_deviation_once(
    system: System, tmp_path: Path
) -> None:
    options = ("--source-id", "one", "--camera", "front", "--camera", "rear", "--timeout", "60")
    writing = ("--save", str(tmp_path / "saved"), "--record", str(tmp_path / "out.mkv"))
    with publishing(system) as device:
        device.says("Connected to")
        wait_until_online(system, "front", "rear")
        with client("watch", system.api, *options, *writing, "--frames", "120") as watching:
            watching.says("Connected to")
            for _ in range(2):
                watching.says("fps")
                system.ask("lose-upstreams")
                watching.says("The upstream is back.")
            lines = watching.ends()
        assert device.stop()[-1] == "Stopped."
    assert lines[0].endswith("Online cameras of one: front, rear.")
    assert [lines.count(sentence) for sentence in (OBJECTS, SECOND, ANONYMOUS)] == [1, 1, 0]
    assert sum("deviates" in line for line in lines) == 2
    saved = sorted((tmp_path / "saved").iterdir())
    assert len(saved) == 120
    assert {path.name.partition("-")[0] for path in saved} == {"front", "rear"}
    recorded = sorted(tmp_path.glob("out*.mkv"))
    assert len(recorded) == 2
    for path in recorded:
        counting = ("-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0")
        counted = subprocess.run(
            ["ffprobe", "-v", "error", *counting, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(counted.stdout) >= 10


def test_watch_shows_frames_that_carry_no_source(system: System) -> None:
    options = ("--source-id", "two", "--timeout", "60", "--camera", "front", "--frames", "2")
    message = {
        "type": "video_frame",
        "camera_id": "front",
        "frame": "/9j/2Q==",
        "width": 2,
        "height": 1,
        "timestamp": 0,
    }
    with client("watch", system.api, *options) as watching:
        watching.says("Connected to")
        with system.device("two") as device:
            while watching.process.poll() is None:
                device.send(json.dumps(message))
                time.sleep(0.05)
        lines = watching.ends()
    assert [lines.count(sentence) for sentence in (NULL, ANONYMOUS)] == [1, 1]


def test_watch_serves_pictures_to_browsers(system: System) -> None:
    options = ("--source-id", "one", "--timeout", "60", "--camera", "front", "--mjpeg", ":0")
    with publishing(system) as device:
        device.says("Connected to")
        with client("watch", system.api, *options) as watching:
            url = watching.says("Pictures for browsers").split()[-1]
            watching.says("fps")
            system.ask("lose-upstreams")
            watching.says("The upstream is back.")
            with urllib.request.urlopen(f"{url}front.mjpg", timeout=PATIENCE_S) as stream:
                assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace")
                assert b"\xff\xd8" in stream.read(4096)
            with urllib.request.urlopen(f"{url}front.jpg", timeout=PATIENCE_S) as picture:
                assert picture.read(2) == b"\xff\xd8"
            assert watching.stop()[-1] == "Stopped."
        device.stop()


# ── the edge ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def edge_of(system: System) -> Iterator[tuple[Program, str]]:
    upstream = ("--upstream", f"ws://127.0.0.1:{system.api}")
    with program("-m", "plexwire_server", "serve", "--port", "0", *upstream) as edge:
        line = edge.says(" serves at ")
        edge.says("plexwire conform")
        yield edge, line.split(" serves at ")[1].split()[0].rstrip(",.")


def test_viewers_of_an_edge_get_what_the_pages_promise(system: System) -> None:
    nameless = {"type": "video_frame", "camera_id": "front", "frame": "/9j/2Q=="}
    sized = {**nameless, "width": 2, "height": 1, "timestamp": 5, "extra": [1]}
    with system.device("one") as device, edge_of(system) as (edge, url):
        device.send(binary("front"))
        with connect(url + system.address("one", "?camera_id=front"), proxy=None) as ws:
            ws.send(json.dumps({"type": "auth", "api_key": HOME}))
            assert heard(ws) == {
                "type": "init",
                "online_sources": [{"source_id": "one", "cameras": ["front"]}],
            }
            system.settle(ws)
            device.send(binary("front", 2))
            assert heard(ws)["timestamp"] == 2
            device.send(json.dumps(sized))
            assert heard(ws) == {**sized, "source_id": "one"}
            system.ask("lose-upstreams")
            assert heard(ws)["type"] == "gateway_reconnecting"
            end = time.monotonic() + PATIENCE_S
            while system.open().get("upstreams") != 1 and time.monotonic() < end:
                time.sleep(0.05)
            system.settle(ws)
            device.send(binary("front", 3))
            assert heard(ws)["timestamp"] == 3
        edge.says("feed_closed")
        edge.stop()
    deviations = [line.partition("clause=")[2] for line in edge.lines if "deviates" in line]
    assert [one.split()[:2] for one in deviations] == [
        ["PW-INIT-4", "path=online_sources[0].cameras[0]"],
        ["PW-FRAME-1", "path=source_id"],
        ["PW-INIT-1", "path=message"],
    ]


def test_page_of_an_edge_shows_what_is_online(system: System, visit: Visitor) -> None:
    with system.device("one") as device, edge_of(system) as (edge, url):
        for camera in ("front", "rear"):
            device.send(binary(camera, jpeg=draw(camera)))
        person = visit()
        person.connect(f"{url.replace('ws', 'http', 1)}/#source=one&camera=front", HOME)
        person.page.locator("#online-list button").nth(1).wait_for(timeout=PATIENCE_MS)
        assert person.page.locator("#online-list button").all_text_contents() == ["front", "rear"]
        assert not person.page.locator("#nobody").is_visible()
        for number in range(2):
            until_painted(person.page, lambda: device.send(binary("front", jpeg=draw("front"))))
            assert person.shows("front", 'canvas[data-camera="front"]')
            if number == 0:
                system.ask("lose-upstreams")
                person.wait_for_words("source")
        edge.stop()


def until_painted(page: Any, send: Callable[[], None]) -> None:
    """Send until the page has painted a picture from now on."""
    page.evaluate("() => { delete painted.front; }")
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        send()
        time.sleep(0.1)
        if page.evaluate("() => 'front' in painted"):
            return
    raise AssertionError("no picture was painted")


# ── the fixtures ─────────────────────────────────────────────────────────────────────────────

TESTS: Final = """
def test_frames_arrive(plexwire_publisher, plexwire_viewer):
    publisher = plexwire_publisher("one")
    sent = [publisher.publish("front")]
    while not (viewer := plexwire_viewer("one", "front", timeout=30)).init.online_sources[0].cameras:
        viewer.close()
    listed = {source.source_id: source.cameras for source in viewer.init.online_sources}
    assert listed == {"one": ("front",)}
    frame = None
    while frame is None:
        # The first ones may be missing until the subscription has been read.
        sent.append(publisher.publish("front"))
        try:
            frame = viewer.next_frame(timeout=0.2)
        except TimeoutError:
            pass
    assert frame in sent
    assert [(d.clause, d.path) for d in viewer.deviations] == [
        ("PW-INIT-4", "online_sources[0].cameras[0]")
    ]
"""


def test_fixtures_serve_the_published_system(
    system: System, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLEXWIRE_API_KEY", HOME)
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        f"def plexwire_url(): return 'ws://127.0.0.1:{system.api}'\n"
    )
    pytester.makepyfile(TESTS)
    gateway = f"--plexwire-device-url=ws://127.0.0.1:{system.gateway}"
    result = pytester.runpytest_subprocess(gateway, "-Werror")
    result.assert_outcomes(passed=1)
