"""Connections that come and go: what their ends leave to others, in whichever order and manner they end."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection, RawPeer
from plexwire_conformance.wire.roles import RawDevice

#: How a report calls those who were refused, and those who left while their key was being checked.
_REFUSED: Final = "refused"
_UNCHECKED: Final = "closed right behind its auth"
#: Seconds in which a gateway notices that a device has left.
_NOTICED: Final = 5.0
#: A camera that no device has.
_NEVER: Final = "never"
#: Connections that end in each manner where nobody says how many a gateway allows, and how many of them at once.
_ENDED: Final = 12
_AT_ONCE: Final = 4


async def _close(peer: RawPeer) -> None:
    await peer.close()


async def _vanish(peer: RawPeer) -> None:
    await peer.vanish()


async def _half_close(peer: RawPeer) -> None:
    await peer.half_close()


#: The ways to leave, by how a report calls them.
_LEAVES: Final[Mapping[str, Callable[[RawPeer], Awaitable[None]]]] = {
    "closed": _close,
    "vanished": _vanish,
    "ended TCP without a close": _half_close,
}


@case(
    "lifetimes.two-devices",
    "When one of two connections of a source ends, in any order and manner, the other one's camera stays online.",
    "PW-FRAME-9",
    "PW-INIT-5",
    "PW-INIT-7",
    needs=(Need.PUBLISHER,),
    takes=2.0,
    connections=10,
    least=5,
)
async def lifetimes_two_devices(stage: Stage, trial: Trial) -> None:
    scenes = [(order, how) for how in _LEAVES for order in ("first", "second")]
    lanes = max(1, stage.connections // 5)

    async def play(lane: int) -> None:
        for order, how in scenes[lane::lanes]:
            source = stage.source(f"{order}-{how.split()[0]}")
            await _play_two_devices(stage, trial, source, order, how)
            # The next scene is to have as many connections.
            for peer in stage.open_peers(source):
                if not peer.is_closing:
                    await peer.close()
                await _see_off(stage, peer)

    async with trio.open_nursery() as nursery:
        for lane in range(lanes):
            nursery.start_soon(play, lane)


async def _play_two_devices(stage: Stage, trial: Trial, source: str, order: str, how: str) -> None:
    """Have one of two connections of *source* leave, judge what is left of the other, and have that leave too."""
    first = await stage.open_source(source, ("front",), name=f"device whose first connection {how}")
    try:
        second = await stage.open_source(source, ("rear",), name="second connection")
    except (Inconclusive, HandshakeFailed):
        # One connection of a source is as good.  [PW-DEV-10]
        return
    viewer = await stage.open_viewer(source, ("front", "rear"))
    for device, camera in ((second, "rear"), (first, "front")):
        if device.peer.ending is None and await stage.see(viewer, device, camera) is None:
            # One of them may have taken the place of the other.  [PW-DEV-10]
            return
    cameras = {first: "front", second: "rear"}
    leaving, staying = (first, second) if order == "first" else (second, first)
    if leaving.peer.ending is None:
        await _LEAVES[how](leaving.peer)
        await leaving.peer.until_ended(stage.tolerances.silence)
    if staying.peer.ending is not None:
        # A gateway may take the new connection for the old one's successor.
        return
    camera = cameras[staying]
    await trio.sleep(stage.tolerances.silence)
    # Whether init lists what is online at all is judged elsewhere.
    if camera in viewer.listed(source):
        await _judge_staying(stage, trial, staying, camera, order, how)
    if viewer.peer.ending is None and await stage.see(viewer, staying, camera) is None:
        what = f"the {order} of two connections of its source {how}"
        observed = {"tries": TRIES, "ending": staying.peer.outcome()}
        trial.find("PW-FRAME-9/none-after-twin", {"what": what, "camera": camera}, observed)
    await viewer.peer.close()
    await _see_off(stage, leaving.peer)
    await _LEAVES[how](staying.peer)
    await _judge_left(stage, trial, source, camera, how)


async def _see_off(stage: Stage, peer: RawPeer) -> None:
    """Wait for the end of a connection that we have left, for a moment: it counts among those that are open."""
    await peer.until_ended(stage.tolerances.silence)
    if peer.ending is None:
        await peer.vanish()


async def _judge_staying(
    stage: Stage, trial: Trial, staying: RawDevice, camera: str, order: str, how: str
) -> None:
    """Judge that a new viewer is told of the camera of the connection that stays."""
    later = await stage.open_viewer(
        staying.source_id, (camera,), name=f"viewer after the {order} {how}"
    )
    listed = later.listed(staying.source_id)
    if camera not in listed and later.init is not None and staying.peer.ending is None:
        trial.find("PW-INIT-5/camera-gone-with-twin", {"camera": camera}, {"listed": list(listed)})
    await later.peer.close()


async def _judge_left(stage: Stage, trial: Trial, source: str, camera: str, how: str) -> None:
    """Judge that *camera* leaves the list once the last connection of its *source* has left."""
    deadline, wait = stage.now() + _NOTICED, 0.1
    while stage.now() < deadline:
        try:
            later = await stage.connect_viewer(source, (camera,), name=f"viewer after it {how}")
        except HandshakeFailed:
            # Nobody is online there, so nobody may watch.  [PW-ADDR-12]
            return
        await stage.authenticate(later)
        await later.peer.close()
        if camera not in later.listed(source):
            return
        await trio.sleep(wait)
        wait *= 2
    echo = await stage.connect_viewer(source, (_NEVER,), name="viewer of a camera that never was")
    await stage.authenticate(echo)
    if _NEVER not in echo.listed(source):
        seconds = {"seconds": _NOTICED, "how": how}
        trial.find("PW-INIT-7/gone-camera-listed", seconds, {"camera": camera})


# ── seats ────────────────────────────────────────────────────────────────────────────────────


@case(
    "lifetimes.seats",
    "Connections that have ended, in whichever manner, take no seat any more.",
    "PW-LIM-13",
    connections=_AT_ONCE + 1,
)
async def lifetimes_seats(stage: Stage, trial: Trial) -> None:
    streams = stage.target.streams
    count = _ENDED if streams is None else streams + 1
    for how in (*_LEAVES, _REFUSED, _UNCHECKED):
        for begin in range(0, count, _AT_ONCE):
            async with trio.open_nursery() as nursery:
                for _ in range(min(_AT_ONCE, count - begin)):
                    nursery.start_soon(_come_and_go, stage, trial, how)
    await _come_and_go(stage, trial, "closed")


async def _come_and_go(stage: Stage, trial: Trial, how: str) -> None:
    """Have a viewer come and leave; judge that it finds a seat, if it is known how many there are."""
    name = f"viewer that was {how}" if how == _REFUSED else f"viewer that {how}"
    try:
        viewer = await stage.connect_viewer(name=name)
        await viewer.authenticate(
            "plx_nobody_has_this_key" if how == _REFUSED else stage.target.keys.api_key
        )
        if how == _UNCHECKED:
            await viewer.peer.close()
        await viewer.await_init(stage.tolerances.immediate)
        stage.check_room(viewer.peer)
    except NoConnection as error:
        streams, standing = stage.target.streams, stage.network.open_now
        if streams is None or standing >= streams:
            raise
        observed = {"problem": error.problem, "standing": standing}
        trial.find_and_stop("PW-LIM-13/no-seat", {"streams": streams}, observed)
    if viewer.peer.ending is None:
        await _LEAVES.get(how, _close)(viewer.peer)
    await _see_off(stage, viewer.peer)
