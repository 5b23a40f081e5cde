"""The runner: the control first, then all cases at once, the longest first, and nothing left behind.

It tells what happens as one stream of events, from which every report is made.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import trio
from attrs import define, evolve, field, frozen

from plexwire_conformance.recording.recorder import redact, tame
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.case import Case, Need
from plexwire_conformance.run.control import CONTROL, CouldNotJudge, served
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict, worst
from plexwire_conformance.run.known_failures import Reckoning
from plexwire_conformance.run.latency import Latency
from plexwire_conformance.run.online_camera import keep_camera_online, measure_scheduling_delay
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.target.target import Camera, Target
from plexwire_conformance.wire.peer import HandshakeFailed


@frozen(kw_only=True)
class RunStarted:
    """The control is done and the cases begin; the run began at `unix_ms`, in Unix milliseconds."""

    target: Target
    tolerances: Tolerances
    cases: tuple[Case, ...]
    unix_ms: int


@frozen(kw_only=True)
class CaseFinished:
    """One case came out; `transcripts` are everything that was said in it, if it ran at all."""

    result: CaseResult
    transcripts: tuple[Transcript, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class RunFinished:
    """The run is over; `seconds` is its length, `results` are in the order of the cases.

    `late` is the seconds in all that the judge got to look later than it had meant to.  `reckoning` is how the results
    compare with the failures that were expected, where any were.
    """

    results: tuple[CaseResult, ...]
    seconds: float
    late: float = 0.0
    reckoning: Reckoning | None = None


RunEvent: TypeAlias = RunStarted | CaseFinished | RunFinished
Listener: TypeAlias = Callable[[RunEvent], None]

#: How the control comes out where nothing else can be judged, unless a viewer got in all the same.
_HOPELESS: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.UNTESTABLE)

#: Round trips that no case exceeds; a gateway far away is given the time for them on top.
_ROUND_TRIPS: Final = 80


@frozen(kw_only=True)
class Settings:
    """How a run is made: sockets open at most, seconds that one case may take beyond its waits, the run's nonce.

    `unix_ms` is when the run began, in Unix milliseconds: devices stamp their frames from there.
    """

    nonce: str
    unix_ms: int
    max_connections: int = 64
    case_budget: float = 30.0


@define(eq=False)
class Runner:
    """One run against one target."""

    target: Target
    settings: Settings
    tolerances: Tolerances = field(factory=Tolerances)
    _began: float = field(init=False)
    _latency: Latency = field(init=False)
    #: The camera that is online while the run lasts.
    _online: Camera = field(init=False)
    _stamps: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._began = trio.current_time()
        self._latency = Latency(self.now)
        source_id = f"{self.target.source_prefix}-{self.settings.nonce}-online"
        self._online = self.target.watched or Camera(source_id, "front")

    def now(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self._began

    @property
    def _most(self) -> int:
        """How many connections all cases may have open at once."""
        return self.settings.max_connections - 1  # the online camera has one

    def _share(self, case: Case) -> int:
        """How many of them *case* may have open: as many as it likes, where there are so many."""
        return min(case.connections, self._most)

    def _stamp(self) -> int:
        self._stamps += 1
        return self.settings.unix_ms + self._stamps

    async def run(self, cases: Sequence[Case], listen: Listener) -> RunFinished:
        """Judge the target by *cases*, once the control has shown that there is something to judge.

        Raises:
            CouldNotJudge: there is not.
        """
        finished: RunFinished | None = None
        could_not: BaseException = CouldNotJudge("the run ended before its time")
        try:
            async with trio.open_nursery() as nursery:
                stage = self._stage("online-camera", nursery, 1)
                nursery.start_soon(measure_scheduling_delay, self._latency)
                await nursery.start(keep_camera_online, stage, self._latency)
                try:
                    finished = await self._run(cases, listen)
                finally:
                    with trio.CancelScope(shield=True):
                        await stage.close()
        except* CouldNotJudge as group:
            could_not = _first(group)
        if finished is None:
            raise could_not
        return finished

    async def _run(self, cases: Sequence[Case], listen: Listener) -> RunFinished:
        control = await self._run_case(CONTROL)
        controlled = control.result
        listen(
            RunStarted(
                target=self.target,
                tolerances=self.tolerances,
                cases=(CONTROL, *cases),
                unix_ms=self.settings.unix_ms,
            )
        )
        listen(control)
        if controlled.verdict in _HOPELESS and not served(control.transcripts):
            reason = f"the control failed: {controlled.reason or controlled.findings[0].actual}"
            results = [untestable(case, reason) for case in cases]
            for result in results:
                listen(CaseFinished(result=result))
        else:
            results = await self._run_all(cases, listen)
        finished = RunFinished(
            results=(controlled, *results), seconds=self.now(), late=self._latency.lost_time(0.0)
        )
        listen(finished)
        return finished

    async def _run_all(self, cases: Sequence[Case], listen: Listener) -> list[CaseResult]:
        results: dict[str, CaseResult] = {}
        free = _Capacity(self._most)

        async def run(case: Case) -> None:
            try:
                finished = await self._run_case(case)
            finally:
                free.give_back(self._share(case))
            results[case.id] = finished.result
            listen(finished)

        async with trio.open_nursery() as nursery:
            for case in sorted(cases, key=lambda case: -case.takes):
                missing = missing_needs(case, self.target)
                if not missing and case.least > self._most:
                    missing = f"allow the run {case.least + 1} connections at once"
                if missing:
                    results[case.id] = untestable(case, missing)
                    listen(CaseFinished(result=results[case.id]))
                    continue
                await free.take(self._share(case))
                nursery.start_soon(run, case)
        return [results[case.id] for case in cases]

    async def _run_case(self, case: Case) -> CaseFinished:
        began = self.now()
        reason = ""
        could_not: BaseException | None = None
        trial: Trial | None = None
        verdict = Verdict.PASS
        far = _ROUND_TRIPS * self.tolerances.round_trip
        limit = case.takes + self.settings.case_budget + far
        with trio.move_on_after(limit) as scope:
            try:
                async with trio.open_nursery() as nursery:
                    stage = self._stage(case.id, nursery, self._share(case))
                    trial = Trial(stage)
                    try:
                        await case.body(stage, trial)
                    finally:
                        with trio.CancelScope(shield=True):
                            await stage.close()
            except* CouldNotJudge as group:
                could_not = _first(group)
            except* (Inconclusive, HandshakeFailed) as group:
                reason, verdict = _first_words(group), Verdict.UNTESTABLE
            except* Exception as group:
                first = _first(group)
                reason = f"an error of the suite: {type(first).__name__}: {first}"
                verdict = Verdict.ERROR
        if could_not is not None:
            raise could_not
        if scope.cancelled_caught:
            reason, verdict = f"it did not end within {limit:g} s", Verdict.ERROR
        findings = () if trial is None else trial.all_findings()
        if trial is not None and case is CONTROL:
            self.tolerances = evolve(self.tolerances, round_trip=trial.stage.slowest_handshake)
            self._latency.usual = self.tolerances.round_trip
        result = CaseResult(
            case=case.id,
            title=case.title,
            clauses=case.clauses,
            verdict=_verdict(verdict, findings),
            findings=tuple(map(self._without_keys, findings)),
            reason=self._redacted(reason),
            seconds=self.now() - began,
        )
        return CaseFinished(result=result, transcripts=() if trial is None else trial.transcripts())

    def _without_keys(self, finding: Finding) -> Finding:
        # What a case says may quote what never went through a recorder, such as the body of an HTTP answer.
        return evolve(
            finding,
            expected=self._redacted(finding.expected),
            actual=self._redacted(finding.actual),
        )

    def _redacted(self, text: str) -> str:
        return tame(redact(text, self.target.keys.secrets))

    def _stage(self, case_id: str, nursery: trio.Nursery, connections: int) -> Stage:
        return Stage(
            case_id=case_id,
            target=self.target,
            tolerances=self.tolerances,
            nonce=self.settings.nonce,
            online=self._online,
            nursery=nursery,
            clock=self.now,
            stamp=self._stamp,
            connections=connections,
            slack=self._latency.slack,
        )


def missing_needs(case: Case, target: Target) -> str:
    """Return what has to be provided before *case* can be judged; empty when nothing is missing."""
    keys = target.keys
    given = {
        Need.PUBLISHER: target.publishing,
        Need.FOREIGN_KEY: keys.foreign_key,
        Need.NO_ACCESS_KEY: keys.no_access_key,
        Need.REVOKED_KEY: keys.revoked_key,
    }
    missing = [need.value for need in Need if need in case.needs and not given[need]]
    return f"provide {' and '.join(missing)}" if missing else ""


def untestable(case: Case, reason: str) -> CaseResult:
    """Return the result of a case that was not run."""
    return CaseResult(
        case=case.id,
        title=case.title,
        clauses=case.clauses,
        verdict=Verdict.UNTESTABLE,
        reason=reason,
    )


def _verdict(verdict: Verdict, findings: Iterable[Finding]) -> Verdict:
    # A breach outweighs that the case could not be carried to its end.
    said = worst((finding.verdict for finding in findings), default=Verdict.PASS)
    return worst((verdict, said))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _first_words(group: BaseExceptionGroup[BaseException]) -> str:
    return str(_first(group))


@define(eq=False)
class _Capacity:
    """How many connections may still be opened; a case takes all that it needs at once, so none waits half-way."""

    free: int
    _changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def take(self, count: int) -> None:
        while self.free < count:
            await self._changed.park()
        self.free -= count

    def give_back(self, count: int) -> None:
        self.free += count
        self._changed.unpark_all()
