"""One run of one case: it opens peers, collects findings, and leaves nothing open."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote

import trio
from attrs import define, evolve, field

from plexwire_conformance.recording.recorder import Conversation, Entry, Recorder, merge, pong_with
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.monitor import monitor
from plexwire_conformance.run.tolerances import Patience
from plexwire_conformance.target.dialling import dial, upgrade
from plexwire_conformance.target.target import Camera, Endpoint, Target
from plexwire_conformance.wire.peer import Closing, Ending, Peer
from plexwire_conformance.wire.roles import Device, Sent, Viewer

#: Entries that a finding's timeline shows.
_TIMELINE = 60

#: Seconds that a stream asks for which is to last, as a gateway may end those that ask for none [PW-TIME-6]; not
#: fewer, so that a gateway that takes them for another unit shows it where timeouts are judged.
LASTING = 86_400

#: How the two organisations are called in recordings.
HOME, FOREIGN = "home", "foreign"


class Inconclusive(Exception):
    """The case can't be judged: something that it stands on, and that other cases judge, did not work."""


@define(eq=False, kw_only=True)
class Trial:
    """What a case works with."""

    case_id: str
    target: Target
    patience: Patience
    nonce: str
    #: A source that is online while the run lasts: our own, where devices can connect at all, or one that runs anyway.
    online: str
    _nursery: trio.Nursery
    _clock: Callable[[], float]
    _stamp: Callable[[], int]
    #: The camera of it that sends.
    online_camera: str = "front"
    #: How many connections may be open at once, before those are dropped that wait for an answer to our close.
    connections: int = 1000
    #: Seconds to allow for a gateway that has been slow to answer anything since then.
    slack: Callable[[float], float] = lambda since: 0.0
    findings: list[Finding] = field(factory=list[Finding], init=False)
    _peers: list[tuple[Peer, dict[str, Any]]] = field(factory=list, init=False)
    #: Clauses that the monitor keeps quiet about, since what the case sends is to blame for them.
    excused: set[str] = field(factory=set[str], init=False)
    _branches: int = field(default=0, init=False)
    #: What was said in the branches that are over.
    _branched: list[Transcript] = field(factory=list[Transcript], init=False)
    _named: set[str] = field(factory=set[str], init=False)

    @asynccontextmanager
    async def branch(self, *, connections: int, haste: float = 1.0) -> AsyncGenerator["Trial"]:
        """Open a trial of its own for one of many scripts: its own sources, peers and findings, all closed at its end."""
        self._branches += 1
        number = self._branches
        async with trio.open_nursery() as nursery:
            own = Trial(
                case_id=self.case_id,
                target=self.target,
                patience=evolve(self.patience, haste=haste),
                nonce=f"{self.nonce}-{number}",
                online=self.online,
                online_camera=self.online_camera,
                nursery=nursery,
                clock=self._clock,
                stamp=self._stamp,
                connections=connections,
                slack=self.slack,
            )
            try:
                yield own
            finally:
                with trio.CancelScope(shield=True):
                    await own.close()
                self._branched.append(own.transcript(number))

    # ── where things are ─────────────────────────────────────────────────────────────────────

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock()

    @property
    def live(self) -> Camera:
        """A camera that sends whatever this case does: the one that runs anyway, or our own."""
        return self.target.live or Camera(self.online, self.online_camera)

    def source(self, suffix: str = "") -> str:
        """Return a source id that this case alone uses."""
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

    # ── peers ────────────────────────────────────────────────────────────────────────────────

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
        behind: bytes = b"",
        narrow: bool = False,
    ) -> Peer:
        """Open a connection and upgrade it.

        Raises:
            HandshakeFailed: it was not upgraded.
        """
        name = self._unique(name)
        await self._make_room()
        within = self.patience.handshake
        stream = await dial(endpoint, narrow=narrow, within=within)
        recorder = Recorder(name, self.target.keys.secrets)
        peer = Peer(stream, recorder, self._clock, self.slack)
        about = {
            "role": role,
            "source_id": source_id,
            "cameras": cameras,
            "organisation": organisation,
        }
        self._peers.append((peer, about))
        headers = (*self.target.headers, *headers)
        handshake = partial(peer.handshake, request_target, endpoint.host_header, headers)
        await upgrade(stream, partial(handshake, behind=behind), within=within)
        self._nursery.start_soon(peer.run)
        return peer

    async def connect_viewer(
        self,
        source_id: str,
        cameras: tuple[str, ...] | None = None,
        *,
        name: str = "viewer",
        request_target: str | None = None,
        timeout: object = None,
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
        behind: bytes = b"",
        narrow: bool = False,
    ) -> Viewer:
        """Open a viewer's connection, without its `auth`; where no *cameras* are named, it asks for the one that is there.

        Raises:
            HandshakeFailed: it was not upgraded.
        """
        if cameras is None:
            cameras = (self.online_camera if source_id == self.online else "front",)
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
            behind=behind,
            narrow=narrow,
        )
        return Viewer(peer, source_id, cameras)

    async def connect_device(
        self,
        source_id: str,
        *,
        name: str = "device",
        organisation: str = HOME,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Device:
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
        return Device(peer, source_id, self._stamp)

    async def open_viewer(
        self,
        source_id: str,
        cameras: tuple[str, ...] | None = None,
        *,
        api_key: str | None = None,
        timeout: object = LASTING,
        **more: Any,
    ) -> Viewer:
        """Open a viewer that is to last, unless *timeout* says otherwise, and wait for its `init`.

        Raises:
            Inconclusive: it got none.
        """
        viewer = await self.connect_viewer(source_id, cameras, timeout=timeout, **more)
        await viewer.authenticate(self.target.keys.api_key if api_key is None else api_key)
        if await viewer.await_init(self.patience.at_once) is None:
            raise Inconclusive(f"{viewer.peer.name} got no init ({self.fate(viewer.peer)})")
        return viewer

    async def open_device(
        self, source_id: str, *, api_key: str | None = None, more: Any = None, **options: Any
    ) -> Device:
        """Open a device and wait until it is authenticated; *more* are members of its `device_auth`.

        Raises:
            Inconclusive: it was not.
        """
        device = await self.connect_device(source_id, **options)
        key = self.target.publishing if api_key is None else api_key
        await device.authenticate(key, **(more or {}))
        answer = await device.await_answer(self.patience.answer)
        if answer is None or answer.type != "authenticated":
            raise Inconclusive(f"{device.peer.name} was not authenticated")
        return device

    async def open_source(
        self, source_id: str, cameras: tuple[str, ...] = ("front",), **options: Any
    ) -> Device:
        """Open a device and put its *cameras* online: a gateway may refuse viewers of what it has not seen.

        Raises:
            Inconclusive: it was not authenticated.
        """
        device = await self.open_device(source_id, **options)
        await self.announce(device, *cameras)
        return device

    async def announce(self, device: Device, *cameras: str) -> None:
        """Publish a frame of each of *cameras*, and wait until the gateway has read them."""
        for camera in cameras:
            await device.publish(camera)
        await self.until_read(device)

    async def until_read(self, who: Device | Viewer) -> bool:
        """Wait until the gateway has read what *who* has sent; whether it said so."""
        # What is answered behind the frames was read behind them.
        await who.peer.ping(b"read?")
        pong = await who.peer.until(pong_with(b"read?"), self.patience.at_once)
        return pong is not None

    async def open_stream(
        self, source_id: str, cameras: tuple[str, ...] = ("front",), **options: Any
    ) -> tuple[Device, Viewer]:
        """Open a device and a viewer of its *cameras*, and see a first frame of each camera through.

        Raises:
            Inconclusive: it did not get through.
        """
        device = await self.open_source(source_id, cameras)
        viewer = await self.open_viewer(source_id, cameras, **options)
        for camera in cameras:
            await self.must_see(viewer, device, camera)
        return device, viewer

    async def must_see(self, viewer: Viewer, device: Device, camera: str = "front") -> Sent:
        """See a frame through, trying three times, since single frames may be dropped.

        Raises:
            Inconclusive: none came.
        """
        sent = await self.see(viewer, device, camera)
        if sent is None:
            fate = self.fate(viewer.peer)
            raise Inconclusive(f"{viewer.peer.name} sees no frame of {camera!r} ({fate})")
        return sent

    async def see(
        self, viewer: Viewer, device: Device, camera: str = "front", tries: int = 3
    ) -> Sent | None:
        """Publish until *viewer* sees a frame of *camera*; None if it saw none of *tries*."""
        for _ in range(tries):
            sent = await device.publish(camera)
            if await viewer.sees(sent, self.patience.frame) is not None:
                return sent
            if viewer.peer.ending is not None or device.peer.ending is not None:
                return None
        return None

    def fate(self, peer: Peer) -> str:
        """How *peer* stands, for people."""
        return "still open" if peer.ending is None else str(peer.ending)

    async def fate_later(self, peer: Peer) -> str:
        """How *peer* stands once what was on its way has arrived, for people."""
        await peer.until_ended(self.patience.silence)
        return self.fate(peer)

    # ── findings ─────────────────────────────────────────────────────────────────────────────

    def find(
        self, clause: str, expected: str, actual: str, *, margin_s: float | None = None
    ) -> None:
        """Say that *clause* was broken; one finding a clause is enough."""
        self.add(
            Finding(
                clause=clause,
                expected=expected,
                actual=actual,
                margin_ms=None if margin_s is None else round(margin_s * 1000, 1),
                at=self.now(),
                timeline=self.timeline(),
            )
        )

    def add(self, finding: Finding) -> None:
        """Add a breach, unless there is one of its clause already."""
        if all(finding.clause != other.clause for other in self.findings):
            self.findings.append(finding)

    def all_findings(self) -> tuple[Finding, ...]:
        """Return what the case found, and what the monitor sees in its conversations."""
        said = {finding.clause for finding in self.findings} | self.excused
        seen = (f for f in monitor(self.conversations()) if f.clause not in said)
        return (*self.findings, *seen)

    def excuse(self, *clauses: str) -> None:
        """Keep the monitor from judging *clauses*: what this case sends could lead a sound gateway to break them."""
        self.excused |= set(clauses)

    def chose(self, clause: str, choice: str) -> None:
        """Say what the gateway does where the sources are silent."""
        self.findings.append(Finding(clause=clause, expected="", actual=choice))

    def inconclusive(self, reason: str) -> NoReturn:
        """Give up without a verdict.

        Raises:
            Inconclusive: always.
        """
        raise Inconclusive(reason)

    def must_read_inits(self) -> None:
        """See that every `init` so far can be read; its shape is judged by the monitor alone.

        Raises:
            Inconclusive: one can't.
        """
        if any(finding.clause == "PW-INIT-4" for finding in self.all_findings()):
            raise Inconclusive("the init has another shape")

    def timeline(self) -> tuple[Entry, ...]:
        """Return what happened so far, the latest entries where there are many."""
        return merge(self.conversations())[-_TIMELINE:]

    @property
    def slowest_handshake(self) -> float:
        """The longest that a handshake took so far, in seconds."""
        answered = (peer for peer, _ in self._peers if peer.answer is not None)
        return max((peer.upgraded_at - peer.opened_at for peer in answered), default=0.0)

    def conversations(self) -> list[Conversation]:
        """Return every connection of this trial as recorded."""
        return [
            Conversation(name=peer.name, entries=peer.entries, **about)
            for peer, about in self._peers
        ]

    def transcript(self, script: int = 0) -> Transcript:
        """Return what was said in this trial, as a transcript of its case or of one *script* of it."""
        return Transcript(
            case=self.case_id,
            script=script,
            excused=tuple(sorted(self.excused)),
            conversations=tuple(self.conversations()),
        )

    def transcripts(self) -> tuple[Transcript, ...]:
        """Return what was said in this trial and in its branches."""
        return (self.transcript(), *self._branched)

    async def expect_close(
        self,
        peer: Peer,
        code: int,
        clause: str,
        *,
        why: str,
        within: float | None = None,
    ) -> Ending:
        """Judge that *peer* is closed with *code* within so many seconds (at once, if not given).

        The closing is judged apart from the code: the right one, a wrong one, TCP dropped without a close frame
        [PW-CLOSE-1], or not closed at all.
        """
        limit = self.patience.at_once if within is None else within
        ending = await peer.until_ended(limit)
        expected = f"close {code}: {why}"
        match ending.how:
            case Closing.CLOSE_FRAME if ending.code == code:
                pass
            case Closing.CLOSE_FRAME:
                self.find(clause, expected, str(ending))
            case Closing.OPEN:
                self.find(clause, expected, f"still open {limit:.1f} s later")
            case Closing.TCP_EOF | Closing.TCP_RESET:
                self.find("PW-CLOSE-1", expected, str(ending))
            case Closing.GARBAGE:
                self.find("PW-CONN-6", expected, str(ending))
        return ending

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        """Close everything that is still open, politely, then for good."""
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                for peer, _ in self._peers:
                    nursery.start_soon(_close, peer)
        self._nursery.cancel_scope.cancel()

    async def _make_room(self) -> None:
        standing = [peer for peer, _ in self._peers if peer.is_standing]
        excess = len(standing) + 1 - self.connections
        for peer in [peer for peer in standing if peer.is_closing][: max(excess, 0)]:
            await peer.vanish()

    def _unique(self, name: str) -> str:
        number = 1
        unique = name
        while unique in self._named:
            number += 1
            unique = f"{name} #{number}"
        self._named.add(unique)
        return unique


async def _close(peer: Peer) -> None:
    if peer.is_standing:
        peer.resume()
        await peer.close()
        await peer.until_ended(1)
