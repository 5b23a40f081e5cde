"""A whole gateway without sockets: which target may connect, the sessions, the relay, and what each writer sends next."""

from collections import Counter
from collections.abc import Callable
from threading import RLock  # noqa: TID251 - a lock, and no thread: threads of an embedder may share a hub
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from plexwire_protocol._addresses import StreamAddress, is_device_target
from plexwire_protocol._codec import EncodedFrame, Finish, as_text
from plexwire_protocol._device_peer import DevicePeer
from plexwire_protocol._gateway import GatewayDeviceSession, GatewayViewerSession
from plexwire_protocol._messages import Role, VideoFrame
from plexwire_protocol._peer import Peer
from plexwire_protocol._relay import Publisher, Relay
from plexwire_protocol._viewer_peer import ViewerPeer
from plexwire_protocol.limits import (
    CLOSE_GRACE_S,
    MAX_STREAMS,
    MAX_STREAMS_PER_KEY,
    MAX_WAITING_BYTES,
    MAX_WAITING_BYTES_PER_KEY,
)

AnyPeer: TypeAlias = ViewerPeer | DevicePeer

_Peer: TypeAlias = Peer[Any]


@frozen(kw_only=True)
class HubLimits:
    """What a `Hub` puts up with, beyond what the protocol fixes."""

    #: Open streams, in all and of one key; a key beyond that is refused with 1013.  [PW-LIM-9]
    streams: int = MAX_STREAMS
    streams_per_key: int = MAX_STREAMS_PER_KEY
    #: Bytes of frames that wait for viewers, in all and of the devices of one key; the oldest frame is dropped first.
    waiting_bytes: int = MAX_WAITING_BYTES
    waiting_bytes_per_key: int = MAX_WAITING_BYTES_PER_KEY
    #: Seconds within which a close that is due has been sent and answered; after that the connection is dropped.
    close_grace_s: float = CLOSE_GRACE_S


@define(eq=False)
class Traffic:
    """What has passed through a hub.  Bytes in are those of pictures, bytes out those of messages to viewers."""

    frames_in: int = field(default=0, init=False)
    bytes_in: int = field(default=0, init=False)
    frames_out: int = field(default=0, init=False)
    bytes_out: int = field(default=0, init=False)
    #: Frames that got lost, by reason.  "replaced" counts those of viewers that have left, see `ViewerPeer.dropped`.
    dropped: "Counter[str]" = field(factory=lambda: Counter[str](), init=False)


class Hub:
    """The core of a gateway: `connect` each WebSocket, tell its `Peer` what comes, and send what the peer says.

    `now` is always in seconds on one monotonic clock of your choice; *unix_ms* is the wall clock that devices set
    theirs by.  *finish* makes of the parts of a frame's text (bytes, UTF-8 together) what every viewer of the frame gets
    from `next_outgoing`; it is called once per frame.  By default that is the text, the same `str` for all.  A stack that
    can write whole RFC 6455 frames returns one as `bytes`.  *observe_delay* gets for each frame that goes out how many
    seconds it waited here.

    Threads may share a hub and its peers: every method holds one lock, and `wake` is called without it.  A peer has one
    reader and one writer at a time, in the same thread or in two.

    A subclass may override `check_target`, `new_viewer`, `new_device`, `viewer_session` and `device_session`.
    """

    def __init__(
        self,
        *,
        unix_ms: Callable[[], int],
        limits: HubLimits | None = None,
        finish: Finish = as_text,
        observe_delay: Callable[[float], object] | None = None,
    ) -> None:
        self.limits: Final = HubLimits() if limits is None else limits
        self.unix_ms: Final = unix_ms
        self.observe_delay: Final = observe_delay
        self.traffic: Final = Traffic()
        self.relay: Relay = Relay(
            finish=finish,
            waiting_bytes=self.limits.waiting_bytes,
            waiting_bytes_per_key=self.limits.waiting_bytes_per_key,
        )
        self.lock: Final = RLock()
        self._streaming: dict[_Peer, None] = {}
        self._streams_of_role: Counter[Role] = Counter()
        self._streams_of_key: Counter[tuple[str, str]] = Counter()
        #: The peers that are to be woken once the lock is free.
        self.to_wake: list[_Peer] = []

    # ── who may connect ──────────────────────────────────────────────────────────────────────

    def check_target(self, target: str) -> StreamAddress | None:
        """Return the address that a viewer asks for with the request *target* of its handshake; None for a device.

        Raises:
            AddressRefused: no stream is there; answer with its `status` and its text.  [PW-ADDR-13]

        """
        return None if is_device_target(target) else StreamAddress.parse(target)

    def connect(self, target: str, *, wake: Callable[[], None], now: float) -> AnyPeer:
        """Begin the conversation with a peer whose WebSocket handshake is done as of *now*.

        *wake* is called whenever `next_outgoing` may have something new to send, or `next_deadline` has moved.  It must
        not wait and not raise; it may call `next_outgoing`; it may still be called when the peer has gone.

        Raises:
            AddressRefused: see `check_target`.

        """
        address = self.check_target(target)
        if address is None:
            return self.new_device(wake=wake, now=now)
        return self.new_viewer(address, wake=wake, now=now)

    def new_viewer(
        self, address: StreamAddress, *, wake: Callable[[], None], now: float
    ) -> ViewerPeer:
        """Return a new viewer."""
        return ViewerPeer(self, self.viewer_session(address, now=now), wake)

    def new_device(self, *, wake: Callable[[], None], now: float) -> DevicePeer:
        """Return a new device."""
        return DevicePeer(self, self.device_session(now=now), wake)

    def viewer_session(self, address: StreamAddress, *, now: float) -> GatewayViewerSession:
        """Return the session towards a new viewer."""
        return GatewayViewerSession(address, now=now)

    def device_session(self, *, now: float) -> GatewayDeviceSession:
        """Return the session towards a new device."""
        return GatewayDeviceSession(now=now)

    # ── sources without a connection of their own ────────────────────────────────────────────

    def join(self, organisation: str, source_id: str, *, key: str = "") -> Publisher:
        """Put a source online whose frames you `publish` yourself, such as those of another gateway."""
        with self.lock:
            return self.relay.join(organisation, source_id, key=key)

    def leave(self, publisher: Publisher) -> None:
        """Take that source offline.

        Raises:
            LocalProtocolError: it has left already.

        """
        with self.lock:
            self.relay.leave(publisher)

    def publish(
        self, publisher: Publisher, frame: VideoFrame | EncodedFrame, *, now: float
    ) -> None:
        """Hand out *frame*; the text of an `EncodedFrame` is relayed unaltered.

        Raises:
            LocalProtocolError: the source has left.

        """
        with self.lock:
            self.traffic.frames_in += 1
            self.relay.publish(publisher, frame, now=now)
            woken = self.take_woken()
        wake_all(woken)

    # ── what is here ─────────────────────────────────────────────────────────────────────────

    @property
    def viewers(self) -> tuple[ViewerPeer, ...]:
        """The viewers that are streaming, the first one first."""
        with self.lock:
            return tuple(peer for peer in self._streaming if isinstance(peer, ViewerPeer))

    @property
    def devices(self) -> tuple[DevicePeer, ...]:
        """The devices that are streaming, the first one first."""
        with self.lock:
            return tuple(peer for peer in self._streaming if isinstance(peer, DevicePeer))

    def open_streams(self, role: Role) -> int:
        """Return how many peers of this role are streaming."""
        return self._streams_of_role[role]

    # ── for peers ────────────────────────────────────────────────────────────────────────────

    def has_room_for(self, organisation: str, key: str) -> bool:
        """Whether one more stream may be opened with this key."""
        of_key = self._streams_of_key[organisation, key]
        return len(self._streaming) < self.limits.streams and of_key < self.limits.streams_per_key

    def opened(self, peer: _Peer) -> None:
        """Count *peer*, which streams now."""
        self._streaming[peer] = None
        self._streams_of_role[peer.role] += 1
        self._streams_of_key[peer.organisation, peer.key_name] += 1

    def closed(self, peer: _Peer) -> None:
        """Count *peer* no longer."""
        del self._streaming[peer]
        self._streams_of_role[peer.role] -= 1
        key = (peer.organisation, peer.key_name)
        self._streams_of_key[key] -= 1
        if not self._streams_of_key[key]:
            del self._streams_of_key[key]

    def wake_later(self, peer: _Peer) -> None:
        """Have *peer* woken once the lock is free."""
        self.to_wake.append(peer)

    def take_woken(self) -> list[_Peer]:
        """Return the peers that are to be woken, and forget them."""
        woken, self.to_wake = self.to_wake, []
        return woken


def wake_all(peers: list[_Peer]) -> None:
    """Wake *peers*; the hub's lock must be free."""
    for peer in peers:
        peer.wake()
