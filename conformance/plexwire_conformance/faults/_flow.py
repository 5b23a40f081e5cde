"""Faults in what becomes of a viewer that can't keep up, and of the others."""

from collections import defaultdict

import trio
from trio_websocket import WebSocketConnection
from wsproto.frame_protocol import CloseReason

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._parts import Dawdling, Queueing
from plexwire_protocol import EncodedFrame, StreamAddress
from plexwire_server import ConnectionReport
from plexwire_server.extending import ViewerConnection


class _TakingTurns(Dawdling):
    turn: trio.Lock

    async def send_frame(self, frame: EncodedFrame) -> None:
        async with self.turn:
            await super().send_frame(frame)


@fault("flow.one-writer", "PW-FLOW-1")
class OneWriter(FaultyGateway):
    """Writes to the viewers of a source one after the other."""

    viewer_connection = _TakingTurns

    def __init__(self) -> None:
        super().__init__()
        self._turns: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)

    def new_viewer(
        self, address: StreamAddress, ws: WebSocketConnection, report: ConnectionReport
    ) -> ViewerConnection:
        viewer = super().new_viewer(address, ws, report)
        if isinstance(viewer, _TakingTurns):
            viewer.turn = self._turns[address.source_id]
        return viewer


# ── the queue ────────────────────────────────────────────────────────────────────────────────


@fault("flow.unbounded-queue", "PW-FLOW-3")
class UnboundedQueue(Queueing):
    """Stores up whatever a viewer can't take."""


@fault("flow.queue-of-ten", "PW-FLOW-5")
class QueueOfTen(Queueing):
    """Keeps the last ten frames for a viewer that stalls."""

    places = 10


@fault("flow.newest-dropped", "PW-FLOW-5")
class NewestDropped(Queueing):
    """Drops what comes while a frame waits."""

    def take(self, frame: EncodedFrame) -> None:
        if not self.queue:
            super().take(frame)


@fault("flow.told-of-drops", "PW-FLOW-2")
class ToldOfDrops(Queueing):
    """Tells a viewer how many frames it has missed."""

    places = 1
    _missed = 0

    def take(self, frame: EncodedFrame) -> None:
        self._missed += len(self.queue)
        super().take(frame)

    async def send_frame(self, frame: EncodedFrame) -> None:
        missed, self._missed = self._missed, 0
        if missed:
            text = f'{{"type":"frames_dropped","count":{missed}}}'
            await super().send_frame(EncodedFrame(frame.camera_id, text))
        await super().send_frame(frame)


# ── the stalled viewer ───────────────────────────────────────────────────────────────────────


class _Impatient(ViewerConnection):
    """Is through with a viewer that takes more than two seconds for a frame."""

    through = False

    async def send_frame(self, frame: EncodedFrame) -> None:
        since = trio.current_time()
        await super().send_frame(frame)
        self.through = self.through or trio.current_time() > since + 2


@fault("flow.slow-viewer-closed", "PW-FLOW-2")
class SlowViewerClosed(_Impatient):
    """Closes a viewer that takes more than two seconds for a frame."""

    async def send_frame(self, frame: EncodedFrame) -> None:
        await super().send_frame(frame)
        if self.through:
            self.session.close(CloseReason.TRY_AGAIN_LATER, "too slow", now=trio.current_time())
            await self.flush()


@fault("flow.slow-viewer-forgotten", "PW-FLOW-4")
class SlowViewerForgotten(_Impatient):
    """Sends nothing any more to a viewer that took more than two seconds for a frame."""

    def next_frame(self) -> EncodedFrame | None:
        frame = super().next_frame()
        return None if self.through else frame
