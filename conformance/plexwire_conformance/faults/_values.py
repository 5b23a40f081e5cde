"""Faults in which values of addresses, messages and frames are taken as they are."""

import json
import unicodedata
from abc import abstractmethod
from typing import Any, ClassVar

from attrs import evolve

from plexwire_conformance.faults._fault import Device, FaultyGateway, fault
from plexwire_conformance.faults._parts import Members, RetoldFrame
from plexwire_protocol import (
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    State,
    StreamAddress,
    VideoFrame,
)

# ── text ─────────────────────────────────────────────────────────────────────────────────────


@fault(
    "conn.raw-utf8-ends-device",
    "Closes a device whose text has letters beyond ASCII, as its parser reads ASCII.",
    "PW-TXT-1",
    also=("PW-FRAME-8", "PW-DEV-6", "PW-DEV-7"),
)
class RawUtf8EndsDevice(GatewayDeviceSession):
    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if isinstance(data, str) and not data.isascii():
            return self.close(1007, "invalid text", now=now)
        return super()._receive(data, now=now)


@fault(
    "auth.raw-utf8-refused",
    "Takes an auth with letters beyond ASCII in a further member for malformed.",
    "PW-AUTH-11",
)
class RawUtf8Refused(GatewayViewerSession):
    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if isinstance(data, str) and not data.isascii() and self.state is State.AWAITING_AUTH:
            return self.close(4001, "", now=now)
        return super()._receive(data, now=now)


# ── cameras ──────────────────────────────────────────────────────────────────────────────────


class _Cameras(FaultyGateway):
    """Reads the cameras of an address otherwise."""

    @abstractmethod
    def cameras(self, camera_id: str) -> tuple[str, ...]:
        """Return the cameras that it takes *camera_id* for."""

    def read_address(self, target: str) -> StreamAddress:
        address = super().read_address(target)
        read = (camera for one in address.cameras for camera in self.cameras(one))
        return evolve(address, cameras=tuple(dict.fromkeys(read)))


@fault(
    "addr.split-at-commas",
    "Splits a camera_id at its commas.",
    "PW-ADDR-2",
    also=("PW-ADDR-4", "PW-ISO-1"),
)
class SplitAtCommas(_Cameras):
    def cameras(self, camera_id: str) -> tuple[str, ...]:
        return tuple(camera_id.split(","))


@fault(
    "addr.cameras-trimmed",
    "Trims white space around the cameras of an address.",
    "PW-ADDR-4",
    also=("PW-ADDR-2", "PW-ISO-1"),
)
class CamerasTrimmed(_Cameras):
    def cameras(self, camera_id: str) -> tuple[str, ...]:
        return (camera_id.strip(),)


class _Altering(Device):
    """Publishes frames otherwise, or not at all."""

    @abstractmethod
    def altered(self, frame: VideoFrame) -> VideoFrame | None:
        """Return what is published instead of *frame*."""

    def _publish(self, frame: VideoFrame, now: float) -> None:
        if (altered := self.altered(frame)) is not None:
            super()._publish(altered, now)


@fault(
    "frames.camera-normalised",
    "Composes the letters of camera ids, as its file system does.",
    "PW-ISO-1",
    also=("PW-ADDR-2", "PW-ADDR-4", "PW-FRAME-8"),
)
class CameraNormalised(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, camera_id=unicodedata.normalize("NFC", frame.camera_id))


# ── numbers ──────────────────────────────────────────────────────────────────────────────────


@fault(
    "frames.old-stamps-dropped",
    "Drops frames from before 2020.",
    "PW-FRAME-4",
    also=("PW-FRAME-9",),
)
class OldStampsDropped(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame | None:
        return frame if frame.timestamp >= 1_577_836_800_000 else None


@fault(
    "frames.wide-dropped",
    "Drops frames that are wider or higher than 65535 pixels.",
    "PW-FRAME-3",
    also=("PW-BIN-1", "PW-FRAME-9"),
)
class WideDropped(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame | None:
        return frame if max(frame.width, frame.height) <= 0xFFFF else None


class _Sanitising(GatewayDeviceSession):
    """Reads text frames whose numbers are of the wrong type, and remembers what they were."""

    as_sent: ClassVar[dict[str, Members]] = {}

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        events = super()._receive(data, now=now)
        members = _frame_of_wrong_types(data) if isinstance(data, str) else None
        if members is not None and self.state is State.STREAMING:
            self.as_sent[members["frame"]] = {name: members[name] for name in _NUMBERS}
            return super()._receive(json.dumps({**members, **_NUMBERS}), now=now)
        return events


_NUMBERS: Members = {"width": 640, "height": 480, "timestamp": 1_746_969_660_000}


def _frame_of_wrong_types(text: str) -> Members | None:
    try:
        members: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or members.get("type") != "video_frame":
        return None
    whole = all(type(members.get(name)) is int for name in _NUMBERS)
    readable = all(name in members for name in _NUMBERS) and isinstance(members.get("frame"), str)
    return None if whole or not readable else members


class _AsSent(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, **_Sanitising.as_sent.get(members["frame"], {})}


@fault(
    "frames.wrong-types-relayed",
    "Relays text frames without a look at the types of their numbers.",
    "PW-FRAME-1",
)
class WrongTypesRelayed(FaultyGateway):
    device_rules = _Sanitising
    viewer_rules = _AsSent


# ── what is short, or empty ──────────────────────────────────────────────────────────────────


@fault("time.one-second-ignored", "Takes timeout=1 for no timeout.", "PW-TIME-1")
class OneSecondIgnored(FaultyGateway):
    def read_address(self, target: str) -> StreamAddress:
        address = super().read_address(target)
        return evolve(address, timeout=None) if address.timeout == 1 else address
