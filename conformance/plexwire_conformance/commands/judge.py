"""`plexwire judge`: the monitor's opinion of stored transcripts, without any network."""

from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from plexwire_conformance.cases import CASES
from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.options import FILE, fail
from plexwire_conformance.recording.jsonlines import BadFile, read_text
from plexwire_conformance.recording.transcript import Transcript, read_transcripts
from plexwire_conformance.report.summary import Summary, plural
from plexwire_conformance.report.terminal import show_finding
from plexwire_conformance.report.wording import seen_elsewhere
from plexwire_conformance.run.findings import CaseResult, Verdict, worst
from plexwire_conformance.run.monitor import monitor


def judge_transcripts(transcripts: Iterable[Transcript]) -> tuple[CaseResult, ...]:
    """Return what the monitor finds in each of *transcripts*, as the run found it."""
    return tuple(map(_judge, transcripts))


def _judge(transcript: Transcript) -> CaseResult:
    findings = tuple(
        finding
        for finding in monitor(transcript.conversations)
        if finding.clause not in transcript.excused
    )
    case = CASES.get(transcript.case)
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
    """Judge the conversations in FILE again, as plexwire conform --transcripts wrote it.

    This is the monitor alone: what must hold in every conversation, such as the shape and order of messages, and that
    each frame is one that a device sent, unaltered and in scope. Deadlines and what a single case expects are judged
    live. No network is used.

    \b
    Keep what was said, and judge it again by a newer version:
        plexwire conform wss://staging.example.com --transcripts said.ndjson
        plexwire judge said.ndjson

    \b
    Exit codes: 0 nothing found · 1 violations · 2 the file can't be judged
    """
    try:
        transcripts = read_transcripts(read_text(file), file.name)
    except BadFile as error:
        fail(str(error), COULD_NOT_JUDGE)
    summary = Summary(judge_transcripts(transcripts))
    console = Console()
    for accusation in summary.accusations:
        console.print(show_finding(accusation.finding, f"seen in {accusation.case.case}"))
        for line in seen_elsewhere(accusation):
            console.print(Text(f"  {line}", "dim"))
    conversations = sum(len(transcript.conversations) for transcript in transcripts)
    broken = summary.broken
    judged = f"{plural(len(transcripts), 'transcript')}, {plural(conversations, 'conversation')}"
    words = f"{plural(broken, 'documented promise')} broken" if broken else "nothing broken"
    console.print(
        f"\n{judged}: {words}.",
        style="bold red" if broken else "bold green",
        highlight=False,
    )
    raise SystemExit(1 if broken else 0)
