"""The runner for programs: the control first, then every case with a start of its own, some of them at once."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import trio
from attrs import define, evolve, field

from plexwire_conformance.program.case import ProgramCase
from plexwire_conformance.program.control import control_of
from plexwire_conformance.program.program import Invitation, Program
from plexwire_conformance.program.stage import CONNECTS_S, ProgramStage
from plexwire_conformance.recording.recorder import tame
from plexwire_conformance.recording.redaction import redact
from plexwire_conformance.run.events import (
    WHOLE,
    CaseFinished,
    JudgedProgram,
    Listener,
    Part,
    RunFinished,
    RunStarted,
)
from plexwire_conformance.run.exception_groups import first_of
from plexwire_conformance.run.findings import CaseResult, Finding, Trouble, Verdict, worst
from plexwire_conformance.run.outcomes import observations, redacted
from plexwire_conformance.run.stage import Inconclusive, Untestable
from plexwire_conformance.run.tolerances import Tolerances

#: Times that a case which found something is played, at most: what shows in most of them is told.
_PLAYS: Final = 3


@define(eq=False, kw_only=True)
class ProgramRunner:
    """Judges a program by cases; `invitation` is what the program is told, but for the URL."""

    program: Program
    invitation: Invitation
    unix_ms: int
    #: Seconds that a case may take beyond its own waits.
    budget: float = 60.0
    #: Seconds that the program has to connect.
    patience: float = CONNECTS_S
    part: Part = WHOLE
    #: How often a case that found something is played, at most.
    plays: int = _PLAYS
    _observed: list[Finding] = field(factory=list[Finding], init=False)
    _connections: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)

    async def run(self, cases: Sequence[ProgramCase], listen: Listener) -> RunFinished:
        """Judge the program by *cases*, and tell *listen* what happens.

        Raises:
            CouldNotJudge: the program can't be started, or does not come; the text says why and what to do.
        """
        self._began = trio.current_time()
        control = control_of(self.program.role)
        first = await self._play(control)
        listen(
            RunStarted(
                target=JudgedProgram(
                    role=self.program.role,
                    called=self.program.called,
                    command=self.program.command,
                ),
                tolerances=Tolerances(),
                cases=(control, *cases),
                unix_ms=self.unix_ms,
            )
        )
        listen(first)
        finished = [first]
        room = trio.CapacityLimiter(self.program.at_once)

        async def judge(case: ProgramCase) -> None:
            async with room:
                one = await self._judge(case)
            finished.append(one)
            listen(one)

        async with trio.open_nursery() as nursery:
            for case in sorted(cases, key=lambda case: -case.takes):
                nursery.start_soon(judge, case)
                # In this order, and not in one that the scheduler chooses.
                await trio.lowlevel.checkpoint()
        seen = observations(self._observed)
        for result in seen:
            listen(CaseFinished(result=result))
        places = {case.id: place for place, case in enumerate((control, *cases))}
        results = sorted((one.result for one in finished), key=lambda r: places[r.case])
        run = RunFinished(
            results=(*results, *seen),
            seconds=self.now(),
            connections=self._connections,
            sources=1,
            part=self.part,
        )
        listen(run)
        return run

    def now(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self._began

    async def _judge(self, case: ProgramCase) -> CaseFinished:
        """Judge *case*; what it finds counts if most of up to three plays show it."""
        one = await self._play(case)
        shown = Counter(finding.check for finding in _breaches(one.result))
        plays = 1
        while shown and plays < self.plays:
            if plays > 1 and all(count == plays for count in shown.values()):
                break
            again = await self._play(case)
            plays += 1
            shown.update(finding.check for finding in _breaches(again.result))
            one = _merged(one, again)
        if plays == 1:
            return one
        kept = tuple(
            evolve(f, shown=(shown[f.check], plays)) if shown[f.check] < plays else f
            for f in one.result.findings
            if shown[f.check] * 2 > plays
        )
        return evolve(one, result=_with(one.result, kept))

    async def _play(self, case: ProgramCase) -> CaseFinished:
        began = self.now()
        stage = ProgramStage(
            case_id=case.id,
            cited=case.clauses,
            program=self.program,
            invitation=self.invitation,
            clock=self.now,
            patience=self.patience,
        )
        verdict, trouble, reason = Verdict.PASS, Trouble.NONE, ""
        limit = case.takes + self.budget
        with trio.move_on_after(limit) as scope:
            try:
                await case.body(stage)
            except* Untestable as group:
                verdict, reason = Verdict.UNTESTABLE, str(first_of(group))
            except* Inconclusive as group:
                verdict, trouble, reason = Verdict.ERROR, Trouble.UNCLEAR, str(first_of(group))
        if scope.cancelled_caught:
            verdict, trouble = Verdict.ERROR, Trouble.SUITE
            reason = f"the case did not end within {limit:.0f} s"
        findings = tuple(redacted(finding, stage.secrets) for finding in stage.own_findings())
        self._observed += (redacted(finding, stage.secrets) for finding in stage.observations())
        self._connections += len(stage.conversations())
        was_judged = verdict is Verdict.PASS
        judged = (*case.clauses,) if was_judged else tuple(f.clause for f in findings)
        result = CaseResult(
            case=case.id,
            title=case.title,
            clauses=case.clauses,
            verdict=worst((verdict, *(finding.verdict for finding in findings))),
            findings=findings,
            judged=tuple(dict.fromkeys(judged)),
            reason=tame(redact(reason, stage.secrets)),
            trouble=trouble,
            seconds=self.now() - began,
        )
        return CaseFinished(result=result, transcripts=(stage.transcript(),))


def _breaches(result: CaseResult) -> list[Finding]:
    return [finding for finding in result.findings if finding.is_breach]


def _merged(one: CaseFinished, again: CaseFinished) -> CaseFinished:
    """Return the later play with the findings of both, one per check."""
    found = {finding.check: finding for finding in again.result.findings}
    for finding in one.result.findings:
        found.setdefault(finding.check, finding)
    return evolve(again, result=evolve(again.result, findings=tuple(found.values())))


def _with(result: CaseResult, findings: tuple[Finding, ...]) -> CaseResult:
    unjudged = Verdict.PASS if result.trouble is Trouble.NONE else Verdict.ERROR
    if result.verdict is Verdict.UNTESTABLE:
        unjudged = Verdict.UNTESTABLE
    verdict = worst((unjudged, *(finding.verdict for finding in findings)))
    return evolve(result, findings=findings, verdict=verdict)
