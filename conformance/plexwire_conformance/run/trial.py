"""One run of one case: what is judged on a stage, and what was found."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from attrs import define, field

from plexwire_conformance.recording.recorder import Entry, merge
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.monitor import monitor
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.wire.peer import ClosingKind, Ending, RawPeer

#: Entries that a finding's timeline shows.
_TIMELINE = 60


@define(eq=False)
class Trial:
    """What a case says of the gateway: its findings, and what the monitor sees in its conversations."""

    stage: Stage
    findings: list[Finding] = field(factory=list[Finding], init=False)
    #: Clauses that the monitor does not judge, since what the case sends is to blame for them.
    excused: set[str] = field(factory=set[str], init=False)
    _branches: list["Trial"] = field(factory=list["Trial"], init=False)

    @asynccontextmanager
    async def branch(
        self, *, connections: int, wait_factor: float = 1.0
    ) -> AsyncGenerator["Trial"]:
        """Open a trial for one of many scripts, on a stage of its own, with findings of its own."""
        async with self.stage.branch(connections=connections, wait_factor=wait_factor) as stage:
            trial = Trial(stage)
            self._branches.append(trial)
            yield trial

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
                at=self.stage.now(),
                timeline=self.timeline(),
            )
        )

    def add(self, finding: Finding) -> None:
        """Add a breach, unless there is one of its clause already."""
        if all(finding.clause != other.clause for other in self.findings):
            self.findings.append(finding)

    def chose(self, clause: str, choice: str) -> None:
        """Say what the gateway does where the sources are silent."""
        self.findings.append(Finding(clause=clause, expected="", actual=choice))

    async def expect_close(
        self,
        peer: RawPeer,
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
        limit = self.stage.tolerances.immediate if within is None else within
        ending = await peer.until_ended(limit)
        expected = f"close {code}: {why}"
        match ending.kind:
            case ClosingKind.CLOSE_FRAME if ending.code == code:
                pass
            case ClosingKind.CLOSE_FRAME:
                self.find(clause, expected, str(ending))
            case ClosingKind.OPEN:
                self.find(clause, expected, f"still open {limit:.1f} s later")
            case ClosingKind.TCP_EOF | ClosingKind.TCP_RESET:
                self.find("PW-CLOSE-1", expected, str(ending))
            case ClosingKind.GARBAGE:
                self.find("PW-CONN-6", expected, str(ending))
        return ending

    def excuse(self, *clauses: str) -> None:
        """Keep the monitor from judging *clauses*: what this case sends could lead a sound gateway to break them."""
        self.excused |= set(clauses)

    def must_read_inits(self) -> None:
        """See that every `init` so far can be read; its shape is judged by the monitor alone.

        Raises:
            Inconclusive: one can't.
        """
        if any(finding.clause == "PW-INIT-4" for finding in self.all_findings()):
            raise Inconclusive("the init has another shape")

    def all_findings(self) -> tuple[Finding, ...]:
        """Return what the case found, and what the monitor sees in its conversations."""
        said = {finding.clause for finding in self.findings} | self.excused
        seen = (f for f in monitor(self.stage.conversations()) if f.clause not in said)
        return (*self.findings, *seen)

    # ── what was said ────────────────────────────────────────────────────────────────────────

    def timeline(self) -> tuple[Entry, ...]:
        """Return what happened so far, the latest entries where there are many."""
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
