"""Cameras that look alike, or collide when their ids are joined, and are different cameras all the same."""

from collections.abc import Iterator, Sequence
from typing import Final

from plexwire_conformance.cases.gateway.playing import in_lanes, latest_begin, leave
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice, RawViewer
from plexwire_spec import EXAMPLE_SOURCE, DistinctCameras, distinct_cameras

#: Sets that every run plays, one of each kind of mistake; a thorough one plays all.
_USUAL: Final = (
    "distinct-joined-lists-of-cameras",
    "distinct-joined-by-a-hyphen",
    "distinct-capitals",
    "distinct-normal-forms",
    "distinct-spaces-around",
    "distinct-escapes-of-addresses",
)
#: Cameras that every gateway accepts in one address.  [PW-LIM-6]
_OF_AN_ADDRESS: Final = 8


@case(
    "vectors.distinct-cameras",
    "Cameras whose ids look alike are different cameras: each viewer gets those that it asked for.",
    "PW-ADDR-2",
    "PW-ADDR-4",
    "PW-ISO-1",
    "PW-ISO-2",
    "PW-FRAME-8",
    needs=(Need.PUBLISHER,),
    takes=3.0,
    connections=18,
    least=8,
)
async def vectors_distinct_cameras(stage: Stage, trial: Trial) -> None:
    # Where not even plain frames come in time, no camera is confused with another.
    await stage.open_stream(stage.source("twin"))
    sets = [one for one in distinct_cameras().values() if stage.thorough or one.id in _USUAL]

    until = latest_begin(stage)

    async def play(number: int) -> None:
        await _play(stage, trial, sets[number], stage.source(f"d{number}"), until)

    await in_lanes(stage, range(len(sets)), max((stage.connections - 2) // 8, 1), play)


async def _play(
    stage: Stage, trial: Trial, cameras: DistinctCameras, source: str, until: float
) -> None:
    of_source: dict[str, list[str]] = {}
    for source_id, camera_id in cameras.cameras:
        if not camera_id.isprintable() and any(one < " " or one == "\x7f" for one in camera_id):
            continue  # A gateway may refuse control characters.  [PW-LIM-12]
        named = source + source_id.removeprefix(EXAMPLE_SOURCE)
        of_source.setdefault(named, []).append(camera_id)
    devices = {
        named: await stage.open_source(named, tuple(of_source[named])) for named in of_source
    }

    async def judge(viewer: tuple[str, tuple[str, ...]]) -> None:
        named, asked = viewer
        if trial.findings:
            return
        try:
            opened = await stage.open_viewer(named, asked)
        except (HandshakeFailed, Inconclusive):
            # Which addresses must be accepted, and which cameras count as seen, other cases judge.
            return
        for device in devices.values():
            for camera in of_source[device.source_id]:
                await device.publish(camera)
        await _judge(stage, trial, opened, devices[named])
        await leave(opened.peer)

    viewers = [
        (named, asked)
        for named, ids in of_source.items()
        for pair in _apart(ids)
        for asked in pair
        if asked
    ]
    await in_lanes(stage, viewers, 2, judge, until=until)
    for device in devices.values():
        await leave(device.peer)


def _apart(ids: Sequence[str]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield the cameras of two viewers, again and again, until each two of *ids* were apart at least once."""
    for bit in range(max(len(ids) - 1, 1).bit_length()):
        halves = [tuple(c for n, c in enumerate(ids) if n >> bit & 1 == half) for half in (0, 1)]
        yield halves[0][:_OF_AN_ADDRESS], halves[1][:_OF_AN_ADDRESS]


async def _judge(stage: Stage, trial: Trial, viewer: RawViewer, device: RawDevice) -> None:
    """Judge that *viewer* gets its cameras; that it gets no others is the monitor's business."""
    for camera in viewer.cameras:
        if await stage.see(viewer, device, camera) is None:
            await device.publish("a camera that nobody asked for")
            if await stage.see(viewer, device, camera) is not None:
                continue
            alone = await stage.open_viewer(viewer.source_id, (camera,))
            if "%" in alone.request_target and await stage.see(alone, device, camera) is None:
                expected = {"camera": camera, "address": alone.request_target, "tries": TRIES}
                trial.find("PW-ADDR-4/camera-not-sent", expected)
            else:
                expected = {"camera": camera, "cameras": list(viewer.cameras), "tries": TRIES}
                trial.find("PW-ADDR-2/camera-not-sent", expected, {"ending": viewer.peer.outcome()})
            await leave(alone.peer)
            return
