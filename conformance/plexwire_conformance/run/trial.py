"""One run of one case: what is judged on a stage, and what was found."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from attrs import define, field

from plexwire_conformance.recording.recorder import Entry, merge
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.checks import (
    NO_CLOSE_FRAME,
    NOT_CLOSED,
    WRONG_CLOSE_CODE,
    checks,
    clause_of,
)
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.monitor import monitor
from plexwire_conformance.run.stage import TIMEOUTS, Inconclusive, Stage, Untestable
from plexwire_conformance.wire.peer import ClosingKind, Ending, HandshakeFailed, RawPeer
from plexwire_spec import Level, clauses

#: Entries that a finding's timeline shows.
_TIMELINE = 60


class Stopped(Exception):
    """The case ends here: of its clauses, it judged only those that it has findings of."""


@define(eq=False)
class Trial:
    """What a case says of the gateway: its findings, and what the monitor sees in its conversations."""

    stage: Stage
    #: The clauses that the case cites: it answers for these and no others.
    cited: tuple[str, ...]
    findings: list[Finding] = field(factory=list[Finding], init=False)
    #: Clauses that the monitor does not judge, since what the case sends is to blame for them.
    excused: set[str] = field(factory=set[str], init=False)
    #: Clauses that the case cites and could not judge after all, and those that do not apply to what happened.
    withheld: set[str] = field(factory=set[str], init=False)
    skipped: set[str] = field(factory=set[str], init=False)
    _branches: list["Trial"] = field(factory=list["Trial"], init=False)

    @asynccontextmanager
    async def branch(
        self, *, connections: int, wait_factor: float = 1.0
    ) -> AsyncGenerator["Trial"]:
        """Open a trial for one of many scripts, on a stage of its own, with findings of its own."""
        async with self.stage.branch(connections=connections, wait_factor=wait_factor) as stage:
            trial = Trial(stage, self.cited)
            self._branches.append(trial)
            yield trial

    # ── findings ─────────────────────────────────────────────────────────────────────────────

    def find(
        self,
        check: str,
        expected: Mapping[str, Any] | None = None,
        observed: Mapping[str, Any] | None = None,
        *,
        path: str = "",
        margin_s: float | None = None,
        by_loss: bool = False,
    ) -> None:
        """Say that *check* failed, by data; `checks.toml` has its sentences.  One finding per check is enough.

        *path* is the JSON path of a member in the last message that came, *margin_s* by how many seconds it was off, and
        *by_loss* whether a network that loses connections would show the same.

        Raises:
            NoConnection: the gateway closed a connection of the case because it has no room, so nothing is judged.
            Inconclusive: a stream of the case ended with 4008, which the case is not about.
            ValueError: there is no such check, or the case does not cite its clause.
        """
        if check not in checks() or clause_of(check) not in self.cited:
            raise ValueError(f"{self.stage.case_id} can't answer for {check}")
        self.stage.check_room()
        is_choice = clauses()[clause_of(check)].level is Level.OPEN
        if clause_of(check) not in TIMEOUTS and not is_choice:
            self.stage.check_timeouts()
        self.add(
            Finding(
                check=check,
                expected=expected or {},
                observed=observed or {},
                path=path,
                margin_ms=None if margin_s is None else round(margin_s * 1000, 1),
                at=self.stage.now(),
                after_loss=self.stage.is_broken or (by_loss and self.stage.has_losses_beside),
                timeline=self.timeline(),
            )
        )

    def find_and_stop(
        self,
        check: str,
        expected: Mapping[str, Any] | None = None,
        observed: Mapping[str, Any] | None = None,
        *,
        margin_s: float | None = None,
    ) -> NoReturn:
        """Say that *check* failed, and end the case: what else it would have judged can't be judged now.

        Raises:
            Stopped: always.
        """
        self.find(check, expected, observed, margin_s=margin_s)
        raise Stopped

    def add(self, finding: Finding) -> None:
        """Add a finding, unless there is one of its check already."""
        if all(finding.check != other.check for other in self.findings):
            self.findings.append(finding)

    async def refuse(
        self,
        check: str,
        expected: Mapping[str, Any],
        error: HandshakeFailed,
        *,
        probed: str | None = None,
    ) -> NoReturn:
        """Say that a handshake failed that had to succeed, and end the case, if an ordinary viewer is still accepted.

        That viewer watches the source *probed*, or the online camera if none is given.

        Raises:
            Stopped: always, unless
            Inconclusive, HandshakeFailed: no viewer is accepted any more, so the failure shows nothing.
        """
        probe = await self.stage.open_viewer(probed, name="probe")
        await probe.peer.close()
        self.find_and_stop(check, expected, {"refusal": error.refusal})

    def chose(self, check: str, **observed: Any) -> None:
        """Say what the gateway does where the sources are silent."""
        self.find(check, observed=observed)

    def stop(self) -> NoReturn:
        """End the case: what it has not found anything about can't be judged now.

        Raises:
            Stopped: always.
        """
        raise Stopped

    async def expect_close(
        self,
        peer: RawPeer,
        code: int,
        clause: str,
        *,
        stimulus: str,
        within: float | None = None,
    ) -> Ending:
        """Judge that *peer*, after *stimulus*, is closed with *code* within so many seconds (immediately, if not given).

        The closing is judged apart from the code: the right one, a wrong one, not closed at all, or TCP ended without a
        close frame [PW-CLOSE-1].
        """
        limit = self.stage.tolerances.immediate if within is None else within
        began = self.stage.now()
        peer.end_is_due = True
        ending = await peer.until_ended(limit)
        expected = {"stimulus": stimulus, "code": code, "within": round(limit, 3)}
        observed = {"ending": peer.outcome(since=began)}
        match ending.kind:
            case ClosingKind.CLOSE_FRAME if ending.code == code:
                pass
            case ClosingKind.CLOSE_FRAME:
                self.find(f"{clause}/{WRONG_CLOSE_CODE}", expected, observed)
            case ClosingKind.OPEN:
                self.find(f"{clause}/{NOT_CLOSED}", expected, observed)
            case ClosingKind.TCP_EOF | ClosingKind.TCP_RESET | ClosingKind.GARBAGE:
                # The manner is one thing, the code another: which it would have been is not known.
                self.find(f"PW-CLOSE-1/{NO_CLOSE_FRAME}", expected, observed, by_loss=True)
                self.withheld.add(clause)
        return ending

    def skip(self, clause: str) -> None:
        """Say that *clause*, which the case cites, does not apply to what happened: the case has no say on it."""
        self.skipped.add(clause)

    def excuse(self, *clauses: str) -> None:
        """Keep the monitor from judging *clauses*: what this case sends could lead a sound gateway to break them."""
        self.excused |= set(clauses)

    def inconclusive(self, reason: str, *hinges_on: str) -> NoReturn:
        """Give up without a verdict; a breach of one of the clauses *hinges_on* would explain why.

        Raises:
            Inconclusive: always.
        """
        raise Inconclusive(reason, hinges_on)

    def untestable(self, reason: str) -> NoReturn:
        """Give up because an input is missing, or the clause does not apply to this gateway.

        Raises:
            Untestable: always.
        """
        raise Untestable(reason)

    def own_findings(self) -> tuple[Finding, ...]:
        """Return what the case found, and what the monitor sees in its conversations under clauses that it cites."""
        said = {finding.check for finding in self.findings}
        seen = (f for f in self.seen() if f.clause in self.cited and f.check not in said)
        return (*self.findings, *seen)

    def observations(self) -> tuple[Finding, ...]:
        """Return what the monitor sees under clauses that the case does not cite: the case does not answer for them."""
        return tuple(f for f in self.seen() if f.clause not in self.cited)

    def seen(self) -> tuple[Finding, ...]:
        """Return all that the monitor sees in the conversations of the case, but for what is excused."""
        seen = monitor(self.stage.conversations())
        return tuple(finding for finding in seen if finding.clause not in self.excused)

    # ── what was said ────────────────────────────────────────────────────────────────────────

    def timeline(self) -> tuple[Entry, ...]:
        """Return what happened so far, the latest entries if there are many."""
        return merge(self.stage.conversations())[-_TIMELINE:]

    def transcript(self) -> Transcript:
        """Return what was said on the stage, as a transcript of its case or of one script of it."""
        return Transcript(
            case=self.stage.case_id,
            script=self.stage.script,
            excused=tuple(sorted(self.excused)),
            conversations=tuple(self.stage.conversations()),
        )

    def transcripts(self) -> tuple[Transcript, ...]:
        """Return what was said in this trial and in its branches."""
        return (self.transcript(), *(branch.transcript() for branch in self._branches))

    @property
    def branches(self) -> tuple["Trial", ...]:
        """The trials of the scripts that were played."""
        return tuple(self._branches)
