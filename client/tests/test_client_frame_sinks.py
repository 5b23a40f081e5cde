"""The command `watch` with what it serves and records, as a program of its own; real HTTP clients, real ffmpeg."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from shutil import which
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import trio

from plexwire_client.commands._mjpeg_server import ListenAddress, serve_mjpeg
from plexwire_client.pattern import make_pattern, read_counter
from plexwire_protocol import (
    CloseCode,
    GatewayViewerSession,
    State,
    VideoFrame,
)
from plexwire_trio import Connection
from scripted_gateway import ViewerGateway

KEY = "plx_test_key_of_the_outlets"
PATIENCE_S = 60
FPS = 25
PICTURES = [make_pattern(number, 160, 120) for number in range(100)]

#: Under CI a missing ffmpeg is a failure, not a reason to skip.
real_ffmpeg = pytest.mark.skipif(
    which("ffmpeg") is None and "CI" not in os.environ, reason="ffmpeg is not installed"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")


def frame(number: int, camera_id: str) -> VideoFrame:
    return VideoFrame(
        source_id="robot-01",
        camera_id=camera_id,
        jpeg=PICTURES[number % len(PICTURES)],
        width=160,
        height=120,
        timestamp=1_746_969_660_000 + number * 1000 // FPS,
    )


class Broadcaster:
    """A gateway that lets every viewer in, and sends each camera's pictures, 25 a second, until it `ends`."""

    def __init__(self) -> None:
        self.url = ""
        self.sent = 0
        self.ends_with: CloseCode | None = None
        self.ends_after = 10**9

    async def play(self, viewer: Connection[GatewayViewerSession]) -> None:
        viewer.session.grant((), now=trio.current_time())
        begin = trio.current_time()
        for number in range(self.ends_after):
            if viewer.session.state is not State.STREAMING:
                return
            for camera in viewer.session.address.cameras:
                viewer.session.send(frame(number, camera), now=trio.current_time())
            await viewer.flush()
            self.sent = number + 1
            await trio.sleep_until(begin + (number + 1) / FPS)
        if self.ends_with is not None and viewer.session.state is State.STREAMING:
            viewer.session.close(self.ends_with, now=trio.current_time())
            await viewer.flush()


@asynccontextmanager
async def broadcaster() -> AsyncGenerator[Broadcaster, None]:
    gateway = Broadcaster()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE_S):
            listeners = await nursery.start(
                partial(
                    trio.serve_tcp, ViewerGateway(nursery, gateway.play).serve, 0, host="127.0.0.1"
                )
            )
            gateway.url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield gateway
        nursery.cancel_scope.cancel()


class Watching:
    """`plexwire watch` as a program; what it said is there after its end."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said = b""

    async def says(self, wanted: bytes) -> str:
        """Wait until it says a line with *wanted*, and return the line."""
        assert self.process.stdout is not None
        while not (found := [each for each in self.said.splitlines() if wanted in each]):
            data = await self.process.stdout.receive_some()
            assert data, self.said
            self.said += data
        return found[0].decode()

    async def ends(self) -> int:
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            self.said += bytes(data)
        return await self.process.wait()


@asynccontextmanager
async def watch(gateway: Broadcaster, *arguments: str) -> AsyncGenerator[Watching, None]:
    program = "from plexwire_client.commands.watch import watch; watch()"
    source = ("--source-id", "robot-01")
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-c", program, gateway.url, *source, *arguments],
                env={**os.environ, "PLEXWIRE_API_KEY": KEY},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                start_new_session=True,
            )
        )
        yield Watching(process)
        nursery.cancel_scope.cancel()


async def probe(target: str | Path, *options: str) -> tuple[int, float]:
    """Return how many pictures ffprobe decodes, and how many seconds they last."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-of", "json", *options]
    command += ["-show_entries", "stream=codec_name,nb_read_frames:format=duration", str(target)]
    result = await trio.run_process(command, capture_stdout=True)
    found = json.loads(result.stdout)
    [stream] = found["streams"]
    assert stream["codec_name"] == "mjpeg"
    return int(stream["nb_read_frames"]), float(found["format"].get("duration", 0))


def fetch(url: str) -> tuple[str, bytes]:
    with urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.headers["Content-Type"], answer.read()


def fetch_parts(url: str, count: int) -> list[bytes]:
    """Read *count* pictures of a stream by their lengths, as simple clients do."""
    pictures: list[bytes] = []
    with urlopen(url, timeout=PATIENCE_S) as answer:
        boundary = f"--{answer.headers.get_param('boundary')}\r\n".encode()
        assert answer.readline() == boundary
        while len(pictures) < count:
            headers = {}
            while b":" in (line := answer.readline()):
                name, _, value = line.partition(b":")
                headers[name] = value.strip()
            pictures.append(answer.read(int(headers[b"Content-Length"])))
            assert answer.readline() == b"\r\n"
            assert answer.readline() == boundary
    return pictures


# ── the server over TCP ──────────────────────────────────────────────────────────────────────


async def test_browserlike_clients_get_page_picture_and_stream() -> None:
    cameras = ["front", "rear/1"]
    with trio.fail_after(PATIENCE_S):
        async with (
            serve_mjpeg(
                ListenAddress("127.0.0.1", 0), source_id="robot-01", cameras=cameras
            ) as server,
            trio.open_nursery() as nursery,
        ):
            with pytest.raises(HTTPError, match="503") as caught:
                await trio.to_thread.run_sync(fetch, f"{server.url}front.jpg")
            caught.value.close()
            kind, page = await trio.to_thread.run_sync(fetch, server.url)
            assert kind == "text/html; charset=utf-8"
            assert b"/rear%2F1.mjpg" in page

            async def play() -> None:
                for number in range(10**9):
                    await server.take(frame(number, "rear/1"))
                    await trio.sleep(0.01)

            nursery.start_soon(play)
            await trio.sleep(0.05)
            kind, jpeg = await trio.to_thread.run_sync(fetch, f"{server.url}rear%2F1.jpg")
            assert kind == "image/jpeg"
            assert jpeg in PICTURES
            stream = f"{server.url}rear%2F1.mjpg"
            counters = [
                read_counter(each)
                for each in await trio.to_thread.run_sync(fetch_parts, stream, 20)
            ]
            assert len(set(counters)) == 20
            assert server.clients <= 1
            nursery.cancel_scope.cancel()


@real_ffmpeg
async def test_ffmpeg_plays_the_stream_until_the_server_ends() -> None:
    with trio.fail_after(PATIENCE_S):
        counted: list[int] = []
        async with (
            trio.open_nursery() as nursery,
            serve_mjpeg(
                ListenAddress("127.0.0.1", 0), source_id="robot-01", cameras=["front"]
            ) as server,
        ):

            async def count() -> None:
                counted.append((await probe(f"{server.url}front.mjpg"))[0])

            nursery.start_soon(count)
            for number in range(60):
                await server.take(frame(number, "front"))
                await trio.sleep(1 / FPS)
        assert counted[0] > 5  # nearly all, where the machine is not too busy


# ── the command ──────────────────────────────────────────────────────────────────────────────


@real_ffmpeg
@posix
async def test_command_watch_serves_and_records_until_user_stops_it(tmp_path: Path) -> None:
    cameras = ("--camera", "front", "--camera", "rear")
    out = tmp_path / "out.mkv"
    recording = ("--mjpeg", ":0", "--record", str(out))
    async with broadcaster() as gateway, watch(gateway, *cameras, *recording) as watching:
        url = (await watching.says(b"http://127.0.0.1:")).split()[-1]
        await watching.says(b"Connected to")
        pictures = await trio.to_thread.run_sync(fetch_parts, f"{url}rear.mjpg", 25)
        assert set(pictures) <= set(PICTURES)
        os.killpg(watching.process.pid, signal.SIGINT)  # as Ctrl-C does: to ffmpeg as well
        assert await watching.ends() == 0
        said = watching.said.decode()
        assert said.splitlines()[-1] == "Stopped."
        assert "Traceback" not in said
        for name in ("out-front.mkv", "out-rear.mkv"):
            count, duration_s = await probe(tmp_path / name)
            assert f"Recorded {tmp_path / name}: {count} pictures" in said
            assert count >= 25
            assert count / FPS - 0.1 <= duration_s <= gateway.sent / FPS + 0.1


@real_ffmpeg
@pytest.mark.parametrize(
    ("code", "status"), [(CloseCode.INTERNAL_ERROR, 1), (CloseCode.TIMEOUT, 0)]
)
async def test_command_watch_finishes_recording_where_gateway_ends_the_stream(
    tmp_path: Path, code: CloseCode, status: int
) -> None:
    out = tmp_path / "out.mkv"
    async with broadcaster() as gateway:
        gateway.ends_after, gateway.ends_with = 12, code
        async with watch(gateway, "--record", str(out)) as watching:
            assert await watching.ends() == status
    count, duration_s = await probe(out)
    assert (
        6 <= count <= 12
    )  # what a busy machine had no time for is missing, and makes nothing shorter
    assert count / FPS - 0.05 <= duration_s <= 12 / FPS + 0.05
    assert f"Recorded {out}: {count} pictures, 0." in watching.said.decode()


@real_ffmpeg
async def test_command_watch_never_writes_over_a_recording_unless_told(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"precious")
    async with broadcaster() as gateway:
        async with watch(gateway, "--record", str(out)) as watching:
            assert await watching.ends() == 2
        assert out.read_bytes() == b"precious"
        assert gateway.sent == 0
        assert b"--overwrite" in watching.said
        async with watch(gateway, "--record", str(out), "--overwrite", "--frames", "5") as watching:
            assert await watching.ends() == 0
    assert (await probe(out))[0] == 5


@real_ffmpeg
async def test_command_watch_ends_with_ffmpegs_own_words_where_it_can_not_record(
    tmp_path: Path,
) -> None:
    async with (
        broadcaster() as gateway,
        watch(gateway, "--record", str(tmp_path / "out.webm")) as watching,
    ):
        assert await watching.ends() == 2
    last = watching.said.decode().splitlines()[-1]
    assert last.startswith("Error: ffmpeg failed: ")
    assert "VP8 or VP9 or AV1" in last


async def test_command_watch_ends_with_code_2_where_port_is_taken() -> None:
    async with (
        broadcaster() as gateway,
        serve_mjpeg(ListenAddress("127.0.0.1", 0), source_id="robot-01", cameras=[]) as other,
        watch(gateway, "--mjpeg", str(other.place)) as watching,
    ):
        assert await watching.ends() == 2
        assert b"in use. Choose another port." in watching.said
        assert gateway.sent == 0
