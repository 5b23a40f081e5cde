"""The stage of a case: its connections, and scenes that many cases need."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from attrs import define, evolve, field

from plexwire_conformance.recording.recorder import Entry, pong_with
from plexwire_conformance.run.connections import DEFAULT, Connections
from plexwire_conformance.wire.close_codes import TIMEOUT
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame
from plexwire_spec import clauses

#: Seconds that a stream asks for beyond what its case may take: a viewer that a gateway does not notice leaving stays
#: no longer than that.
TIMEOUT_MARGIN = 15
#: Frames that are published until a viewer sees one, since single frames may be dropped.
TRIES = 3

#: The clauses about that close.
TIMEOUTS: Final = tuple(clause for clause in clauses() if clause.startswith("PW-TIME-"))

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
class Stage(Connections):
    """Where a case meets the gateway: scenes that many cases need."""

    #: Whether the run takes its time: every vector is played then, and not only some of each kind.
    thorough: bool = False
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

    def check_timeouts(self) -> None:
        """See that no stream ended with 4008: it was closed early, or the case took longer than its `timeout`.

        Raises:
            Inconclusive: one did.
        """
        for peer, _ in self._peers:
            if peer.ending is not None and peer.ending.code == TIMEOUT and peer.was_used:
                reason = f"the {peer.name} was closed with 4008"
                raise Inconclusive(reason, ("PW-TIME-2", "PW-CONN-1", "PW-INIT-2", *FRAMES_PASS))
