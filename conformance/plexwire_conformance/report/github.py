"""The report as annotations of GitHub Actions: commands on the standard output that the runner of the workflow reads."""

from typing import Final, Self, TextIO

from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.sentences import (
    actual_with_margin,
    expected_sentence,
    red_sentence,
)
from plexwire_conformance.report.summary import Accusation, Summary, unjudged
from plexwire_conformance.report.wording import name_some, replay_command, seen_elsewhere
from plexwire_conformance.run.events import RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import Verdict
from plexwire_spec import clauses

#: What a command's message, and what its properties, can't hold as it is.
_IN_DATA: Final = {ord("%"): "%25", ord("\r"): "%0D", ord("\n"): "%0A"}
_IN_PROPERTY: Final = {**_IN_DATA, ord(":"): "%3A", ord(","): "%2C"}


class GithubReport:
    """Writes annotations to *out* when the run is over: an error a breach, a warning a piece of advice not followed.

    Until then no line of the run is a command, whatever a gateway says: *token*, a word that nobody can guess, lifts that.
    """

    def __init__(self, out: TextIO, token: str) -> None:
        self._out = out
        self._token = f"plexwire-{token}"
        self._place = ""
        self._called = ""

    def __enter__(self) -> Self:
        self._print(f"::stop-commands::{self._token}")
        return self

    def __exit__(self, *_: object) -> None:
        self._resume()

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                about = About.of(event)
                self._place, self._called = about.place, about.called
            case RunFinished():
                self._resume()
                for line in annotations(event, self._place, self._called):
                    self._print(line)
            case _:
                pass

    def _resume(self) -> None:
        if self._token:
            self._print(f"::{self._token}::")
            self._token = ""

    def _print(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def annotations(event: RunFinished, place: str, called: str = "") -> list[str]:
    """Return the commands of a run that is over, one a line; what was expected is not annotated.

    *place* are the options by which the command line names the target, which is *called* something if the suite ran it.
    """
    summary = Summary.of(event)
    reckoning = event.reckoning
    level = "notice" if summary.exit_code == 0 else "error"
    judged = f"Judged: {called}." if called else ""
    said = " ".join(filter(None, (summary.conclusion, judged, summary.advice)))
    title = f"plexwire conform {place.removeprefix('--url ')}".rstrip()
    lines = [command(level, title, said)]
    for red in () if reckoning is None else reckoning.red:
        lines.append(command("error", red.check, red_sentence(red)))
    for accusation in summary.accusations:
        if accusation.finding.verdict is Verdict.WARN:
            lines.append(_accuse("warning", accusation, place))
        elif reckoning is None:
            lines.append(_accuse("error", accusation, place))
    for (verdict, reason), cases in unjudged(event.results).items():
        if verdict is Verdict.ERROR:
            lines.append(command("error", name_some(cases), reason))
    return lines


def _accuse(level: str, accusation: Accusation, place: str) -> str:
    finding = accusation.finding
    lines = [
        clauses()[finding.clause].text,
        f"expected: {expected_sentence(finding)}",
        f"observed: {actual_with_margin(finding)}",
        *seen_elsewhere(accusation),
        replay_command(finding, accusation.case.case, place),
    ]
    return command(level, f"{finding.check} {accusation.case.case}", "\n".join(lines))


def command(name: str, title: str, message: str) -> str:
    """Return one command, escaped as the runner of the workflow wants it."""
    return f"::{name} title={title.translate(_IN_PROPERTY)}::{message.translate(_IN_DATA)}"
