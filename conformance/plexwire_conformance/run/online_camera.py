"""The anchor: one camera that is online for the whole run.

A gateway may refuse viewers of a source that nobody has seen [PW-ADDR-12], so whatever is judged of viewers alone is
judged at a source that is there: a device of our own keeps it there, or a camera that runs anyway does, and then the
anchor watches that one.  Its pings feel the gateway's pulse.
"""

import trio

from plexwire_conformance.recording.recorder import pong_with
from plexwire_conformance.run.latency import Pulse
from plexwire_conformance.run.trial import Inconclusive, Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import Device, Viewer

#: Seconds between two of its frames, and before it connects again.
_INTERVAL = 1.0
#: Seconds between two beats, and after which one is given up.
_BEAT = 0.25
_LONGEST_BEAT = 30.0
#: Seconds that the judge means to sleep, to see how long it does.
_NAP = 0.1


async def keep_anchor(
    trial: Trial, pulse: Pulse, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep the source `trial.online` online, and measure the *pulse*; it has started once that is so, or can't be."""
    anchor = await _connect(trial)
    task_status.started()
    # Without a device's key the source is one that nobody has seen, and the cases have to do with that.
    while anchor is not None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_beat, anchor, pulse)
            while anchor.peer.ending is None:
                if isinstance(anchor, Device):
                    await anchor.publish(trial.online_camera)
                await trio.sleep(_INTERVAL)
            nursery.cancel_scope.cancel()
        pulse.lost()
        anchor = await _connect(trial)


async def keep_time(pulse: Pulse) -> None:
    """Tell *pulse* how late the judge gets to do anything, until cancelled."""
    while True:
        meant = trio.current_time() + _NAP
        await trio.sleep_until(meant)
        pulse.overslept(trio.current_time() - meant)


async def _beat(anchor: Device | Viewer, pulse: Pulse) -> None:
    while anchor.peer.ending is None:
        pulse.asked()
        await anchor.peer.ping(b"pulse")
        if await anchor.peer.until(pong_with(b"pulse"), _LONGEST_BEAT) is None:
            pulse.lost()
            return
        pulse.answered()
        await trio.sleep(_BEAT)


async def _connect(trial: Trial) -> Device | Viewer | None:
    try:
        if trial.target.watched is not None:
            return await trial.open_viewer(trial.online, name="anchor")
        return await trial.open_source(trial.online, name="anchor")
    except (Inconclusive, HandshakeFailed):
        return None
