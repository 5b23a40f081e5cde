"""The pure heart of a gateway: what is online, what each viewer watches, and what it gets next.

One mailbox slot per viewer and camera: a newer frame replaces an unsent older one, so the latency stays flat and the
memory bounded by cameras + 1 frames per viewer, including the one being written [PW-FLOW-3, PW-FLOW-5].  A slot holds a
camera id and a finished text, and nothing else of the frame.  Nothing is kept for later viewers [PW-FRAME-7].  No I/O, no
clock, no lock: `Hub` adds what a gateway with several threads needs.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from attrs import define, field

from plexwire_protocol._binary import SIZES_BYTES, decode_device_frame, read_sizes
from plexwire_protocol._codec import (
    EncodedFrame,
    Finish,
    as_text,
    b64encode,
    encode_parts,
    start_of,
)
from plexwire_protocol._errors import LocalProtocolError
from plexwire_protocol._messages import JPEG_START, OnlineSource, VideoFrame
from plexwire_protocol.limits import (
    MAX_CAMERAS,
    MAX_WAITING_BYTES,
    MAX_WAITING_BYTES_PER_KEY,
)

_Take: TypeAlias = Callable[[EncodedFrame], bool]
_Source: TypeAlias = tuple[str, str]  # organisation, source_id
_Key: TypeAlias = tuple[str, str]  # organisation, name of the key
_ChannelKey: TypeAlias = tuple[str, str, str]  # organisation, source_id, camera_id

#: Beginnings of binary frames that are remembered per device: one per camera, as a rule.
_HEADS: Final = 2 * MAX_CAMERAS


@define(eq=False)
class Subscriber:
    """One viewer; made by `Relay.subscribe`.

    `dropped` counts frames that it did not get: a newer one replaced them unsent, or there was no memory for all that
    waited.
    """

    source: _Source
    cameras: tuple[str, ...]
    dropped: int = field(default=0, init=False)
    _take: "_Take | None" = None
    _waiting: "dict[str, _Picture]" = field(factory=dict[str, "_Picture"], init=False)
    _here: bool = field(default=True, init=False)

    @property
    def waiting(self) -> int:
        """How many frames wait: at most one per camera."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait; viewers of one frame share its text, and each counts it here."""
        return sum(picture.size for picture in self._waiting.values())


@define(eq=False)
class _Channel:
    """One camera of one source; `ready` is the list that frames are handed to, None after a change."""

    key: _ChannelKey
    subscribers: dict[Subscriber, None] = field(factory=dict[Subscriber, None], init=False)
    ready: tuple[Subscriber, ...] | None = field(default=(), init=False)
    publishers: int = field(default=0, init=False)


@define(eq=False)
class _Camera:
    """One camera of one device, with what its frames' texts begin with."""

    camera_id: str
    start: bytes
    channel: _Channel


@define(eq=False)
class _Account:
    """The frames that wait on account of one key, or of all, the oldest first; one of many in `shelf`."""

    limit: int
    key: _Key
    shelf: "dict[_Key, _Account]"
    size: int = field(default=0, init=False)
    pictures: "dict[_Picture, None]" = field(factory=dict["_Picture", None], init=False)
    publishers: int = field(default=0, init=False)

    def add(self, picture: "_Picture") -> None:
        self.pictures[picture] = None
        self.size += picture.size
        while self.size > self.limit:
            next(iter(self.pictures)).evict()

    def remove(self, picture: "_Picture") -> None:
        del self.pictures[picture]
        self.size -= picture.size
        self.forget_unused()

    def forget_unused(self) -> None:
        if not self.pictures and not self.publishers:
            self.shelf.pop(self.key, None)


@define(eq=False)
class _Picture:
    """A frame that waits in `slots` mailboxes; it counts once in its `accounts`, however many those are."""

    frame: EncodedFrame
    size: int
    channel: _Channel
    slots: int
    accounts: tuple[_Account, ...] = field(default=(), init=False)

    def charge(self, *accounts: _Account) -> None:
        self.accounts = accounts
        for account in accounts:
            # The first account may have had no room for this one.
            if self.slots:
                account.add(self)

    def release(self) -> None:
        """Take it out of one mailbox."""
        self.slots -= 1
        if not self.slots:
            for account in self.accounts:
                if self in account.pictures:
                    account.remove(self)

    def evict(self) -> None:
        """Take it out of all mailboxes."""
        camera_id = self.frame.camera_id
        for subscriber in self.channel.subscribers:
            if subscriber._waiting.get(camera_id) is self:
                del subscriber._waiting[camera_id]
                subscriber.dropped += 1
                self.release()


@define(eq=False)
class Publisher:
    """One connected device; made by `Relay.join`.  `refused` counts frames beyond the limit of cameras."""

    organisation: str
    source_id: str
    refused: int = field(default=0, init=False)
    _account: _Account
    _cameras: dict[str, _Camera] = field(factory=dict[str, _Camera], init=False)
    _heads: dict[bytes, _Camera] = field(factory=dict[bytes, _Camera], init=False)

    @property
    def cameras(self) -> frozenset[str]:
        """The cameras that it has sent frames of; empty once it has left."""
        return frozenset(self._cameras)


class Relay:
    """Hands every frame to the viewers of its camera, and to no other viewer.  [PW-ISO-1, PW-ISO-2, PW-ISO-3]

    *finish* makes of the parts of a frame's text, in UTF-8, what `next_for` gives: the text itself by default, or a
    WebSocket frame that all viewers share.  At most *waiting_bytes* wait in all, and *waiting_bytes_per_key* of what the
    devices of one key sent; beyond that, the oldest frame goes first.
    """

    def __init__(
        self,
        *,
        finish: Finish = as_text,
        waiting_bytes: int = MAX_WAITING_BYTES,
        waiting_bytes_per_key: int = MAX_WAITING_BYTES_PER_KEY,
    ) -> None:
        self._finish = finish
        self._per_key = waiting_bytes_per_key
        self._accounts: dict[_Key, _Account] = {}
        self._all = _Account(waiting_bytes, ("", ""), {})
        # Dicts as ordered sets: a crowd that leaves at the same time must not cost the square of its size.
        self._publishers: dict[_Source, dict[Publisher, None]] = {}
        self._channels: dict[_ChannelKey, _Channel] = {}

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for viewers in all, each text counted once."""
        return self._all.size

    # ── devices ──────────────────────────────────────────────────────────────────────────────

    def join(self, organisation: str, source_id: str, *, key: str = "") -> Publisher:
        """Add a device; two devices of one source coexist.  [PW-DEV-10]

        What waits of its frames counts towards the limit of *key*, any name that is unique in the organisation.
        """
        account = self._accounts.get((organisation, key))
        if account is None:
            account = _Account(self._per_key, (organisation, key), self._accounts)
            self._accounts[organisation, key] = account
        account.publishers += 1
        publisher = Publisher(organisation, source_id, account)
        self._publishers.setdefault((organisation, source_id), {})[publisher] = None
        return publisher

    def leave(self, publisher: Publisher) -> None:
        """Remove a device; its cameras are offline unless another connection of its source has them.  [PW-INIT-10]

        Raises:
            LocalProtocolError: it has left already.

        """
        source = (publisher.organisation, publisher.source_id)
        publishers = self._present(publisher)
        del publishers[publisher]
        if not publishers:
            del self._publishers[source]
        for camera in publisher._cameras.values():
            camera.channel.publishers -= 1
            self._forget_unused(camera.channel)
        publisher._cameras.clear()
        publisher._heads.clear()
        publisher._account.publishers -= 1
        publisher._account.forget_unused()

    def publish(
        self, publisher: Publisher, frame: VideoFrame | EncodedFrame, *, now: float = 0.0
    ) -> tuple[Subscriber, ...]:
        """Hand out *frame*, which came at *now*, and return the viewers that it now waits for.

        A `VideoFrame` is encoded once; the text of an `EncodedFrame`, of another gateway, is relayed untouched.  The
        frame's camera is online from here on.  A device has at most 64 cameras; frames of any further one are
        refused.  [PW-LIM-6]

        Raises:
            LocalProtocolError: the device has left.

        """
        camera = publisher._cameras.get(frame.camera_id)
        if camera is None:
            self._present(publisher)
            camera = self._new_camera(publisher, frame.camera_id)
            if camera is None:
                return ()
        viewers = self._viewers_of(camera.channel)
        if viewers:
            parts = (
                encode_parts(frame)
                if isinstance(frame, VideoFrame)
                else (frame.text if isinstance(frame.text, bytes) else frame.text.encode(),)
            )
            self._hand_out(publisher, camera, viewers, parts, now)
        return viewers

    def publish_binary(self, publisher: Publisher, data: bytes, *, now: float = 0.0) -> int:
        """Hand out the frame in a device's binary message *data*, as `decode_device_frame` and `publish` would.

        Returns the size of its JPEG in bytes.

        Raises:
            MalformedMessage: see `decode_device_frame`.
            LocalProtocolError: the device has left.

        """
        # The ids are the same in all frames of a camera: found by their bytes, they need no decoding.
        at = _end_of_ids(data)
        head = data[:at]
        camera = publisher._heads.get(head)
        begin = at + SIZES_BYTES
        if camera is None or data[begin : begin + len(JPEG_START)] != JPEG_START:
            frame = decode_device_frame(data, source_id=publisher.source_id)
            self.publish(publisher, frame, now=now)
            if frame.camera_id in publisher._cameras and len(publisher._heads) < _HEADS:
                publisher._heads[head] = publisher._cameras[frame.camera_id]
            return len(frame.jpeg)
        viewers = self._viewers_of(camera.channel)
        if viewers:
            parts = (
                camera.start,
                b64encode(memoryview(data)[begin:]),
                b'","width":%d,"height":%d,"timestamp":%d}' % read_sizes(data, at),
            )
            self._hand_out(publisher, camera, viewers, parts, now)
        return len(data) - begin

    def online(self, organisation: str, source_id: str) -> tuple[OnlineSource, ...]:
        """Return what an `init` lists for this source: nothing, or the source with its online cameras.  [PW-INIT-8]"""
        publishers = self._publishers.get((organisation, source_id), ())
        cameras = sorted(set().union(*(publisher._cameras for publisher in publishers)))
        return (OnlineSource(source_id=source_id, cameras=cameras),) if cameras else ()

    # ── viewers ──────────────────────────────────────────────────────────────────────────────

    def subscribe(
        self,
        organisation: str,
        source_id: str,
        cameras: Iterable[str],
        *,
        take: "_Take | None" = None,
    ) -> Subscriber:
        """Add a viewer of *cameras*; it gets what is published from now on.

        *take* gets each frame first, and returns whether it took it: then the frame does not wait here.
        """
        subscriber = Subscriber((organisation, source_id), tuple(dict.fromkeys(cameras)), take)
        for camera_id in subscriber.cameras:
            channel = self._channel(organisation, source_id, camera_id)
            channel.subscribers[subscriber] = None
            channel.ready = None
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a viewer and what waits for it.

        Raises:
            LocalProtocolError: it is not subscribed any more.

        """
        if not subscriber._here:
            raise LocalProtocolError("can't unsubscribe a viewer twice", "PW-CONN-3")
        subscriber._here = False
        for picture in subscriber._waiting.values():
            picture.release()
        subscriber._waiting.clear()
        for camera_id in subscriber.cameras:
            channel = self._channels[*subscriber.source, camera_id]
            del channel.subscribers[subscriber]
            channel.ready = None
            self._forget_unused(channel)

    def next_for(self, subscriber: Subscriber) -> EncodedFrame | None:
        """Return the next frame to write to this viewer, its cameras taking turns, or None if no frame waits."""
        waiting = subscriber._waiting
        if not waiting:
            return None
        # A replaced frame keeps its place and a new one goes to the end: the camera that waits longest is next.
        picture = waiting.pop(next(iter(waiting)))
        picture.release()
        return picture.frame

    # ── how it does it ───────────────────────────────────────────────────────────────────────

    def _present(self, publisher: Publisher) -> dict[Publisher, None]:
        publishers = self._publishers.get((publisher.organisation, publisher.source_id), {})
        if publisher not in publishers:
            raise LocalProtocolError("the device has left", "PW-INIT-7")
        return publishers

    def _viewers_of(self, channel: _Channel) -> tuple[Subscriber, ...]:
        if channel.ready is None:
            channel.ready = tuple(channel.subscribers)
        return channel.ready

    def _hand_out(
        self,
        publisher: Publisher,
        camera: _Camera,
        viewers: tuple[Subscriber, ...],
        parts: tuple[bytes, ...],
        now: float,
    ) -> None:
        camera_id = camera.camera_id
        size = sum(map(len, parts))
        frame = EncodedFrame(camera_id, self._finish(*parts), now, size=size)
        left = [viewer for viewer in viewers if viewer._take is None or not viewer._take(frame)]
        if not left:
            return
        picture = _Picture(frame, size, camera.channel, slots=len(left))
        for viewer in left:
            older = viewer._waiting.get(camera_id)
            viewer._waiting[camera_id] = picture
            if older is not None:
                older.release()
                viewer.dropped += 1
        picture.charge(publisher._account, self._all)

    def _new_camera(self, publisher: Publisher, camera_id: str) -> _Camera | None:
        if len(publisher._cameras) >= MAX_CAMERAS:
            publisher.refused += 1
            return None
        channel = self._channel(publisher.organisation, publisher.source_id, camera_id)
        channel.publishers += 1
        camera = _Camera(camera_id, start_of(publisher.source_id, camera_id), channel)
        publisher._cameras[camera_id] = camera
        return camera

    def _channel(self, organisation: str, source_id: str, camera_id: str) -> _Channel:
        key = (organisation, source_id, camera_id)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = _Channel(key)
        return channel

    def _forget_unused(self, channel: _Channel) -> None:
        if not channel.publishers and not channel.subscribers:
            del self._channels[channel.key]


def _end_of_ids(data: bytes) -> int:
    try:
        camera = 2 + data[1]
        return camera + 1 + data[camera]
    except IndexError:
        return 0
