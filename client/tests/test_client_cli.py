"""The commands `watch` and `publish`, as programs of their own against a small gateway on loopback."""

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from plexwire_client import Refused
from plexwire_client.commands._frame_sinks import file_name
from plexwire_client.commands._rates import WINDOW_S, Meter, in_bytes
from plexwire_client.commands._running import stop_signals
from plexwire_client.commands._status_display import (
    PlainDisplay,
)
from plexwire_client.commands._watching import WatchOptions, watch_stream
from plexwire_client.commands.publish import publish
from plexwire_client.commands.watch import watch
from plexwire_client.pattern import make_pattern, read_counter
from plexwire_client.pictures import frame_to_temps
from plexwire_protocol import (
    CloseCode,
    GatewayReconnecting,
    VideoFrame,
)
from relaying_gateway import KEY, command, environment, relaying_gateway, run


async def test_commands_watch_and_publish_show_and_save_what_is_sent(tmp_path: Path) -> None:
    cameras = ("--source-id", "robot-01", "--camera", "front", "--camera", "rear/1")
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        publishing = await nursery.start(
            partial(
                trio.run_process,
                command("publish", gateway.url, *cameras, "--fps", "30"),
                env=environment(PLEXWIRE_API_KEY="plx_other", PLEXWIRE_DEVICE_KEY=KEY),
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        save = ("--save", str(tmp_path / "saved"), "--frames", "10")
        watched = await run("watch", gateway.url, *cameras, *save)
        publishing.send_signal(signal.SIGTERM)
        output = b"".join([bytes(data) async for data in publishing.stdout])
        assert await publishing.wait() == 0
    said = output.decode().splitlines()
    assert said[0] == f"Connected to {gateway.url} as robot-01, camera front, rear/1."
    assert said[-1] == "Stopped."
    assert (watched.returncode, watched.stderr) == (0, b"")
    lines = watched.stdout.decode().splitlines()
    assert lines[0] == f"Connected to {gateway.url}. No camera of robot-01 is online yet: waiting."
    assert [line.split("  ")[0] for line in lines[-2:]] == ["front", "rear/1"]
    assert "640x360" in lines[-1]
    sent = {(frame.camera_id, frame.jpeg) for frame in gateway.frames}
    saved = sorted((tmp_path / "saved").iterdir(), key=lambda path: path.stem[-6:])
    assert len(saved) == 10
    for camera, prefix in (("front", "front-"), ("rear/1", "rear%2F1-")):
        pictures = [path.read_bytes() for path in saved if path.name.startswith(prefix)]
        assert {(camera, picture) for picture in pictures} <= sent
        counters = [read_counter(picture) for picture in pictures]
        assert counters == sorted(set(counters))


@pytest.mark.parametrize(
    ("name", "code", "sentence"), [("watch", 4002, "API access"), ("publish", 4001, "the key")]
)
async def test_command_ends_with_one_line_and_code_1_where_key_is_refused(
    name: str, code: int, sentence: str
) -> None:
    async with relaying_gateway() as gateway:
        result = await run(name, gateway.url, "--source-id", "robot-01", api_key="plx_bad_key")
    [line] = result.stderr.decode().splitlines()
    assert result.returncode == 1
    assert sentence in line
    assert f"[{code}]" in line
    assert b"plx_bad_key" not in result.stdout + result.stderr


async def test_command_watch_ends_with_code_1_where_stream_ends_before_its_frames() -> None:
    async with relaying_gateway() as gateway:
        result = await run(
            "watch", gateway.url, "--source-id", "robot-01", "--timeout", "1", "--frames", "3"
        )
    assert result.returncode == 1
    assert b"reconnect to continue. [4008]" in result.stdout
    assert result.stderr == b"Error: The stream ended after 0 of 3 frames.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(
    ("name", "by"), [("watch", "SIGINT"), ("publish", "SIGINT"), ("watch", "SIGHUP")]
)
async def test_command_closes_properly_and_ends_with_code_0_where_user_stops_it(
    name: str, by: str
) -> None:
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                command(name, gateway.url, "--source-id", "robot-01"),
                env=environment(PLEXWIRE_API_KEY=KEY),
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        output = await process.stdout.receive_some()
        assert output.startswith(b"Connected to ws://127.0.0.1:")
        process.send_signal(signal.Signals[by])
        async for more in process.stdout:
            output += more
        assert await process.wait() == 0
        assert output.splitlines()[-1] == b"Stopped."
    assert gateway.closes == [CloseCode.NORMAL]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_command_outlives_its_terminal_where_it_is_told_to() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert signal.SIGHUP not in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert signal.SIGHUP in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_command_ends_quietly_where_its_reader_has_gone() -> None:
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                command("watch", gateway.url, "--source-id", "robot-01"),
                env=environment(PLEXWIRE_API_KEY=KEY),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
            )
        )
        await process.stdout.receive_some()
        await process.stdout.aclose()
        assert await process.stderr.receive_some() == b""
        assert await process.wait() == 1
    assert gateway.closes == [CloseCode.NORMAL]


async def test_command_publish_sends_pictures_of_folder_by_name(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        (tmp_path / f"{number}.jpg").write_bytes(make_pattern(number, 64, 48))
    (tmp_path / "notes.txt").write_text("no picture")
    async with relaying_gateway() as gateway:
        result = await run(
            "publish", gateway.url, str(tmp_path), "--source-id", "robot-01", "--frames", "4"
        )
    assert (result.returncode, result.stderr) == (0, b"")
    assert [read_counter(frame.jpeg) for frame in gateway.frames] == [0, 1, 2, 0]


async def test_command_publish_sends_thermal_scene_with_its_temperatures() -> None:
    async with relaying_gateway() as gateway:
        thermal = ("--thermal", "32x24", "--frames", "3", "--fps", "10")
        result = await run("publish", gateway.url, "--source-id", "robot-01", *thermal)
    assert (result.returncode, result.stderr) == (0, b"")
    count = len(gateway.frames)  # three, where the machine is not too busy
    assert 1 <= count <= 3
    last = result.stdout.decode().splitlines()[-1]
    assert last.startswith(f"Sent {count} pictures, dropped {'none.' if count == 3 else ''}")
    scenes = [frame_to_temps(frame) for frame in gateway.frames]
    assert [None if scene is None else scene.shape for scene in scenes] == [(24, 32)] * count
    assert {(frame.width, frame.height) for frame in gateway.frames} == {(480, 360)}


async def test_command_watch_tells_what_happens_to_the_connection() -> None:
    said: list[str] = []

    class Listener(PlainDisplay):
        def say(self, line: str) -> None:
            said.append(line)

    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        options = WatchOptions(
            url=gateway.url,
            api_key=KEY,
            source_id="robot-01",
            cameras=("front",),
            reconnect=True,
        )
        assert KEY not in repr(options)

        async def watches() -> None:
            with pytest.raises(Refused):
                await watch_stream(options, Listener())

        nursery.start_soon(watches)
        await gateway.viewer_came.wait()
        [first] = gateway.viewers
        away = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)
        first.session.send(away, now=trio.current_time())
        first.session.close(CloseCode.GOING_AWAY, now=trio.current_time())
        gateway.viewer_came = trio.Event()
        await first.flush()
        await gateway.viewer_came.wait()
        gateway.viewers[1].session.close(CloseCode.UNAUTHORIZED, now=trio.current_time())
        await gateway.viewers[1].flush()
    assert said[1] == "The gateway lost its upstream and tries again in 2 s (attempt 1 of 5)."
    assert said[2].startswith("The gateway is shutting down; reconnect in a moment. [1001] Connect")
    assert said[3] == "Connected again. No camera of robot-01 is online yet: waiting."


@pytest.mark.skipif(
    which("ffmpeg") is None and "CI" not in os.environ, reason="ffmpeg is not installed"
)
async def test_programs_in_manual_run_as_they_stand(tmp_path: Path) -> None:
    manual = Path(__file__).parents[2] / "docs" / "clients.md"
    video = tmp_path / "video.mjpeg"  # stands in for the camera
    video.write_bytes(make_pattern(1, 64, 48) * 5)
    text = manual.read_text("utf-8").replace("rtsp://192.0.2.7/live", str(video))
    in_trio = text.partition("\n## A device in Python\n")[2]
    device, viewer = re.findall(r"^```python\n(.*?)^```", in_trio, re.MULTILINE | re.DOTALL)
    printed: dict[str, tuple[object, ...]] = {}
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:

        def note(camera: str, *values: object) -> None:
            printed[camera] = values
            if len(printed) == 2:
                nursery.cancel_scope.cancel()

        programs = []
        for source in (viewer, device):
            names: dict[str, Any] = {"print": note}
            exec(compile(source, manual.name, "exec"), names)
            programs.append(names["main"])
        nursery.start_soon(programs[0], gateway.url, KEY)
        await gateway.viewer_came.wait()
        nursery.start_soon(programs[1], gateway.url, KEY)
    assert printed == {"front": ((480, 640, 3), None), "thermal": ((480, 480, 3), 36.6)}


# ── bad input: in this process, as nothing is connected ──────────────────────────────────────

_ID = ("--source-id", "robot-01")
_URL = "ws://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((_URL, *_ID), "Nothing listens at 127.0.0.1:1."),
        (("http://127.0.0.1", *_ID), "Write ws:// instead."),
        (("127.0.0.1:8700", *_ID), "must begin with ws:// or wss://"),
        ((_URL, "--source-id", "Robot"), "source_id"),
        ((_URL, *_ID, "--keys-file", "no-such-file"), "no-such-file can't be read"),
        ((_URL, *_ID, "--ca", "no-such-file"), "no-such-file can't be read"),
        ((_URL, *_ID, "--ca", __file__), "contains no certificate"),
        ((_URL, *_ID, "--proxy", "socks5://p:1080"), "begins with http:// or https://"),
        ((_URL, *_ID, "--proxy", f"http://u:{KEY}@p"), "Put it into HTTPS_PROXY instead."),
        ((_URL, *_ID, "--proxy", "http://127.0.0.1:1"), "The proxy 127.0.0.1:1 can't be reached"),
    ],
)
@pytest.mark.parametrize("name", ["watch", "publish"])
def test_command_ends_with_one_line_and_code_2_where_input_is_bad(
    name: str, arguments: tuple[str, ...], said: str
) -> None:
    result = CliRunner().invoke(
        {"watch": watch, "publish": publish}[name], arguments, env={"PLEXWIRE_API_KEY": KEY}
    )
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nope.jpg",), "There is no file or folder nope.jpg."),
        (("x" * 5000,), "can't be read: File name too long."),
        ((__file__.replace(os.path.basename(__file__), ""),), "There is no picture"),
        (("--pattern", "1x1"), "64 x 48"),
        (("picture.jpg", "--pattern", "640x360"), "Give only one of"),
        (("--thermal", "64x48", "--pattern", "640x360"), "Give only one of"),
        (("--thermal", "0x48"), "2048 x 2048"),
        (("--thermal", "64x2049"), "2048 x 2048"),
        (("rtsp://192.0.2.7/live",), "ffmpeg is not installed"),
        ((__file__,), "ffmpeg is not installed"),
    ],
)
def test_command_publish_ends_with_one_line_and_code_2_where_there_is_nothing_to_send(
    arguments: tuple[str, ...], said: str
) -> None:
    env = {"PLEXWIRE_API_KEY": KEY, "PATH": ""}
    result = CliRunner().invoke(publish, (_URL, *_ID, *arguments), env=env)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line


def test_command_watch_refuses_ids_before_it_opens_files_and_ports(tmp_path: Path) -> None:
    undecodable = (
        "--camera",
        "front\udcff",
        "--camera",
        "rear",
    )  # as Python reads bytes that are no UTF-8
    sinks = ("--record", str(tmp_path / "out.mkv"), "--mjpeg", "127.0.0.1:0")
    result = CliRunner().invoke(
        watch, (_URL, *_ID, *undecodable, *sinks), env={"PLEXWIRE_API_KEY": KEY}
    )
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert "camera_id: is not Unicode" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mjpeg-origin", "*"), "--mjpeg-origin needs --mjpeg"),
        (("--mjpeg", ":0", "--mjpeg-origin", "dashboard.example"), "An origin is such as"),
        (("--mjpeg", ":0", "--mjpeg-origin", "https://a/b"), "An origin is such as"),
        (("--mjpeg", ":0", "--mjpeg-origin", "https://a\r\nX: y"), "An origin is such as"),
    ],
)
def test_command_watch_refuses_what_is_not_an_origin(options: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(watch, (_URL, *_ID, *options), env={"PLEXWIRE_API_KEY": KEY})
    assert result.exit_code == 2
    assert said in result.stderr


def test_command_says_where_keys_come_from_where_there_is_none() -> None:
    result = CliRunner().invoke(publish, (_URL, *_ID), env=dict.fromkeys(os.environ))
    assert result.exit_code == 2
    assert "set PLEXWIRE_DEVICE_KEY or PLEXWIRE_API_KEY, or give --keys-file" in result.stderr


@pytest.mark.parametrize("name", ["watch", "publish"])
def test_command_helps_with_examples_that_it_takes_itself(name: str) -> None:
    command = {"watch": watch, "publish": publish}[name]
    text = CliRunner().invoke(command, ("--help",)).output
    examples = text.partition("Examples:")[2].partition("Exit codes:")[0].replace("\\\n", "")
    given = [
        line.partition(f"plexwire {name}")[2].partition("|")[0].split()
        for line in examples.splitlines()
    ]
    lines = [arguments for arguments in given if arguments]
    assert len(lines) >= 3
    for arguments in lines:
        command.make_context(name, list(arguments))


# ── rates, words ──────────────────────────────────────────────────────────────────────────────


def test_meter_tells_rates_of_the_last_seconds() -> None:
    meter = Meter(100.0)
    assert meter.per_second(100.0) == (0, 0)
    for tick in range(1, 41):
        meter.take(100 + tick / 10, 1000, latency_ms=tick)
    assert meter.per_second(104.0) == pytest.approx((10, 10_000), rel=0.06)
    assert (meter.count, meter.bytes, meter.latency_ms) == (40, 40_000, 40)
    assert meter.per_second(104.0 + WINDOW_S) == (0, 0)


def test_bytes_are_told_for_people() -> None:
    told = [in_bytes(size) for size in (0, 999, 1000, 93_440, 999_600, 1.25e6, 3.2e9)]
    assert told == ["0 B", "999 B", "1.0 kB", "93.4 kB", "1.0 MB", "1.2 MB", "3.2 GB"]


def test_watch_saves_under_names_that_stay_in_the_folder() -> None:
    for camera in ("../../etc/passwd", "/", "..", "", "käm\x00era", "x" * 255, "ü" * 127):
        frame = VideoFrame(camera_id=camera, jpeg=b"\xff\xd8", width=0, height=0, timestamp=-1)
        name = file_name(frame, 1)
        assert Path(name).name == name
        assert name.isascii()
        assert len(name) <= 255
