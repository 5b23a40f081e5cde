"""Faults in what becomes of a viewer that can't keep up, and of the others."""

from wsproto.frame_protocol import CloseReason

from plexwire_conformance.faults._fault import FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import Queueing, watchers
from plexwire_protocol import EncodedFrame


@fault(
    "flow.one-slot-per-viewer",
    "Keeps one frame for a viewer, whatever its camera: the newest takes the place of any other.",
    "PW-FRAME-9",
    also=("PW-ADDR-2",),
)
class OneSlotPerViewer(Viewer):
    def _note_frame(self, frame: EncodedFrame) -> bool:
        self.mail.clear()
        return super()._note_frame(frame)


class _TakingTurns(Viewer):
    """Has a frame written only while no other viewer of its source has one."""

    gateway: "OneWriter"

    def _take_frame(self) -> EncodedFrame | None:
        turns, source_id = self.gateway.turns, self.address.source_id
        if turns.get(source_id, self) is not self:
            return None
        frame = super()._take_frame()
        if frame is not None:
            turns[source_id] = self
        return frame

    def _note_written(self, now: float) -> None:
        super()._note_written(now)
        if self._handed is None:
            self._pass_on()

    def _leave(self) -> None:
        super()._leave()
        self._pass_on()

    def _pass_on(self) -> None:
        turns, source_id = self.gateway.turns, self.address.source_id
        if turns.get(source_id) is self:
            del turns[source_id]
            for other in watchers(self.gateway, source_id):
                if other is not self:
                    other.ring()


@fault("flow.one-writer", "Writes to the viewers of a source one after the other.", "PW-FLOW-1")
class OneWriter(FaultyGateway):
    viewer_peer = _TakingTurns

    def __init__(self) -> None:
        super().__init__()
        #: Whose turn it is, by source.
        self.turns: dict[str, Viewer] = {}


# ── the queue ────────────────────────────────────────────────────────────────────────────────


@fault("flow.unbounded-queue", "Stores up whatever a viewer can't take.", "PW-FLOW-3")
class UnboundedQueue(Queueing):
    pass


@fault(
    "flow.told-of-drops",
    "Tells a viewer how many frames it has missed.",
    "PW-FLOW-2",
    # It keeps one frame for all cameras.
    also=("PW-FRAME-9",),
)
class ToldOfDrops(Queueing):
    places = 1
    _missed = 0

    def take(self, frame: EncodedFrame) -> None:
        self._missed += len(self.queue)
        super().take(frame)

    def _take_frame(self) -> EncodedFrame | None:
        missed, self._missed = self._missed, 0
        if missed:
            return EncodedFrame("", f'{{"type":"frames_dropped","count":{missed}}}')
        return super()._take_frame()


# ── the stalled viewer ───────────────────────────────────────────────────────────────────────


class _Impatient(Viewer):
    """Is through with a viewer that takes more than two seconds for a frame."""

    through = False
    _since = 0.0

    def _next_frame(self, now: float) -> str | bytes | None:
        self._since = now
        return super()._next_frame(now)

    def _note_written(self, now: float) -> None:
        if self._in_hand is not None:
            self.through = self.through or now > self._since + 2
        super()._note_written(now)


@fault(
    "flow.slow-viewer-closed",
    "Closes a viewer that takes more than two seconds for a frame.",
    "PW-FLOW-2",
)
class SlowViewerClosed(_Impatient):
    def _note_written(self, now: float) -> None:
        super()._note_written(now)
        if self.through:
            self.close(CloseReason.POLICY_VIOLATION, "too slow", now=now)


@fault(
    "flow.slow-viewer-forgotten",
    "Sends nothing any more to a viewer that took more than two seconds for a frame.",
    "PW-FLOW-4",
)
class SlowViewerForgotten(_Impatient):
    def _take_frame(self) -> EncodedFrame | None:
        frame = super()._take_frame()
        return None if self.through else frame
