"""All reports of one run, also of one that is cut short."""

import signal
import time
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, field

from plexwire_conformance.run.case import AnyCase
from plexwire_conformance.run.events import (
    CaseFinished,
    Listener,
    RunEvent,
    RunFinished,
    RunInterrupted,
    RunStarted,
)
from plexwire_conformance.run.findings import CaseResult, Trouble, Verdict


@define
class Reports:
    """All reports of one run, told that it is over once it is held against what was expected.

    A report that fails gets no more events; the others do.
    """

    _listeners: list[Listener]
    _known: Callable[[RunFinished], RunFinished] | None
    #: The signal that ended the run, if one did.
    signal: int | None = field(default=None, init=False)
    #: What kept reports from being written.
    failures: list[Exception] = field(factory=list[Exception], init=False)
    finished: RunFinished | None = field(default=None, init=False)
    _started: RunStarted | None = field(default=None, init=False)
    _results: dict[str, CaseResult] = field(factory=dict[str, CaseResult], init=False)
    _began: float = field(factory=time.monotonic, init=False)

    def listen(self, event: RunEvent) -> None:
        """Tell all of them."""
        match event:
            case RunStarted():
                self._started = event
            case CaseFinished():
                self._results[event.result.case] = event.result
            case RunFinished():
                event = self._compare(event)
                self.finished = event
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                self.failures.append(error)
                self._listeners.remove(listener)

    def _compare(self, event: RunFinished) -> RunFinished:
        if self._known is None:
            return event
        try:
            return self._known(event)
        except Exception as error:
            self.failures.append(error)
            return event

    def cut_short(self, trouble: Trouble, reason: str) -> None:
        """End the run where it is: what was not judged by now is an error, if anything was."""
        started = self._started
        if started is None or self.finished is not None:
            return
        for case in started.cases:
            if case.id not in self._results:
                self.listen(CaseFinished(result=_unjudged(case, trouble, reason)))
        results = tuple(self._results[case.id] for case in started.cases)
        self.listen(
            RunFinished(
                results=results,
                seconds=time.monotonic() - self._began,
            )
        )


def _unjudged(case: AnyCase, trouble: Trouble, reason: str) -> CaseResult:
    return CaseResult(
        case=case.id,
        title=case.title,
        clauses=case.clauses,
        verdict=Verdict.ERROR,
        trouble=trouble,
        reason=reason,
    )


#: The signals that end a run: what was judged by then is kept, and every report is complete.
ENDING_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


async def heed_interrupt(
    reports: Reports, run: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """Cancel *run* at the first Ctrl-C, SIGTERM or SIGHUP; a second one is for those who can't wait.

    A KeyboardInterrupt would strike any task, the reference gateway's as well: what then is seen of it proves nothing.
    """
    with trio.open_signal_receiver(*ENDING_SIGNALS) as signals:
        task_status.started()
        reports.signal = await anext(signals)
        reports.listen(RunInterrupted())
        run.cancel()
