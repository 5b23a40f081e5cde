"""The connections of a case: how they are opened, what was said on them, and how they are closed."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import trio
from attrs import define, evolve, field

from plexwire_conformance.recording.recorder import RecordedConversation, Way, WireRecorder
from plexwire_conformance.run.network import Network
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.stimuli.request_heads import RequestHead
from plexwire_conformance.target.dialling import dial, upgrade
from plexwire_conformance.target.target import Camera, Endpoint, Target
from plexwire_conformance.wire.close_codes import TRY_AGAIN_LATER
from plexwire_conformance.wire.framing import KEY
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection, RawPeer
from plexwire_conformance.wire.roles import RawDevice, RawViewer, stream_target

#: Seconds in which all that a case leaves behind is closed.
_FAREWELL = 1.5
#: Seconds in which a gateway subscribes a new viewer to its cameras.
_SUBSCRIBED = 0.5

#: Connections that are tried when one is refused for want of room or lost before it is answered, and the pause in seconds
#: before each next one.
_PAUSES = (0.2, 0.6, 1.5)
#: The HTTP statuses that say that there is no room: no promise is broken by them.  [PW-LIM-9]
NO_ROOM = (429, 503)
#: Bytes of the longest camera id that a device's binary frame can hold.
_LONGEST_CAMERA_ID = 255

#: Stands for the timeout that the stage sets.
DEFAULT: Final = object()

#: How the two organisations are called in recordings.
HOME, FOREIGN = "home", "foreign"


@define(eq=False, kw_only=True)
class Connections:
    """The connections of a case, its own sources, and what is known of both; nothing of it is left open at the end."""

    case_id: str
    target: Target
    tolerances: Tolerances
    #: A part of every source id that is generated here.
    nonce: str
    #: A camera that is online while the run lasts: our own if devices can connect at all, or one that runs anyway.
    online: Camera
    network: Network
    #: Seconds that the streams of the case ask for, unless it says otherwise.
    timeout: int
    _nursery: trio.Nursery
    _clock: Callable[[], float]
    _stamp: Callable[[], int]
    #: How many connections may be open at once, before those are dropped that wait for an answer to our close.
    connections: int = 1000
    #: Seconds to allow for a gateway that has been slow to answer anything since then.
    slack: Callable[[float], float] = lambda since: 0.0
    #: The number of the script that is played here; 0 is the case itself.
    script: int = 0
    _peers: list[tuple[RawPeer, dict[str, Any]]] = field(factory=list, init=False)
    _devices: list[RawDevice] = field(factory=list[RawDevice], init=False)
    _readers: list[trio.CancelScope] = field(factory=list[trio.CancelScope], init=False)
    _names: set[str] = field(factory=set[str], init=False)

    # ── where things are ─────────────────────────────────────────────────────────────────────

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock()

    @property
    def live(self) -> Camera:
        """A camera that sends whatever this case does: the one that runs anyway, or our own."""
        return self.target.live or self.online

    def source(self, suffix: str = "") -> str:
        """Return a source id that only this case uses."""
        parts = (self.target.source_prefix, self.nonce, suffix, self.case_id.replace(".", "-"))
        return "-".join(filter(None, parts))[:62].rstrip("-")

    def stream_target(
        self, source_id: str, cameras: Iterable[str] = (), timeout: object = None
    ) -> str:
        """Return a viewer's request target; *timeout* goes in as it is."""
        return f"{self.target.viewers.path}{stream_target(source_id, cameras, timeout)}"

    # ── connections ──────────────────────────────────────────────────────────────────────────

    async def connect(
        self,
        endpoint: Endpoint,
        request_target: str,
        *,
        name: str,
        role: str,
        source_id: str,
        cameras: tuple[str, ...] = (),
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
        pipelined: bytes = b"",
        narrow: bool = False,
        head: RequestHead | None = None,
        may_drop: bool = False,
    ) -> RawPeer:
        """Open a connection and upgrade it; one that finds no room, or is lost before an answer, is tried again.

        The handshake is that of *head*, if there is one. A gateway *may drop* a connection over some handshakes: then a
        loss is an answer, and not one of the network.

        Raises:
            HandshakeFailed: it was not upgraded.
            NoConnection: there was no connection to judge.
        """
        name = self._unique(name)
        about = {
            "role": role,
            "source_id": source_id,
            "cameras": cameras,
            "organisation": organisation,
        }
        for pause in (*_PAUSES, None):
            await self._make_room()
            try:
                return await self._connect(
                    endpoint, request_target, name, about, headers, pipelined, narrow, head
                )
            except NoConnection as error:
                problem: HandshakeFailed | NoConnection = error
                if not self.network.opened:
                    raise
            except HandshakeFailed as error:
                problem = error
                if error.status in NO_ROOM:
                    self.network.no_room(error.status)
                    problem = NoConnection(f"the gateway has no room (HTTP {error.status})")
                elif error.is_lost and not may_drop:
                    self.network.lost += 1
                else:
                    self.network.heard()
                    raise
            if pause is not None:
                await trio.sleep(pause)
        if isinstance(problem, NoConnection):
            self.network.unreachable(problem.problem)
        raise problem

    async def _connect(
        self,
        endpoint: Endpoint,
        request_target: str,
        name: str,
        about: dict[str, Any],
        headers: Iterable[tuple[str, str]],
        pipelined: bytes,
        narrow: bool,
        head: RequestHead | None,
    ) -> RawPeer:
        within = self.tolerances.handshake
        stream = await dial(endpoint, narrow=narrow, within=within)
        recorder = WireRecorder(name, self.target.keys.secrets)
        peer = RawPeer(stream, recorder, self._clock, self.slack, self.network.heard)
        self._peers.append((peer, about))
        headers = (*self.target.headers, *headers)
        handshake = partial(peer.handshake, request_target, endpoint.host_header, headers)
        if head is not None:
            own = evolve(head, headers=(*head.headers, *headers))
            request = own.render(request_target, host=endpoint.host_header, key=KEY)
            handshake = partial(handshake, request=request)
        await upgrade(stream, partial(handshake, pipelined=pipelined), within=within)
        self.network.opens(peer)
        self._nursery.start_soon(self._read, peer)
        return peer

    async def _read(self, peer: RawPeer) -> None:
        # A case that is ended from outside still reads, until its closes are answered.
        with trio.CancelScope(shield=True) as scope:
            self._readers.append(scope)
            await peer.run()

    async def connect_viewer(
        self,
        source_id: str | None = None,
        cameras: tuple[str, ...] | None = None,
        *,
        name: str = "viewer",
        request_target: str | None = None,
        timeout: object = DEFAULT,
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
        pipelined: bytes = b"",
        narrow: bool = False,
        head: RequestHead | None = None,
        may_drop: bool = False,
    ) -> RawViewer:
        """Open a viewer's connection, without its `auth`; without a *source_id* it is a viewer of the online camera.

        It asks for a `timeout` slightly longer than its case needs, unless *timeout* says otherwise (None: for none).

        Raises:
            HandshakeFailed: it was not upgraded.
            NoConnection: there was no connection to judge.
        """
        timeout = self.timeout if timeout is DEFAULT else timeout
        if isinstance(timeout, int) and not self.network.takes_timeout(timeout):
            timeout = None
        watched = self.online if source_id is None else Camera(source_id, "front")
        source_id = watched.source_id
        cameras = (watched.camera_id,) if cameras is None else cameras
        target = request_target or self.stream_target(source_id, cameras, timeout)
        peer = await self.connect(
            self.target.viewers,
            target,
            name=name,
            role="viewer",
            source_id=source_id,
            cameras=cameras,
            organisation=organisation,
            headers=headers,
            pipelined=pipelined,
            narrow=narrow,
            head=head,
            may_drop=may_drop,
        )
        return RawViewer(peer, source_id, cameras, target)

    async def connect_device(
        self,
        source_id: str,
        *,
        name: str = "device",
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
        head: RequestHead | None = None,
    ) -> RawDevice:
        """Open a device's connection, without its `device_auth`.

        Raises:
            HandshakeFailed: it was not upgraded.
        """
        peer = await self.connect(
            self.target.devices,
            f"{self.target.devices.path}/ws/device",
            name=name,
            role="device",
            source_id=source_id,
            organisation=organisation,
            headers=headers,
            head=head,
        )
        device = RawDevice(peer, source_id, self._stamp)
        self._devices.append(device)
        self.network.sources.add(source_id)
        return device

    # ── what was said, and the end ───────────────────────────────────────────────────────────

    def check_room(self, *peers: RawPeer) -> None:
        """See that none of *peers*, or of all if none is named, was closed because the gateway has no room.

        Raises:
            NoConnection: one was.
        """
        for peer in peers or [peer for peer, _ in self._peers]:
            if peer.ending is not None and peer.ending.code == TRY_AGAIN_LATER:
                self.network.no_room(TRY_AGAIN_LATER)
                raise NoConnection(f"the gateway closed the {peer.name} with 1013: it has no room")

    @property
    def is_broken(self) -> bool:
        """Whether any connection of the stage ended without a close frame, and not by us."""
        return any(peer.is_broken for peer, _ in self._peers)

    @property
    def has_losses_beside(self) -> bool:
        """Whether streams of other cases ended without a close frame."""
        return self.network.losses_beside(self.case_id) > 0

    @property
    def slowest_handshake(self) -> float:
        """The longest that a handshake took so far, in seconds."""
        answered = (peer for peer, _ in self._peers if peer.response is not None)
        return max((peer.upgraded_at - peer.opened_at for peer in answered), default=0.0)

    @property
    def slowest_auth(self) -> float:
        """The longest that an `init` took after its `auth` so far, in seconds."""
        times = []
        for peer, _ in self._peers:
            asked = [e.at for e in peer.entries if e.way is Way.SENT and e.type == "auth"]
            answered = [e.at for e in peer.entries if e.way is Way.RECEIVED and e.type == "init"]
            if asked and answered:
                times.append(answered[0] - asked[0])
        return max(times, default=0.0)

    def open_peers(self, source_id: str) -> list[RawPeer]:
        """Return the connections about a source that are open."""
        about_it = (peer for peer, about in self._peers if about["source_id"] == source_id)
        return [peer for peer in about_it if peer.is_open]

    def conversations(self) -> list[RecordedConversation]:
        """Return every connection of this stage as recorded."""
        return [
            RecordedConversation(name=peer.name, entries=peer.entries, **about)
            for peer, about in self._peers
        ]

    async def close(self) -> None:
        """Close everything that is still open, politely, then for good: viewers first, then the devices.

        A gateway may notice only at its next frame that a viewer has left, so each device publishes one more frame of
        each of its cameras in between.
        """
        devices = [device.peer for device in self._devices]
        viewers = [peer for peer, _ in self._peers if peer not in devices]
        self._note_use()
        told: set[tuple[str, str]] = set()
        with trio.move_on_after(_FAREWELL):
            await _close_all(viewers, within=0.0)
            for device in self._devices:
                told |= {(device.source_id, c) for c in await device.publish_last()}
            await _close_all(viewers, within=_FAREWELL / 3)
            await _close_all(devices, within=_FAREWELL)
        self._note_unaware(told)
        for reader in self._readers:
            reader.cancel()
        self._nursery.cancel_scope.cancel()

    def _note_unaware(self, told: set[tuple[str, str]]) -> None:
        """Note the viewers of which the gateway may not know yet that they left: a frame after their close tells it.

        A viewer that was there for a moment may not have been subscribed to anything by then.
        """
        for peer, about in self._peers:
            stayed = self.now() - peer.upgraded_at > _SUBSCRIBED
            if about["role"] != "viewer" or not peer.may_be_served:
                continue
            reached = any((about["source_id"], camera) in told for camera in about["cameras"])
            if reached and stayed and about["organisation"] == HOME and not self.script:
                continue
            sendable = sorted(c for c in about["cameras"] if len(c.encode()) <= _LONGEST_CAMERA_ID)
            place = (about["organisation"], about["source_id"])
            self.network.unaware.setdefault(place, set()).update(sendable[:1])

    def _note_use(self) -> None:
        in_use = [peer for peer, _ in self._peers if peer.was_used]
        self.network.used += len(in_use)
        if broken := sum(peer.is_broken and not peer.end_is_due for peer in in_use):
            self.network.broken[self.case_id] += broken

    async def _make_room(self) -> None:
        still_open = [peer for peer, _ in self._peers if peer.is_open]
        excess = len(still_open) + 1 - self.connections
        for peer in [peer for peer in still_open if peer.is_closing][: max(excess, 0)]:
            await peer.vanish()

    def _unique(self, name: str) -> str:
        number = 1
        unique = name
        while unique in self._names:
            number += 1
            unique = f"{name} #{number}"
        self._names.add(unique)
        return unique


async def _close_all(peers: Iterable[RawPeer], *, within: float) -> None:
    """Close *peers* and wait for so many seconds until each close was answered."""

    async def close(peer: RawPeer) -> None:
        peer.resume()
        if not peer.is_closing:
            await peer.close()
        await peer.until_ended(within)

    async with trio.open_nursery() as nursery:
        for peer in peers:
            if peer.is_open:
                nursery.start_soon(close, peer)
