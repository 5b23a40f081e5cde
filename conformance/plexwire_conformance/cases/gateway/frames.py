"""How frames travel: unaltered, exact, in order, once, live, to everybody who asked."""

from typing import Any

import trio

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame, binary_frame

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
    "At least 8 of 10 unhurried frames reach a viewer that reads.",
    "PW-FRAME-9",
    "PW-FRAME-1",
    "PW-FRAME-8",
    "PW-BIN-1",
    needs=(Need.PUBLISHER,),
)
async def frames_relayed(stage: Stage, trial: Trial) -> None:
    device = await stage.open_source(stage.source())
    viewer = await stage.open_viewer(device.source_id)
    in_time, came = await _paced(stage, viewer, device)
    if in_time >= _WANTED:
        return
    if any(map(_is_unreadable, viewer.peer.entries)):
        trial.inconclusive("what came can't be read", "PW-CONN-6", "PW-FRAME-1")
    if came:
        trial.find(
            "PW-FRAME-9/too-few",
            {"wanted": _WANTED, "of": _PACED, "within": stage.tolerances.frame},
            {"in_time": in_time, "came": came},
        )
    else:
        trial.find_and_stop("PW-BIN-1/not-relayed", {}, {"of": _PACED})


async def _must_cross(
    stage: Stage, trial: Trial, viewer: RawViewer, device: RawDevice, what: str, **options: Any
) -> None:
    """Judge that a frame which is odd in one thing crosses; single frames may be dropped."""
    for _ in range(TRIES):
        sent = await device.publish("front", **options)
        if await viewer.sees(sent, stage.tolerances.frame) is not None:
            return
        if viewer.peer.ending is not None or device.peer.ending is not None:
            break
    # An ordinary frame still crosses, so it is the oddity that does not.
    await stage.must_see(viewer, device)
    observed = {"tries": TRIES, "ending": device.peer.outcome()}
    trial.find("PW-FRAME-9/odd-frame-dropped", {"what": what}, observed)


@case(
    "frames.unaltered",
    "Pictures of many sizes arrive to the byte, as padded standard base64.",
    "PW-FRAME-2",
    "PW-FRAME-9",
    "PW-FRAME-11",
    needs=(Need.PUBLISHER,),
)
async def frames_unaltered(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    # Three sizes in a row need three different paddings of base64.
    for size in (300, 301, 302, 4096, 65_535, 65_536, 200_000):
        what = f"a JPEG of {size} bytes"
        await _must_cross(stage, trial, viewer, device, what, size=size)


@case(
    "frames.metadata",
    "Width, height and time stamp arrive exactly, ordinary and odd ones.",
    "PW-FRAME-3",
    "PW-FRAME-4",
    "PW-FRAME-9",
    needs=(Need.PUBLISHER,),
)
async def frames_metadata(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for width, height, timestamp in (
        (1, 1, 1_746_969_660_001),
        (641, 479, 1_746_969_660_999),
        (7680, 4320, 1_000_000_000_000),
        (65_537, 3, 4_102_444_800_123),
        (480, 640, 1),
    ):
        what = f"{width} × {height} pixels and the timestamp {timestamp}"
        await _must_cross(
            stage, trial, viewer, device, what, width=width, height=height, timestamp=timestamp
        )


@case(
    "frames.in-order",
    "Of forty frames sent as fast as they go, those that arrive do so in order, each once.",
    "PW-FRAME-5",
    "PW-FRAME-6",
    needs=(Need.PUBLISHER,),
)
async def frames_in_order(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source(), ("front", "rear"))
    for number in range(40):
        await device.publish("rear" if number % 4 == 3 else "front", size=1000 + number)
    await stage.must_see(viewer, device)


@case(
    "frames.no-replay",
    "A viewer that comes later gets no frame from before.",
    "PW-FRAME-7",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def frames_no_replay(stage: Stage, trial: Trial) -> None:
    device, early = await stage.open_stream(stage.source())
    for _ in range(3):
        await stage.must_see(early, device)
    await trio.sleep(stage.tolerances.silence)
    late = await stage.open_viewer(device.source_id, name="late viewer")
    await late.peer.until(lambda entry: entry.type == "video_frame", stage.tolerances.silence)
    await stage.must_see(late, device)


@case(
    "frames.several-viewers",
    "Three viewers of one camera get its frames alike.",
    "PW-FRAME-10",
    needs=(Need.PUBLISHER,),
    connections=5,
)
async def frames_several_viewers(stage: Stage, trial: Trial) -> None:
    device, first = await stage.open_stream(stage.source())
    viewers = [first, *[await stage.open_viewer(device.source_id) for _ in range(2)]]
    for viewer in viewers:
        if await stage.see(viewer, device) is None:
            trial.find(
                "PW-FRAME-10/one-of-several",
                {"viewers": len(viewers)},
                {
                    "connection": viewer.peer.name,
                    "tries": TRIES,
                    "ending": viewer.peer.outcome(),
                },
            )


#: Cameras whose frames go out in one write.
_TOGETHER = ("front", "left", "rear")


@case(
    "frames.together",
    "Frames of several cameras that arrive in one segment all reach a viewer of these cameras.",
    "PW-FRAME-9",
    needs=(Need.PUBLISHER,),
)
async def frames_together(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source(), _TOGETHER)
    missing = set(_TOGETHER)
    for _ in range(TRIES):
        together = [device.make(camera) for camera in _TOGETHER]
        device.sent += together
        await device.peer.send_together([binary_frame(one, device.source_id) for one in together])
        # Cameras may take turns in any order, and one that is held back until a next frame comes is not lost.
        await viewer.sees(together[-1], stage.tolerances.frame)
        for camera in _TOGETHER:
            await stage.see(viewer, device, camera, tries=1)
        await viewer.peer.until_ended(stage.tolerances.silence)
        came = viewer.frames()
        missing &= {sent.camera_id for sent in together if not any(map(sent.is_in, came))}
        if not missing:
            return
    observed = {"missing": sorted(missing), "tries": TRIES}
    trial.find("PW-FRAME-9/lost-together", {"cameras": list(_TOGETHER)}, observed)


@case(
    "frames.goes-on",
    "When one viewer of a camera leaves, the others go on.",
    "PW-FRAME-10",
    "PW-ROB-3",
    needs=(Need.PUBLISHER,),
    connections=4,
)
async def frames_goes_on(stage: Stage, trial: Trial) -> None:
    device, staying = await stage.open_stream(stage.source())
    leaving = await stage.open_viewer(device.source_id, name="leaving viewer")
    vanishing = await stage.open_viewer(device.source_id, name="vanishing viewer")
    await stage.must_see(leaving, device)
    await leaving.peer.close()
    await leaving.peer.until_ended(stage.tolerances.immediate)
    # Whatever a gateway does when somebody leaves, it has done by then.
    await trio.sleep(stage.tolerances.silence)
    if await stage.see(staying, device) is None:
        observed = {"tries": TRIES, "ending": staying.peer.outcome()}
        trial.find_and_stop("PW-FRAME-10/after-another-left", {}, observed)
    await vanishing.peer.vanish()
    await trio.sleep(stage.tolerances.silence)
    if await stage.see(staying, device) is None:
        observed = {"tries": TRIES, "ending": staying.peer.outcome()}
        stimulus = {"stimulus": "another viewer vanished"}
        trial.find("PW-ROB-3/other-stream-disturbed", stimulus, observed)


#: Viewers that come one after the other, and frames that are published right after the init of each, at least.
_NEWCOMERS = 10
_AT_FIRST = 6
#: Frames that a new viewer loses right after its init, while another viewer gets them, by no chance …
_LOST = 2
#: … if this many of the newcomers lose them: a busy machine can hide the loss from a few, and cause it for a few.
_LOSERS = 4


async def _missing_at_first(
    stage: Stage, device: RawDevice, watching: RawViewer, viewer: RawViewer
) -> int:
    """Return how many frames *viewer*, which just got its `init`, did not get while *watching* got them.

    Raises:
        Inconclusive: no frame reaches it at all.
    """
    sent: list[SentFrame] = []
    until = stage.now() + TRIES * stage.tolerances.frame
    while len(sent) < _AT_FIRST or not viewer.frames():
        sent.append(await stage.must_see(watching, device))
        if stage.now() > until or viewer.peer.ending is not None:
            await stage.must_see(viewer, device)
    frames = viewer.frames()
    arrived = (number for number, each in enumerate(sent) if any(map(each.is_in, frames)))
    return next(arrived, len(sent))


@case(
    "frames.after-init",
    "A viewer gets the frames that arrive right after its init, on a camera that others watch already.",
    "PW-FRAME-9",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def frames_after_init(stage: Stage, trial: Trial) -> None:
    device, watching = await stage.open_stream(stage.source())
    await trio.sleep(stage.tolerances.silence)
    came: list[int] = []
    lost: list[int] = []
    while len(lost) < _LOSERS and len(came) <= _NEWCOMERS - _LOSERS:
        viewer = await stage.open_viewer(device.source_id, name="new viewer")
        missing = await _missing_at_first(stage, device, watching, viewer)
        (lost if missing >= _LOST else came).append(missing)
        await viewer.peer.close()
    if len(lost) >= _LOSERS:
        observed = {"lost_in": len(lost), "connections": len(lost + came), "least": min(lost)}
        trial.find("PW-FRAME-9/lost-after-init", {}, observed)
