"""The pure heart of a gateway: what is online, what each viewer watches, and what it gets next.

One mailbox slot per viewer and camera: a newer frame replaces an unsent older one, so the latency stays flat and the
memory bounded by cameras + 1 frames per viewer, including the one being written [PW-FLOW-3, PW-FLOW-5].  Nothing is
kept for later viewers [PW-FRAME-7].  No I/O, no clock.
"""

from collections.abc import Iterable
from typing import TypeAlias

from attrs import define, field

from plexwire_protocol._codec import EncodedFrame
from plexwire_protocol._messages import OnlineSource, VideoFrame
from plexwire_protocol.limits import MAX_CAMERAS

_Source: TypeAlias = tuple[str, str]  # organisation, source_id
_Channel: TypeAlias = tuple[str, str, str]  # organisation, source_id, camera_id


@define(eq=False)
class Publisher:
    """One connected device; made by `Relay.join`.  `refused` counts frames beyond the limit of cameras."""

    organisation: str
    source_id: str
    cameras: set[str] = field(factory=set[str], init=False)
    refused: int = field(default=0, init=False)


@define(eq=False)
class Subscriber:
    """One viewer; made by `Relay.subscribe`.  `dropped` counts frames that a newer one replaced unsent."""

    channels: tuple[_Channel, ...]
    dropped: int = field(default=0, init=False)
    _waiting: dict[str, EncodedFrame] = field(factory=dict[str, EncodedFrame], init=False)

    @property
    def waiting(self) -> int:
        """How many frames wait: at most one per camera."""
        return len(self._waiting)


class Relay:
    """Hands every frame to the viewers of its camera, and to no other viewer.  [PW-ISO-1, PW-ISO-2, PW-ISO-3]"""

    def __init__(self) -> None:
        # Dicts as ordered sets: a crowd that leaves at once must not cost the square of its size.
        self._publishers: dict[_Source, dict[Publisher, None]] = {}
        self._subscribers: dict[_Channel, dict[Subscriber, None]] = {}

    # ── devices ──────────────────────────────────────────────────────────────────────────────

    def join(self, organisation: str, source_id: str) -> Publisher:
        """Add a device; two devices of one source coexist.  [PW-DEV-10]"""
        publisher = Publisher(organisation, source_id)
        self._publishers.setdefault((organisation, source_id), {})[publisher] = None
        return publisher

    def leave(self, publisher: Publisher) -> None:
        """Remove a device; its cameras are offline unless another connection of its source has them.  [PW-INIT-10]"""
        source = (publisher.organisation, publisher.source_id)
        publishers = self._publishers[source]
        del publishers[publisher]
        if not publishers:
            del self._publishers[source]

    def publish(
        self, publisher: Publisher, frame: VideoFrame | EncodedFrame
    ) -> tuple[Subscriber, ...]:
        """Hand out *frame* and return the viewers for whom it now waits.

        A `VideoFrame` is encoded once.  An `EncodedFrame` is handed out as it is, so that the text of another gateway is
        relayed unaltered.  The frame's camera is online from now on.  A device has at most 64 cameras; frames of a 65th
        are refused.  [PW-LIM-6]
        """
        camera = frame.frame.camera_id if isinstance(frame, EncodedFrame) else frame.camera_id
        if camera not in publisher.cameras:
            if len(publisher.cameras) >= MAX_CAMERAS:
                publisher.refused += 1
                return ()
            publisher.cameras.add(camera)
        channel = (publisher.organisation, publisher.source_id, camera)
        subscribers = tuple(self._subscribers.get(channel, ()))
        if subscribers:
            encoded = frame if isinstance(frame, EncodedFrame) else EncodedFrame.of(frame)
            for subscriber in subscribers:
                waiting = subscriber._waiting
                subscriber.dropped += camera in waiting
                waiting[camera] = encoded
        return subscribers

    def online(self, organisation: str, source_id: str) -> tuple[OnlineSource, ...]:
        """Return what an `init` lists for this source: nothing, or the source with its online cameras.  [PW-INIT-8]"""
        publishers = self._publishers.get((organisation, source_id), ())
        cameras = sorted(set().union(*(publisher.cameras for publisher in publishers)))
        return (OnlineSource(source_id=source_id, cameras=cameras),) if cameras else ()

    # ── viewers ──────────────────────────────────────────────────────────────────────────────

    def subscribe(self, organisation: str, source_id: str, cameras: Iterable[str]) -> Subscriber:
        """Add a viewer of *cameras*; it gets what is published from now on."""
        channels = tuple((organisation, source_id, camera) for camera in dict.fromkeys(cameras))
        subscriber = Subscriber(channels)
        for channel in channels:
            self._subscribers.setdefault(channel, {})[subscriber] = None
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a viewer and what waits for it."""
        for channel in subscriber.channels:
            watching = self._subscribers[channel]
            del watching[subscriber]
            if not watching:
                del self._subscribers[channel]
        subscriber._waiting.clear()

    def next_for(self, subscriber: Subscriber) -> EncodedFrame | None:
        """Return the next frame to write to this viewer, its cameras taking turns, or None if no frame waits."""
        waiting = subscriber._waiting
        if not waiting:
            return None
        # A replaced frame keeps its place and a new one goes to the end: the camera that waits longest is next.
        return waiting.pop(next(iter(waiting)))
