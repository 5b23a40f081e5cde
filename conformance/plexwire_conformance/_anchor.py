"""The anchor: one device that is online for the whole run.

A gateway may refuse viewers of a source that nobody has seen [PW-ADDR-12], so whatever is judged of viewers alone is
judged at a source that is there.
"""

import trio

from plexwire_conformance._peer import HandshakeFailed
from plexwire_conformance._roles import Device
from plexwire_conformance._trial import Inconclusive, Trial

#: Seconds between two of its frames, and before it connects again.
_INTERVAL = 1.0


async def keep_anchor(
    trial: Trial, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep the source `trial.online` online; it has started once that is so, or can't be."""
    device = await _connect(trial)
    task_status.started()
    # Without a device's key the source is one that nobody has seen, and the cases have to do with that.
    while device is not None:
        while device.peer.ending is None:
            await device.publish("front")
            await trio.sleep(_INTERVAL)
        device = await _connect(trial)


async def _connect(trial: Trial) -> Device | None:
    try:
        return await trial.open_source(trial.online, name="anchor")
    except (Inconclusive, HandshakeFailed):
        return None
