"""Faults in the forms in which devices send frames, and in their limits."""

from abc import abstractmethod
from typing import ClassVar, Final

from attrs import evolve

from plexwire_conformance.faults._fault import Device, FaultyGateway, fault
from plexwire_protocol import (
    Event,
    GatewayDeviceSession,
    MessageReceived,
    State,
    VideoFrame,
    decode_device_frame,
)
from plexwire_protocol.limits import MAX_MESSAGE_BYTES
from plexwire_server import Limits


class _Picky(GatewayDeviceSession):
    """Passes over some of what devices send."""

    @abstractmethod
    def wants(self, data: str | bytes) -> bool:
        """Whether it looks at the message."""

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if self.state is not State.STREAMING or self.wants(data):
            return super()._receive(data, now=now)
        return []


@fault("media.binary-ignored", "Reads frames in their text form alone.", "PW-BIN-1")
class BinaryIgnored(_Picky):
    def wants(self, data: str | bytes) -> bool:
        return isinstance(data, str)


@fault("media.text-ignored", "Reads frames in their binary form alone.", "PW-TXT-1")
class TextIgnored(_Picky):
    def wants(self, data: str | bytes) -> bool:
        return isinstance(data, bytes) or '"video_frame"' not in data[:40]


@fault("media.text-needs-source", "Drops a text frame that does not name its source.", "PW-TXT-1")
class TextNeedsSource(_Picky):
    def wants(self, data: str | bytes) -> bool:
        return isinstance(data, bytes) or '"video_frame"' not in data[:40] or "source_id" in data


@fault(
    "media.zero-size-dropped",
    "Drops frames without a size.",
    "PW-BIN-3",
    also=("PW-FRAME-3",),
)
class ZeroSizeDropped(Device):
    def _publish(self, frame: VideoFrame, now: float) -> None:
        if frame.width and frame.height:
            super()._publish(frame, now)


@fault("media.thermal-stripped", "Relays no member of a frame that it does not know.", "PW-THERM-1")
class ThermalStripped(Device):
    def _publish(self, frame: VideoFrame, now: float) -> None:
        super()._publish(evolve(frame, extra={}), now)


# ── whose frame it is ────────────────────────────────────────────────────────────────────────


class _Credulous(GatewayDeviceSession):
    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        return [self._as_named(event, data) for event in super()._receive(data, now=now)]

    def _as_named(self, event: Event, data: str | bytes) -> Event:
        if isinstance(event, MessageReceived) and isinstance(data, bytes):
            return MessageReceived(decode_device_frame(data))
        return event


class _PublishingForOthers(Device):
    def _publish(self, frame: VideoFrame, now: float) -> None:
        if frame.source_id == self.source_id:
            super()._publish(frame, now)
            return
        relay = self.hub.relay
        named = relay.join(self.organisation, frame.source_id)
        relay.publish(named, frame, now=now)
        relay.leave(named)


@fault(
    "media.source-field-believed",
    "Relays a frame under the source that the frame itself names.",
    "PW-BIN-2",
    also=("PW-ISO-2",),
)
class SourceFieldBelieved(FaultyGateway):
    device_rules = _Credulous
    device_peer = _PublishingForOthers


@fault(
    "media.other-source-dropped",
    "Drops a frame that names another source than the device's.",
    "PW-BIN-2",
)
class OtherSourceDropped(GatewayDeviceSession):
    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        return [
            event for event in super()._receive(data, now=now) if not self._strange(event, data)
        ]

    def _strange(self, event: Event, data: str | bytes) -> bool:
        if isinstance(data, str) or not isinstance(event, MessageReceived):
            return False
        return decode_device_frame(data).source_id != self.source_id


_MEBIBYTE_AND_A_HALF: Final = 3 * MAX_MESSAGE_BYTES // 2


# ── limits ───────────────────────────────────────────────────────────────────────────────────


class _Limited(FaultyGateway):
    """Has another limit for messages, `bytes_allowed`."""

    bytes_allowed: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(message_bytes=self.bytes_allowed)


@fault(
    "media.limit-512-kib",
    "Has a limit of 512 KiB, as its proxy does.",
    "PW-LIM-1",
    also=("PW-LIM-2",),
)
class Limit512Kib(_Limited):
    bytes_allowed = 512 * 1024


@fault("media.limit-million", "Takes a megabyte for a million bytes.", "PW-LIM-2")
class LimitMillion(_Limited):
    bytes_allowed = 1_000_000


class _Unlimited(GatewayDeviceSession):
    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if isinstance(data, bytes) and len(data) > MAX_MESSAGE_BYTES:
            frame = evolve(decode_device_frame(data), source_id=self.source_id)
            return [MessageReceived(frame)]
        return super()._receive(data, now=now)


@fault("media.no-limit", "Relays messages of any size.", "PW-LIM-3")
class NoLimit(_Limited):
    bytes_allowed = 1 << 30
    device_rules = _Unlimited


@fault("media.limit-too-high", "Relays messages of up to one and a half mebibytes.", "PW-LIM-3")
class LimitTooHigh(_Limited):
    bytes_allowed = _MEBIBYTE_AND_A_HALF
    device_rules = _Unlimited
