"""The stage of a case for programs: the program is started for a play, and we are its gateway."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import trio
from attrs import define, field

from plexwire_conformance.program.monitor import SERVED, judge_conversations, judge_request
from plexwire_conformance.program.program import Invitation, Program, Started
from plexwire_conformance.program.served import Served, ServedDevice, ServedViewer
from plexwire_conformance.recording.recorder import RecordedConversation, WireRecorder, merge
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.checks import checks, clause_of
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.stage import Inconclusive, Untestable
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.served_peer import ServedPeer
from plexwire_spec import Party

#: Seconds that a program has for its first message.  [PW-AUTH-1]
FIRST_MESSAGE_S: Final = 10.0
#: Seconds that a program has to connect, the start of an interpreter or a browser included.
CONNECTS_S: Final = 20.0
#: Seconds that a connection may take to end once its play is over.
_FAREWELL_S: Final = 1.0
#: Entries that a finding's timeline shows.
_TIMELINE: Final = 60
#: Seconds that a connection may take to be seen whose program has ended.
_LINGERS_S: Final = 0.1
#: Connections that wait for a case to look at them; a program that makes more of them is hammering.
_WAITING: Final = 64


@define(eq=False)
class Arrivals:
    """The connections that nobody has looked at yet, their handshakes not answered."""

    waiting: deque[ServedPeer] = field(factory=deque[ServedPeer], init=False)
    _added: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    def add(self, peer: ServedPeer) -> bool:
        """Add *peer*, and return whether there was room for it."""
        if len(self.waiting) >= _WAITING:
            return False
        self.waiting.append(peer)
        self._added.unpark_all()
        return True

    async def take(self) -> ServedPeer:
        """Wait for a connection, and return the one that waits longest."""
        while not self.waiting:
            await self._added.park()
        return self.waiting.popleft()


@define(eq=False, kw_only=True)
class Play:
    """One start of the program, and the connections that it makes."""

    started: Started
    _stage: "ProgramStage"
    _arrivals: Arrivals
    served: list[Served] = field(factory=list[Served], init=False)

    def now(self) -> float:
        """Seconds since the run began."""
        return self._stage.now()

    async def arrival(self, within: float) -> ServedPeer | None:
        """Return the next connection, its handshake not answered yet.

        None if none came within so many seconds, or can come any more, as the program has ended.
        """
        found: list[ServedPeer] = []

        async def wait() -> None:
            found.append(await self._arrivals.take())
            nursery.cancel_scope.cancel()

        with trio.move_on_after(within):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await self.started.ended.wait()
                # It may have connected and gone at once.
                await trio.sleep(_LINGERS_S)
                nursery.cancel_scope.cancel()
        return found[0] if found else None

    async def leaves(self, served: Served, within: float) -> bool:
        """Whether the program leaves *served* within so many seconds: it ends it, or makes another connection instead."""
        await served.leaves(within)
        return served.peer.ending is not None or self.returned_at() is not None

    def outcome(self, served: Served, since: float) -> dict[str, Any]:
        """Return what became of *served*, as a finding holds it; `after` is seconds from *since*."""
        outcome = served.peer.outcome(since=since)
        if served.peer.ending is None and (at := self.returned_at()) is not None:
            outcome |= {"how": "another", "after": round(max(0.0, at - since), 3)}
        return outcome

    def returned_at(self) -> float | None:
        """Return when (seconds) another connection came that nobody has looked at yet; None if none did."""
        return self._arrivals.waiting[-1].opened_at if self._arrivals.waiting else None

    async def connected(self) -> Served:
        """Return the next connection, upgraded, its first message read if one came in time.

        Raises:
            Inconclusive: none came.
        """
        patience = self._stage.patience
        peer = await self.arrival(patience)
        if peer is None:
            raise Inconclusive(self._silence(patience))
        return await self.admit(peer)

    async def waiting(self) -> Served:
        """Return the next connection, which has said who it is and waits for the answer.

        Raises:
            Inconclusive: none came, or it sent nothing.
        """
        served = await self.connected()
        if served.first is None:
            role = self._stage.program.role
            raise Inconclusive(f"the {role} sent nothing ({served.peer.state})")
        return served

    async def unanswered_viewer(self) -> ServedViewer:
        """Return the next connection of a viewer that waits for its `init`.

        Raises:
            Inconclusive: none came, or it sent nothing.
        """
        served = await self.waiting()
        assert isinstance(served, ServedViewer)
        return served

    async def unanswered_device(self) -> ServedDevice:
        """Return the next connection of a device that waits to be authenticated.

        Raises:
            Inconclusive: none came, or it sent nothing.
        """
        served = await self.waiting()
        assert isinstance(served, ServedDevice)
        return served

    async def admit(self, peer: ServedPeer) -> Served:
        """Upgrade *peer*, and read its first message if it comes in time."""
        kind = ServedViewer if self._stage.program.role is Party.VIEWER else ServedDevice
        served = kind(peer, self.started.invitation.source_id)
        await peer.upgrade()
        self.served.append(served)
        await served.await_first(FIRST_MESSAGE_S)
        return served

    def _silence(self, waited: float) -> str:
        words = self.started.last_words()
        role = self._stage.program.role
        if words is None:
            return (
                f"the {role} did not connect to {self.started.invitation.url} within {waited:g} s"
            )
        said = f"; the last line that it printed is “{words['last']}”" if words["last"] else ""
        return f"the {role} ended with exit code {words['exit']} before it connected{said}"

    async def viewer(self) -> ServedViewer:
        """Return the next connection of a viewer that has its `init`.

        Raises:
            Inconclusive: none came, or it sent nothing.
        """
        served = await self.unanswered_viewer()
        await served.say(served.init())
        return served

    async def device(self) -> ServedDevice:
        """Return the next connection of a device that is authenticated.

        Raises:
            Inconclusive: none came, or it sent nothing.
        """
        served = await self.unanswered_device()
        await served.say(served.authenticated())
        return served

    async def end(self) -> None:
        """End every connection that is still open."""
        with trio.move_on_after(_FAREWELL_S):
            for served in self.served:
                if served.peer.is_open:
                    # Who comes back after it does not come back for long: its gateway goes as well.
                    await served.peer.close(1001)
            for served in self.served:
                await served.peer.until_ended(_FAREWELL_S, exactly=True)


@define(eq=False, kw_only=True)
class ProgramStage:
    """Where a case meets the program: it starts it, plays its gateway, and says what was wrong."""

    case_id: str
    #: The clauses that the case cites: it answers for these, the run for what else is seen.
    cited: tuple[str, ...]
    program: Program
    invitation: Invitation
    clock: Callable[[], float]
    patience: float = CONNECTS_S
    findings: list[Finding] = field(factory=list[Finding], init=False)
    _requests: list[Finding] = field(factory=list[Finding], init=False)
    _conversations: list[tuple[ServedPeer, WireRecorder]] = field(
        factory=list[tuple[ServedPeer, WireRecorder]], init=False
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no report may show."""
        return (self.invitation.api_key,)

    @asynccontextmanager
    async def play(self, *, narrow: bool = False) -> AsyncGenerator[Play]:
        """Have the program while the context lasts; with *narrow* buffers a gateway that does not read is felt soon."""
        arrivals = Arrivals()

        async def arrive(stream: trio.abc.Stream) -> None:
            peer = self._peer(stream)
            try:
                request = await peer.take_request()
            except HandshakeFailed:
                await trio.aclose_forcefully(stream)
                return
            for finding in judge_request(request, self.program.role, self.secrets, self.clock()):
                self._requests.append(finding)
            if arrivals.add(peer):
                await peer.serve()
            else:
                await peer.refuse(503)

        before = len(self._conversations)
        async with self.program.playing(self.invitation, arrive, narrow=narrow) as started:
            play = Play(started=started, stage=self, arrivals=arrivals)
            try:
                yield play
            finally:
                with trio.CancelScope(shield=True):
                    await play.end()
                    for peer, _ in self._conversations[before:]:
                        await peer.abandon()

    def _peer(self, stream: trio.abc.Stream) -> ServedPeer:
        number = len(self._conversations) + 1
        name = "connection" if number == 1 else f"connection {number}"
        recorder = WireRecorder(name, self.secrets)
        peer = ServedPeer(stream, recorder, self.clock, mask=None)
        self._conversations.append((peer, recorder))
        return peer

    def now(self) -> float:
        """Seconds since the run began."""
        return self.clock()

    # ── findings ─────────────────────────────────────────────────────────────────────────────

    def find(
        self,
        check: str,
        expected: Mapping[str, Any] | None = None,
        observed: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that *check* failed, by data; `checks.toml` has its sentences.  One finding per check is enough.

        Raises:
            ValueError: there is no such check, or the case does not cite its clause.
        """
        if check not in checks() or clause_of(check) not in self.cited:
            raise ValueError(f"{self.case_id} can't answer for {check}")
        if all(finding.check != check for finding in self.findings):
            self.findings.append(
                Finding(
                    check=check,
                    expected=expected or {},
                    observed=observed or {},
                    at=self.now(),
                    timeline=merge(self.conversations())[-_TIMELINE:],
                )
            )

    def untestable(self, reason: str) -> NoReturn:
        """Give up because the program does not do what the case is about.

        Raises:
            Untestable: always.
        """
        raise Untestable(reason)

    def inconclusive(self, reason: str) -> NoReturn:
        """Give up without a verdict.

        Raises:
            Inconclusive: always.
        """
        raise Inconclusive(reason)

    def own_findings(self) -> tuple[Finding, ...]:
        """Return what the case found, and what was seen in its conversations under clauses that it cites."""
        said = {finding.check for finding in self.findings}
        seen = (f for f in self._seen() if f.clause in self.cited and f.check not in said)
        return (*self.findings, *seen)

    def observations(self) -> tuple[Finding, ...]:
        """Return what was seen under clauses that the case does not cite."""
        return tuple(finding for finding in self._seen() if finding.clause not in self.cited)

    def _seen(self) -> list[Finding]:
        return [*self._requests, *judge_conversations(self.program.role, self.conversations())]

    def conversations(self) -> list[RecordedConversation]:
        """Return what was said so far."""
        return [
            RecordedConversation(
                name=recorder.peer,
                role=f"{SERVED}{self.program.role}",
                source_id=self.invitation.source_id,
                cameras=peer.request.cameras,
                organisation="home",
                entries=tuple(recorder.entries),
            )
            for peer, recorder in self._conversations
        ]

    def transcript(self) -> Transcript:
        """Return what was said, as a transcript of the case."""
        return Transcript(case=self.case_id, conversations=tuple(self.conversations()))
