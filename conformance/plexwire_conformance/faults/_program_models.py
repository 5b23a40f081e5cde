"""A viewer and a device that keep every promise, small enough to be faulty in one place; they live in memory."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, TypeAlias

import trio
from attrs import define, evolve, field

from plexwire_conformance.program.program import Arrive, Invitation, Program, Started
from plexwire_conformance.recording.recorder import Entry, WireRecorder
from plexwire_conformance.target.streams import memory_connection
from plexwire_conformance.wire.framing import BadFraming, FrameReader, WireFrame
from plexwire_conformance.wire.peer import Ending, HandshakeFailed, RawPeer
from plexwire_conformance.wire.roles import RawDevice, auth_text, device_auth_text
from plexwire_spec import Party

Dial: TypeAlias = Callable[[], Awaitable[trio.abc.Stream]]

#: Seconds that it waits for what the gateway owes, and between two heartbeats.
_PATIENCE_S: Final = 10.0
_HEARTBEAT_S: Final = 30.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
#: What chance could have drawn.
_VARIATIONS: Final = (1.1, 0.9, 1.2, 0.8)
#: A pause after a stream that worked.
_AT_ONCE_S: Final = 0.2
#: Seconds between two pictures, and the bytes of one: enough to fill the buffers of a gateway that does not read.
_PICTURE_S: Final = 1 / 15
_PICTURE_BYTES: Final = 100_000
#: Seconds in which the gateway answers a close.
_CLOSE_S: Final = 1.0
_NO_RETURN: Final = (4001, 4002)
_TIMEOUT: Final = 4008


class ModelProgram(Program):
    """A model that is started in memory, wherever a command would be."""

    at_once = 64

    def __init__(self, model: type["Model"]) -> None:
        self.role = model.role
        self.called = model.__name__
        self._model = model

    @asynccontextmanager
    async def playing(
        self, invitation: Invitation, arrive: Arrive, *, narrow: bool
    ) -> AsyncGenerator[Started]:
        """Run it while the context lasts."""
        invited = evolve(invitation, url="ws://model")
        started = Started(invited)

        async def serve(stream: trio.abc.Stream) -> None:
            try:
                await arrive(stream)
            finally:
                await trio.aclose_forcefully(stream)

        async def dial() -> trio.abc.Stream:
            ours, theirs = memory_connection()
            nursery.start_soon(serve, theirs)
            return ours

        async def run() -> None:
            await self._model(dial, invited).run()
            started.exit_code = 0
            started.ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield started
            nursery.cancel_scope.cancel()


class WholeFramesOnly(FrameReader):
    """Reads no message in pieces."""

    def _join(self, frame: WireFrame) -> WireFrame | None:
        if not frame.fin:
            raise BadFraming("a frame in pieces")
        return super()._join(frame)


@define(eq=False)
class Model(ABC):
    """What both models have in common: connections one after another, with pauses that grow while they fail."""

    role: ClassVar[Party]
    dial: Dial
    invitation: Invitation
    failures: int = field(default=0, init=False)

    answers_pings: ClassVar[bool] = True
    answers_closes: ClassVar[bool] = True
    frames: ClassVar[type[FrameReader]] = FrameReader

    async def run(self) -> None:
        """Connect, and come back for as long as it makes sense."""
        while True:
            ending = await self._once()
            if not self.comes_back(ending):
                return
            await trio.sleep(self.pause(ending))

    async def _once(self) -> Ending | None:
        """Have one connection; return how it ended, None if there was none."""
        stream = await self.dial()
        peer = RawPeer(stream, WireRecorder("model", ()), trio.current_time)
        peer._frames = self.frames()
        peer.answers_pings, peer.answers_closes = self.answers_pings, self.answers_closes
        self.failures += 1
        try:
            await peer.handshake(self.target(), "model", self.headers())
        except HandshakeFailed:
            await trio.aclose_forcefully(stream)
            return None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run)
            await self.converse(peer)
            if peer.ending is None:
                await peer.close()
                nursery.cancel_scope.deadline = trio.current_time() + _CLOSE_S
        return peer.ending

    @abstractmethod
    def target(self) -> str:
        """Return where it connects."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers of its handshake, besides those of every one."""
        return ()

    @abstractmethod
    async def converse(self, peer: RawPeer) -> None:
        """Say what there is to say on a connection, until it ends or the model leaves."""

    def comes_back(self, ending: Ending | None) -> bool:
        """Whether it connects again after a connection that ended so."""
        return ending is None or ending.code not in _NO_RETURN

    def pause(self, ending: Ending | None) -> float:
        """Return for how long (seconds) it stays away."""
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**self.failures)
        return pause * self.variation(self.failures)

    def variation(self, failures: int) -> float:
        """Return by what chance multiplies a pause; no chance at all, so that each trial of the judge is the same."""
        return _VARIATIONS[failures % len(_VARIATIONS)]

    def welcomed(self) -> None:
        """Note that the gateway accepted it."""
        self.failures = 0


@define(eq=False)
class ModelViewer(Model):
    """A viewer that keeps every promise."""

    role = Party.VIEWER
    patience: ClassVar[float] = _PATIENCE_S

    def target(self) -> str:
        """Return the address of the stream."""
        return self.invitation.stream_url.removeprefix(self.invitation.url)

    def first_messages(self) -> list[str | bytes]:
        """Return what it says first."""
        return [auth_text(self.invitation.api_key)]

    async def converse(self, peer: RawPeer) -> None:
        """Watch until the stream ends, or something came after which it leaves."""
        for message in self.first_messages():
            await peer.send(message)
        waited = trio.current_time()
        while peer.ending is None:
            left = waited + self.patience - trio.current_time() if self.failures else math.inf
            entry = await peer.next(left)
            if entry is None:
                if peer.ending is None:
                    return
                continue
            if self.leaves_after(entry):
                return
            if entry.type == "init":
                self.welcomed()

    def leaves_after(self, entry: Entry) -> bool:
        """Whether it takes *entry* for a reason to leave."""
        return False

    def pause(self, ending: Ending | None) -> float:
        """Return for how long (seconds) it stays away: hardly, if its time was up."""
        if ending is not None and ending.code == _TIMEOUT:
            return _AT_ONCE_S
        return super().pause(ending)


@define(eq=False)
class ModelDevice(Model):
    """A device that keeps every promise."""

    role = Party.DEVICE
    patience: ClassVar[float] = _PATIENCE_S
    heartbeat_s: ClassVar[float] = _HEARTBEAT_S
    picture_bytes: ClassVar[int] = _PICTURE_BYTES
    picture_s: ClassVar[float] = _PICTURE_S
    _stamp: int = field(default=1_750_000_000_000, init=False)

    def target(self) -> str:
        """Return the address of devices."""
        return "/ws/device"

    def first_messages(self) -> list[str | bytes]:
        """Return what it says first."""
        return [device_auth_text(self.invitation.api_key, self.invitation.source_id)]

    async def converse(self, peer: RawPeer) -> None:
        """Publish once it is authenticated, until the connection ends or something came after which it leaves."""
        for message in self.first_messages():
            await peer.send(message)
        answer = await peer.next(self.patience)
        if answer is None or not self.accepts(answer):
            return
        if answer.type == "authenticated":
            self.welcomed()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.publish, peer)
            nursery.start_soon(self._beat, peer)
            while peer.ending is None:
                entry = await peer.next(math.inf)
                if entry is not None and self.leaves_after(entry):
                    break
            nursery.cancel_scope.cancel()

    def accepts(self, answer: Entry) -> bool:
        """Whether it takes *answer* for its authentication."""
        return bool(answer.type == "authenticated")

    def leaves_after(self, entry: Entry) -> bool:
        """Whether it takes *entry* for a reason to leave."""
        return False

    async def publish(self, peer: RawPeer) -> None:
        """Send pictures: whenever there is room, the one that is due."""
        device = RawDevice(peer, self.invitation.source_id, self._next_stamp)
        while True:
            await self.send_picture(device)
            await trio.sleep(self.picture_s)

    async def send_picture(self, device: RawDevice) -> None:
        """Send one picture."""
        await device.publish(self.invitation.camera_id, size=self.picture_bytes)

    def _next_stamp(self) -> int:
        self._stamp += 66
        return self._stamp

    async def _beat(self, peer: RawPeer) -> None:
        while True:
            await trio.sleep(self.heartbeat_s)
            await peer.send(json.dumps(self.heartbeat()))

    def heartbeat(self) -> dict[str, Any]:
        """Return a heartbeat."""
        return {"type": "heartbeat", "source_id": self.invitation.source_id}
