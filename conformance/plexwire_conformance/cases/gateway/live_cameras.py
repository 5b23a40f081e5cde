"""A camera that runs, judged by viewers alone: one that runs anyway, or the run's own.

Nobody knows what its device sends, so a clause is cited where passing shows that it is kept; what two viewers can't agree
on is found under the clause that it breaks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import trio

from plexwire_conformance.recording.recorder import Entry, Way
from plexwire_conformance.run.agreement import TELLING, disagreements, repeated, shown
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.connections import FOREIGN
from plexwire_conformance.run.stage import FRAMES_PASS, Inconclusive, Stage, Untestable
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import RawViewer

#: Seconds that a camera is watched, so that it sends something in that time, and frames that are enough before.
_WATCHED = 5.0
_ENOUGH = 30
#: Frames behind which that of a stranger would have come.
_FEW = 3
#: Viewers that come later, and times that something has to happen which could be chance once.
_LATE = 3
_SURE = 2
#: Seconds shorter than a camera's pause between two frames.
_MOMENT = 0.01


# ── watching ─────────────────────────────────────────────────────────────────────────────────


async def _open(stage: Stage, name: str = "viewer") -> RawViewer:
    live = stage.live
    return await stage.open_viewer(live.source_id, (live.camera_id,), name=name)


async def _watch(stage: Stage, viewer: RawViewer, enough: int = _ENOUGH) -> list[Entry]:
    """Return the frames that *viewer* gets, *enough* of them or as many as come in time.

    Raises:
        Inconclusive: none comes.
    """
    await _gather(stage, viewer, enough)
    return viewer.frames() or _nothing_came(stage, viewer)


async def _gather(stage: Stage, viewer: RawViewer, enough: int = _ENOUGH) -> None:
    ends = stage.now() + _WATCHED
    while len(viewer.frames()) < enough and (left := ends - stage.now()) > 0:
        if await viewer.next_frame(left) is None:
            return


def _nothing_came(stage: Stage, viewer: RawViewer) -> NoReturn:
    if stage.target.live is None:
        raise Untestable(
            f"no camera runs: provide {Need.PUBLISHER.value}, or one that runs anyway: --live SOURCE_ID/CAMERA_ID"
        )
    listed = ", ".join(map(repr, viewer.listed(stage.live.source_id))) or "no camera"
    raise Untestable(
        f"{stage.live} sent nothing within {_WATCHED:g} s ({viewer.peer.state}; init lists {listed} of its "
        "source): does it run, is it called so, and may the key watch it?"
    )


def _names(frame: Entry) -> tuple[str, str] | None:
    """Return where *frame* says that it came from; None where it does not say, which the monitor judges."""
    match frame.body:
        case {"source_id": str(source_id), "camera_id": str(camera_id)}:
            return source_id, camera_id
        case _:
            return None


# ── one viewer ───────────────────────────────────────────────────────────────────────────────


@case(
    "live.frames",
    "Frames of a camera that runs come, well-formed, under its name, and no others with them.",
    "PW-FRAME-1",
    "PW-FRAME-8",
    "PW-FRAME-11",
    may_find=("PW-ISO-1", "PW-ISO-2"),
    takes=_WATCHED,
    connections=1,
)
async def live_frames(stage: Stage, trial: Trial) -> None:
    viewer = await _open(stage)
    frames = await _watch(stage, viewer)
    live = (stage.live.source_id, stage.live.camera_id)
    named = [name for frame in frames if (name := _names(frame)) is not None]
    others = sorted({name for name in named if name != live})
    if len(others) == 1 and live not in named:
        # Nothing but a wrong name: that of another camera would come beside the right one.
        source_id, camera_id = others[0]
        trial.find(
            "PW-FRAME-8/live-other-names",
            {"source": live[0], "camera": live[1]},
            {"count": len(named), "got_source": source_id, "got_camera": camera_id},
        )
    elif others:
        source_id, camera_id = others[0]
        if source_id == live[0]:
            expected = {"cameras": [live[1]], "connection": "viewer"}
            observed = {"camera": camera_id}
            trial.find("PW-ISO-1/other-camera", expected, observed)
        else:
            expected = {"source": live[0], "connection": "viewer"}
            trial.find("PW-ISO-2/other-source", expected, {"got": source_id})
    odd = sum(not _begins_as_jpeg(frame) for frame in frames)
    if 2 * odd > len(frames):
        raise Untestable(
            f"{odd} of {len(frames)} pictures do not begin as a JPEG does: the device sends none, or the gateway "
            f"alters them; to tell, provide {Need.PUBLISHER.value}"
        )
    if viewer.peer.ending is not None and len(frames) < _ENOUGH:
        # What ended the stream may have kept a breach from being seen.
        trial.inconclusive(f"the stream ended after {len(frames)} frames ({viewer.peer.state})")


def _begins_as_jpeg(frame: Entry) -> bool:
    match frame.body:
        case {"frame": {"problem": None, "jpeg": False}}:
            return False
        case _:
            return True


@case(
    "live.listed",
    "Init lists a camera while it sends.",
    "PW-INIT-5",
    takes=_WATCHED,
    connections=1 + _SURE,
)
async def live_listed(stage: Stage, trial: Trial) -> None:
    watching = await _open(stage, "watching viewer")
    await _watch(stage, watching, enough=1)
    said: Sequence[str] = ()
    for _ in range(_SURE):
        viewer = await _open(stage)
        said = viewer.listed(stage.live.source_id)
        if stage.live.camera_id in said:
            return
        if not viewer.has_readable_init:
            trial.inconclusive("what init lists can't be read", "PW-INIT-4")
        if await watching.next_frame(_WATCHED) is None:
            trial.untestable(f"{stage.live} stopped sending ({watching.peer.state})")
    expected = {"camera": stage.live.camera_id}
    trial.find("PW-INIT-5/online-camera-missing", expected, {"listed": list(said)})


# ── two viewers ──────────────────────────────────────────────────────────────────────────────


@case(
    "live.same-for-all",
    "Two viewers get the same pictures with the same stamps in the same order, and none twice.",
    "PW-FRAME-10",
    "PW-FRAME-6",
    may_find=("PW-FRAME-2", "PW-FRAME-3", "PW-FRAME-4", "PW-FRAME-5"),
    takes=_WATCHED,
)
async def live_same_for_all(stage: Stage, trial: Trial) -> None:
    viewers = await _open(stage), await _open(stage)
    # A slow camera, or one far away, gets as much time again.
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(_gather, stage, viewer)
        fewer, more = sorted(viewers, key=lambda viewer: len(viewer.frames()))
        if not more.frames():
            _nothing_came(stage, more)
        one, other = shown(more.frames()), shown(fewer.frames())
        in_common = len({frame.key for frame in one} & {frame.key for frame in other})
        if in_common >= TELLING:
            break
    if len(more.frames()) >= TELLING and not fewer.frames() and fewer.peer.ending is None:
        observed = {"count": len(more.frames())}
        trial.find_and_stop("PW-FRAME-10/live-none-for-one", {}, observed)
    found = list(disagreements(one, other))
    for each in found:
        trial.find(each.check, each.expected, each.observed)
    again = repeated(one) + repeated(other)
    if again and stage.target.live is None:
        repeats = {"count": again, "camera": stage.live.camera_id}
        trial.find("PW-FRAME-6/repeated", observed=repeats)
    elif again:
        trial.untestable(_repeats(stage, again))
    elif not found and in_common < TELLING:
        states = f"{more.peer.state}, {fewer.peer.state}"
        _too_few(stage, trial, f"too few frames to compare: {len(one)} and {len(other)} ({states})")


def _too_few(stage: Stage, trial: Trial, reason: str) -> NoReturn:
    """Give up: a camera that runs anyway may be slow; our own is not."""
    if stage.target.live is not None:
        trial.untestable(f"{reason}; does {stage.live} send often enough?")
    trial.inconclusive(reason, *FRAMES_PASS)


def _repeats(stage: Stage, again: int) -> str:
    return (
        f"{again} frames came again, with the same stamp and the same picture; whether {stage.live} sends them so "
        f"can't be seen from here: provide {Need.PUBLISHER.value}"
    )


@case(
    "live.no-replay",
    "A viewer that comes later gets no frame that another had before.",
    "PW-FRAME-7",
    takes=_WATCHED,
    connections=1 + _LATE,
)
async def live_no_replay(stage: Stage, trial: Trial) -> None:
    early = await _open(stage, "early viewer")
    await _watch(stage, early, enough=1)
    late: list[RawViewer] = []
    ends = stage.now() + _WATCHED
    while len(late) < _LATE and (left := ends - stage.now()) > 0:
        # Right behind a frame, when there is something to replay, but later by any clock.
        await trio.sleep(_MOMENT)
        late.append(await _open(stage, "late viewer"))
        if await early.next_frame(left) is None:
            break
    for viewer in late:
        await _gather(stage, viewer, enough=1)
    had = {frame.key: frame.at for frame in reversed(shown(early.frames()))}
    ages = [age for viewer in late if (age := _age(viewer, had)) is not None]
    if again := repeated(shown(early.frames())):
        trial.untestable(_repeats(stage, again))
    if len(ages) < _SURE:
        _too_few(
            stage, trial, f"{len(ages)} of {len(late)} late viewers got frames, too few to tell"
        )
    old = [age for age in ages if age > 0]
    if len(old) >= _SURE:
        observed = {"camera": stage.live.camera_id, "age": round(max(old), 3)}
        trial.find("PW-FRAME-7/replayed", observed=observed)
    elif old:
        trial.inconclusive(
            f"one of {len(ages)} late viewers got a frame {old[0] * 1000:.0f} ms old; once may be by chance"
        )


def _age(viewer: RawViewer, had: Mapping[tuple[int, str], float]) -> float | None:
    """Return for how many seconds another viewer *had* the oldest of a viewer's frames at its auth; None without frames."""
    authenticated_at = next(
        entry.at for entry in viewer.peer.entries if entry.way is Way.SENT and entry.type == "auth"
    )
    frames = shown(viewer.frames())
    ages = (authenticated_at - had[f.key] for f in frames if f.key in had)
    return max(ages, default=0.0) if frames else None


# ── viewers of something else ────────────────────────────────────────────────────────────────


async def _stranger(
    stage: Stage, source_id: str, cameras: tuple[str, ...], **options: Any
) -> RawViewer | None:
    """Open a viewer of something else; None where it is refused, as a gateway may refuse what it has not seen."""
    try:
        return await stage.open_viewer(source_id, cameras, name="stranger", **options)
    except (Inconclusive, HandshakeFailed):
        return None


async def _strangers_frames(
    stage: Stage, stranger: RawViewer | None, watching: RawViewer
) -> list[Entry]:
    """Return what a stranger gets while *watching* gets a few frames.

    Raises:
        Inconclusive: not even that viewer gets any.
    """
    await _watch(stage, watching, enough=_FEW + len(watching.frames()))
    if stranger is None:
        return []
    await stranger.next_frame(stage.tolerances.silence)
    return stranger.frames()


@case(
    "live.other-camera",
    "A viewer of other cameras, however alike their names, gets no frame of this one.",
    "PW-ISO-1",
    takes=_WATCHED,
)
async def live_other_camera(stage: Stage, trial: Trial) -> None:
    watching = await _open(stage, "watching viewer")
    live = stage.live
    alike = {live.camera_id[:-1], f"{live.camera_id}2", live.camera_id.swapcase()}
    others = tuple(sorted(alike - {"", live.camera_id}))
    stranger = await _stranger(stage, live.source_id, others)
    frames = await _strangers_frames(stage, stranger, watching)
    # A camera that is called so may be there, too.
    if any(_names(frame) == (live.source_id, live.camera_id) for frame in frames):
        observed = {"camera": live.camera_id}
        expected = {"cameras": list(others), "connection": "stranger"}
        trial.find("PW-ISO-1/other-camera", expected, observed)


@case(
    "live.other-source",
    "A viewer of the same camera of another source gets no frame of this one.",
    "PW-ISO-2",
    takes=_WATCHED,
)
async def live_other_source(stage: Stage, trial: Trial) -> None:
    watching = await _open(stage, "watching viewer")
    source = stage.source()
    stranger = await _stranger(stage, source, (stage.live.camera_id,))
    if frames := await _strangers_frames(stage, stranger, watching):
        named = _names(frames[0])
        got = "a source that it does not name" if named is None else named[0]
        expected = {"source": source, "connection": "stranger"}
        trial.find("PW-ISO-2/other-source", expected, {"got": got})


@case(
    "live.foreign-viewer",
    "A viewer of another organisation at the same address gets no frame of the camera.",
    "PW-ISO-3",
    needs=(Need.FOREIGN_KEY,),
    takes=_WATCHED,
)
async def live_foreign_viewer(stage: Stage, trial: Trial) -> None:
    watching = await _open(stage, "watching viewer")
    live, key = stage.live, stage.target.keys.foreign_key
    cameras = (live.camera_id,)
    stranger = await _stranger(stage, live.source_id, cameras, api_key=key, organisation=FOREIGN)
    frames = shown(await _strangers_frames(stage, stranger, watching))
    ours = {frame.key for frame in shown(watching.frames())}
    # Its own organisation may have a source of that name.  [PW-ISO-5]
    if any(frame.key in ours for frame in frames):
        trial.find("PW-ISO-3/other-organisation", observed={"camera": live.camera_id})
