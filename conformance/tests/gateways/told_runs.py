"""Two runs that were made here, of the reference gateway and of a faulty one, and what was written of them."""

import io
from pathlib import Path

import trio
import trio.testing
from attrs import evolve, frozen
from click.testing import CliRunner

from plexwire_conformance.cases.selection import select
from plexwire_conformance.cli import main
from plexwire_conformance.faults import FaultyGateway
from plexwire_conformance.faults._auth_time import DeadlineTooShort
from plexwire_conformance.faults._frames import WidthAndHeightSwapped
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.transcripts import TranscriptsReport
from plexwire_conformance.run.case import Case
from plexwire_conformance.run.events import RunEvent, RunFinished
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts import PROPERTIES, play_script
from plexwire_conformance.target.reference_gateway import memory_gateway

WORDS = ("auth.never", "auth.in-time", "frames.*", "iso.cameras", "addr.empty-camera")


class Faulty(FaultyGateway):
    """Breaks two promises."""

    def __init__(self) -> None:
        super().__init__()
        self.viewer_rules = DeadlineTooShort
        self.device_peer = WidthAndHeightSwapped


@frozen
class Told:
    """A run that was made here, and what was written of it."""

    events: list[RunEvent]
    run: str
    transcripts: str

    @property
    def finished(self) -> RunFinished:
        """Its end."""
        (last,) = (event for event in self.events if isinstance(event, RunFinished))
        return last


def scripted() -> Case:
    """Return a case that plays a script, so that there is a transcript of one."""
    property_ = PROPERTIES["scripts.relay"]

    async def body(stage: Stage, trial: Trial) -> None:
        await play_script(trial, property_, (("watch", 0, 0, ("front",)),))

    return evolve(select(("frames.relayed",), ())[0], id="scripts.relay", body=body)


def judged(gateway: FaultyGateway, nonce: str = "5703ed") -> Told:
    events: list[RunEvent] = []
    run, transcripts = io.StringIO(), io.StringIO()
    reports = (NdjsonReport(run), TranscriptsReport(transcripts))

    def listen(event: RunEvent) -> None:
        events.append(event)
        for report in reports:
            report.listen(event)

    async def go() -> None:
        async with memory_gateway(gateway, gateway.given) as target:
            runner = Runner(target, Settings(nonce=nonce, unix_ms=1_750_000_000_000))
            await runner.run([*select(WORDS, ()), scripted()], listen)

    trio.run(go, clock=trio.testing.MockClock(autojump_threshold=0))
    return Told(events, run.getvalue(), transcripts.getvalue())


FAULTY = judged(Faulty())
REFERENCE = judged(FaultyGateway())


def call(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def store(folder: Path) -> Path:
    """Write both runs, and one that is cut off, into *folder*."""
    for name, text in {
        "faulty.ndjson": FAULTY.run,
        "reference.ndjson": REFERENCE.run,
        "faulty.said": FAULTY.transcripts,
        "reference.said": REFERENCE.transcripts,
        "cut.said": FAULTY.transcripts[:-9],
    }.items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder
