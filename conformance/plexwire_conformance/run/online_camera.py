"""One camera that is online for the whole run, and the round trips that its connection measures.

A gateway may refuse viewers of a source that it has never seen [PW-ADDR-12], so what is judged only of viewers is judged
at a source that is there.  A device of our own keeps it online; if a camera that runs anyway is used instead, a viewer of
ours watches that one.
"""

from contextlib import suppress

import trio

from plexwire_conformance.recording.recorder import pong_with
from plexwire_conformance.run.latency import Latency
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection
from plexwire_conformance.wire.roles import RawDevice, RawViewer

#: Seconds between two of its frames, and before it connects again.
_FRAME_INTERVAL = 1.0
#: Seconds between two pings, and after which one is given up.
_PING_INTERVAL = 0.25
_PONG_TIMEOUT = 30.0
#: Seconds that the suite means to sleep, to measure how long it does.
_NAP = 0.1


async def keep_camera_online(
    stage: Stage,
    latency: Latency,
    *,
    task_status: trio.TaskStatus[Exception | None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep the camera `stage.online` online, and measure the *latency*.

    It has started once the camera is online, or with the reason why it can't be.
    """
    peer: RawDevice | RawViewer | None
    try:
        peer = await _connect(stage)
    except (Inconclusive, HandshakeFailed, NoConnection) as error:
        task_status.started(error)
        return
    task_status.started(None)
    while peer is not None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_measure_round_trips, peer, latency)
            while peer.peer.ending is None:
                if isinstance(peer, RawDevice):
                    await peer.publish(stage.online.camera_id)
                await trio.sleep(_FRAME_INTERVAL)
            nursery.cancel_scope.cancel()
        latency.lost()
        peer = None
        while peer is None:
            with suppress(Inconclusive, HandshakeFailed, NoConnection):
                peer = await _connect(stage)
            await trio.sleep(_FRAME_INTERVAL if peer is None else 0)


async def measure_scheduling_delay(latency: Latency) -> None:
    """Report to *latency* how late the suite itself wakes up, until cancelled."""
    while True:
        meant = trio.current_time() + _NAP
        await trio.sleep_until(meant)
        latency.overslept(trio.current_time() - meant)


async def _measure_round_trips(peer: RawDevice | RawViewer, latency: Latency) -> None:
    while peer.peer.ending is None:
        latency.asked()
        await peer.peer.ping(b"latency")
        if await peer.peer.until(pong_with(b"latency"), _PONG_TIMEOUT) is None:
            latency.lost()
            return
        latency.answered()
        await trio.sleep(_PING_INTERVAL)


async def _connect(stage: Stage) -> RawDevice | RawViewer:
    if stage.target.watched is not None:
        return await stage.open_viewer(name="viewer of the online camera")
    camera = stage.online
    return await stage.open_source(camera.source_id, (camera.camera_id,), name="online camera")
