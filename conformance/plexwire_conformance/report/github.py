"""The report as annotations of GitHub Actions: commands on the standard output that the runner of the workflow reads."""

from typing import Final, Self, TextIO

from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.summary import Accusation, Summary, unjudged
from plexwire_conformance.report.wording import name_some, off_by, replay_command, seen_elsewhere
from plexwire_conformance.run.findings import Verdict
from plexwire_conformance.run.runner import RunEvent, RunFinished, RunStarted
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

    def __enter__(self) -> Self:
        self._print(f"::stop-commands::{self._token}")
        return self

    def __exit__(self, *_: object) -> None:
        self._resume()

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._place = About.of(event).place
            case RunFinished():
                self._resume()
                for line in annotations(event, self._place):
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


def annotations(event: RunFinished, place: str) -> list[str]:
    """Return the commands of a run that is over, one a line; what was expected is not annotated.

    *place* is the target as the command line names it.
    """
    summary = Summary.of(event.results, event.reckoning)
    reckoning = event.reckoning
    level = "notice" if summary.exit_code == 0 else "error"
    said = " ".join(filter(None, (summary.conclusion, summary.advice)))
    lines = [command(level, f"plexwire conform {place}", said)]
    for red in () if reckoning is None else reckoning.red:
        lines.append(command("error", f"{red.clause} {red.case}", red.sentence))
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
        f"expected: {finding.expected}",
        f"actual: {finding.actual}{off_by(finding)}",
        *seen_elsewhere(accusation),
        replay_command(finding, accusation.case.case, place),
    ]
    return command(level, f"{finding.clause} {accusation.case.case}", "\n".join(lines))


def command(name: str, title: str, message: str) -> str:
    """Return one command, escaped as the runner of the workflow wants it."""
    return f"::{name} title={title.translate(_IN_PROPERTY)}::{message.translate(_IN_DATA)}"
