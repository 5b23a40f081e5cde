"""Faults in which frames reach a viewer, when, and how often."""

from typing import ClassVar

import trio
from attrs import frozen

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._parts import (
    Dawdling,
    Mailbox,
    Mutable,
    Queueing,
    Remembering,
    mute,
    watchers,
)
from plexwire_protocol import CloseCode, EncodedFrame, StreamAddress
from plexwire_server import KeyGranted
from plexwire_server.extending import DeviceConnection, ViewerConnection

# ── order and number ─────────────────────────────────────────────────────────────────────────


@fault("frames.newest-first", "PW-FRAME-5", also=("PW-FLOW-5",))
class NewestFirst(Queueing):
    """Sends the newer of two waiting frames first."""

    places = 2

    def next_frame(self) -> EncodedFrame | None:
        return self.queue.pop() if self.queue else None


@fault("frames.twice", "PW-FRAME-6")
class SentTwice(Dawdling):
    """Sends every frame twice, to be on the safe side."""

    async def send_frame(self, frame: EncodedFrame) -> None:
        await super().send_frame(frame)
        await super().send_frame(frame)


@frozen(kw_only=True)
class _Repeating(StreamAddress):
    """An address that names a camera twice."""


class _OncePerMention(Dawdling):
    async def send_frame(self, frame: EncodedFrame) -> None:
        await super().send_frame(frame)
        if isinstance(self.session.address, _Repeating):
            await super().send_frame(frame)


@fault("frames.once-per-mention", "PW-FRAME-6")
class OncePerMention(FaultyGateway):
    """Sends a frame as often as the address names its camera."""

    viewer_connection = _OncePerMention

    def read_address(self, target: str) -> StreamAddress:
        address = super().read_address(target)
        if target.count("camera_id=") == len(address.cameras) or "camera_id=" not in target:
            return address
        return _Repeating(
            source_id=address.source_id, cameras=address.cameras, timeout=address.timeout
        )


class _Caught(Mailbox):
    gateway: Remembering

    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        address = self.session.address
        last = self.gateway.last.get((granted.organisation, address.source_id), {})
        for camera in address.cameras:
            if camera in last:
                self.take(last[camera])


@fault("frames.last-frame-replayed", "PW-FRAME-7")
class LastFrameReplayed(Remembering):
    """Shows the last frame of a camera to whoever comes later, so that no screen stays dark."""

    viewer_connection = _Caught


# ── losses and delays ────────────────────────────────────────────────────────────────────────


@fault("frames.every-second-dropped", "PW-FRAME-9")
class EverySecondDropped(ViewerConnection):
    """Sends every second frame, to halve the traffic."""

    _odd = False

    async def send_frame(self, frame: EncodedFrame) -> None:
        self._odd = not self._odd
        if self._odd:
            await super().send_frame(frame)


@fault("frames.one-behind", "PW-FRAME-9")
class OneBehind(ViewerConnection):
    """Sends a frame when the next one has come."""

    _held: EncodedFrame | None = None

    async def send_frame(self, frame: EncodedFrame) -> None:
        held, self._held = self._held, frame
        if held is not None:
            await super().send_frame(held)


@fault("frames.three-seconds-late", "PW-FRAME-9")
class ThreeSecondsLate(Dawdling):
    """Buffers three seconds of video before it sends any."""

    async def send_frame(self, frame: EncodedFrame) -> None:
        await trio.sleep(3)
        await super().send_frame(frame)


class _Limited(ViewerConnection):
    """Gives the frames of a camera to its first `places` viewers."""

    places: ClassVar[int]

    def next_frame(self) -> EncodedFrame | None:
        while (frame := super().next_frame()) is not None:
            if self._place(frame.camera_id) < self.places:
                return frame
        return None

    def _place(self, camera: str) -> int:
        watching = watchers(self.gateway, self.session.address.source_id)
        of_camera = [viewer for viewer in watching if camera in viewer.session.address.cameras]
        return of_camera.index(self)


@fault("frames.first-viewer-only", "PW-FRAME-10")
class FirstViewerOnly(_Limited):
    """Gives a camera's frames to the viewer who came first."""

    places = 1


@fault("frames.two-viewers-at-most", "PW-FRAME-10")
class TwoViewersAtMost(_Limited):
    """Gives a camera's frames to two viewers at most."""

    places = 2


@fault("frames.end-with-one-viewer", "PW-FRAME-10")
class EndWithOneViewer(Mutable):
    """Ends the fan-out of a source with the first viewer that closes."""

    def leave(self) -> None:
        super().leave()
        if self.report.close is not None and self.report.close.code == CloseCode.NORMAL:
            mute(watchers(self.gateway, self.session.address.source_id))


class _EndingVideo(DeviceConnection):
    def leave(self) -> None:
        super().leave()
        mute(watchers(self.gateway, self.session.source_id))


@fault("frames.end-with-the-device", "PW-FRAME-9")
class EndWithTheDevice(FaultyGateway):
    """Keeps the viewers of a device that has left, and never finds it again when it is back."""

    viewer_connection = Mutable
    device_connection = _EndingVideo
