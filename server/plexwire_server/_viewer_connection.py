"""The gateway's side of one viewer: newest frame wins, and nobody else notices how fast it reads."""

from collections.abc import Iterable
from typing import ClassVar, final

import trio
from trio_websocket import WebSocketConnection

from plexwire_protocol import (
    EncodedFrame,
    GatewayViewerSession,
    OnlineSource,
    Role,
    State,
    Subscriber,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway_state import GatewayState
from plexwire_server._metrics import REPLACED
from plexwire_server._peer_connection import PeerConnection
from plexwire_server.keys._key_decision import KeyGranted, Scope


class ViewerConnection(PeerConnection[GatewayViewerSession]):
    """One viewer.  Frames wait for it in the relay, at most one a camera; its own task takes and writes them.

    A writer that rests is handed its frame: one that comes in the same segment must not take its place.
    """

    role: ClassVar[Role] = Role.VIEWER
    scope: ClassVar[Scope] = Scope.READ

    _subscriber: Subscriber | None = None
    _bell: trio.Event | None = None
    _handed: EncodedFrame | None = None

    def __init__(
        self,
        gateway: GatewayState,
        session: GatewayViewerSession,
        ws: WebSocketConnection,
        report: ConnectionReport,
    ) -> None:
        super().__init__(gateway, session, ws, report)
        #: When the frame came that waits, by camera.
        self._came: dict[str, float] = {}

    @final
    @property
    def waiting(self) -> int:
        """How many frames wait for this viewer."""
        return 0 if self._subscriber is None else self._subscriber.waiting

    # ── what a subclass may do differently ───────────────────────────────────────────────────

    def admit(self, granted: KeyGranted) -> None:
        """Send the `init` and subscribe: what is published from here on follows it.  [PW-INIT-3, PW-FRAME-7]"""
        self.session.grant(self.online(granted), now=trio.current_time())
        self._subscriber = self.subscribe(granted)
        self.gateway.viewers[self._subscriber] = self

    def leave(self) -> None:
        """Unsubscribe."""
        if self._subscriber is not None:
            del self.gateway.viewers[self._subscriber]
            self.gateway.relay.unsubscribe(self._subscriber)
            self.report.dropped = self._subscriber.dropped
            # At once, as the page of metrics counts those of the viewers that are here: no counter may go back.
            self.gateway.metrics.dropped[REPLACED] += self._subscriber.dropped

    def online(self, granted: KeyGranted) -> Iterable[OnlineSource]:
        """Return what the `init` says.  [PW-INIT-5, PW-INIT-6]"""
        return self.gateway.relay.online(granted.organisation, self.session.address.source_id)

    def subscribe(self, granted: KeyGranted) -> Subscriber:
        """Ask the relay for the cameras of the address.  [PW-ISO-1, PW-ISO-2, PW-ISO-3]"""
        address = self.session.address
        return self.gateway.relay.subscribe(
            granted.organisation, address.source_id, address.cameras
        )

    def expect(self, camera_id: str) -> None:
        """Take note that a frame of this camera came, and wake the writer."""
        self._came[camera_id] = trio.current_time()
        self.ring()

    def ring(self) -> None:
        """Wake the writer: a frame waits."""
        if self._bell is not None and not self._bell.is_set():
            self._handed = self.next_frame()
            self._bell.set()

    async def stream(self) -> None:
        """Write frame after frame, as fast as the viewer takes them.  [PW-FRAME-9]"""
        while self.session.state is State.STREAMING:
            frame, self._handed = self._handed or self.next_frame(), None
            if frame is None:
                await self.rest()
            else:
                await self.send_frame(frame)

    async def rest(self) -> None:
        """Wait until the writer is woken."""
        self._bell = trio.Event()
        await self._bell.wait()

    def next_frame(self) -> EncodedFrame | None:
        """Take the next frame for this viewer, if one waits."""
        return None if self._subscriber is None else self.gateway.relay.next_for(self._subscriber)

    async def send_frame(self, frame: EncodedFrame) -> None:
        """Write one frame; waits while the viewer does not read."""
        came = self._came.pop(frame.camera_id, None)
        self.session.send(frame, now=trio.current_time())
        await self.flush()
        metrics = self.gateway.metrics
        if came is not None:
            metrics.frame_delay.observe(trio.current_time() - came)
        self.report.frames += 1
        self.report.frame_bytes += len(frame.text)
        metrics.frames_out += 1
        metrics.bytes_out += len(frame.text)
