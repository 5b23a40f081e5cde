"""Trials of `stream_camera`."""

from itertools import pairwise

import trio

from cameras import http_camera, rtsp_camera
from judging import PATIENCE_S, Raised, Unlike, expect
from pictures import CAMERA_PICTURES, FILE_PICTURES, Pictures
from plexwire_client.pattern import read_counter
from stage import Stage, Watch
from trials import YES, trial


@trial("file")
async def stream_file(stage: Stage, pictures: Pictures) -> str:
    """`stream_camera` with a file: pictures arrive in order, to its end"""
    async with stage.watching("file") as watch:
        await stage.device.do("stream", camera="file", url=str(pictures.video))
        first = await watch.next()
        frames = [first, *await watch.until_silent(1)]
        await stage.device.wait_without_ffmpeg()
        await stage.device.do("stop", camera="file")
    counters = [read_counter(frame.jpeg) for frame in frames]
    expect(counters == sorted(set(counters)), f"they came as {counters}")
    stage.measured[f"frames of the file's {FILE_PICTURES}"] = len(counters)
    return YES


@trial("stop")
async def stop_http_camera(stage: Stage, pictures: Pictures) -> str:
    """`stream_camera` with an HTTP camera, and its stop: no ffmpeg left, no frame after"""
    async with http_camera(pictures) as url:
        await _watch_and_stop(stage, url)
    return YES


@trial("rtsp", slow=True)
async def stop_rtsp_camera(stage: Stage, pictures: Pictures) -> str:
    """`stream_camera` with a live RTSP camera, and its stop likewise"""
    async with rtsp_camera(pictures) as url:
        await _watch_and_stop(stage, url, watched_s=10)
    return YES


async def _watch_and_stop(stage: Stage, url: str, *, watched_s: float = 0) -> None:
    asked = trio.current_time()
    async with stage.watching("live") as watch:
        await stage.device.do("stream", camera="live", url=url)
        frames = [await watch.next()]
        stage.measured[f"first frame of {url.partition(':')[0]}"] = trio.current_time() - asked
        before = stage.notes.heard["binary frame"]
        frames += await watch.until(watched_s)
        if watched_s:
            rate = (stage.notes.heard["binary frame"] - before) / watched_s
            stage.measured["pictures a second of a camera's 15"] = rate
        frames += await watch.take(5)
        expect(stage.device.has_ffmpeg(), "no ffmpeg was seen")
        stopped = trio.current_time()
        await stage.device.do("stop", camera="live")
        await stage.device.wait_without_ffmpeg()
        stage.measured[f"stop of {url.partition(':')[0]}"] = trio.current_time() - stopped
        await _expect_silence(watch)
    counters = [read_counter(frame.jpeg) for frame in frames]
    steps = [(after - before) % CAMERA_PICTURES for before, after in pairwise(counters)]
    expect(all(0 < step < CAMERA_PICTURES // 2 for step in steps), f"they came as {counters}")


async def _expect_silence(watch: Watch) -> None:
    with trio.move_on_after(5):
        await watch.until_silent(1)  # what was on its way
        return
    raise Unlike("frames went on coming")


@trial("stall", slow=True)
async def stop_silent_camera(stage: Stage, pictures: Pictures) -> str:
    """It stops while the camera is silent"""
    async with http_camera(pictures, shows=range(CAMERA_PICTURES)) as url:
        async with stage.watching("stall") as watch:
            await stage.device.do("stream", camera="stall", url=url)
            await watch.next()
            await watch.until_silent(2)
            await stage.device.do("stop", camera="stall")
        await trio.sleep(3)
        cell = "no: ffmpeg stays until the camera goes" if stage.device.has_ffmpeg() else YES
    await stage.device.wait_without_ffmpeg()
    return cell


@trial("no-file")
async def stream_nothing(stage: Stage, pictures: Pictures) -> str:
    """`stream_camera` with a file that is not there raises an error"""
    said = stage.device.said()
    async with stage.watching("no-file") as watch:
        await stage.device.do("stream", camera="no-file", url=str(pictures.folder / "none.mp4"))
        expect(not await watch.until_silent(0.5), "something came")
        await stage.device.wait_without_ffmpeg()
        await stage.device.do("stop", camera="no-file")
    return "no: nothing comes, nothing is said" if stage.device.said() == said else YES


@trial("no-ffmpeg")
async def stream_without_ffmpeg(stage: Stage, pictures: Pictures) -> str:
    """`stream_camera` without ffmpeg on the PATH raises an error"""
    try:
        await stage.device.do("stream_without_ffmpeg", camera="file", url=str(pictures.video))
    except Raised as error:
        expect("ffmpeg" in str(error).lower(), f"it says {error}")
        return f"`{error.kind}`"
    raise Unlike(f"no word of it within {PATIENCE_S:g} s")
