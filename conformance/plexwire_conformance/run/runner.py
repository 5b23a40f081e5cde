"""The runner: the control first, then all cases at once, the longest first, and nothing left behind.

It tells what happens as one stream of events, from which every report is made.  A result that later events may change
is told at the end of the run: what the network did, and which finding was in the way of which case, is known only then.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import trio
from attrs import define, evolve, field, frozen

from plexwire_conformance.recording.recorder import tame
from plexwire_conformance.recording.redaction import redact
from plexwire_conformance.run.case import Case, Need
from plexwire_conformance.run.connections import FOREIGN, HOME
from plexwire_conformance.run.control import CONTROL, CouldNotJudge, served
from plexwire_conformance.run.events import (
    WHOLE,
    CaseFinished,
    Listener,
    Part,
    RunFinished,
    RunStarted,
)
from plexwire_conformance.run.exception_groups import first_of
from plexwire_conformance.run.findings import CaseResult, Finding, Trouble, Verdict, worst
from plexwire_conformance.run.latency import Latency
from plexwire_conformance.run.network import Network
from plexwire_conformance.run.online_camera import keep_camera_online, measure_scheduling_delay
from plexwire_conformance.run.outcomes import (
    confirmed,
    is_doubtful,
    not_run,
    redacted,
    settled,
    untestable,
)
from plexwire_conformance.run.stage import (
    DEVICE_OPENS,
    TIMEOUT_MARGIN,
    VIEWER_OPENS,
    Inconclusive,
    Stage,
    Untestable,
)
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.run.trial import Stopped, Trial
from plexwire_conformance.target.target import Camera, Target
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection

#: How the control comes out if nothing else can be judged, unless a viewer got in all the same.
_HOPELESS: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.UNTESTABLE)

#: Round trips and answered auths that no case exceeds; a slow gateway is given the time for them on top.
_ROUND_TRIPS: Final = 80
_AUTHS: Final = 40


@frozen(kw_only=True)
class Settings:
    """How a run is made: sockets open at most, seconds that one case may take beyond its waits, the run's nonce.

    A `thorough` run plays every vector, and every near miss of a key.
    `part` is which part of the suite its cases are.
    `unix_ms` is when the run began, in Unix milliseconds: devices stamp their frames from there.
    """

    nonce: str
    unix_ms: int
    max_connections: int = 64
    case_budget: float = 30.0
    thorough: bool = False
    part: Part = WHOLE


@define(eq=False)
class Runner:
    """One run against one target."""

    target: Target
    settings: Settings
    tolerances: Tolerances = field(factory=Tolerances)
    _began: float = field(init=False)
    _latency: Latency = field(init=False)
    _network: Network = field(init=False)
    _capacity: "_Capacity" = field(init=False)
    #: The camera that is online while the run lasts.
    _online: Camera = field(init=False)
    _stamps: int = field(default=0, init=False)
    #: What becomes of cases that publish, if nothing can be published.
    _no_publisher: Callable[[Case], CaseResult] | None = field(default=None, init=False)
    #: What the monitor saw that no case answers for.
    _observed: list[Finding] = field(factory=list[Finding], init=False)

    def __attrs_post_init__(self) -> None:
        self._began = trio.current_time()
        self._latency = Latency(self.now)
        self._capacity = _Capacity(self._most)
        self._network = Network(self.now, self._capacity.shrink)
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
        """How many of them *case* may have open: as many as it likes, if there are that many."""
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
                stage = self._stage("online-camera", nursery, 1, _NO_END)
                nursery.start_soon(measure_scheduling_delay, self._latency)
                offline = await nursery.start(keep_camera_online, stage, self._latency)
                self._no_publisher = _why_no_publisher(offline, self.target)
                try:
                    finished = await self._run(cases, listen)
                finally:
                    with trio.CancelScope(shield=True):
                        await stage.close()
                        await self._say_farewell()
                    nursery.cancel_scope.cancel()
        except* CouldNotJudge as group:
            could_not = first_of(group)
        if finished is None:
            raise could_not
        return finished

    async def _run(self, cases: Sequence[Case], listen: Listener) -> RunFinished:
        control = await self._run_case(CONTROL)
        listen(
            RunStarted(
                target=self.target,
                tolerances=self.tolerances,
                cases=(CONTROL, *cases),
                unix_ms=self.settings.unix_ms,
            )
        )
        if not _may_change(control.result):
            listen(control)
        finished = [control]
        try:
            if control.result.verdict in _HOPELESS and not served(control.transcripts):
                finished += _all_blocked(cases, control.result)
            else:
                await self._run_all(cases, finished, listen)
        finally:
            told = self._settle(finished, listen)
        places = {case.id: place for place, case in enumerate((CONTROL, *cases))}
        network = self._network
        run = RunFinished(
            results=tuple(sorted(told, key=lambda r: places.get(r.case, len(places)))),
            seconds=self.now(),
            late=self._latency.lost_time(0.0),
            connections=network.opened,
            sources=len(network.sources),
            gone=network.gone,
            gone_at=network.heard_at,
            lossy=network.summary if network.is_lossy else "",
            part=self.settings.part,
        )
        listen(run)
        return run

    def _settle(self, finished: Sequence[CaseFinished], listen: Listener) -> list[CaseResult]:
        """Tell *listen* the results that had to wait, and the observations; return all results."""
        transcripts = {each.result.case: each.transcripts for each in finished}
        results = [each.result for each in finished]
        told = settled(results, self._observed, self._network)
        for result in told:
            if result.case not in transcripts or _may_change(result) or result not in results:
                listen(CaseFinished(result=result, transcripts=transcripts.get(result.case, ())))
        return told

    async def _run_all(
        self, cases: Sequence[Case], finished: list[CaseFinished], listen: Listener
    ) -> None:
        def finish(one: CaseFinished) -> None:
            finished.append(one)
            if not _may_change(one.result):
                listen(one)

        async def run(case: Case) -> None:
            doubtful: CaseResult | None = None
            plays = 0
            pauses = iter(_PAUSES)
            while True:
                try:
                    one = await self._run_case(case)
                finally:
                    self._capacity.give_back(self._share(case))
                was_judged = one.result.trouble is not Trouble.NETWORK
                if was_judged:
                    plays += 1
                    if doubtful is not None:
                        one = evolve(one, result=confirmed(doubtful, one.result))
                    if not is_doubtful(one.result):
                        break
                    if plays >= self._network.plays_needed(case.id):
                        break
                    doubtful = one.result
                pause = next(pauses, None) if not was_judged else _PAUSES[0]
                if pause is None:
                    break
                # By then fewer cases run, so there may be room.
                await trio.sleep(pause)
                await self._capacity.take(self._share(case))
            finish(one)

        async def watch() -> None:
            await self._network.has_gone.wait()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            async with trio.open_nursery() as running:
                for case in sorted(cases, key=lambda case: -case.takes):
                    missing = missing_needs(case, self.target)
                    if not missing and case.least > self._most:
                        missing = f"allow the run {case.least + 1} connections at once"
                    if missing:
                        finish(CaseFinished(result=untestable(case, missing)))
                        continue
                    if self._no_publisher is not None and Need.PUBLISHER in case.needs:
                        finish(CaseFinished(result=self._no_publisher(case)))
                        continue
                    await self._capacity.take(self._share(case))
                    running.start_soon(run, case)
            nursery.cancel_scope.cancel()
        done = {one.result.case for one in finished}
        for case in cases:
            if case.id not in done:
                reason = f"the gateway had gone: {self._network.gone}"
                finish(CaseFinished(result=not_run(case, Trouble.GONE, reason)))

    async def _say_farewell(self) -> None:
        """Send one more frame to every viewer that got none since it closed: a gateway may notice only then."""
        if not self.target.publishing or self._network.gone:
            return
        keys = {HOME: self.target.publishing, FOREIGN: self.target.keys.foreign_key}
        room = trio.CapacityLimiter(self._most)

        async def say(
            stage: Stage, organisation: str, source_id: str, cameras: Iterable[str]
        ) -> None:
            # On a stage of its own, which closes even a device that was not authenticated.
            async with room, stage.branch(connections=1) as own:
                with suppress(HandshakeFailed, NoConnection, Inconclusive):
                    key = keys[organisation]
                    await own.open_source(source_id, tuple(cameras), api_key=key)

        async with trio.open_nursery() as nursery:
            stage = self._stage("farewell", nursery, self._most, 0.0)
            with trio.move_on_after(_FAREWELL_S):
                async with trio.open_nursery() as saying:
                    for (organisation, source_id), cameras in self._network.unaware.items():
                        saying.start_soon(say, stage, organisation, source_id, cameras)
            await stage.close()

    async def _run_case(self, case: Case) -> CaseFinished:
        began = self.now()
        could_not: BaseException | None = None
        trial: Trial | None = None
        stopped_early = False
        outcome = CaseResult(
            case=case.id, title=case.title, clauses=case.clauses, verdict=Verdict.PASS
        )

        def unjudged(trouble: Trouble, reason: str) -> CaseResult:
            return evolve(outcome, verdict=Verdict.ERROR, trouble=trouble, reason=reason)

        limit = case.takes + self.settings.case_budget + self._slow
        with trio.move_on_after(limit) as scope:
            try:
                async with trio.open_nursery() as nursery:
                    stage = self._stage(case.id, nursery, self._share(case), case.takes)
                    trial = Trial(stage, (*case.clauses, *case.may_find))
                    try:
                        await case.body(stage, trial)
                    finally:
                        with trio.CancelScope(shield=True):
                            await stage.close()
            except* CouldNotJudge as group:
                could_not = first_of(group)
            except* Stopped:
                stopped_early = True
            except* Untestable as group:
                outcome = evolve(outcome, verdict=Verdict.UNTESTABLE, reason=str(first_of(group)))
            except* Inconclusive as group:
                outcome = evolve(
                    unjudged(Trouble.UNCLEAR, str(first_of(group))),
                    hinges_on=getattr(first_of(group), "hinges_on", ()),
                )
            except* HandshakeFailed as group:
                hinges_on = (*VIEWER_OPENS, *DEVICE_OPENS, "PW-ADDR-12")
                outcome = evolve(
                    unjudged(Trouble.UNCLEAR, str(first_of(group))), hinges_on=hinges_on
                )
            except* NoConnection as group:
                outcome = unjudged(Trouble.NETWORK, str(first_of(group)))
            except* Exception as group:
                first = first_of(group)
                reason = f"an error of the suite: {type(first).__name__}: {first}"
                outcome = unjudged(Trouble.SUITE, reason)
        if could_not is not None:
            raise could_not
        if scope.cancelled_caught:
            outcome = unjudged(Trouble.SUITE, f"the case did not end within {limit:.0f} s")
        if trial is None:
            return CaseFinished(result=outcome)
        if case is CONTROL:
            self._note_measured(trial)
        for each in (trial, *trial.branches):
            self._observed += (redacted(f, self._secrets) for f in each.observations())
        findings = tuple(redacted(f, self._secrets) for f in trial.own_findings())
        found = dict.fromkeys(finding.clause for finding in findings)
        early = stopped_early or outcome.verdict is not Verdict.PASS
        judged = found if early else dict.fromkeys((*case.clauses, *found))
        result = evolve(
            outcome,
            verdict=worst((outcome.verdict, *(finding.verdict for finding in findings))),
            findings=findings,
            clauses=tuple(c for c in case.clauses if c not in trial.skipped),
            judged=tuple(c for c in judged if c not in trial.withheld | trial.skipped),
            reason=tame(redact(outcome.reason, self._secrets)),
            seconds=self.now() - began,
        )
        return CaseFinished(result=result, transcripts=trial.transcripts())

    @property
    def _slow(self) -> float:
        """Seconds that a case may take longer because the gateway is slow or far away."""
        return _ROUND_TRIPS * self.tolerances.round_trip + _AUTHS * self.tolerances.auth_time

    def _note_measured(self, control: Trial) -> None:
        self.tolerances = evolve(
            self.tolerances,
            round_trip=control.stage.slowest_handshake,
            auth_time=control.stage.slowest_auth,
        )
        self._latency.usual = self.tolerances.round_trip

    @property
    def _secrets(self) -> tuple[str, ...]:
        return self.target.keys.secrets

    def _stage(self, case_id: str, nursery: trio.Nursery, connections: int, takes: float) -> Stage:
        return Stage(
            case_id=case_id,
            target=self.target,
            tolerances=self.tolerances,
            nonce=self.settings.nonce,
            online=self._online,
            network=self._network,
            timeout=math.ceil(takes + self._slow) + TIMEOUT_MARGIN,
            nursery=nursery,
            clock=self.now,
            stamp=self._stamp,
            connections=connections,
            slack=self._latency.slack,
            thorough=self.settings.thorough,
        )


#: Seconds to wait before a case runs again that the network, or a gateway without room, kept from being judged, or that
#: judged after a connection was lost.
_PAUSES: Final = (1.0, 3.0)
#: Seconds that the run's last frames may take.
_FAREWELL_S: Final = 4.0
#: Seconds for which the online camera may be watched.
_NO_END: Final = 600.0


def _why_no_publisher(
    offline: Exception | None, target: Target
) -> Callable[[Case], CaseResult] | None:
    """Return what becomes of cases that publish, if *offline* says that the target as it was given lets nothing publish."""
    if target.watched is not None or target.devices is not target.viewers:
        return None
    if isinstance(offline, HandshakeFailed) and offline.status is not None:
        reason = (
            f"{target.devices.url} answers a device's handshake at /ws/device with HTTP {offline.status}; "
            "if devices connect to another host, give --device-url"
        )
        return lambda case: not_run(case, Trouble.NO_DEVICES, reason)
    if isinstance(offline, Inconclusive) and not target.keys.device_key:
        lacks = (
            f"a device with the key in PLEXWIRE_API_KEY is refused; provide {Need.PUBLISHER.value}"
        )
        return lambda case: untestable(case, lacks)
    return None


def missing_needs(case: Case, target: Target) -> str:
    """Return what has to be provided before *case* can be judged; empty when nothing is missing."""
    keys = target.keys
    given = {
        Need.PUBLISHER: target.publishing,
        Need.FOREIGN_KEY: keys.foreign_key,
        Need.NO_ACCESS_KEY: keys.no_access_key,
        Need.REVOKED_KEY: keys.revoked_key,
        Need.OTHER_KEY: keys.other_key,
        Need.READ_KEY: keys.read_key,
    }
    missing = [need.value for need in Need if need in case.needs and not given[need]]
    return f"provide {' and '.join(missing)}" if missing else ""


def _may_change(result: CaseResult) -> bool:
    """Whether something that happens later in the run could change *result*."""
    # A finding, a choice as well, is dropped if the network proves to have been in the way.
    return bool(result.hinges_on or result.findings)


def _all_blocked(cases: Iterable[Case], control: CaseResult) -> list[CaseFinished]:
    """Return the results of *cases* that can't be judged, because not even the *control* could be."""
    reason = control.reason or "the control failed"
    results = [not_run(case, Trouble.UNCLEAR, reason) for case in cases]
    hinges_on = tuple(finding.clause for finding in control.findings)
    return [CaseFinished(result=evolve(result, hinges_on=hinges_on)) for result in results]


@define(eq=False)
class _Capacity:
    """How many connections may still be opened; a case takes all that it needs at once, so none waits half-way."""

    most: int
    _taken: int = field(default=0, init=False)
    _changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def take(self, count: int) -> None:
        """Wait until *count* more may be opened; a case that needs more than there are waits until it is alone."""
        while self._taken and self._taken + count > self.most:
            await self._changed.park()
        self._taken += count

    def give_back(self, count: int) -> None:
        """Say that *count* are closed again."""
        self._taken -= count
        self._changed.unpark_all()

    def shrink(self, open_now: int) -> None:
        """Open fewer from now on: the gateway has room for *open_now*, which is less than the run was allowed to take.

        What was refused before the last step had an effect asks for no further step.
        """
        if self._taken <= self.most:
            room = min(self.most, self._taken, open_now)
            self.most = max(_LEAST_AT_ONCE, room - max(1, room // 10))


#: Connections that a run opens at once even if the gateway says that it has no room.
_LEAST_AT_ONCE: Final = 4
