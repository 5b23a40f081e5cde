"""The stage of a case: its connections, scenes that many cases need, and the clean-up."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import trio
from attrs import define, evolve, field

from plexwire_conformance.recording.recorder import (
    Entry,
    RecordedConversation,
    WireRecorder,
    pong_with,
)
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.target.dialling import dial, upgrade
from plexwire_conformance.target.target import Camera, Endpoint, Target
from plexwire_conformance.wire.peer import RawPeer
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame

#: Seconds that a stream asks for which is to last, as a gateway may end those that ask for none [PW-TIME-6]; not
#: fewer, so that a gateway that takes them for another unit shows it where timeouts are judged.
LONG_TIMEOUT = 86_400

#: How the two organisations are called in recordings.
HOME, FOREIGN = "home", "foreign"


class Inconclusive(Exception):
    """The case can't be judged: something that it depends on, and that other cases judge, did not work."""


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
    _names: set[str] = field(factory=set[str], init=False)
    _branches: int = field(default=0, init=False)

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
                nursery=nursery,
                clock=self._clock,
                stamp=self._stamp,
                connections=connections,
                slack=self.slack,
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
    ) -> RawPeer:
        """Open a connection and upgrade it.

        Raises:
            HandshakeFailed: it was not upgraded.
        """
        name = self._unique(name)
        await self._make_room()
        within = self.tolerances.handshake
        stream = await dial(endpoint, narrow=narrow, within=within)
        recorder = WireRecorder(name, self.target.keys.secrets)
        peer = RawPeer(stream, recorder, self._clock, self.slack)
        about = {
            "role": role,
            "source_id": source_id,
            "cameras": cameras,
            "organisation": organisation,
        }
        self._peers.append((peer, about))
        headers = (*self.target.headers, *headers)
        handshake = partial(peer.handshake, request_target, endpoint.host_header, headers)
        await upgrade(stream, partial(handshake, pipelined=pipelined), within=within)
        self._nursery.start_soon(peer.run)
        return peer

    async def connect_viewer(
        self,
        source_id: str | None = None,
        cameras: tuple[str, ...] | None = None,
        *,
        name: str = "viewer",
        request_target: str | None = None,
        timeout: object = None,
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
        pipelined: bytes = b"",
        narrow: bool = False,
    ) -> RawViewer:
        """Open a viewer's connection, without its `auth`; without a *source_id* it is a viewer of the online camera.

        Raises:
            HandshakeFailed: it was not upgraded.
        """
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
        )
        return RawViewer(peer, source_id, cameras)

    async def connect_device(
        self,
        source_id: str,
        *,
        name: str = "device",
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
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
        )
        return RawDevice(peer, source_id, self._stamp)

    # ── scenes ───────────────────────────────────────────────────────────────────────────────

    async def open_viewer(
        self,
        source_id: str | None = None,
        cameras: tuple[str, ...] | None = None,
        *,
        api_key: str | None = None,
        timeout: object = LONG_TIMEOUT,
        **more: Any,
    ) -> RawViewer:
        """Open a viewer that is to last, unless *timeout* says otherwise, and wait for its `init`.

        Without a *source_id* it watches the online camera.

        Raises:
            Inconclusive: it got none.
        """
        viewer = await self.connect_viewer(source_id, cameras, timeout=timeout, **more)
        if await self.authenticate(viewer, api_key) is None:
            raise Inconclusive(f"{viewer.peer.name} got no init ({viewer.peer.state})")
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
            raise Inconclusive(f"{device.peer.name} was not authenticated")
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
        pong = await who.peer.until(pong_with(b"read?"), self.tolerances.immediate)
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
            state = viewer.peer.state
            raise Inconclusive(f"{viewer.peer.name} sees no frame of {camera!r} ({state})")
        return sent

    async def see(
        self, viewer: RawViewer, device: RawDevice, camera: str = "front", tries: int = 3
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

    @property
    def slowest_handshake(self) -> float:
        """The longest that a handshake took so far, in seconds."""
        answered = (peer for peer, _ in self._peers if peer.response is not None)
        return max((peer.upgraded_at - peer.opened_at for peer in answered), default=0.0)

    def conversations(self) -> list[RecordedConversation]:
        """Return every connection of this stage as recorded."""
        return [
            RecordedConversation(name=peer.name, entries=peer.entries, **about)
            for peer, about in self._peers
        ]

    async def close(self) -> None:
        """Close everything that is still open, politely, then for good."""
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                for peer, _ in self._peers:
                    nursery.start_soon(_close, peer)
        self._nursery.cancel_scope.cancel()

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


async def _close(peer: RawPeer) -> None:
    if peer.is_open:
        peer.resume()
        await peer.close()
        await peer.until_ended(1)
