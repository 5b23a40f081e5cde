"""What `init` says, and when."""

from contextlib import suppress

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice, RawViewer, listed_cameras


@case("init.at-once", "PW-INIT-1", "PW-INIT-2", "PW-INIT-4")
async def init_at_once(stage: Stage, trial: Trial) -> None:
    """The auth is answered at once by one init."""
    viewer = await stage.connect_viewer()
    at = await viewer.authenticate(stage.target.keys.api_key)
    # Longer than at once: an init that comes late is a finding with a margin, none at all another.
    init = await viewer.await_init(stage.tolerances.immediate + 3.0)
    if init is None:
        if viewer.peer.ending is not None:
            raise Inconclusive(f"the auth was refused ({viewer.peer.state})")
        trial.find("PW-INIT-1", "one init", "none")
        return
    if (late := init.at - at - stage.tolerances.immediate - stage.slack(at)) > 0:
        expected = f"init within {stage.tolerances.immediate:.2g} s of the auth"
        trial.find("PW-INIT-2", expected, f"after {init.at - at:.2f} s", margin_s=late)
    await viewer.peer.until(lambda entry: entry.type == "init", stage.tolerances.silence)


@case("init.before-frames", "PW-INIT-1", "PW-INIT-3", needs=(Need.PUBLISHER,), connections=6)
async def init_before_frames(stage: Stage, trial: Trial) -> None:
    """On a camera that sends all the time, init still comes first, and once."""
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
                trial.find("PW-INIT-3", "init before any frame", "a video_frame first")
            await viewer.peer.next(stage.tolerances.immediate)
        nursery.cancel_scope.cancel()
    await watching.peer.close()


@case(
    "init.lists-online",
    "PW-INIT-5",
    "PW-INIT-6",
    "PW-INIT-8",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def init_lists_online(stage: Stage, trial: Trial) -> None:
    """Init lists the cameras that send, and none that never did."""
    source = stage.source()
    device, watching = await stage.open_stream(source, ("front", "side"))
    viewer = await _viewer_of(stage, device)
    trial.must_read_inits()
    listed = viewer.listed(source)
    if "front" not in listed:
        actual = f"it lists {list(listed)} of {source}"
        trial.find("PW-INIT-5", "'front', which sends and was asked for, is listed", actual)
    if "rear" in listed:
        trial.find("PW-INIT-6", "'rear', which never sent, is not listed", "it is")
    if invented := sorted(set(listed) - {"front", "side", "rear"}):
        trial.find("PW-INIT-6", "only cameras that exist", f"it lists {invented}")
    more = "with the cameras not asked for" if "side" in listed else "with those asked for alone"
    sources = (viewer.init.body or {}).get("online_sources") if viewer.init else None
    others = isinstance(sources, list) and len(sources) > 1
    trial.chose("PW-INIT-8", f"{'all sources' if others else 'the one source'}, {more}")
    await stage.must_see(watching, device)


async def _viewer_of(stage: Stage, device: RawDevice) -> RawViewer:
    """Open a viewer of a camera that sends and of one that never did, or of the first alone.  [PW-ADDR-12]"""
    # A camera may have to send to stay online.  [PW-INIT-10]
    await stage.announce(device, "front")
    with suppress(Inconclusive, HandshakeFailed):
        return await stage.open_viewer(device.source_id, ("front", "rear"))
    await stage.announce(device, "front")
    return await stage.open_viewer(device.source_id, ("front",))


@case("init.nothing-online", "PW-INIT-6", "PW-INIT-9", "PW-ADDR-12")
async def init_nothing_online(stage: Stage, trial: Trial) -> None:
    """What a viewer of a source that nobody has seen is told."""
    source = stage.source()
    try:
        viewer = await stage.connect_viewer(source)
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-12", f"an unseen source is refused: {error.problem}")
        return
    init = await stage.authenticate(viewer)
    if init is None:
        trial.chose("PW-ADDR-12", f"an unseen source is refused: {viewer.peer.state}")
        return
    trial.chose("PW-ADDR-12", "an unseen source is accepted")
    if listed := viewer.listed(source):
        trial.find("PW-INIT-6", "no camera of a source that never sent", f"it lists {listed}")
    empty = (init.body or {}).get("online_sources") == []
    trial.chose("PW-INIT-9", "an empty list" if empty else "a list with entries")


@case("init.after-leaving", "PW-INIT-7", needs=(Need.PUBLISHER,), connections=8)
async def init_after_leaving(stage: Stage, trial: Trial) -> None:
    """A camera whose device has closed its connection leaves the list within five seconds."""
    source = stage.source()
    device, viewer = await stage.open_stream(source)
    seen = await _viewer_of(stage, device)
    if "front" not in seen.listed(source):
        raise Inconclusive("init does not list the camera while it sends")
    if "rear" in seen.listed(source):
        raise Inconclusive("init lists a camera that never sent")
    await device.peer.close()
    await viewer.peer.close()
    deadline = stage.now() + 5.0
    wait = 0.1
    while stage.now() < deadline:
        if "front" not in await _listed_later(stage, source):
            return
        await trio.sleep(wait)
        wait *= 2
    trial.find("PW-INIT-7", "not listed once its device has left", "listed 5 s later")


async def _listed_later(stage: Stage, source: str) -> tuple[str, ...]:
    """Return what a new viewer of *source* is told; nothing where it is refused, as nobody is online."""
    try:
        later = await stage.connect_viewer(source)
    except HandshakeFailed:
        return ()
    await stage.authenticate(later)
    await later.peer.close()
    return later.listed(source)


@case("init.announced-camera", "PW-INIT-10", needs=(Need.PUBLISHER,), connections=3)
async def init_announced_camera(stage: Stage, trial: Trial) -> None:
    """Whether a camera counts as online that its device announced and that never sent."""
    source = stage.source()
    await stage.open_device(source, more={"cameras": ["front"]})
    try:
        viewer = await stage.open_viewer(source)
    except (Inconclusive, HandshakeFailed):
        trial.chose("PW-INIT-10", "an announced camera is not there yet: its viewer is refused")
        return
    listed = "front" in listed_cameras(viewer.init, source)
    trial.chose("PW-INIT-10", f"an announced camera is {'listed' if listed else 'not listed'}")
