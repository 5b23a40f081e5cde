"""Faults that let one peer harm others."""

from typing import ClassVar

from plexwire_conformance.faults._fault import Device, FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import Mutable, mute, throw_out, watchers
from plexwire_protocol import (
    CloseCode,
    ConversationClosed,
    Event,
    MessageRefused,
    Refusal,
)

# ── devices ──────────────────────────────────────────────────────────────────────────────────


@fault(
    "rob.malformed-frame-ends-viewers",
    "Closes the viewers of a source when its device sends something malformed.",
    "PW-ROB-1",
)
class MalformedFrameEndsViewers(Device):
    def _handle(self, event: Event, now: float) -> list[Event]:
        more = super()._handle(event, now)
        if isinstance(event, MessageRefused):
            throw_out(watchers(self.gateway, self.source_id))
        return more


class _Decoding(Device):
    def _handle(self, event: Event, now: float) -> list[Event]:
        more = super()._handle(event, now)
        if isinstance(event, MessageRefused) and event.error.refusal is Refusal.NOT_JPEG:
            mute(watchers(self.gateway, self.source_id))
        return more


@fault(
    "rob.bad-picture-ends-video",
    "Decodes a source's pictures in one place, which the first bad one brings to a halt.",
    "PW-ROB-1",
)
class BadPictureEndsVideo(FaultyGateway):
    viewer_peer = Mutable
    device_peer = _Decoding


# ── viewers ──────────────────────────────────────────────────────────────────────────────────


class _EndingTogether(Viewer):
    """Closes all viewers of a source when one of them is closed with `code`."""

    code: ClassVar[CloseCode]

    def _handle(self, event: Event, now: float) -> list[Event]:
        more = super()._handle(event, now)
        if isinstance(event, ConversationClosed) and event.close.code == self.code:
            throw_out(watchers(self.gateway, self.address.source_id))
        return more


@fault(
    "rob.rude-viewer-ends-others",
    "Closes all viewers of a source when one of them breaks WebSocket.",
    "PW-ROB-2",
)
class RudeViewerEndsOthers(_EndingTogether):
    code = CloseCode.PROTOCOL_ERROR


@fault(
    "rob.oversize-message-ends-others",
    "Closes all viewers of a source when one of them sends a message over the limit.",
    "PW-ROB-2",
    also=("PW-TIME-1", "PW-TIME-2"),
)
class OversizeMessageEndsOthers(_EndingTogether):
    code = CloseCode.TOO_BIG


@fault(
    "rob.vanished-viewer-ends-video",
    "Ends the fan-out of a source with the first viewer whose connection breaks.",
    "PW-ROB-3",
)
class VanishedViewerEndsVideo(Mutable):
    def _leave(self) -> None:
        super()._leave()
        if self.closed is not None and self.closed.code == CloseCode.ABNORMAL:
            mute(watchers(self.gateway, self.address.source_id))
