"""The stage of a case: its connections, scenes that many cases need, and the clean-up."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import trio
from attrs import define, evolve, field

from plexwire_conformance.recording.recorder import (
    Entry,
    RecordedConversation,
    Way,
    WireRecorder,
    pong_with,
)
from plexwire_conformance.run.network import Network
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.stimuli.request_heads import RequestHead
from plexwire_conformance.target.dialling import dial, upgrade
from plexwire_conformance.target.target import Camera, Endpoint, Target
from plexwire_conformance.wire.framing import KEY
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection, RawPeer
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame

#: Seconds that a stream asks for beyond what its case may take: a viewer that a gateway does not notice leaving stays
#: no longer than that.
TIMEOUT_MARGIN = 15
#: Seconds in which all that a case leaves behind is closed.
_FAREWELL = 1.5
#: Seconds in which a gateway subscribes a new viewer to its cameras.
_SUBSCRIBED = 0.5

#: Frames that are published until a viewer sees one, since single frames may be dropped.
TRIES = 3

#: Connections that are tried when one is refused for want of room or lost before it is answered, and the pause in seconds
#: before each next one.
_PAUSES = (0.2, 0.6, 1.5)
#: The HTTP statuses that say that there is no room: no promise is broken by them.  [PW-LIM-9]
NO_ROOM = (429, 503)
#: The close code that says so.
TRY_AGAIN_LATER = 1013
#: The close code at a stream's `timeout`.
_TIMEOUT: Final = 4008
#: The clauses about that close.
TIMEOUTS: Final = ("PW-TIME-1", "PW-TIME-2", "PW-TIME-3", "PW-TIME-4", "PW-TIME-5", "PW-TIME-6")

#: Bytes of the longest camera id that a device's binary frame can hold.
_LONGEST_CAMERA_ID = 255

#: Stands for the timeout that the stage sets.
DEFAULT: Final = object()

#: How the two organisations are called in recordings.
HOME, FOREIGN = "home", "foreign"


#: The clauses of which a breach explains why a viewer does not get as far as its `init`.
VIEWER_OPENS = (
    "PW-ADDR-1",
    "PW-ADDR-5",
    "PW-CONN-6",
    "PW-AUTH-2",
    "PW-INIT-1",
    "PW-INIT-2",
    "PW-AUTH-10",
)
#: … why a device is not authenticated,
DEVICE_OPENS = ("PW-ADDR-6", "PW-DEV-2")
#: … and why no frame of a device reaches a viewer.
FRAMES_PASS = ("PW-BIN-1", "PW-FRAME-9", "PW-FRAME-1", "PW-CONN-6", "PW-FRAME-10")


class Inconclusive(Exception):
    """The case can't be judged: something that it depends on, and that other cases judge, did not work.

    A breach of one of the clauses `hinges_on` would explain why.
    """

    def __init__(self, reason: str, hinges_on: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.hinges_on = hinges_on


class Untestable(Exception):
    """The case can't be judged here: an input is missing, or the clause does not apply to this gateway."""


@define(eq=False, kw_only=True)
class Stage:
    """Where a case meets the gateway: its connections and its sources; nothing of it is left open at the end."""

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
    #: Whether the run takes its time: every vector is played then, and not only some of each kind.
    thorough: bool = False
    #: The number of the script that is played here; 0 is the case itself.
    script: int = 0
    _peers: list[tuple[RawPeer, dict[str, Any]]] = field(factory=list, init=False)
    _devices: list[RawDevice] = field(factory=list[RawDevice], init=False)
    _names: set[str] = field(factory=set[str], init=False)
    _branches: int = field(default=0, init=False)
    #: Whether the last ping was not answered: then no case waits long for the next pong.
    _lacks_pongs: bool = field(default=False, init=False)

    @asynccontextmanager
    async def branch(
        self, *, connections: int, wait_factor: float = 1.0
    ) -> AsyncGenerator["Stage"]:
        """Open a stage for one of many scripts: its own sources and peers, all closed when the context ends."""
        self._branches += 1
        number = self._branches
        async with trio.open_nursery() as nursery:
            stage = Stage(
                case_id=self.case_id,
                target=self.target,
                tolerances=evolve(self.tolerances, wait_factor=wait_factor),
                nonce=f"{self.nonce}-{number}",
                online=self.online,
                network=self.network,
                timeout=self.timeout,
                nursery=nursery,
                clock=self._clock,
                stamp=self._stamp,
                connections=connections,
                slack=self.slack,
                thorough=self.thorough,
                script=number,
            )
            try:
                yield stage
            finally:
                with trio.CancelScope(shield=True):
                    await stage.close()

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
        query = [f"camera_id={quote(camera, safe='')}" for camera in cameras]
        if timeout is not None:
            query.append(f"timeout={timeout}")
        path = f"{self.target.viewers.path}/v1/sources/{quote(source_id, safe='')}/video/stream"
        return f"{path}?{'&'.join(query)}" if query else path

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
        self.network.opened += 1
        self.network.heard()
        self._nursery.start_soon(peer.run)
        return peer

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

    # ── scenes ───────────────────────────────────────────────────────────────────────────────

    async def open_viewer(
        self,
        source_id: str | None = None,
        cameras: tuple[str, ...] | None = None,
        *,
        api_key: str | None = None,
        timeout: object = DEFAULT,
        **more: Any,
    ) -> RawViewer:
        """Open a viewer and wait for its `init`.

        Without a *source_id* it watches the online camera.

        Raises:
            Inconclusive: it got none.
        """
        viewer = await self.connect_viewer(source_id, cameras, timeout=timeout, **more)
        if await self.authenticate(viewer, api_key) is None:
            self.check_room(viewer.peer)
            reason = f"the {viewer.peer.name} got no init ({viewer.peer.state})"
            raise Inconclusive(reason, VIEWER_OPENS)
        return viewer

    async def authenticate(self, viewer: RawViewer, api_key: str | None = None) -> Entry | None:
        """Send the viewer's `auth`, with the run's key if none is given; return the `init`, None if none came."""
        await viewer.authenticate(self.target.keys.api_key if api_key is None else api_key)
        return await viewer.await_init(self.tolerances.immediate)

    async def open_device(
        self, source_id: str, *, api_key: str | None = None, more: Any = None, **options: Any
    ) -> RawDevice:
        """Open a device and wait until it is authenticated; *more* are members of its `device_auth`.

        Raises:
            Inconclusive: it was not.
        """
        device = await self.connect_device(source_id, **options)
        key = self.target.publishing if api_key is None else api_key
        await device.authenticate(key, **(more or {}))
        answer = await device.await_answer(self.tolerances.answer)
        if answer is None or answer.type != "authenticated":
            self.check_room(device.peer)
            reason = f"the {device.peer.name} was not authenticated ({device.peer.state})"
            raise Inconclusive(reason, DEVICE_OPENS)
        return device

    async def open_source(
        self, source_id: str, cameras: tuple[str, ...] = ("front",), **options: Any
    ) -> RawDevice:
        """Open a device and put its *cameras* online: a gateway may refuse viewers of what it has not seen.

        Raises:
            Inconclusive: it was not authenticated.
        """
        device = await self.open_device(source_id, **options)
        await self.announce(device, *cameras)
        return device

    async def announce(self, device: RawDevice, *cameras: str) -> None:
        """Publish a frame of each of *cameras*, and wait until the gateway has read them."""
        for camera in cameras:
            await device.publish(camera)
        await self.until_read(device)

    async def until_read(self, who: RawDevice | RawViewer) -> bool:
        """Wait until the gateway has read what *who* has sent; whether it said so."""
        # What is answered behind the frames was read behind them.
        await who.peer.ping(b"read?")
        within = self.tolerances.silence if self._lacks_pongs else self.tolerances.immediate
        pong = await who.peer.until(pong_with(b"read?"), within)
        self._lacks_pongs = pong is None and who.peer.ending is None
        return pong is not None

    async def open_stream(
        self, source_id: str, cameras: tuple[str, ...] = ("front",), **options: Any
    ) -> tuple[RawDevice, RawViewer]:
        """Open a device and a viewer of its *cameras*, and see a first frame of each camera through.

        Raises:
            Inconclusive: it did not get through.
        """
        device = await self.open_source(source_id, cameras)
        viewer = await self.open_viewer(source_id, cameras, **options)
        for camera in cameras:
            await self.must_see(viewer, device, camera)
        return device, viewer

    async def must_see(
        self, viewer: RawViewer, device: RawDevice, camera: str = "front"
    ) -> SentFrame:
        """See a frame through, trying three times, since single frames may be dropped.

        Raises:
            Inconclusive: none came.
        """
        sent = await self.see(viewer, device, camera)
        if sent is None:
            reason = (
                f"the {viewer.peer.name} got no frame of {camera!r} ({viewer.peer.state}; "
                f"the {device.peer.name}: {device.peer.state})"
            )
            raise Inconclusive(reason, FRAMES_PASS)
        return sent

    async def see(
        self, viewer: RawViewer, device: RawDevice, camera: str = "front", tries: int = TRIES
    ) -> SentFrame | None:
        """Publish until *viewer* sees a frame of *camera*; None if it saw none of *tries*."""
        for _ in range(tries):
            sent = await device.publish(camera)
            if await viewer.sees(sent, self.tolerances.frame) is not None:
                return sent
            if viewer.peer.ending is not None or device.peer.ending is not None:
                return None
        return None

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

    def check_timeouts(self) -> None:
        """See that no stream ended with 4008: it was closed early, or the case took longer than its `timeout`.

        Raises:
            Inconclusive: one did.
        """
        for peer, _ in self._peers:
            if peer.ending is not None and peer.ending.code == _TIMEOUT and peer.was_used:
                reason = f"the {peer.name} was closed with 4008"
                raise Inconclusive(reason, ("PW-TIME-2", "PW-CONN-1", "PW-INIT-2", *FRAMES_PASS))

    @property
    def is_broken(self) -> bool:
        """Whether any connection of the stage ended without a close frame, and not by us."""
        return any(peer.is_broken for peer, _ in self._peers)

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
        self._nursery.cancel_scope.cancel()

    def _note_unaware(self, told: set[tuple[str, str]]) -> None:
        """Note the viewers of which the gateway may not know yet that they left: a frame after their close tells it.

        A viewer that was there for a moment may not have been subscribed to anything by then.
        """
        for peer, about in self._peers:
            stayed = self.now() - peer.upgraded_at > _SUBSCRIBED
            if about["role"] != "viewer" or not peer.was_used:
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
        if broken := sum(peer.is_broken for peer in in_use):
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
