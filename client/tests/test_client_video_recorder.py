"""Recordings: where pictures stand in time, what ffmpeg is handed, and real files read back by ffprobe."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from shutil import which

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_client import FfmpegError
from plexwire_client._jpeg_splitter import JpegSplitter
from plexwire_client.commands import _matroska, _video_recorder
from plexwire_client.commands._frame_sinks import SinkError
from plexwire_client.commands._video_recorder import (
    BELIEVED_MS,
    MAX_WAITING_BYTES,
    PictureTimes,
    open_video_recorder,
    record_command,
    record_paths,
)
from plexwire_client.pattern import make_pattern
from plexwire_protocol import VideoFrame
from plexwire_protocol.limits import MAX_ID_BYTES

PATIENCE_S = 30
NOW_MS = 1_746_969_660_000

#: Under CI a missing ffmpeg is a failure, not a reason to skip.
real_ffmpeg = pytest.mark.skipif(
    which("ffmpeg") is None and "CI" not in os.environ, reason="ffmpeg is not installed"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")


# ── where pictures stand ─────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.floats(0, BELIEVED_MS / 1000 - 0.1)), min_size=1),
    st.integers(-(2**62), 2**62),
)
def test_recording_is_spaced_as_device_stamped_it_where_none_is_two_seconds_late(
    steps: list[tuple[int, float]], clock_ms: int
) -> None:
    timeline, at_ms, arrived_s, places = PictureTimes(), 0, 100.0, []
    for step, delay_s in steps:
        at_ms += step
        arrived_s = max(arrived_s, 100 + at_ms / 1000 + delay_s)
        places.append(timeline.place(clock_ms + at_ms, arrived_s))
    expected = [step for step, _ in steps[1:]]
    assert [after - before for before, after in pairwise(places)] == expected


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(0, 5)), min_size=1, max_size=50)
)
@example([(0, 0.5)] * 10)
@example([(NOW_MS, 0.1), (0, 0.1), (NOW_MS, 0.1), (-5, 0.1)])
def test_recording_goes_on_and_keeps_near_arrival_whatever_a_device_stamps(
    steps: list[tuple[int, float]],
) -> None:
    timeline, arrived_s, last = PictureTimes(), 0.0, -1
    for number, (stamp, pause_s) in enumerate(steps):
        arrived_s += pause_s
        begin_s = steps[0][1]
        place = timeline.place(stamp, arrived_s)
        assert place > last
        assert abs(place - (arrived_s - begin_s) * 1000) <= BELIEVED_MS + number + 2
        last = place


# ── what ffmpeg is handed ────────────────────────────────────────────────────────────────────


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read EBML by the book: ids and sizes of any length; of unknown size is what goes to the end."""
    while data:
        length = 9 - data[0].bit_length()
        element_id, data = int.from_bytes(data[:length]), data[length:]
        length = 9 - data[0].bit_length()
        size = int.from_bytes(data[:length]) - (1 << 7 * length)
        data = data[length:]
        if size == (1 << 7 * length) - 1:
            size = len(data)
        yield element_id, data[:size]
        data = data[size:]


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.binary(max_size=400)), max_size=5),
    st.integers(1, 70_000),
    st.integers(1, 70_000),
)
def test_recording_hands_over_every_picture_untouched_with_its_time(
    pictures: list[tuple[int, bytes]], width: int, height: int
) -> None:
    stream = _matroska.begin(width, height)
    stream += b"".join(_matroska.picture(at_ms, jpeg) for at_ms, jpeg in pictures)
    (header_id, header), (segment_id, segment) = elements(stream)
    assert (header_id, segment_id) == (0x1A45DFA3, 0x18538067)
    assert dict(elements(header))[0x4282] == b"matroska"
    (_, _), (_, tracks), *clusters = elements(segment)
    track = dict(elements(dict(elements(tracks))[0xAE]))
    size = {name: int.from_bytes(value) for name, value in elements(track[0xE0])}
    assert (track[0x86], size[0xB0], size[0xBA]) == (b"V_MJPEG", width, height)
    read = []
    for cluster_id, cluster in clusters:
        inner = dict(elements(cluster))
        assert cluster_id == 0x1F43B675
        assert inner[0xA3][:4] == bytes((0x81, 0, 0, 0x80))
        read.append((int.from_bytes(inner[0xE7]), inner[0xA3][4:]))
    assert read == pictures


def test_recording_names_file_as_a_file_whatever_its_name() -> None:
    command = record_command(
        Path("-y:rtmp.mkv"), title="robot-01", camera_id="front", overwrite=False
    )
    assert command[-1] == "file:-y:rtmp.mkv"
    assert "-n" in command
    assert "-y" not in command


@given(st.lists(st.text(max_size=MAX_ID_BYTES), min_size=1, max_size=8, unique=True))
@example(["front", "FRONT", "front-2"])
@example(["front-3", "FRONT", "front"])
@example(["x" * 200, "x" * 201])
@example(["..", "../../etc", "/", ""])
def test_recording_gives_each_camera_a_file_of_its_own_in_one_folder(cameras: list[str]) -> None:
    paths = record_paths(Path("videos/out.mkv"), cameras)
    assert list(paths) == cameras
    assert len({str(path).casefold() for path in paths.values()}) == len(cameras)
    assert {path.parent for path in paths.values()} == {Path("videos")}
    assert {path.suffix for path in paths.values()} == {".mkv"}
    assert all(len(path.name) <= 255 for path in paths.values())
    if len(cameras) == 1:
        assert list(paths.values()) == [Path("videos/out.mkv")]


# ── real files ───────────────────────────────────────────────────────────────────────────────


def frame(number: int, camera_id: str = "front", fps: int = 15) -> VideoFrame:
    return VideoFrame(
        source_id="robot-01",
        camera_id=camera_id,
        jpeg=make_pattern(number, 160, 120, label=camera_id),
        width=160,
        height=120,
        timestamp=NOW_MS + number * 1000 // fps,
    )


async def record(
    out: Path, frames: Iterable[VideoFrame], *, overwrite: bool = False, stays: bool = False
) -> list[str]:
    """Record *frames* in *out*, and return what is said; where it *stays*, only an error ends it."""
    said: list[str] = []
    with trio.fail_after(PATIENCE_S):
        async with open_video_recorder(
            out, ["front"], title="robot-01", overwrite=overwrite, say=said.append
        ) as recorder:
            for each in frames:
                await recorder.take(each)
            if stays:
                await trio.sleep_forever()
    return said


async def probe(path: Path) -> tuple[int, float]:
    """Return how many pictures ffprobe decodes in *path*, and how many seconds it lasts (one picture: none)."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-of", "json"]
    command += ["-show_entries", "stream=nb_read_frames:format=duration", str(path)]
    result = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert result.stderr == b""
    found = json.loads(result.stdout)
    [stream] = found["streams"]
    return int(stream["nb_read_frames"]), float(found["format"].get("duration", 0))


async def pictures_in(path: Path) -> list[bytes]:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", "-f", "image2pipe", "-"]
    result = await trio.run_process(command, capture_stdout=True)
    return JpegSplitter(2**30).feed(bytes(result.stdout))


@real_ffmpeg
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
async def test_recording_plays_every_picture_untouched_at_its_time(
    tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    frames = [frame(number) for number in range(30)]  # two seconds, which arrive in a moment
    [line] = await record(out, frames)
    count, duration_s = await probe(out)
    assert count == 30
    assert duration_s == pytest.approx(2.0, abs=0.1)
    assert await pictures_in(out) == [each.jpeg for each in frames]
    assert line.startswith(f"Recorded {out}: 30 pictures, 1.9 s, ")


@real_ffmpeg
async def test_recording_gives_several_cameras_a_file_each_and_none_where_no_picture_came(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    cameras = ["front", "rear/1", "nobody"]
    with trio.fail_after(PATIENCE_S):
        async with open_video_recorder(
            tmp_path / "out.mkv", cameras, title="robot-01", say=said.append
        ) as recorder:
            for number in range(12):
                await recorder.take(frame(number, "front"))
                if number % 2:
                    await recorder.take(frame(number, "rear/1"))
            assert recorder.status() == "recording out-front.mkv and 2 more"
        assert sorted(os.listdir(tmp_path)) == ["out-front.mkv", "out-rear%2F1.mkv"]
        assert (await probe(tmp_path / "out-front.mkv"))[0] == 12
        assert (await probe(tmp_path / "out-rear%2F1.mkv"))[0] == 6
    assert said[2] == f"No picture came for {tmp_path / 'out-nobody.mkv'}."


@real_ffmpeg
@pytest.mark.parametrize("ends", ["raises", "is cancelled"])
async def test_recording_is_finished_however_its_body_ends(tmp_path: Path, ends: str) -> None:
    out = tmp_path / "out.mkv"
    with trio.fail_after(PATIENCE_S):
        try:
            with trio.CancelScope() as scope:
                async with open_video_recorder(
                    out, ["front"], title="robot-01", say=lambda line: None
                ) as recorder:
                    for number in range(10):
                        await recorder.take(frame(number))
                    if ends == "raises":
                        raise ZeroDivisionError
                    scope.cancel()
                    await trio.sleep_forever()
        except ZeroDivisionError:
            pass
        assert scope.cancelled_caught == (ends == "is cancelled")
        assert (await probe(out))[0] == 10


@real_ffmpeg
async def test_recording_writes_over_a_file_only_where_told(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"precious")
    with pytest.raises(SinkError, match="exists"):
        await record(out, [frame(1)])
    assert out.read_bytes() == b"precious"
    await record(out, [frame(1)], overwrite=True)
    assert (await probe(out))[0] == 1


@real_ffmpeg
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
async def test_recording_says_what_ffmpeg_said_where_disk_is_full(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.symlink_to("/dev/full")
    with pytest.raises(FfmpegError, match="No space left on device"):
        await record(out, [frame(number) for number in range(10)], overwrite=True)


@posix
async def test_recording_that_is_not_whole_is_no_success_where_user_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = "open(sys.argv[-1].removeprefix('file:'), 'wb').write(sys.stdin.buffer.read()[:500])"
    stand_in(tmp_path, monkeypatch, half)
    out = tmp_path / "out.mkv"
    said: list[str] = []

    async def stopped() -> None:
        with trio.fail_after(PATIENCE_S), trio.CancelScope() as scope:
            async with open_video_recorder(
                out, ["front"], title="robot-01", say=said.append
            ) as recorder:
                await recorder.take(frame(1))
                scope.cancel()
                await trio.sleep_forever()

    with pytest.raises(FfmpegError, match="not complete"):
        await stopped()
    assert said == [f"{out} is not complete."]


@real_ffmpeg
async def test_recording_says_what_ffmpeg_said_at_once_where_format_is_unknown(
    tmp_path: Path,
) -> None:
    with pytest.raises(FfmpegError, match="suitable output format"):
        await record(tmp_path / "out.nonsense", [frame(1)], stays=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out", "call it out.mkv"),
        ("nowhere/out.mkv", "no folder"),
        ("x" * 300 + ".mkv", "too long"),
    ],
)
async def test_recording_is_refused_before_it_begins_where_name_is_none(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "sys.exit('started')")
    with pytest.raises(SinkError, match=said):
        await record(Path(name), [])


async def test_recording_raises_ffmpeg_error_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FfmpegError, match="not installed"):
        await record(tmp_path / "out.mkv", [])


# ── a disk that is slow, an ffmpeg that hangs: a stand-in ────────────────────────────────────


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Put a program called ffmpeg, written in Python, first on the PATH."""
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)


@posix
async def test_recording_drops_and_counts_pictures_where_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = "open(sys.argv[-1].removeprefix('file:'), 'wb').write(sys.stdin.buffer.read())"
    stand_in(tmp_path, monkeypatch, copy)
    large = b"\xff\xd8" + bytes(MAX_WAITING_BYTES // 16)
    picture = VideoFrame(camera_id="front", jpeg=large, width=1, height=1, timestamp=0)
    said: list[str] = []
    with trio.fail_after(PATIENCE_S):
        async with open_video_recorder(
            tmp_path / "out.mkv", ["front"], title="robot-01", say=said.append
        ) as recorder:
            for _ in range(40):  # without a turn in between for whoever writes
                await recorder.take(picture)
            assert recorder.status().endswith("24 dropped: the disk is slow")
    assert "16 pictures" in said[0]
    assert "24 dropped because the disk was slow" in said[0]


@posix
async def test_recording_ends_in_bounded_time_and_leaves_no_process_where_ffmpeg_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_video_recorder, "FINISH_S", 0.2)
    note = tmp_path / "pid"
    os.mkfifo(note)
    tells = f"open({str(note)!r}, 'w').write(str(os.getpid()))"
    stand_in(tmp_path, monkeypatch, f"{tells}; signal.pause()")
    process_ids = []

    async def leaves_while_it_runs() -> None:
        with trio.fail_after(PATIENCE_S):
            async with open_video_recorder(
                tmp_path / "out.mkv", ["front"], title="robot-01", say=lambda line: None
            ) as recorder:
                await recorder.take(frame(1))
                process_ids.append(int(await trio.to_thread.run_sync(note.read_text)))

    with pytest.raises(FfmpegError, match="did not complete"):
        await leaves_while_it_runs()
    with pytest.raises(ProcessLookupError):
        os.kill(process_ids[0], 0)


@posix
async def test_recording_cancels_its_body_and_says_what_ffmpeg_said_where_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "print('the muxer is on fire', file=sys.stderr); sys.exit(3)")
    with pytest.raises(FfmpegError, match="muxer is on fire"):
        await record(tmp_path / "out.mkv", [frame(1)], stays=True)


@posix
async def test_recording_is_not_called_whole_where_ffmpeg_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "")
    with pytest.raises(FfmpegError, match="ended before"):
        await record(tmp_path / "out.mkv", [frame(1)], stays=True)
