"""Faults in which frames reach a viewer, when, and how often."""

from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import ClassVar

import trio
from attrs import frozen

from plexwire_conformance.faults._fault import Device, FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import (
    Mailbox,
    Mutable,
    Queueing,
    Remembering,
    mute,
    watchers,
)
from plexwire_protocol import (
    CloseCode,
    EncodedFrame,
    GatewayViewerSession,
    Hub,
    OnlineSource,
    StreamAddress,
)
from plexwire_server import KeyGranted
from plexwire_server.extending import ViewerConnection

# ── order and number ─────────────────────────────────────────────────────────────────────────


@fault("frames.newest-first", "Sends the newer of two waiting frames first.", "PW-FRAME-5")
class NewestFirst(Queueing):
    places = 2

    def _take_frame(self) -> EncodedFrame | None:
        return self.queue.pop() if self.queue else None


class _Repeated(Viewer):
    """Sends frames twice if `repeats`."""

    repeats = True
    _again: EncodedFrame | None = None

    def _take_frame(self) -> EncodedFrame | None:
        frame, self._again = self._again, None
        if frame is None:
            frame = super()._take_frame()
            self._again = frame if self.repeats else None
        return frame


@fault("frames.twice", "Sends every frame twice, to be on the safe side.", "PW-FRAME-6")
class SentTwice(_Repeated):
    pass


@frozen(kw_only=True)
class _Repeating(StreamAddress):
    """An address that names a camera twice."""


class _OncePerMention(_Repeated):
    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        self.repeats = isinstance(self.address, _Repeating)
        super()._admit(online, now)


@fault(
    "frames.once-per-mention",
    "Sends a frame as often as the address names its camera.",
    "PW-FRAME-6",
)
class OncePerMention(FaultyGateway):
    viewer_peer = _OncePerMention

    def read_address(self, target: str) -> StreamAddress:
        address = super().read_address(target)
        if target.count("camera_id=") == len(address.cameras) or "camera_id=" not in target:
            return address
        return _Repeating(
            source_id=address.source_id, cameras=address.cameras, timeout=address.timeout
        )


class _Caught(Mailbox):
    gateway: Remembering

    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        super()._admit(online, now)
        address = self.address
        last = self.gateway.last.get((self.organisation, address.source_id), {})
        for camera in address.cameras:
            if camera in last:
                self.take(last[camera])


@fault(
    "frames.last-frame-replayed",
    "Shows the last frame of a camera to whoever comes later, so that no screen stays dark.",
    "PW-FRAME-7",
)
class LastFrameReplayed(Remembering):
    viewer_peer = _Caught


# ── losses and delays ────────────────────────────────────────────────────────────────────────


@fault(
    "frames.every-second-dropped", "Sends every second frame, to halve the traffic.", "PW-FRAME-9"
)
class EverySecondDropped(Viewer):
    _odd = False

    def _take_frame(self) -> EncodedFrame | None:
        while (frame := super()._take_frame()) is not None:
            self._odd = not self._odd
            if self._odd:
                return frame
        return None


@fault("frames.one-behind", "Sends a frame when the next one has come.", "PW-FRAME-9")
class OneBehind(Viewer):
    _held: EncodedFrame | None = None

    def _take_frame(self) -> EncodedFrame | None:
        while (frame := super()._take_frame()) is not None:
            held, self._held = self._held, frame
            if held is not None:
                return held
        return None


class _Buffering(Queueing):
    """Keeps frames back until they are `release`d."""

    def __init__(self, hub: Hub, session: GatewayViewerSession, wake: Callable[[], None]) -> None:
        self._came, self._coming = trio.open_memory_channel[tuple[float, EncodedFrame]](inf)
        super().__init__(hub, session, wake)

    def take(self, frame: EncodedFrame) -> None:
        self._came.send_nowait((trio.current_time(), frame))

    async def release(self, after: float) -> None:
        """Let every frame go *after* so many seconds."""
        async for came, frame in self._coming:
            await trio.sleep_until(came + after)
            self.queue.append(frame)
            self.ring()


class _Late(ViewerConnection):
    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        if isinstance(self.peer, _Buffering):
            self.start_soon(partial(self.peer.release, 3))


@fault(
    "frames.three-seconds-late", "Buffers three seconds of video before it sends any.", "PW-FRAME-9"
)
class ThreeSecondsLate(FaultyGateway):
    viewer_peer = _Buffering
    viewer_connection = _Late


class _Limited(Viewer):
    """Gives the frames of a camera to its first `places` viewers."""

    places: ClassVar[int]

    def _take_frame(self) -> EncodedFrame | None:
        while (frame := super()._take_frame()) is not None:
            if self._place(frame.camera_id) < self.places:
                return frame
        return None

    def _place(self, camera: str) -> int:
        watching = watchers(self.gateway, self.address.source_id)
        of_camera = [viewer for viewer in watching if camera in viewer.address.cameras]
        return of_camera.index(self)


@fault(
    "frames.first-viewer-only",
    "Gives a camera's frames to the viewer who came first.",
    "PW-FRAME-10",
)
class FirstViewerOnly(_Limited):
    places = 1


@fault(
    "frames.two-viewers-at-most", "Gives a camera's frames to two viewers at most.", "PW-FRAME-10"
)
class TwoViewersAtMost(_Limited):
    places = 2


@fault(
    "frames.end-with-one-viewer",
    "Ends the fan-out of a source with the first viewer that closes.",
    "PW-FRAME-10",
    also=("PW-ADDR-2",),
)
class EndWithOneViewer(Mutable):
    def _leave(self) -> None:
        super()._leave()
        if self.closed is not None and self.closed.code == CloseCode.NORMAL:
            mute(watchers(self.gateway, self.address.source_id))


class _EndingVideo(Device):
    def _leave(self) -> None:
        super()._leave()
        mute(watchers(self.gateway, self.source_id))


@fault(
    "frames.end-with-the-device",
    "Keeps the viewers of a device that has left, and never finds it again when it is back.",
    "PW-FRAME-9",
)
class EndWithTheDevice(FaultyGateway):
    viewer_peer = Mutable
    device_peer = _EndingVideo
