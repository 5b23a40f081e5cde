"""Cameras through ffmpeg: a stand-in where its conduct matters, the real one where it is installed."""

import os
import sys
from pathlib import Path
from shutil import which

import pytest
import trio

from plexwire_client import FfmpegError
from plexwire_client._ffmpeg import ffmpeg_command, play_camera, require_ffmpeg
from plexwire_client.pattern import make_pattern, read_counter

PATIENCE_S = 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Put a program called ffmpeg, written in Python, first on the PATH."""
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)


async def play(url: str, pictures: int | None = None) -> list[bytes]:
    taken = []

    async def take(picture: bytes) -> None:
        taken.append(picture)

    with trio.fail_after(PATIENCE_S):
        await play_camera(url, take, fps=15, quality=85, pictures=pictures)
    return taken


async def test_device_takes_every_picture_that_ffmpeg_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [make_pattern(number, 64, 48) for number in range(5)]
    (tmp_path / "stream").write_bytes(b"".join(pictures))
    copy = f"sys.stdout.buffer.write(open({str(tmp_path / 'stream')!r}, 'rb').read())"
    stand_in(tmp_path, monkeypatch, copy)
    assert await play("rtsp://camera.example") == pictures


async def test_device_stops_ffmpeg_where_it_has_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = (
        "while True:\n"
        "    sys.stdout.buffer.write(bytes.fromhex('ffd8ffd9'))\n"
        "    sys.stdout.buffer.flush()"
    )
    stand_in(tmp_path, monkeypatch, endless)
    assert len(await play("rtsp://camera.example", pictures=3)) == 3


async def test_device_stops_ffmpeg_where_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It tells its process id in a picture, and dies of nothing but the signal that asks it to end.
    program = (
        "sys.stdout.buffer.write(b'\\xff\\xd8' + b'%d' % os.getpid() + b'\\xff\\xd9')\n"
        "sys.stdout.buffer.flush()\n"
        "signal.pause()"
    )
    stand_in(tmp_path, monkeypatch, program)
    process_ids = []
    with trio.fail_after(PATIENCE_S), trio.CancelScope() as scope:

        async def take(picture: bytes) -> None:
            process_ids.append(int(picture[2:-2]))
            scope.cancel()

        await play_camera("rtsp://camera.example", take, fps=15, quality=85)
    assert scope.cancelled_caught
    with pytest.raises(ProcessLookupError):
        os.kill(process_ids[0], 0)


async def test_device_says_what_ffmpeg_said_without_password_where_it_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(
        tmp_path, monkeypatch, "print('can not open', sys.argv[-8:], file=sys.stderr); sys.exit(1)"
    )
    with pytest.raises(FfmpegError, match=r"ffmpeg gave up: can not open") as caught:
        await play("rtsp://user:secret@camera.example/live")
    assert "secret" not in str(caught.value)


async def test_device_lets_exception_through_where_a_picture_can_not_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "sys.stdout.buffer.write(bytes.fromhex('ffd8ffd9'))")

    async def take(picture: bytes) -> None:
        raise ZeroDivisionError

    with trio.fail_after(PATIENCE_S), pytest.raises(ZeroDivisionError):
        await play_camera("rtsp://camera.example", take, fps=15, quality=85)


async def test_device_raises_ffmpeg_error_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FfmpegError, match="not installed"):
        await play("rtsp://camera.example")
    with pytest.raises(FfmpegError, match="not installed"):
        require_ffmpeg()


@pytest.mark.parametrize(("quality", "scale"), [(95, "2"), (85, "5"), (1, "31"), (200, "2")])
def test_device_asks_ffmpeg_for_the_quality_of_a_jpeg(quality: int, scale: str) -> None:
    command = ffmpeg_command("clip.mp4", fps=15, quality=quality)
    assert command[command.index("-q:v") + 1] == scale


def test_device_reads_files_at_their_own_pace_and_cameras_over_tcp() -> None:
    assert "-re" in ffmpeg_command("clip.mp4", fps=15, quality=85)
    assert "-re" not in ffmpeg_command("https://camera.example/a.m3u8", fps=15, quality=85)
    assert "tcp" in ffmpeg_command("rtsp://camera.example", fps=15, quality=85)


@pytest.mark.skipif(which("ffmpeg") is None, reason="ffmpeg is not installed")
async def test_device_gets_pictures_of_a_video_from_real_ffmpeg(tmp_path: Path) -> None:
    video = tmp_path / "video.mjpeg"
    video.write_bytes(b"".join(make_pattern(number, 320, 240) for number in range(25)))
    counters = [read_counter(picture) for picture in await play(str(video))]
    assert len(counters) == pytest.approx(15, abs=2)
    assert counters == sorted(counters)


@pytest.mark.skipif(which("ffmpeg") is None, reason="ffmpeg is not installed")
async def test_device_shows_error_of_real_ffmpeg_where_nothing_is_there() -> None:
    with pytest.raises(FfmpegError, match="No such file or directory"):
        await play("no-such-video.mp4")
