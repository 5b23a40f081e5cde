"""Isolation: cameras, sources, organisations."""

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.trial import FOREIGN, Inconclusive, Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import Viewer


@case("iso.sources", "PW-ISO-2", needs=(Need.PUBLISHER,), connections=4)
async def iso_sources(trial: Trial) -> None:
    """Two sources with a camera of the same name stay apart."""
    one, watching_one = await trial.open_stream(trial.source("one"))
    two, watching_two = await trial.open_stream(trial.source("two"))
    # What leaked would be there before the next frame that belongs.
    for _ in range(3):
        await trial.must_see(watching_one, one)
        await trial.must_see(watching_two, two)


@case("iso.cameras", "PW-ISO-1", needs=(Need.PUBLISHER,), connections=3)
async def iso_cameras(trial: Trial) -> None:
    """Viewers of two cameras of one device stay apart, however alike the names."""
    source = trial.source()
    device, front = await trial.open_stream(source, ("front",))
    await trial.announce(device, "front2")
    longer = await trial.open_viewer(source, ("front2",))
    for camera in ("Front", "fron", "front ", "front%20", "default", ""):
        await device.publish(camera)
    await trial.must_see(longer, device, "front2")
    await trial.must_see(front, device, "front")


@case(
    "iso.organisations",
    "PW-ISO-3",
    "PW-ISO-4",
    "PW-ISO-6",
    needs=(Need.PUBLISHER, Need.FOREIGN_KEY),
    connections=6,
)
async def iso_organisations(trial: Trial) -> None:
    """A viewer of another organisation gets nothing of a source, not even its name."""
    source, other = trial.source(), trial.source("other")
    device, watching = await trial.open_stream(source)
    await trial.open_stream(other)
    stranger, at_home = await _answer(trial, source, "foreign viewer")
    nobodys, at_none = await _answer(trial, trial.source("none"), "foreign viewer of nothing")
    if at_home != at_none:
        trial.find("PW-ISO-6", f"as at a source that nobody has: {at_none}", at_home)
    if stranger is not None:
        # Its own words may come back to the stranger: what it asked for, be it there or not.
        echoed = nobodys is not None and nobodys.listed(nobodys.source_id)
        expected = "init names nothing of another organisation"
        if (listed := stranger.listed(source)) and not echoed:
            trial.find("PW-ISO-4", expected, f"it lists {list(listed)} of {source}")
        if stranger.init is not None and other in str(dict(stranger.init.body or {})):
            trial.find("PW-ISO-4", expected, f"it lists {other}")
    for _ in range(3):
        await trial.must_see(watching, device)
    if stranger is not None:
        await stranger.next_frame(trial.patience.silence)


async def _answer(trial: Trial, source: str, name: str) -> tuple[Viewer | None, str]:
    """Open a foreign viewer of *source*; say how it is answered on that source, as what else is online comes and goes."""
    try:
        viewer = await trial.connect_viewer(source, name=name, organisation=FOREIGN)
    except HandshakeFailed as error:
        return None, error.problem if error.answer is None else f"HTTP {error.answer.status}"
    await viewer.authenticate(trial.target.keys.foreign_key)
    init = await viewer.await_init(trial.patience.at_once)
    if init is None:
        return viewer, trial.fate(viewer.peer)
    named = source in str((init.body or {}).get("online_sources"))
    return viewer, f"init with {list(viewer.listed(source)) if named else 'nothing'} of it"


@case(
    "iso.foreign-device",
    "PW-ISO-3",
    "PW-ISO-5",
    needs=(Need.PUBLISHER, Need.FOREIGN_KEY),
    connections=3,
)
async def iso_foreign_device(trial: Trial) -> None:
    """A device of another organisation that takes a source's id can't speak for it."""
    source = trial.source()
    device, watching = await trial.open_stream(source)
    try:
        impostor = await trial.open_device(
            source,
            api_key=trial.target.keys.foreign_key,
            name="foreign device",
            organisation=FOREIGN,
        )
    except (HandshakeFailed, Inconclusive) as error:
        trial.chose("PW-ISO-5", f"a source id of another organisation is taken: {error}")
        return
    trial.chose("PW-ISO-5", "two organisations may each have a source of the same id")
    for _ in range(3):
        await impostor.publish("front")
        await trial.must_see(watching, device)
    await watching.peer.until(lambda entry: entry.type == "video_frame", trial.patience.silence)
