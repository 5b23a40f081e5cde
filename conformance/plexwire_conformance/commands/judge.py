"""`plexwire judge`: the monitor's opinion of what was stored, without any network."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from plexwire_conformance.cases.programs import EVERY_CASE
from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.live_commands import conclude, telling_judge
from plexwire_conformance.commands.options import FILE, fail
from plexwire_conformance.passive.capture import MAGICS, read_capture
from plexwire_conformance.passive.har import read_har
from plexwire_conformance.passive.stored import Saying, judge_sayings
from plexwire_conformance.program.monitor import SERVED, judge_conversations
from plexwire_conformance.recording.jsonlines import BadFile, read_text
from plexwire_conformance.recording.transcript import Transcript, read_transcripts
from plexwire_conformance.report.summary import Summary, plural
from plexwire_conformance.report.terminal import show_finding
from plexwire_conformance.report.wording import seen_elsewhere
from plexwire_conformance.run.findings import CaseResult, Verdict, worst
from plexwire_conformance.run.monitor import monitor
from plexwire_spec import Party

#: Bytes by which a file is known, and what a HAR begins with.
_BEGINNING: Final = 64
_HAR: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*\"log\"\s*:")


def judge_transcripts(transcripts: Iterable[Transcript]) -> tuple[CaseResult, ...]:
    """Return what the monitor finds in each of *transcripts*, as the run found it."""
    return tuple(map(_judge, transcripts))


def _judge(transcript: Transcript) -> CaseResult:
    found = monitor(transcript.conversations)
    for role in (Party.VIEWER, Party.DEVICE):
        served = [c for c in transcript.conversations if c.role == f"{SERVED}{role}"]
        found += judge_conversations(role, served)
    findings = tuple(finding for finding in found if finding.clause not in transcript.excused)
    case = EVERY_CASE.get(transcript.case)
    return CaseResult(
        case=transcript.name,
        title="" if case is None else case.title,
        clauses=() if case is None else case.clauses,
        verdict=worst((finding.verdict for finding in findings), default=Verdict.PASS),
        findings=findings,
        judged=tuple(dict.fromkeys(finding.clause for finding in findings)),
    )


@click.command(cls=JudgingCommand)
@click.argument("file", type=FILE)
def judge(file: Path) -> None:
    """Judge the conversations in FILE: transcripts, what a browser exported, or captured packets.

    This is the monitor alone: what must hold in every conversation, such as the shape and order of messages, and that
    each frame is one that a device sent, unaltered and in scope. Deadlines and what a single case expects are judged
    live. No network is used.

    \b
    Keep what was said, and judge it again by a newer version:
        plexwire conform wss://staging.example.com --transcripts said.ndjson
        plexwire judge said.ndjson
    What a page of yours said to a gateway: in the browser's network panel, export “HAR with content”:
        plexwire judge page.har
    What passed on an interface, without TLS; tshark has to be installed:
        tcpdump -i lo -w said.pcap port 8700
        plexwire judge said.pcap

    Of a HAR and of packets, the viewers and devices in them are judged as well as the gateway.

    \b
    Exit codes: 0 nothing found · 1 violations · 2 the file can't be judged
    """
    console = Console()
    try:
        sayings = _heard_in(file)
        if sayings is not None:
            _judge_heard(sayings, console)
        transcripts = read_transcripts(read_text(file), file.name)
    except BadFile as error:
        fail(str(error), COULD_NOT_JUDGE)
    summary = Summary(judge_transcripts(transcripts))
    for accusation in summary.accusations:
        console.print(show_finding(accusation.finding, f"seen in {accusation.case.case}"))
        for line in seen_elsewhere(accusation):
            console.print(Text(f"  {line}", "dim"))
    conversations = sum(len(transcript.conversations) for transcript in transcripts)
    judged = f"{plural(len(transcripts), 'transcript')}, {plural(conversations, 'conversation')}"
    conclude(console, judged, summary.broken)


def _heard_in(file: Path) -> list[Saying] | None:
    """Return what was said in *file*, if it is a HAR or a capture of packets.

    Raises:
        BadFile: it can't be read.
    """
    try:
        with file.open("rb") as opened:
            beginning = opened.read(_BEGINNING)
    except OSError as error:
        raise BadFile(f"can't read {file}: {error.strerror}") from None
    if beginning.startswith(MAGICS):
        return read_capture(file)
    if _HAR.match(beginning):
        return read_har(read_text(file), file.name)
    return None


def _judge_heard(sayings: list[Saying], console: Console) -> NoReturn:
    live = telling_judge(console)
    judge_sayings(sayings, live)
    heard = f"{plural(live.conversations, 'conversation')}, {plural(live.frames, 'frame')}"
    conclude(console, heard, live.broken)
