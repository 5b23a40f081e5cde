"""Isolation: cameras, sources, organisations."""

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.connections import FOREIGN
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import RawViewer

#: Viewers that connect while another source sends, and the seconds between two of its frames.
_NEWCOMERS = 6
_BETWEEN_FRAMES = 0.005


@case(
    "iso.sources",
    "Two sources with a camera of the same name stay apart.",
    "PW-ISO-2",
    needs=(Need.PUBLISHER,),
    connections=5,
)
async def iso_sources(stage: Stage, trial: Trial) -> None:
    one, watching_one = await stage.open_stream(stage.source("one"))
    two, watching_two = await stage.open_stream(stage.source("two"))
    # What leaked would be there before the next frame that belongs.
    for _ in range(3):
        await stage.must_see(watching_one, one)
        await stage.must_see(watching_two, two)

    async def keep_sending() -> None:
        # A camera that has no viewer: a gateway may not yet know to whom its frames go while a viewer connects.
        while True:
            await one.publish("side")
            await trio.sleep(_BETWEEN_FRAMES)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_sending)
        for _ in range(_NEWCOMERS):
            # A camera may have to send to stay online.  [PW-INIT-10]
            await stage.announce(two, "front")
            newcomer = await stage.open_viewer(two.source_id, name="new viewer of the other source")
            await newcomer.next_frame(stage.tolerances.silence / 2)
            await newcomer.peer.close()
        nursery.cancel_scope.cancel()


@case(
    "iso.cameras",
    "Viewers of two cameras of one device stay apart, however alike the names.",
    "PW-ISO-1",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def iso_cameras(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, front = await stage.open_stream(source, ("front",))
    await stage.announce(device, "front2")
    longer = await stage.open_viewer(source, ("front2",))
    for camera in ("Front", "fron", "front ", "front%20", "default", ""):
        await device.publish(camera)
    await stage.must_see(longer, device, "front2")
    await stage.must_see(front, device, "front")


@case(
    "iso.organisations",
    "A viewer of another organisation gets nothing of a source, not even its name.",
    "PW-ISO-3",
    "PW-ISO-4",
    "PW-ISO-6",
    needs=(Need.PUBLISHER, Need.FOREIGN_KEY),
    connections=6,
)
async def iso_organisations(stage: Stage, trial: Trial) -> None:
    source, other = stage.source(), stage.source("other")
    device, watching = await stage.open_stream(source)
    await stage.open_stream(other)
    stranger, at_home = await _answer(stage, source, "foreign viewer")
    nobodys, at_none = await _answer(stage, stage.source("none"), "foreign viewer of nothing")
    if at_home != at_none:
        trial.find("PW-ISO-6/foreign-source-told-apart", {"unseen": at_none}, {"answer": at_home})
    if stranger is not None:
        # Its own words may come back to the stranger: what it asked for, be it there or not.
        echoed = nobodys is not None and nobodys.listed(nobodys.source_id)
        if (listed := stranger.listed(source)) and not echoed:
            observed = {"listed": list(listed), "source": source}
            trial.find("PW-ISO-4/foreign-cameras-listed", observed=observed)
        if stranger.init is not None and other in str(dict(stranger.init.body or {})):
            trial.find("PW-ISO-4/foreign-source-listed", observed={"source": other})
    for _ in range(3):
        await stage.must_see(watching, device)
    if stranger is not None:
        await stranger.next_frame(stage.tolerances.silence)


async def _answer(stage: Stage, source: str, name: str) -> tuple[RawViewer | None, str]:
    """Open a foreign viewer of *source*; say how it is answered on that source, as what else is online comes and goes."""
    try:
        viewer = await stage.connect_viewer(source, name=name, organisation=FOREIGN)
    except HandshakeFailed as error:
        return None, error.in_short
    await viewer.authenticate(stage.target.keys.foreign_key)
    init = await viewer.await_init(stage.tolerances.immediate)
    if init is None:
        return viewer, viewer.peer.state
    named = source in str((init.body or {}).get("online_sources"))
    return viewer, f"init with {list(viewer.listed(source)) if named else 'nothing'} of it"


@case(
    "iso.foreign-device",
    "A device of another organisation that takes a source's id can't speak for it.",
    "PW-ISO-3",
    "PW-ISO-5",
    needs=(Need.PUBLISHER, Need.FOREIGN_KEY),
    connections=3,
)
async def iso_foreign_device(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, watching = await stage.open_stream(source)
    try:
        impostor = await stage.open_device(
            source,
            api_key=stage.target.keys.foreign_key,
            name="foreign device",
            organisation=FOREIGN,
        )
    except (HandshakeFailed, Inconclusive) as error:
        trial.chose("PW-ISO-5/same-source-id", outcome=f"refused ({error})")
        trial.stop()
    trial.chose("PW-ISO-5/same-source-id", outcome="accepted")
    for _ in range(3):
        await impostor.publish("front")
        await stage.must_see(watching, device)
    await watching.peer.until(lambda entry: entry.type == "video_frame", stage.tolerances.silence)
