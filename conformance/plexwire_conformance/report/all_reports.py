"""All reports of one run, also of one that is cut short."""

import signal
import time
from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from plexwire_conformance.run.case import Case
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.runner import (
    CaseFinished,
    Listener,
    RunEvent,
    RunFinished,
    RunStarted,
)


@define
class Reports:
    """All reports of one run, told that it is over once it is held against what was expected."""

    _listeners: Sequence[Listener]
    _known: Callable[[RunFinished], RunFinished] | None
    interrupted: bool = field(default=False, init=False)
    finished: RunFinished | None = field(default=None, init=False)
    _started: RunStarted | None = field(default=None, init=False)
    _results: dict[str, CaseResult] = field(factory=dict[str, CaseResult], init=False)
    _began: float = field(factory=time.monotonic, init=False)

    def listen(self, event: RunEvent) -> None:
        """Tell all of them, until the run is cut short."""
        if not self.interrupted:
            self._tell(event)

    def _tell(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._started = event
            case CaseFinished():
                self._results[event.result.case] = event.result
            case RunFinished():
                event = event if self._known is None else self._known(event)
                self.finished = event
        for listener in self._listeners:
            listener(event)

    def cut_short(self) -> None:
        """End the run where it is: what was not judged by now is an error, if anything was."""
        started = self._started
        self.interrupted = True
        if started is None or self.finished is not None:
            return
        for case in started.cases:
            if case.id not in self._results:
                self._tell(CaseFinished(result=_interrupted(case)))
        results = tuple(self._results[case.id] for case in started.cases)
        self._tell(RunFinished(results=results, seconds=time.monotonic() - self._began))


def _interrupted(case: Case) -> CaseResult:
    return CaseResult(
        case=case.id,
        title=case.title,
        clauses=case.clauses,
        verdict=Verdict.ERROR,
        reason="the run was interrupted before it ended",
    )


async def heed_interrupt(
    reports: Reports, run: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """Cut *reports* short and cancel *run* at the first Ctrl-C; a second one is for who can't wait.

    A KeyboardInterrupt would strike any task, the reference gateway's as well: what then is seen of it proves nothing.
    """
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        await anext(signals)
        reports.cut_short()
        run.cancel()
