"""Pictures from other programs: on standard input, in named pipes, from serial devices and from cameras at /dev/video."""

import os
import re
import signal
import socket
import subprocess
import sys
import tty
from functools import partial
from pathlib import Path
from shutil import which

import pytest
import trio
import trio.testing
from click.testing import CliRunner

from plexwire_client._ffmpeg import ffmpeg_command, is_video_device
from plexwire_client.commands._jpeg_input import play_jpegs
from plexwire_client.commands._picture_sources import BadInput, JpegInput, find_source
from plexwire_client.commands.publish import publish
from plexwire_client.commands.watch import watch
from plexwire_client.pattern import make_pattern
from relaying_gateway import KEY, PATIENCE_S, command, environment, relaying_gateway

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")

PICTURES = [make_pattern(number, 64, 48) for number in range(40)]
BACK_TO_BACK = b"".join(PICTURES)
MULTIPART = b"".join(
    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(each), each)
    for each in PICTURES
)
SOURCE = ("--source-id", "robot-01")


async def published(
    url: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(PATIENCE_S):
        return await trio.run_process(
            command("publish", url, *SOURCE, *arguments),
            env=environment(PLEXWIRE_API_KEY=KEY),
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )


@pytest.mark.parametrize("stream", [BACK_TO_BACK, MULTIPART], ids=["back to back", "multipart"])
async def test_publish_sends_every_jpeg_of_standard_input(stream: bytes) -> None:
    async with relaying_gateway() as gateway:
        done = await published(gateway.url, "-", "--camera", "a", "--camera", "b", stdin=stream)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1] == b"Sent 80 pictures, dropped none."
    for camera in ("a", "b"):
        frames = [frame for frame in gateway.frames if frame.camera_id == camera]
        assert [frame.jpeg for frame in frames] == PICTURES


async def test_publish_paces_standard_input_when_told() -> None:
    async with relaying_gateway() as gateway:
        options = ("--fps", "25", "--frames", "6")
        done = await published(gateway.url, "-", *options, stdin=BACK_TO_BACK)
    assert done.returncode == 0
    assert [frame.jpeg for frame in gateway.frames] == PICTURES[:6]
    first, *_, last = (frame.timestamp for frame in gateway.frames)
    assert last - first >= 5 * 40 - 1


async def test_publish_sends_jpeg_of_open_pipe_when_it_is_complete() -> None:
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                command("publish", gateway.url, "-", *SOURCE),
                env=environment(PLEXWIRE_API_KEY=KEY),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        for number, picture in enumerate(PICTURES[:5]):
            await process.stdin.send_all(picture[:-1])
            assert len(gateway.frames) == number
            await process.stdin.send_all(picture[-1:])
            while len(gateway.frames) == number:
                await trio.testing.wait_all_tasks_blocked(0.001)
        process.send_signal(signal.SIGINT)
        output = b"".join([bytes(data) async for data in process.stdout])
        assert await process.wait() == 0
    assert output.splitlines()[-2:] == [b"Sent 5 pictures, dropped none.", b"Stopped."]
    assert [frame.jpeg for frame in gateway.frames] == PICTURES[:5]


async def test_publish_reads_named_pipe_until_its_writer_closes_it(tmp_path: Path) -> None:
    pipe = tmp_path / "camera.jpg"
    os.mkfifo(pipe)
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(trio.Path(pipe).write_bytes, MULTIPART)
        done = await published(gateway.url, str(pipe))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [frame.jpeg for frame in gateway.frames] == PICTURES


async def test_publish_reads_serial_device() -> None:
    ours, devices = os.openpty()
    tty.setraw(devices)
    try:
        async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
            write = partial(os.write, ours, BACK_TO_BACK[: len(PICTURES[0]) + len(PICTURES[1])])
            nursery.start_soon(trio.to_thread.run_sync, write)
            done = await published(gateway.url, os.ttyname(devices), "--frames", "2")
    finally:
        os.close(ours)
        os.close(devices)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [frame.jpeg for frame in gateway.frames] == PICTURES[:2]


@pytest.mark.parametrize(
    ("source", "stdin", "said"),
    [
        ("-", b"RIFF and so on", "Standard input ended without a JPEG: send JPEGs back to back"),
        ("/dev/null", b"", "/dev/null ended without a JPEG: send JPEGs back to back"),
    ],
)
async def test_publish_says_what_to_send_when_there_was_no_jpeg(
    source: str, stdin: bytes, said: str
) -> None:
    async with relaying_gateway() as gateway:
        done = await published(gateway.url, source, stdin=stdin)
    [line] = done.stderr.decode().splitlines()
    assert (done.returncode, said in line) == (2, True)


async def test_reading_gives_up_when_no_jpeg_comes() -> None:
    async def take(picture: bytes) -> None:
        raise AssertionError

    with (
        trio.fail_after(PATIENCE_S),
        pytest.raises(BadInput, match=r"/dev/zero sent 6[0-9]+ bytes"),
    ):
        await play_jpegs(JpegInput(Path("/dev/zero")), take)


def test_publish_names_what_can_not_be_published(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        arguments = ("ws://127.0.0.1:1", *SOURCE, str(tmp_path / "s"))
        result = CliRunner().invoke(publish, arguments, env={"PLEXWIRE_API_KEY": KEY})
    assert result.exit_code == 2
    assert "is not a file, a folder, a pipe or a camera." in result.stderr


def test_camera_of_the_system_is_read_at_its_own_rate() -> None:
    by_id = "/dev/v4l/by-id/usb-046d_C920-video-index0"
    for path in ("/dev/video0", "/dev/video12", by_id):
        own, told = (ffmpeg_command(path, fps=fps, quality=85) for fps in (None, 10))
        assert own[own.index("-i") - 2 :][:4] == ["-f", "v4l2", "-i", path]
        assert "-re" not in own
        assert ("-vf" in own, "passthrough" in own) == (False, True)
        assert ("-vf" in told, "passthrough" in told) == (True, False)
    assert not is_video_device("/dev/videos.mp4")
    assert not is_video_device("clips/dev/video0")


def test_devices_other_than_cameras_are_read_as_jpegs() -> None:
    assert find_source("/dev/null", (64, 48), None, 85) == JpegInput(Path("/dev/null"))


# ── recording into a pipe ────────────────────────────────────────────────────────────────────


async def recorded(tmp_path: Path) -> tuple[Path, str]:
    """Publish the pattern and watch it into a file by way of standard output, until Ctrl-C."""
    out = tmp_path / "out.mkv"
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        with out.open("wb") as file:
            watching = await nursery.start(
                partial(
                    trio.run_process,
                    command("watch", gateway.url, *SOURCE, "--camera", "front", "--record", "-"),
                    env=environment(PLEXWIRE_API_KEY=KEY),
                    stdout=file,
                    stderr=subprocess.PIPE,
                )
            )
            await gateway.viewer_came.wait()
            done = await published(gateway.url, "-", "--camera", "front", stdin=BACK_TO_BACK)
            assert done.returncode == 0
            # A viewer may skip any picture but the newest.
            while PICTURES[-1] not in out.read_bytes():  # noqa: ASYNC110 # a file has no event
                await trio.sleep(0.01)
            watching.send_signal(signal.SIGINT)
            errors = b"".join([bytes(data) async for data in watching.stderr])
            assert await watching.wait() == 0
    return out, errors.decode()


async def test_watch_records_to_standard_output_what_publish_reads_again(tmp_path: Path) -> None:
    out, shown = await recorded(tmp_path)
    lines = shown.splitlines()
    assert lines[0].startswith("Connected to ws://")
    assert lines[-1] == "Stopped."
    [count] = re.findall(r"Recorded to standard output: ([0-9]+) pictures, ", shown)
    async with relaying_gateway() as gateway:
        done = await published(gateway.url, "-", stdin=out.read_bytes())
    assert done.returncode == 0
    pictures = [frame.jpeg for frame in gateway.frames]
    assert len(pictures) == int(count) > 0
    assert pictures == [each for each in PICTURES if each in pictures]


@pytest.mark.skipif(which("ffprobe") is None, reason="ffprobe, of ffmpeg, is not installed")
async def test_recording_on_standard_output_is_a_video(tmp_path: Path) -> None:
    out, shown = await recorded(tmp_path)
    show = ("-count_frames", "-show_entries", "stream=codec_name,width,height,nb_read_frames")
    done = await trio.run_process(
        ["ffprobe", "-loglevel", "error", *show, "-of", "csv=p=0", str(out)],
        capture_stdout=True,
        capture_stderr=True,
    )
    [count] = re.findall(r"Recorded to standard output: ([0-9]+) pictures, ", shown)
    assert (done.stdout.decode().strip(), done.stderr) == (f"mjpeg,64,48,{count}", b"")


async def test_watch_ends_quietly_when_reader_of_recording_has_gone() -> None:
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        watching = await nursery.start(
            partial(
                trio.run_process,
                command("watch", gateway.url, *SOURCE, "--camera", "front", "--record", "-"),
                env=environment(PLEXWIRE_API_KEY=KEY),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
            )
        )
        await gateway.viewer_came.wait()
        await watching.stdout.aclose()
        done = await published(gateway.url, "-", "--camera", "front", stdin=BACK_TO_BACK)
        assert done.returncode == 0
        errors = b"".join([bytes(data) async for data in watching.stderr])
        assert await watching.wait() == 1
    assert b"Traceback" not in errors


def test_watch_records_one_camera_to_standard_output() -> None:
    arguments = ("ws://127.0.0.1:1", *SOURCE, "--camera", "a", "--camera", "b", "--record", "-")
    result = CliRunner().invoke(watch, arguments, env={"PLEXWIRE_API_KEY": KEY})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: --record - takes one camera: give --camera once, or a file's name.\n"
    )
