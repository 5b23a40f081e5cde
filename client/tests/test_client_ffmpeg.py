"""Cameras through ffmpeg: a stand-in where its conduct matters, the real one where it is installed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from threading import Thread

import pytest
import trio

from plexwire_client import FfmpegError
from plexwire_client._ffmpeg import (
    ffmpeg_command,
    play_camera,
    require_ffmpeg,
    without_secrets,
)
from plexwire_client.commands._mjpeg_server import ListenAddress, serve_mjpeg
from plexwire_client.commands._picture_sources import find_source
from plexwire_client.pattern import make_pattern, read_counter
from plexwire_protocol import VideoFrame

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
    with pytest.raises(FfmpegError, match=r"ffmpeg failed: can not open") as caught:
        await play("rtsp://user:secret@camera.example/live")
    assert "secret" not in str(caught.value)


async def test_device_says_only_the_last_whole_lines_where_ffmpeg_says_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say = "for n in range(500): print(f'rtsp://user:secret{n}@host/live is bad', file=sys.stderr)"
    stand_in(tmp_path, monkeypatch, f"{say}\nsys.exit(1)")
    with pytest.raises(FfmpegError, match=r"failed: rtsp://host/live is bad / ") as caught:
        await play("rtsp://camera.example")
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 2100


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
    assert "-re" in ffmpeg_command("file:///srv/clip.mp4", fps=15, quality=85)
    assert "-re" in ffmpeg_command("https://camera.example/clip.MP4?t=1", fps=15, quality=85)
    assert "-re" not in ffmpeg_command("https://camera.example/a.m3u8", fps=15, quality=85)
    assert "-re" not in ffmpeg_command("http://camera.example/video.mjpg", fps=15, quality=85)
    wall_clock = "-use_wallclock_as_timestamps"
    assert wall_clock in ffmpeg_command("http://camera.example/?action=stream", fps=15, quality=85)
    assert wall_clock not in ffmpeg_command("https://camera.example/a.m3u8", fps=15, quality=85)
    assert "tcp" in ffmpeg_command("rtsp://camera.example", fps=15, quality=85)


# ── the real one ─────────────────────────────────────────────────────────────────────────────

#: Under CI a missing ffmpeg is a failure, not a reason to skip.
real_ffmpeg = pytest.mark.skipif(
    which("ffmpeg") is None and "CI" not in os.environ, reason="ffmpeg is not installed"
)


def stored_video(folder: Path) -> Path:
    """Make a second of video, and return its path."""
    video = folder / "video.mjpeg"
    video.write_bytes(b"".join(make_pattern(number, 320, 240) for number in range(25)))
    return video


@real_ffmpeg
@pytest.mark.parametrize("name", ["video.mjpeg", "10:00:00.mjpeg"])
async def test_device_gets_pictures_of_a_video_from_real_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stored_video(tmp_path).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    source = find_source(name, (64, 48), None, quality=85)
    assert isinstance(source, str)
    counters = [read_counter(picture) for picture in await play(source)]
    assert len(counters) == pytest.approx(15, abs=2)
    assert counters == sorted(counters)


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Serve *folder* on loopback, and yield its address with a password."""
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://user:secret@127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@real_ffmpeg
async def test_device_plays_file_over_http_at_its_own_pace(tmp_path: Path) -> None:
    video = tmp_path / "video.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(stored_video(tmp_path)), "-c", "copy", str(video)]
    await trio.run_process(command)
    began = trio.current_time()
    with http_server(tmp_path) as url:
        counters = [read_counter(picture) for picture in await play(f"{url}/video.mkv")]
    assert len(counters) == pytest.approx(15, abs=2)
    assert trio.current_time() - began >= 0.8  # a second of video


@real_ffmpeg
@pytest.mark.parametrize(
    ("path", "said"), [("/nothing.mkv", "404 Not Found"), ("/notes.txt", "Invalid data")]
)
async def test_device_shows_error_of_real_ffmpeg_without_secrets_where_url_is_bad(
    tmp_path: Path, path: str, said: str
) -> None:
    (tmp_path / "notes.txt").write_text("no video\n" * 100)
    with http_server(tmp_path) as url, pytest.raises(FfmpegError, match=said) as caught:
        await play(f"{url}{path}?token=hidden")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert path in str(caught.value)


@real_ffmpeg
async def test_device_shows_error_of_real_ffmpeg_where_nobody_listens() -> None:
    with pytest.raises(FfmpegError, match="Connection refused") as caught:
        await play("rtsp://user:se:cr@et@127.0.0.1:1/live")
    assert "et@" not in str(caught.value)


@real_ffmpeg
async def test_device_shows_error_of_real_ffmpeg_where_nothing_is_there() -> None:
    with pytest.raises(FfmpegError, match="No such file or directory"):
        await play("no-such-video.mp4")


@real_ffmpeg
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
async def test_device_leaves_no_real_ffmpeg_behind_where_it_is_cancelled(tmp_path: Path) -> None:
    video = str(stored_video(tmp_path))
    running_meanwhile = []
    with trio.fail_after(PATIENCE_S), trio.CancelScope() as scope:

        async def take(picture: bytes) -> None:
            running_meanwhile.append(processes_with(video))
            scope.cancel()

        await play_camera(video, take, fps=15, quality=85)
    assert scope.cancelled_caught
    assert running_meanwhile[0]
    assert not processes_with(video)


@real_ffmpeg
async def test_device_plays_http_camera_at_its_own_rate_and_leaves_it_where_it_stalls() -> None:
    # Ten a second, for three seconds; then the camera says nothing more and stays.
    taken = []
    async with serve_mjpeg(
        ListenAddress("127.0.0.1", 0), source_id="robot-01", cameras=["cam"]
    ) as camera:

        async def take(picture: bytes) -> None:
            taken.append(read_counter(picture))

        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                play = partial(play_camera, f"{camera.url}cam.mjpg", take, fps=15, quality=85)
                nursery.start_soon(play)
                number = 0
                while number < 30:
                    jpeg = make_pattern(number, 160, 120)
                    frame = VideoFrame(camera_id="cam", jpeg=jpeg, width=0, height=0, timestamp=0)
                    await camera.take(frame)
                    await trio.sleep(0.1)
                    number += camera.clients
                began = trio.current_time()
                nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 3
    assert len(set(taken)) >= 22  # at 25 a second it would be 18


def processes_with(argument: str) -> list[str]:
    """Return the ids of the processes that have *argument* on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if argument.encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("rtsp://u:p@host/live: no", "rtsp://host/live: no"),
        ("rtsp://u:p@ss@host/live", "rtsp://host/live"),
        ("rtsp://u:p#ss@host/live", "rtsp://host/live"),
        ("rtsp://u:p?ss@host/live", "rtsp://host/live"),
        ("rtsp://u:p/ss@host/live", "rtsp://host/live"),
        ("rtsp://host:554/@1: no", "rtsp://host:554/@1: no"),
        ("http://host/a.m3u8?sig=abc: 403", "http://host/a.m3u8?...: 403"),
        ("[http @ 0x1] 'http://u@h/?a=b' failed", "[http @ 0x1] 'http://h/?...' failed"),
        ("mail@example.com? no.", "mail@example.com? no."),
    ],
)
def test_device_keeps_secrets_of_addresses_to_itself(said: str, told: str) -> None:
    assert without_secrets(said) == told
