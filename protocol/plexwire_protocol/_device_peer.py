"""A device of a `Hub`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from plexwire_protocol._errors import MalformedMessage
from plexwire_protocol._events import Event, MessageReceived, MessageRefused
from plexwire_protocol._gateway import GatewayDeviceSession
from plexwire_protocol._messages import OnlineSource, Role, VideoFrame
from plexwire_protocol._peer import Peer
from plexwire_protocol._relay import Publisher
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from plexwire_protocol._hub import Hub

#: Why a frame got lost, beside the `Refusal` of its message.
TOO_MANY_CAMERAS: Final = "too_many_cameras"


class DevicePeer(Peer[GatewayDeviceSession]):
    """A device: its frames go to the relay under the source that it authenticated as.  [PW-BIN-2]"""

    role: ClassVar[Role] = Role.DEVICE

    def __init__(self, hub: "Hub", session: GatewayDeviceSession, wake: Callable[[], None]) -> None:
        self._publisher: Publisher | None = None
        self._refused = 0
        self.dropped: int = 0
        #: The cameras that it has sent frames of.
        self.cameras: frozenset[str] = frozenset()
        super().__init__(hub, session, wake)

    @property
    def source_id(self) -> str:
        """Which source the device declared itself to be; empty before its auth."""
        return self.session.source_id

    # ── what a subclass may do differently ───────────────────────────────────────────────────

    def _publish(self, frame: VideoFrame, now: float) -> None:
        """Publish *frame* under the device's own source.  [PW-BIN-2]"""
        assert self._publisher is not None  # frames come after the answer
        self.hub.relay.publish(self._publisher, frame, now=now)
        self._count_frame(self._publisher, len(frame.jpeg))

    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        self.session.grant(server_time_ms=self.hub.unix_ms(), now=now)  # [PW-DEV-2, PW-DEV-3]
        self._publisher = self.hub.relay.join(
            self.organisation, self.session.source_id, key=self.key_name
        )

    def _leave(self) -> None:
        assert self._publisher is not None  # it was admitted
        self.cameras = self._publisher.cameras
        self.hub.relay.leave(self._publisher)
        self._publisher = None

    def _handle(self, event: Event, now: float) -> list[Event]:
        match event:
            case MessageReceived(message=VideoFrame() as frame):
                self._publish(frame, now)
            case MessageRefused(error):
                self._count_dropped(error.refusal.value)
            case _:
                pass
        return super()._handle(event, now)

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        publisher = self._publisher
        if publisher is None or isinstance(data, str) or len(data) > MAX_MESSAGE_BYTES:
            return super()._receive(data, now)
        try:
            # Without the session: a frame moves nothing in the tables, and this is done for each of them.
            size = self.hub.relay.publish_binary(publisher, data, now=now)
        except MalformedMessage:
            return super()._receive(data, now)
        self._count_frame(publisher, size)
        return []

    # ── how it does it ───────────────────────────────────────────────────────────────────────

    def _count_frame(self, publisher: Publisher, size: int) -> None:
        self.frames += 1
        self.frame_bytes += size
        traffic = self.hub.traffic
        traffic.frames_in += 1
        traffic.bytes_in += size
        if publisher.refused > self._refused:
            self._refused = publisher.refused
            self._count_dropped(TOO_MANY_CAMERAS)

    def _count_dropped(self, reason: str) -> None:
        self.dropped += 1
        self.hub.traffic.dropped[reason] += 1
