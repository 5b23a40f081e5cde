"""The gateway's side of one device: its frames go to the relay under the source that it authenticated as."""

from typing import ClassVar, final

import trio

from plexwire_protocol import (
    AuthReceived,
    Event,
    GatewayDeviceSession,
    MessageReceived,
    MessageRefused,
    Publisher,
    Role,
    VideoFrame,
)
from plexwire_server._peer_connection import PeerConnection
from plexwire_server.keys._key_decision import KeyGranted, Scope


class DeviceConnection(PeerConnection[GatewayDeviceSession]):
    """One connection of one device; another of the same device stands beside it.  [PW-DEV-10]"""

    role: ClassVar[Role] = Role.DEVICE
    scope: ClassVar[Scope] = Scope.WRITE

    _publisher: Publisher | None = None

    def admit(self, granted: KeyGranted) -> None:
        """Send `authenticated` with the gateway's time, and put the source online.  [PW-DEV-2, PW-DEV-3]"""
        self.session.grant(server_time_ms=self.gateway.unix_ms(), now=trio.current_time())
        self._publisher = self.gateway.relay.join(granted.organisation, self.session.source_id)

    def leave(self) -> None:
        """Take the source's cameras offline.  [PW-INIT-7]"""
        if self._publisher is not None:
            self.gateway.relay.leave(self._publisher)
            self.report.cameras = tuple(sorted(self._publisher.cameras))

    def handle(self, event: Event) -> None:
        """Publish frames; all else is as for viewers."""
        match event:
            case MessageReceived(message=VideoFrame() as frame):
                self.publish(frame)
                return
            case MessageRefused(error):
                self._drop(error.refusal.value)
            case AuthReceived():
                self.report.source_id = self.session.source_id
            case _:
                pass
        super().handle(event)

    def publish(self, frame: VideoFrame) -> None:
        """Publish *frame* under the device's own source.  [PW-BIN-2]"""
        if self._publisher is not None:
            self.publish_as(self._publisher, frame)

    @final
    def publish_as(self, publisher: Publisher, frame: VideoFrame) -> None:
        """Count *frame* as this device's and publish it as *publisher*."""
        metrics = self.gateway.metrics
        metrics.frames_in += 1
        metrics.bytes_in += len(frame.jpeg)
        self.report.frames += 1
        self.report.frame_bytes += len(frame.jpeg)
        refused = publisher.refused
        self.gateway.publish(publisher, frame)
        if publisher.refused > refused:
            self._drop("too_many_cameras")

    @final
    def _drop(self, reason: str) -> None:
        self.report.dropped += 1
        self.gateway.metrics.dropped[reason] += 1
