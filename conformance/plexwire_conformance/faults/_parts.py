"""What several faults are made of."""

import json
from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias

import trio

from plexwire_conformance.faults._fault import Device, FaultyGateway, Viewer
from plexwire_protocol import (
    CloseCode,
    EncodedFrame,
    GatewayDeviceSession,
    GatewayViewerSession,
    Hub,
    Outgoing,
    Session,
    VideoFrame,
)
from plexwire_server.extending import GatewayState, Request, Response, Upgrade

Members: TypeAlias = dict[str, Any]

# ── refusing ─────────────────────────────────────────────────────────────────────────────────


class Refusing(FaultyGateway):
    """Answers some handshakes with `refusal`, before it looks at anything else of them."""

    refusal: ClassVar[Response]

    def route(self, request: Request) -> Response | Upgrade:
        """Refuse *request*, or go on with it."""
        return self.refusal if self.refuses(request) else super().route(request)

    @abstractmethod
    def refuses(self, request: Request) -> bool:
        """Whether *request* is refused."""


# ── saying things otherwise ──────────────────────────────────────────────────────────────────


class _Retold(Session):
    """A session whose messages of one type, `about`, go out as `tell` puts them."""

    about: ClassVar[str]

    def take_outbox(self) -> list[Outgoing]:
        """Return what has to be sent, retold."""
        return [self._retold(item) for item in super().take_outbox()]

    def _retold(self, item: Outgoing) -> Outgoing:
        if not isinstance(item, str) or not item.startswith(f'{{"type":"{self.about}"'):
            return item
        told = self.tell(json.loads(item))
        return told if isinstance(told, str | bytes) else json.dumps(told)

    @abstractmethod
    def tell(self, members: Members) -> Members | str | bytes:
        """Return what is said instead of a message with these *members*."""


class RetoldInit(_Retold, GatewayViewerSession):
    """Tells the `init` otherwise."""

    about = "init"


class RetoldFrame(_Retold, GatewayViewerSession):
    """Tells frames otherwise."""

    about = "video_frame"


class RetoldAnswer(_Retold, GatewayDeviceSession):
    """Answers devices otherwise."""

    about = "authenticated"


# ── who is here ──────────────────────────────────────────────────────────────────────────────


def watchers(gateway: GatewayState, source_id: str) -> list[Viewer]:
    """Return the viewers of a source, the first one first."""
    return [
        viewer
        for viewer in gateway.hub.viewers
        if isinstance(viewer, Viewer) and viewer.address.source_id == source_id
    ]


def throw_out(viewers: list[Viewer]) -> None:
    """Close all *viewers* as if something had gone wrong inside."""
    for viewer in viewers:
        viewer.close(CloseCode.INTERNAL_ERROR, now=trio.current_time())


class Mutable(Viewer):
    """May stay connected and get nothing any more."""

    muted = False

    def _take_frame(self) -> EncodedFrame | None:
        frame = super()._take_frame()
        return None if self.muted else frame


def mute(viewers: list[Viewer]) -> None:
    """Send nothing to *viewers* from now on."""
    for viewer in viewers:
        if isinstance(viewer, Mutable):
            viewer.muted = True


class Talkative(GatewayViewerSession):
    """Says things that have no place in the conversation."""

    def say(self, text: str) -> None:
        """Send *text* whatever the state is."""
        self._put(text)


# ── keeping frames otherwise ─────────────────────────────────────────────────────────────────


class Queueing(Viewer):
    """Takes its frames out of the relay as they come, into a queue of its own with `places`."""

    places: ClassVar[int | None] = None

    def __init__(self, hub: Hub, session: GatewayViewerSession, wake: Callable[[], None]) -> None:
        self.queue: deque[EncodedFrame] = deque(maxlen=self.places)
        super().__init__(hub, session, wake)

    def take(self, frame: EncodedFrame) -> None:
        """Put *frame* into the queue."""
        self.queue.append(frame)

    def _note_frame(self, frame: EncodedFrame) -> bool:
        self.take(frame)
        self.ring()
        return True

    def _take_frame(self) -> EncodedFrame | None:
        return self.queue.popleft() if self.queue else None


class Mailbox(Queueing):
    """Keeps one frame a camera, the newest, as the relay does."""

    def take(self, frame: EncodedFrame) -> None:
        """Put *frame* in the place of an older one of its camera."""
        self.queue = deque(other for other in self.queue if _camera(other) != _camera(frame))
        super().take(frame)


def _camera(frame: EncodedFrame) -> tuple[str, str]:
    return str(json.loads(frame.text)["source_id"]), frame.camera_id


class Heard(Device):
    """Tells the gateway of each frame."""

    gateway: "Listening"

    def _publish(self, frame: VideoFrame, now: float) -> None:
        super()._publish(frame, now)
        self.gateway.hear(self.organisation, frame)


class Listening(FaultyGateway):
    """Hears every frame, behind the relay."""

    device_peer = Heard

    def hear(self, organisation: str, frame: VideoFrame) -> None:
        """Take a frame that a device of *organisation* sent."""


class Remembering(Listening):
    """Remembers the last frame of every camera: `last`, by organisation and source, then by camera."""

    def __init__(self) -> None:
        super().__init__()
        self.last: defaultdict[tuple[str, str], dict[str, EncodedFrame]] = defaultdict(dict)

    def hear(self, organisation: str, frame: VideoFrame) -> None:
        """Remember *frame*."""
        self.last[organisation, frame.source_id][frame.camera_id] = EncodedFrame.of(frame)


class Leaking(Listening):
    """Hands frames to viewers that have no right to them, where `leaks` says so."""

    viewer_peer = Mailbox

    def hear(self, organisation: str, frame: VideoFrame) -> None:
        """Hand *frame* to everybody who gets it by mistake."""
        for viewer in self._strangers(organisation, frame):
            if self.leaks(viewer, organisation, frame):
                viewer.take(EncodedFrame.of(frame))
                viewer.ring()

    def _strangers(self, organisation: str, frame: VideoFrame) -> Iterator[Queueing]:
        for viewer in self.hub.viewers:
            if isinstance(viewer, Queueing) and not (
                is_of(viewer, organisation, frame.source_id)
                and frame.camera_id in viewer.address.cameras
            ):
                yield viewer

    @abstractmethod
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        """Whether *viewer* gets *frame* of a device of *organisation*."""


def is_of(viewer: Viewer, organisation: str, source_id: str) -> bool:
    """Whether *viewer* watches this source, of this organisation."""
    return (viewer.organisation, viewer.address.source_id) == (organisation, source_id)
