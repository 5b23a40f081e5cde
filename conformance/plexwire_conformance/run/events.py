"""What happens in a run, as one stream of events from which every report is made."""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import field, frozen

from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.case import AnyCase
from plexwire_conformance.run.findings import CaseResult
from plexwire_conformance.run.known_failures import Reckoning
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.target.target import Target
from plexwire_spec import Party


@frozen(kw_only=True)
class Part:
    """Which part of the suite a run is.

    `chosen_by` are the options that chose it, `left_out` is how many cases do not run, and `unjudged` are the clauses that
    only those judge.
    """

    chosen_by: str = ""
    left_out: int = 0
    unjudged: tuple[str, ...] = ()


#: The part that leaves nothing out.
WHOLE: Final = Part()


@frozen(kw_only=True)
class JudgedProgram:
    """A viewer or a device that a run judges: `called` is how people know it, `command` how it is started.

    A program that comes by itself has no `command`.
    """

    role: Party
    called: str
    command: tuple[str, ...] = ()


@frozen(kw_only=True)
class RunStarted:
    """The control is done and the cases begin; the run began at `unix_ms`, in Unix milliseconds."""

    target: Target | JudgedProgram
    tolerances: Tolerances
    cases: tuple[AnyCase, ...]
    unix_ms: int


@frozen(kw_only=True)
class CaseFinished:
    """One case came out, or an observation of the run; `transcripts` are everything that was said in the case."""

    result: CaseResult
    transcripts: tuple[Transcript, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class RunFinished:
    """The run is over; `seconds` is its length, `results` are in the order of the cases, then the observations.

    `late` is the suite's own scheduling delay in all, in seconds.  `connections` and `sources` are how many the run used.
    `gone` says why the gateway could no longer be reached, if that happened, and `gone_at` when it was last heard, in
    seconds; `lossy` is what the network did to the run, if that was too much.  `reckoning` is how the results compare with
    the known failures, if there is a file of them.  `part` is which part of the suite it was.
    """

    results: tuple[CaseResult, ...]
    seconds: float
    late: float = 0.0
    connections: int = 0
    sources: int = 0
    gone: str = ""
    gone_at: float = 0.0
    lossy: str = ""
    reckoning: Reckoning | None = None
    part: Part = WHOLE


@frozen
class RunInterrupted:
    """Somebody ended the run; its connections are being closed, which takes a few seconds."""


RunEvent: TypeAlias = RunStarted | CaseFinished | RunInterrupted | RunFinished
Listener: TypeAlias = Callable[[RunEvent], None]
