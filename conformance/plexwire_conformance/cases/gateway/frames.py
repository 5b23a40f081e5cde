"""How frames travel: unaltered, exact, in order, once, live, to everybody who asked."""

import trio

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.roles import RawDevice, RawViewer

_PACED = 10
_WANTED = 8


async def _paced(stage: Stage, viewer: RawViewer, device: RawDevice) -> tuple[int, int]:
    """Publish ten frames, each once the one before it came or its time was up.

    Returns how many came in time, and how many at all.
    """
    in_time = 0
    published = []
    for _ in range(_PACED):
        sent = await device.publish("front", size=400)
        published.append(sent)
        in_time += await viewer.sees(sent, stage.tolerances.frame) is not None
        if viewer.peer.ending is not None:
            break
    frames = viewer.frames()
    return in_time, sum(any(map(sent.is_in, frames)) for sent in published)


def _is_unreadable(entry: Entry) -> bool:
    return entry.way is Way.RECEIVED and (
        entry.kind is Kind.GARBAGE or (entry.kind in (Kind.TEXT, Kind.BINARY) and not entry.body)
    )


@case(
    "frames.relayed",
    "PW-FRAME-9",
    "PW-FRAME-1",
    "PW-FRAME-8",
    "PW-BIN-1",
    needs=(Need.PUBLISHER,),
)
async def frames_relayed(stage: Stage, trial: Trial) -> None:
    """At least 8 of 10 unhurried frames reach a viewer that reads."""
    device = await stage.open_source(stage.source())
    viewer = await stage.open_viewer(device.source_id)
    in_time, came = await _paced(stage, viewer, device)
    if in_time >= _WANTED:
        return
    if any(map(_is_unreadable, viewer.peer.entries)):
        raise Inconclusive("what came can't be read")
    if came:
        actual = f"{in_time} came within {stage.tolerances.frame:.2g} s, {came} at all"
        trial.find("PW-FRAME-9", f"at least {_WANTED} of {_PACED} frames as they arrive", actual)
    else:
        trial.find("PW-BIN-1", "binary frames are relayed", f"none of {_PACED} came")


@case("frames.unaltered", "PW-FRAME-2", "PW-FRAME-11", needs=(Need.PUBLISHER,))
async def frames_unaltered(stage: Stage, trial: Trial) -> None:
    """Pictures of many sizes arrive to the byte, as padded standard base64."""
    device, viewer = await stage.open_stream(stage.source())
    # Three sizes in a row need three different paddings of base64.
    for size in (300, 301, 302, 4096, 65_535, 65_536, 200_000):
        sent = await device.publish("front", size=size)
        await viewer.sees(sent, stage.tolerances.frame)


@case("frames.metadata", "PW-FRAME-3", "PW-FRAME-4", needs=(Need.PUBLISHER,))
async def frames_metadata(stage: Stage, trial: Trial) -> None:
    """Width, height and time stamp arrive exactly, ordinary and odd ones."""
    device, viewer = await stage.open_stream(stage.source())
    for width, height, timestamp in (
        (1, 1, 1_746_969_660_001),
        (641, 479, 1_746_969_660_999),
        (7680, 4320, 1_000_000_000_000),
        (65_537, 3, 4_102_444_800_123),
        (480, 640, 1),
    ):
        sent = await device.publish("front", width=width, height=height, timestamp=timestamp)
        await viewer.sees(sent, stage.tolerances.frame)


@case("frames.in-order", "PW-FRAME-5", "PW-FRAME-6", needs=(Need.PUBLISHER,))
async def frames_in_order(stage: Stage, trial: Trial) -> None:
    """Of forty frames sent as fast as they go, those that arrive do so in order, each once."""
    device, viewer = await stage.open_stream(stage.source(), ("front", "rear"))
    for number in range(40):
        await device.publish("rear" if number % 4 == 3 else "front", size=1000 + number)
    await stage.must_see(viewer, device)


@case("frames.no-replay", "PW-FRAME-7", needs=(Need.PUBLISHER,), connections=3)
async def frames_no_replay(stage: Stage, trial: Trial) -> None:
    """A viewer that comes later gets no frame from before."""
    device, early = await stage.open_stream(stage.source())
    for _ in range(3):
        await stage.must_see(early, device)
    await trio.sleep(stage.tolerances.silence)
    late = await stage.open_viewer(device.source_id, name="late viewer")
    await late.peer.until(lambda entry: entry.type == "video_frame", stage.tolerances.silence)
    await stage.must_see(late, device)


@case("frames.several-viewers", "PW-FRAME-10", needs=(Need.PUBLISHER,), connections=5)
async def frames_several_viewers(stage: Stage, trial: Trial) -> None:
    """Three viewers of one camera get its frames alike."""
    device, first = await stage.open_stream(stage.source())
    viewers = [first, *[await stage.open_viewer(device.source_id) for _ in range(2)]]
    for viewer in viewers:
        if await stage.see(viewer, device) is None:
            actual = f"{viewer.peer.name} sees none ({viewer.peer.state})"
            trial.find("PW-FRAME-10", "frames for each of three viewers", actual)


@case("frames.goes-on", "PW-FRAME-10", "PW-ROB-3", needs=(Need.PUBLISHER,), connections=4)
async def frames_goes_on(stage: Stage, trial: Trial) -> None:
    """When one viewer of a camera leaves, the others go on."""
    device, staying = await stage.open_stream(stage.source())
    leaving = await stage.open_viewer(device.source_id, name="leaving viewer")
    vanishing = await stage.open_viewer(device.source_id, name="vanishing viewer")
    await stage.must_see(leaving, device)
    await leaving.peer.close()
    await leaving.peer.until_ended(stage.tolerances.immediate)
    # Whatever a gateway does when somebody leaves, it has done by then.
    await trio.sleep(stage.tolerances.silence)
    if await stage.see(staying, device) is None:
        actual = f"none ({staying.peer.state})"
        trial.find("PW-FRAME-10", "frames after another viewer left", actual)
        return
    await vanishing.peer.vanish()
    await trio.sleep(stage.tolerances.silence)
    if await stage.see(staying, device) is None:
        actual = f"none ({staying.peer.state})"
        trial.find("PW-ROB-3", "frames after another viewer vanished", actual)
