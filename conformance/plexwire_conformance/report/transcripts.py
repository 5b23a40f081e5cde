"""Everything that was said, for `plexwire judge`: the report that keeps whole conversations."""

from typing import TextIO

from plexwire_conformance.recording.transcript import TranscriptFile
from plexwire_conformance.report.run_description import About
from plexwire_conformance.run.events import CaseFinished, RunEvent, RunFinished, RunStarted


class TranscriptsReport:
    """Writes every transcript to *out* as its case comes out; `transcripts.schema.json` is the schema of a line."""

    def __init__(self, out: TextIO) -> None:
        self._file = TranscriptFile(out)

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._file.begin(About.of(event).url)
            case CaseFinished():
                for transcript in event.transcripts:
                    self._file.add(transcript)
            case RunFinished():
                self._file.end()
