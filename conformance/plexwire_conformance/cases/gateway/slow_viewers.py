"""A viewer that can't keep up."""

from itertools import pairwise

import trio

from plexwire_conformance.recording.recorder import Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.roles import Device, Sent, Viewer

_FRAME_BYTES = 128 * 1024
#: Bytes of JPEG that go by before the stall, and how many frames another viewer may not miss during it.
_REHEARSAL = 5 * _FRAME_BYTES
_TOO_MANY = 3
#: Bytes of the largest JPEG that is used where the way is long, and round trips few.
_LARGEST_FRAME = 700_000
#: Seconds that the stall lasts at least, and after which it ends, however little was sent by then; and round trips on top.
_SHORTEST_STALL = 3.0
_LONGEST_STALL = 6.0
_TRIPS_ON_TOP = 12
#: So many times as much a network may hold that has proxies in it, each with buffers of its own.
_PROXIED = 3


@case(
    "flow.stalled-viewer",
    "PW-FLOW-1",
    "PW-FLOW-2",
    "PW-FLOW-3",
    "PW-FLOW-4",
    "PW-FLOW-5",
    needs=(Need.PUBLISHER,),
    takes=5.0,
    connections=3,
)
async def flow_stalled_viewer(trial: Trial) -> None:
    """A viewer that stops reading loses frames silently, harms nobody, and gets fresh ones afterwards."""
    device, watching = await trial.open_stream(trial.source())
    stalled = await trial.open_viewer(device.source_id, name="stalled viewer", narrow=True)
    await trial.must_see(stalled, device)
    _, lost = await _publish(trial, device, watching, _REHEARSAL)
    # That a gateway is slow to answer is no excuse from here on, as the stall may be why.
    watching.peer.slack = lambda since: 0.0
    if lost > 1:
        trial.inconclusive(f"{lost} frames were lost before anybody stalled")

    # More than the network between it and the gateway holds.
    enough = 3 * trial.target.viewers.holds // 2
    missed = await _stall(trial, device, watching, stalled, enough)
    if missed is not None and len(_came(stalled, missed)) == len(missed):
        missed = await _stall(trial, device, watching, stalled, _PROXIED * enough)
    if missed is not None:
        _judge_backlog(trial, stalled, missed)


async def _stall(
    trial: Trial, device: Device, watching: Viewer, stalled: Viewer, enough: int
) -> list[Sent] | None:
    """Have a viewer stop reading, publish *enough* bytes, read again; return the frames, None once something is found."""
    stalled.peer.stall()
    began = trial.now()
    missed, lost = await _publish(trial, device, watching, enough)
    if lost >= _TOO_MANY:
        actual = (
            f"{watching.peer.name} missed {lost} of {len(missed)} ({trial.fate(watching.peer)})"
        )
        trial.find("PW-FLOW-1", "another viewer gets its frames all the while", actual)
        return None
    # A gateway that loses its patience with a viewer shall have the time to.
    await trio.sleep(max(0.0, began + _SHORTEST_STALL - trial.now()))
    stalled.peer.resume()
    await _until_caught_up(trial, stalled, missed[-1])

    if await trial.see(stalled, device, tries=10) is None:
        if stalled.peer.ending is not None:
            actual = f"{stalled.peer.ending} after the stall"
            trial.find("PW-FLOW-2", "a stalled viewer stays connected", actual)
        else:
            actual = "none of 10 after the stall"
            trial.find("PW-FLOW-4", "a fresh frame on the same connection", actual)
        return None
    if told := _types(stalled) - _types(watching):
        trial.find("PW-FLOW-2", "no message tells of dropped frames", f"{sorted(told)} came")
    return missed


async def _until_caught_up(trial: Trial, stalled: Viewer, newest: Sent) -> None:
    """Wait for the newest of the missed frames while older ones still come.

    It must come before a fresher one is sent, which would take its place by right.
    """
    # A network that was at a standstill is slow to move.
    patience = 2 * trial.patience.frame
    arrived = await stalled.next_frame(patience)
    while arrived is not None and not newest.is_in(arrived):
        arrived = await stalled.next_frame(patience)


async def _publish(
    trial: Trial, device: Device, watching: Viewer, enough: int
) -> tuple[list[Sent], int]:
    """Publish large frames, *enough* bytes of JPEG in all, each once *watching* had the one before.

    Returns them, and how many it missed.
    """
    published: list[Sent] = []
    lost, size, volume = 0, _FRAME_BYTES, 0
    longest = _LONGEST_STALL + _TRIPS_ON_TOP * trial.patience.round_trip
    longest *= 1.5 if enough > 2 * trial.target.viewers.holds else 1.0
    with trio.move_on_after(longest + _TOO_MANY * trial.patience.frame):
        ends = trial.now() + longest
        while volume < enough and lost < _TOO_MANY and trial.now() < ends:
            sent = await device.publish("front", size=size)
            published.append(sent)
            volume += len(sent.jpeg)
            seen = await watching.sees(sent, trial.patience.frame)
            if seen is None:
                lost += 1
            else:
                size = _next_size(trial, size, seen.at - sent.at, enough)
    return published, lost


def _next_size(trial: Trial, size: int, took: float, enough: int) -> int:
    """Return the bytes of the next frame, so that *enough* goes by in the time of a stall, if the link bears it with ease."""
    if took > trial.patience.frame / 3:
        return _FRAME_BYTES
    wanted = int(enough * took / _LONGEST_STALL)
    return max(_FRAME_BYTES, min(wanted, 2 * size, _LARGEST_FRAME))


def _came(stalled: Viewer, missed: list[Sent]) -> list[int]:
    """Return which of *missed* came, in the order in which they did, each once: what came twice is judged elsewhere."""
    return list(
        dict.fromkeys(
            number
            for frame in stalled.frames()
            for number, sent in enumerate(missed)
            if sent.is_in(frame)
        )
    )


def _judge_backlog(trial: Trial, stalled: Viewer, missed: list[Sent]) -> None:
    came = _came(stalled, missed)
    # What came counts, not what was sent: a gateway may make pictures smaller, which is judged elsewhere.
    volume = sum(frame.size for frame in stalled.frames())
    if len(came) == len(missed):
        if volume < _PROXIED * trial.target.viewers.holds:
            trial.inconclusive(f"only {volume} bytes went by during the stall; too few to tell")
        actual = f"all {len(missed)} frames of the stall came afterwards, {volume} bytes"
        trial.find("PW-FLOW-3", "frames that a viewer can't take are dropped", actual)
        return
    waited = _behind_the_gap(came)
    if waited not in ([], [len(missed) - 1]):
        actual = f"{len(waited)} frames behind a gap, the first {len(missed) - waited[0]} old"
        trial.find("PW-FLOW-5", "at most the newest frame waits for a stalled viewer", actual)
    elif not waited:
        actual = "the newest was dropped, older ones were kept"
        trial.find("PW-FLOW-5", "the newest frame wins", actual)


def _behind_the_gap(came: list[int]) -> list[int]:
    """Return which frames waited in the gateway: those behind the widest gap, as what the network held comes before it.

    A frame that is dropped while the network still fills leaves a gap as well, but a narrow one.
    """
    steps = [number - before for before, number in pairwise([-1, *came])]
    widest = max(steps, default=1)
    return came[steps.index(widest) :] if widest > 1 else []


def _types(viewer: Viewer) -> set[str]:
    return {str(entry.type) for entry in viewer.peer.entries if entry.way is Way.RECEIVED}
