"""What `init` says, and when."""

from contextlib import suppress

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import VIEWER_OPENS, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice, RawViewer, listed_cameras, listed_sources


@case(
    "init.at-once",
    "The auth is answered at once by one init.",
    "PW-INIT-1",
    "PW-INIT-2",
    "PW-INIT-4",
)
async def init_at_once(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer()
    at = await viewer.authenticate(stage.target.keys.api_key)
    # Longer than at once: an init that comes late is a finding with a margin, none at all another.
    init = await viewer.await_init(stage.tolerances.immediate + 3.0)
    if init is None:
        if viewer.peer.ending is not None:
            trial.inconclusive(f"the auth was refused ({viewer.peer.state})", *VIEWER_OPENS)
        trial.find_and_stop(
            "PW-INIT-1/no-init",
            {},
            {"within": stage.tolerances.immediate + 3.0, "ending": viewer.peer.outcome()},
        )
    if (late := init.at - at - stage.tolerances.immediate - stage.slack(at)) > 0:
        trial.find(
            "PW-INIT-2/init-late",
            {"within": stage.tolerances.immediate},
            {"after": round(init.at - at, 3)},
            margin_s=late,
        )
    await viewer.peer.until(lambda entry: entry.type == "init", stage.tolerances.silence)


@case(
    "init.before-frames",
    "On a camera that sends all the time, init still comes first, and once.",
    "PW-INIT-1",
    "PW-INIT-3",
    needs=(Need.PUBLISHER,),
    connections=6,
)
async def init_before_frames(stage: Stage, trial: Trial) -> None:
    device, watching = await stage.open_stream(stage.source())

    async def keep_sending() -> None:
        while True:
            await device.publish("front")
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_sending)
        for _ in range(4):
            viewer = await stage.connect_viewer(stage.source())
            await viewer.authenticate(stage.target.keys.api_key)
            first = await viewer.peer.next(stage.tolerances.immediate)
            if first is not None and first.type == "video_frame":
                trial.find("PW-INIT-3/frame-before-init")
            await viewer.peer.next(stage.tolerances.immediate)
        nursery.cancel_scope.cancel()
    await watching.peer.close()


@case(
    "init.lists-online",
    "Init lists the cameras that send, and none that never did.",
    "PW-INIT-5",
    "PW-INIT-6",
    "PW-INIT-8",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def init_lists_online(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, watching = await stage.open_stream(source, ("front", "side"))
    viewer = await _viewer_of(stage, device)
    listed = viewer.listed(source)
    if not viewer.has_readable_init:
        trial.inconclusive("what init lists can't be read", "PW-INIT-4")
    if "front" not in listed:
        trial.find("PW-INIT-5/online-camera-missing", {"camera": "front"}, {"listed": list(listed)})
    if "rear" in listed:
        trial.find("PW-INIT-6/silent-camera-listed", {"camera": "rear"})
    if unknown := sorted(set(listed) - {"front", "side", "rear"}):
        trial.find("PW-INIT-6/unknown-camera-listed", observed={"listed": unknown})
    trial.chose(
        "PW-INIT-8/scope-of-init",
        sources="several sources" if len(listed_sources(viewer.init)) > 1 else "one source",
        cameras="all its cameras" if "side" in listed else "only the cameras asked for",
    )
    await stage.must_see(watching, device)


async def _viewer_of(stage: Stage, device: RawDevice) -> RawViewer:
    """Open a viewer of a camera that sends and of one that never did, or of the first alone.  [PW-ADDR-12]"""
    # A camera may have to send to stay online.  [PW-INIT-10]
    await stage.announce(device, "front")
    with suppress(Inconclusive, HandshakeFailed):
        return await stage.open_viewer(device.source_id, ("front", "rear"))
    await stage.announce(device, "front")
    return await stage.open_viewer(device.source_id, ("front",))


@case(
    "init.nothing-online",
    "What a viewer of a source that nobody has seen is told.",
    "PW-INIT-6",
    "PW-INIT-9",
    "PW-ADDR-12",
)
async def init_nothing_online(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    try:
        viewer = await stage.connect_viewer(source)
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-12/unseen-source", outcome=f"refused with {error.problem}")
        trial.stop()
    init = await stage.authenticate(viewer)
    if init is None:
        trial.chose("PW-ADDR-12/unseen-source", outcome=f"refused ({viewer.peer.state})")
        trial.stop()
    trial.chose("PW-ADDR-12/unseen-source", outcome="accepted")
    if listed := viewer.listed(source):
        trial.find("PW-INIT-6/cameras-of-unseen-source", observed={"listed": list(listed)})
    match (init.body or {}).get("online_sources"):
        case []:
            outcome = "an empty list"
        case None:
            outcome = "null"
        case _:
            # The list may cover the whole organisation: what else is online comes and goes.
            names = any(name == source for name in listed_sources(init))
            outcome = f"a list {'with' if names else 'without'} the viewer's source"
    trial.chose("PW-INIT-9/nothing-online", outcome=outcome)


@case(
    "init.after-leaving",
    "A camera whose device has closed its connection leaves the list within five seconds.",
    "PW-INIT-7",
    needs=(Need.PUBLISHER,),
    connections=8,
)
async def init_after_leaving(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, viewer = await stage.open_stream(source)
    seen = await _viewer_of(stage, device)
    if "front" not in seen.listed(source):
        trial.inconclusive("init does not list the camera while it sends", "PW-INIT-5")
    if "rear" in seen.listed(source):
        trial.inconclusive("init lists a camera that never sent", "PW-INIT-6")
    await device.peer.close()
    await viewer.peer.close()
    deadline = stage.now() + 5.0
    wait = 0.1
    while stage.now() < deadline:
        if "front" not in await _listed_later(stage, source):
            return
        await trio.sleep(wait)
        wait *= 2
    trial.find("PW-INIT-7/left-camera-listed", {"seconds": 5.0}, {"camera": "front"})


async def _listed_later(stage: Stage, source: str) -> tuple[str, ...]:
    """Return what a new viewer of *source* is told; nothing where it is refused, as nobody is online."""
    try:
        later = await stage.connect_viewer(source)
    except HandshakeFailed:
        return ()
    await stage.authenticate(later)
    await later.peer.close()
    return later.listed(source)


@case(
    "init.announced-camera",
    "Whether a camera counts as online that its device announced and that never sent.",
    "PW-INIT-10",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def init_announced_camera(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    await stage.open_device(source, more={"cameras": ["front"]})
    try:
        viewer = await stage.open_viewer(source)
    except (Inconclusive, HandshakeFailed):
        trial.chose("PW-INIT-10/announced-camera", outcome="not there yet: its viewer is refused")
        return
    listed = "front" in listed_cameras(viewer.init, source)
    trial.chose("PW-INIT-10/announced-camera", outcome="listed" if listed else "not listed")
