"""Known failures: a TOML file of them, and how a run compares with it.

One entry accepts one fault: a check, in every case that shows it or in one named case.  Whatever differs from the file is
red: a failure that it does not list, an entry whose check no longer fails, an entry whose date has passed.  An entry
with `may = true` is about a fault that shows only sometimes.  Only a broken MUST is a failure.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from attrs import field, frozen
from tomlkit import TOMLDocument, aot, comment, document, dumps, table

from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.recording.toml_files import parse_toml, structured
from plexwire_conformance.run.checks import checks, clause_of
from plexwire_conformance.run.findings import OBSERVED, CaseResult, Finding, Verdict

#: How long an entry that the tool writes is accepted, until a person sets its date.
_GRACE: Final = timedelta(days=90)
#: What the tool writes for what only people know.
_REASON: Final = "no reason given yet"


class Colour(StrEnum):
    """Why a check is red."""

    NEW = "new"
    STALE = "stale"
    EXPIRED = "expired"


@frozen(kw_only=True)
class KnownFailure:
    """One fault that is accepted until the end of the day `expires`; an empty `case` stands for every case."""

    check: str
    reason: str
    expires: date
    case: str = ""
    issue: str = ""
    may: bool = False

    def covers(self, case: str, finding: Finding) -> bool:
        """Whether it is about this *finding* of *case*."""
        return finding.check == self.check and self.case in ("", case)


@frozen(kw_only=True)
class Red:
    """A check that is not as expected: in which cases, and why."""

    check: str
    cases: tuple[str, ...]
    colour: Colour
    entry: KnownFailure | None = None
    finding: Finding | None = None


@frozen(kw_only=True)
class Reckoning:
    """How a run compares with the known failures: what is red, and which entries accepted something."""

    red: tuple[Red, ...] = ()
    accepted: tuple[KnownFailure, ...] = ()

    def accepts(self, case: str, finding: Finding) -> KnownFailure | None:
        """Return the entry that accepts this *finding* of *case*, if there is one."""
        return next((entry for entry in self.accepted if entry.covers(case, finding)), None)

    def of_case(self, case: str) -> tuple[Red, ...]:
        """Return what is red of *case*."""
        return tuple(red for red in self.red if case in red.cases)


def _failures(results: Iterable[CaseResult]) -> list[tuple[str, Finding]]:
    return [
        (result.case, finding)
        for result in results
        for finding in result.findings
        if finding.verdict is Verdict.FAIL
    ]


def reckon(results: Sequence[CaseResult], known: Sequence[KnownFailure], today: date) -> Reckoning:
    """Compare *results* with the *known* failures on the day *today*."""
    red: dict[str, Red] = {}
    accepted: dict[KnownFailure, None] = {}
    failed = _failures(results)
    for case, finding in failed:
        entry = next((entry for entry in known if entry.covers(case, finding)), None)
        if entry is not None and today <= entry.expires:
            accepted[entry] = None
            continue
        colour = Colour.NEW if entry is None else Colour.EXPIRED
        cases = (*red[finding.check].cases, case) if finding.check in red else (case,)
        red[finding.check] = Red(
            check=finding.check, cases=cases, colour=colour, entry=entry, finding=finding
        )
    stale = [
        Red(
            check=entry.check,
            cases=_judging(entry, results)[:1],
            colour=Colour.STALE,
            entry=entry,
        )
        for entry in known
        if _is_stale(entry, failed, results)
    ]
    return Reckoning(red=(*red.values(), *stale), accepted=tuple(accepted))


def _is_stale(
    entry: KnownFailure, failed: Iterable[tuple[str, Finding]], results: Iterable[CaseResult]
) -> bool:
    if entry.may or any(entry.covers(case, finding) for case, finding in failed):
        return False
    return bool(_judging(entry, results))


def _judging(entry: KnownFailure, results: Iterable[CaseResult]) -> tuple[str, ...]:
    """Return the cases that would have shown the fault of *entry*."""
    clause = clause_of(entry.check)
    return tuple(
        result.case
        for result in results
        if clause in result.judged and entry.case in ("", result.case, f"{OBSERVED}{clause}")
    )


# ── the file ─────────────────────────────────────────────────────────────────────────────────

_HEAD: Final = """\
Known failures.  `plexwire conform --expected-failures` fails when a run differs from this list.
`check` is what fails; add `case` to accept it in one case only, and `may = true` if it shows only sometimes.
`expires` is the last day on which it is accepted.  `--update-expected` adds and removes entries and keeps all else."""


@frozen(kw_only=True)
class _File:
    failure: list[KnownFailure] = field(factory=list[KnownFailure])


def read_known(text: str, name: str, known_cases: Iterable[str]) -> tuple[KnownFailure, ...]:
    """Return the entries in *text*, which messages call *name*.

    Raises:
        BadFile: it is not such a file; the message names the entry and what is wrong with it.
    """
    entries = structured(parse_toml(text, name).unwrap(), _File, name).failure
    cases = set(known_cases)
    for number, entry in enumerate(entries, 1):
        where = f"{name}, failure {number}"
        if entry.check not in checks():
            raise BadFile(f"{where}: there is no check {entry.check!r}; see plexwire spec --checks")
        if entry.case and entry.case not in cases and not entry.case.startswith(OBSERVED):
            raise BadFile(f"{where}: there is no case {entry.case!r}; see plexwire conform --list")
        if not entry.reason.strip():
            raise BadFile(f"{where}: 'reason' is empty; say why it is accepted")
        if any(
            (entry.check, entry.case) == (other.check, other.case)
            for other in entries[: number - 1]
        ):
            raise BadFile(f"{where}: {entry.check} is listed twice; keep one of the entries")
    return tuple(entries)


def updated(text: str, name: str, results: Sequence[CaseResult], today: date) -> str:
    """Return the file *text* as *results* have it: stale entries removed, new failures added, all else as it was.

    A failure that showed in some plays of its script only gets `may = true`.

    Raises:
        BadFile: *text* is not TOML.
    """
    content = parse_toml(text, name) if text.strip() else _new_file()
    known = structured(content.unwrap(), _File, name).failure
    failed = _failures(results)
    fresh: dict[str, bool] = {}
    for case, finding in failed:
        if not any(entry.covers(case, finding) for entry in known):
            always = finding.shown is None or finding.shown[0] == finding.shown[1]
            fresh[finding.check] = fresh.get(finding.check, False) or always
    stale = [place for place, e in enumerate(known) if _is_stale(e, failed, results)]
    for place in reversed(stale):
        del content["failure"][place]
    if len(stale) == len(known):
        content.pop("failure", None)
    tables = content.get("failure", aot())
    for check, always in fresh.items():
        tables.append(_table(check, today, may=not always))
    if len(stale) == len(known) and fresh:
        content["failure"] = tables
    return dumps(content)


def _new_file() -> TOMLDocument:
    content = document()
    for line in _HEAD.splitlines():
        content.add(comment(line))
    return content


def _table(check: str, today: date, *, may: bool) -> Mapping[str, object]:
    entry = table()
    for name, value in (
        ("check", check),
        ("reason", _REASON),
        ("issue", ""),
        ("expires", today + _GRACE),
    ):
        entry[name] = value
    if may:
        entry["may"] = True
    return entry
