"""A viewer that can't keep up."""

from itertools import pairwise

import trio

from plexwire_conformance.recording.recorder import Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import VIEWER_OPENS, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import ClosingKind
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame

_FRAME_BYTES = 128 * 1024
#: Bytes of JPEG that go by before the stall, and how many frames another viewer may not miss during it.
_REHEARSAL = 5 * _FRAME_BYTES
_TOO_MANY = 3
#: Bytes of the largest JPEG that is used where the way is long, and round trips few.
_LARGEST_FRAME = 700_000
#: Seconds that the stall lasts at least, and after which it ends, however little was sent by then; and round trips on top.
_SHORTEST_STALL = 3.0
_LONGEST_STALL = 6.0
#: Seconds that it lasts in a thorough run: longer than the 10 s that frameworks wait for a write.
_THOROUGH_STALL = 15.0
_TRIPS_ON_TOP = 12
#: So many times as much a network may hold that has proxies in it, each with buffers of its own.
_PROXIED = 6
#: A queue of so many frames is bounded, whatever their size: when the network is full, so many more have to wait.
_QUEUED = 320
#: They are small then, and sent so many at once: only the last of them need be seen by others.
_SMALL_BYTES = 1024
_AT_ONCE = 20
#: Seconds that the case takes longer than usual if no frame comes after the stall.
_LONGER = 25
#: Types of messages that any viewer may get at any time: they are not about drops.  [PW-RECON-2]
_AT_ANY_TIME = {"gateway_reconnecting", "init"}
#: Frames that are sent to a viewer that reads again, until one arrives, and old ones that may come before it.
_TRIES_AFTERWARDS = 10
_MAY_WAIT = 2
#: Frames that a new viewer sees before anything is concluded from frames that it misses.
_IN_A_ROW = 3


#: Seconds of the stream of a viewer that stalls until it is over, and for how long it goes on to stall: in a thorough run
#: as long as it may take to disconnect it.
_ITS_TIMEOUT = 2
_GOES_ON = 6.0
_MAY_TAKE = 12.0


@case(
    "time.stalled-viewer",
    "A viewer that has stopped reading is disconnected soon after its timeout.",
    "PW-TIME-7",
    needs=(Need.PUBLISHER,),
    takes=_ITS_TIMEOUT + _GOES_ON,
    connections=3,
)
async def time_stalled_viewer(stage: Stage, trial: Trial) -> None:
    device, watching = await stage.open_stream(stage.source())
    seconds = _ITS_TIMEOUT + round(4 * stage.tolerances.round_trip)
    stalled = await stage.connect_viewer(
        device.source_id, timeout=seconds, name="stalled viewer", narrow=True
    )
    init = await stage.authenticate(stalled)
    if init is None:
        trial.inconclusive(f"the viewer got no init ({stalled.peer.state})", *VIEWER_OPENS)
    over = init.at + seconds
    stalled.peer.end_is_due = stalled.peer.lingers = True
    stalled.peer.answers_closes = False
    stalled.peer.stall()
    with trio.move_on_after(max(0.0, over - stage.now())):
        await _publish(stage, device, watching, 3 * stage.target.viewers.holds // 2)
    within = _MAY_TAKE if stage.thorough else _GOES_ON
    waited = within + stage.tolerances.late
    await trio.sleep(max(0.0, over + waited - stage.now()))
    stalled.peer.resume()

    # What the network held comes first, and the end is right behind it if there is one.
    while await stalled.peer.next(2 * stage.tolerances.frame) is not None:
        pass
    ending = await stalled.peer.until_ended(0.0)
    if ending.kind is ClosingKind.CLOSE_FRAME:
        gone = await stalled.peer.until_tcp_ended(stage.tolerances.immediate)
    else:
        gone = ending.kind is not ClosingKind.OPEN
    if gone:
        return
    if not stage.thorough:
        trial.skip("PW-TIME-7")  # it may still do so in time
        return
    trial.find(
        "PW-TIME-7/kept-while-stalled",
        {"within": within, "seconds": seconds},
        {"waited": waited, "ending": stalled.peer.outcome()},
    )


@case(
    "flow.stalled-viewer",
    "A viewer that stops reading loses frames silently, harms nobody, and gets fresh ones afterwards.",
    "PW-FLOW-1",
    "PW-FLOW-2",
    "PW-FLOW-3",
    "PW-FLOW-4",
    "PW-FLOW-5",
    needs=(Need.PUBLISHER,),
    takes=8.0,
    connections=3,
)
async def flow_stalled_viewer(stage: Stage, trial: Trial) -> None:
    timeout = stage.timeout + _LONGER
    device, watching = await stage.open_stream(stage.source(), timeout=timeout)
    stalled = await stage.open_viewer(
        device.source_id, timeout=timeout, name="stalled viewer", narrow=True
    )
    await _until_subscribed(stage, stalled, device)
    _, lost = await _publish(stage, device, watching, _REHEARSAL)
    # That a gateway is slow to answer is no excuse from here on, as the stall may be why.
    watching.peer.slack = lambda since: 0.0
    if lost > 1:
        trial.inconclusive(f"{lost} frames were lost before any viewer stalled", "PW-FRAME-9")

    # More than the network between it and the gateway holds.
    enough = 3 * stage.target.viewers.holds // 2
    missed = await _stall(stage, trial, device, watching, stalled, enough)
    kept_all = len(_came(stalled, missed)) == len(missed)
    if kept_all:
        missed = await _stall(
            stage, trial, device, watching, stalled, _PROXIED * enough, on_top=_QUEUED
        )
    _judge_backlog(stage, trial, stalled, missed, kept_all=kept_all)


async def _until_subscribed(stage: Stage, viewer: RawViewer, device: RawDevice) -> None:
    """See several frames in a row through: a gateway may need a moment until all frames reach a new viewer.

    Raises:
        Inconclusive: none came.
    """
    await stage.must_see(viewer, device)
    await trio.sleep(stage.tolerances.silence)
    for _ in range(_IN_A_ROW):
        await stage.must_see(viewer, device)


async def _stall(
    stage: Stage,
    trial: Trial,
    device: RawDevice,
    watching: RawViewer,
    stalled: RawViewer,
    enough: int,
    *,
    on_top: int = 0,
) -> list[SentFrame]:
    """Have a viewer stop reading, publish *enough* bytes and small frames *on top*, read again; return all of them."""
    stalled.peer.stall()
    began = stage.now()
    missed, lost = await _publish(stage, device, watching, enough)
    if not lost:
        missed += await _publish_small(stage, device, watching, on_top)
    if lost >= _TOO_MANY:
        observed = {"lost": lost, "of": len(missed), "ending": watching.peer.outcome(since=began)}
        trial.find_and_stop("PW-FLOW-1/other-viewer-delayed", {}, observed)
    # A gateway that gives up on a viewer shall have the time to.
    shortest = _THOROUGH_STALL if stage.thorough else _SHORTEST_STALL
    await trio.sleep(max(0.0, began + shortest - stage.now()))
    stalled.peer.resume()
    await _until_caught_up(stage, stalled, missed[-1])

    if await stage.see(stalled, device, tries=_TRIES_AFTERWARDS) is None:
        if stalled.peer.ending is not None:
            trial.find_and_stop(
                "PW-FLOW-2/closed",
                {"seconds": round(stalled.peer.ending.at - began, 1)},
                {"ending": stalled.peer.outcome(since=began)},
            )
        trial.find_and_stop("PW-FLOW-4/no-fresh-frame", {"tries": _TRIES_AFTERWARDS})
    if told := _types(stalled) - _types(watching) - _AT_ANY_TIME:
        trial.find("PW-FLOW-2/message-about-drops", observed={"types": sorted(told)})
    return missed


async def _until_caught_up(stage: Stage, stalled: RawViewer, newest: SentFrame) -> None:
    """Wait for the newest of the missed frames while older ones still come.

    It must come before a fresher one is sent, which would take its place by right.
    """
    # A network that was at a standstill is slow to move.
    within = 2 * stage.tolerances.frame
    arrived = await stalled.next_frame(within)
    while arrived is not None and not newest.is_in(arrived):
        arrived = await stalled.next_frame(within)


async def _publish(
    stage: Stage, device: RawDevice, watching: RawViewer, enough: int
) -> tuple[list[SentFrame], int]:
    """Publish large frames, *enough* bytes of JPEG in all, each once *watching* had the one before.

    Returns them, and how many it missed.
    """
    published: list[SentFrame] = []
    lost, size, volume = 0, _FRAME_BYTES, 0
    longest = _LONGEST_STALL + _TRIPS_ON_TOP * stage.tolerances.round_trip
    longest *= 1.5 if enough > 2 * stage.target.viewers.holds else 1.0
    with trio.move_on_after(longest + _TOO_MANY * stage.tolerances.frame):
        ends = stage.now() + longest
        while volume < enough and lost < _TOO_MANY and stage.now() < ends:
            sent = await device.publish("front", size=size)
            published.append(sent)
            volume += len(sent.jpeg)
            seen = await watching.sees(sent, stage.tolerances.frame)
            if seen is None:
                lost += 1
            else:
                size = _next_size(stage, size, seen.at - sent.at, enough)
    return published, lost


async def _publish_small(
    stage: Stage, device: RawDevice, watching: RawViewer, count: int
) -> list[SentFrame]:
    """Publish *count* small frames, as long as *watching* follows, and return them."""
    published: list[SentFrame] = []
    with trio.move_on_after(_LONGEST_STALL + _TRIPS_ON_TOP * stage.tolerances.round_trip):
        while len(published) < count:
            for _ in range(_AT_ONCE):
                published.append(await device.publish("front", size=_SMALL_BYTES))
            if await watching.sees(published[-1], stage.tolerances.frame) is None:
                break
    return published


def _next_size(stage: Stage, size: int, took: float, enough: int) -> int:
    """Return the bytes of the next frame, so that *enough* goes by in the time of a stall, if the link bears it with ease."""
    if took > stage.tolerances.frame / 3:
        return _FRAME_BYTES
    wanted = int(enough * took / _LONGEST_STALL)
    return max(_FRAME_BYTES, min(wanted, 2 * size, _LARGEST_FRAME))


def _came(stalled: RawViewer, missed: list[SentFrame]) -> list[int]:
    """Return which of *missed* came, in the order in which they did, each once: what came twice is judged elsewhere."""
    return list(
        dict.fromkeys(
            number
            for frame in stalled.frames()
            for number, sent in enumerate(missed)
            if sent.is_in(frame)
        )
    )


def _judge_backlog(
    stage: Stage, trial: Trial, stalled: RawViewer, missed: list[SentFrame], *, kept_all: bool
) -> None:
    """Judge what came of *missed*; *kept_all* says that a shorter stall before it lost nothing."""
    came = _came(stalled, missed)
    # What came counts, not what was sent: a gateway may make pictures smaller, which is judged elsewhere.
    volume = sum(frame.size for frame in stalled.frames())
    if len(came) == len(missed):
        if volume < _PROXIED * stage.target.viewers.holds:
            trial.inconclusive(f"only {volume} bytes passed during the stall, too few to tell")
        small = sum(len(sent.jpeg) <= _SMALL_BYTES for sent in missed)
        if small < _QUEUED:
            trial.inconclusive(f"only {small} frames passed on top of the bytes, too few to tell")
        trial.find_and_stop("PW-FLOW-3/stored", {}, {"count": len(missed), "bytes": volume})
    waited = _after_the_gap(came)
    # A second one may have been on its way when the viewer read again.
    several = kept_all or len(waited) > _MAY_WAIT
    outcome = "older frames wait for the viewer" if several else "no old frame waits for the viewer"
    trial.chose("PW-FLOW-5/waiting-frames", outcome=outcome)


def _after_the_gap(came: list[int]) -> list[int]:
    """Return which frames waited in the gateway: those after the widest gap, as what the network held comes before it.

    A frame that is dropped while the network still fills leaves a gap as well, but a narrow one.
    """
    steps = [number - before for before, number in pairwise([-1, *came])]
    widest = max(steps, default=1)
    return came[steps.index(widest) :] if widest > 1 else []


def _types(viewer: RawViewer) -> set[str]:
    return {str(entry.type) for entry in viewer.peer.entries if entry.way is Way.RECEIVED}
