"""Failures that are expected: a TOML file of them, and how a run compares with it.

A check is one clause in one case.  Whatever differs from the file is red: a failure that it does not have, one that it has
and that is gone, one whose date is over, one that looks otherwise.  Only MUST clauses fail, so only they are in it.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeAlias

from attrs import evolve, field, frozen

from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_spec import clauses

#: The case and the clause that a finding is under.
Check: TypeAlias = tuple[str, str]

#: So long the tool lets a new entry stand, until somebody says for how long.
_GRACE: Final = timedelta(days=90)
#: What the tool writes where only people know.
_REASON: Final = "not said yet"


class Colour(StrEnum):
    """Why a check is red."""

    NEW = "new"
    STALE = "stale"
    EXPIRED = "expired"
    DIFFERENT = "different"


@frozen(kw_only=True)
class Expected:
    """One failure that is expected, until the end of the day `expires`; in `actual`, `*` stands for anything."""

    case: str
    clause: str
    actual: str
    reason: str
    expires: date
    issue: str = ""

    @property
    def check(self) -> Check:
        """The check that it is about."""
        return self.case, self.clause

    def fits(self, actual: str) -> bool:
        """Whether a finding that says *actual* is the one that is meant."""
        if gist(actual) == self.actual:
            return True
        pattern = ".*".join(map(re.escape, self.actual.split("*")))
        return re.fullmatch(pattern, _bare(actual), re.DOTALL) is not None


@frozen(kw_only=True)
class Red:
    """A check that is not as expected, and why in one sentence."""

    case: str
    clause: str
    colour: Colour
    sentence: str

    def __str__(self) -> str:
        return f"{self.case} {self.clause}: {self.sentence}"


@frozen(kw_only=True)
class Reckoning:
    """How a run compares with what was expected: what is red, and which failures were accepted."""

    red: tuple[Red, ...] = ()
    accepted: Mapping[Check, Expected] = field(factory=dict[Check, Expected])

    def accepts(self, case: str, finding: Finding) -> Expected | None:
        """Return the entry that accepts this finding of *case*; None where there is none."""
        return self.accepted.get((case, finding.clause))

    def of_case(self, case: str) -> tuple[Red, ...]:
        """Return what is red of *case*."""
        return tuple(red for red in self.red if red.case == case)


def failures(results: Iterable[CaseResult]) -> dict[Check, Finding]:
    """Return every check of *results* that failed."""
    return {
        (result.case, finding.clause): finding
        for result in results
        for finding in result.findings
        if finding.verdict is Verdict.FAIL
    }


def reckon(results: Sequence[CaseResult], expected: Iterable[Expected], today: date) -> Reckoning:
    """Compare *results* with what is *expected*."""
    entries = {entry.check: entry for entry in expected}
    failed = failures(results)
    red: list[Red] = []
    accepted: dict[Check, Expected] = {}

    def accuse(check: Check, colour: Colour, sentence: str) -> None:
        red.append(Red(case=check[0], clause=check[1], colour=colour, sentence=sentence))

    for check, finding in failed.items():
        entry = entries.get(check)
        if entry is None:
            wanted = f"; expected {finding.expected}" if finding.expected else ""
            accuse(check, Colour.NEW, f"a new failure: {finding.actual}{wanted}")
        elif not entry.fits(finding.actual):
            sentence = f"fails otherwise than expected: {finding.actual}, not {entry.actual}"
            accuse(check, Colour.DIFFERENT, sentence)
        elif today > entry.expires:
            sentence = f"was expected until {entry.expires}; fix it, or give it a new date"
            accuse(check, Colour.EXPIRED, sentence)
        else:
            accepted[check] = entry
    judged = _judged(results)
    for check, entry in entries.items():
        if check not in failed and entry.case in judged:
            sentence = "no longer fails; take it out of the expected failures"
            accuse(check, Colour.STALE, sentence)
    return Reckoning(red=tuple(red), accepted=accepted)


def update(
    results: Sequence[CaseResult], expected: Iterable[Expected], today: date
) -> tuple[Expected, ...]:
    """Return *expected* as *results* have it: without what is gone, with what is new, all else as people wrote it."""
    entries = {entry.check: entry for entry in expected}
    failed = failures(results)
    judged = _judged(results)
    kept = {
        check: entry
        for check, entry in entries.items()
        if check in failed or entry.case not in judged
    }
    for check, finding in failed.items():
        if check not in kept:
            kept[check] = Expected(
                case=check[0],
                clause=check[1],
                actual=gist(finding.actual),
                reason=_REASON,
                expires=today + _GRACE,
            )
        elif not kept[check].fits(finding.actual):
            kept[check] = evolve(kept[check], actual=gist(finding.actual))
    return tuple(kept.values())


def _judged(results: Iterable[CaseResult]) -> set[str]:
    """Return the cases that came to their end: what they do not find is not there."""
    silent = (Verdict.ERROR, Verdict.UNTESTABLE)
    return {result.case for result in results if result.verdict not in silent and not result.reason}


# ── what a finding says, whatever the run ────────────────────────────────────────────────────

_FLAKY: Final = re.compile(r"^FLAKY, \d+ of \d+ times: ")
_STEPS: Final = re.compile(r" — after \d+ steps: .*$", re.DOTALL)
#: Source ids that a run makes up, digests, and numbers that are no close code and no HTTP status.
_VOLATILE: Final = re.compile(
    r"[\w.-]*-[0-9a-f]{6}(?:-[\w-]*)?\b|\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b|(?<!close )(?<!HTTP )\b\d+(?:\.\d+)*"
)


def _bare(actual: str) -> str:
    return _STEPS.sub("", _FLAKY.sub("", actual))


def gist(actual: str) -> str:
    """Return what a finding says, with `*` for what is another in each run: times, counts, made-up ids, steps."""
    return re.sub(r"\*(?:\s*\*)+", "*", _VOLATILE.sub("*", _bare(actual))).strip() or "*"


# ── the file ─────────────────────────────────────────────────────────────────────────────────

_HEAD: Final = """\
# Failures that are known.  Whatever differs from this list makes `plexwire conform --expected-failures` fail.
# `actual` is what the suite sees, `*` in it stands for anything; `expires` is the last day on which it is accepted.
# Written by `--update-expected`, which keeps `reason`, `issue` and `expires`, and no other comments.
"""

_MEMBERS: Final = ("case", "clause", "actual", "reason", "issue", "expires")


def write_expected(expected: Iterable[Expected]) -> str:
    """Return the text of a file with these entries, by case."""
    blocks = [_HEAD]
    for entry in sorted(expected, key=lambda entry: entry.check):
        lines = [
            "[[failure]]",
            *(f"{name} = {_string(getattr(entry, name))}" for name in _MEMBERS[:-1]),
            f"expires = {entry.expires.isoformat()}",
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _string(text: str) -> str:
    # JSON spells strings as TOML does, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_expected(text: str, name: str, known_cases: Iterable[str]) -> tuple[Expected, ...]:
    """Return the entries in *text*, which messages call *name*.

    Raises:
        BadFile: it is no such file; the message names the entry and what is wrong with it.
    """
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{name} is no TOML: {error}") from None
    if unknown := [word for word in members if word != "failure"]:
        raise BadFile(f"{name} has {unknown[0]!r}; it may have [[failure]] tables alone")
    tables = members.get("failure", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise BadFile(f"{name}: write each failure as a table [[failure]]")
    cases = set(known_cases)
    entries: dict[Check, Expected] = {}
    for number, table in enumerate(tables, 1):
        entry = _entry(table, f"{name}, failure {number}", cases)
        if entry.check in entries:
            raise BadFile(f"{name} has {entry.case} {entry.clause} twice")
        entries[entry.check] = entry
    return tuple(entries.values())


def _entry(table: Mapping[str, Any], where: str, cases: set[str]) -> Expected:
    def refuse(why: str) -> NoReturn:
        raise BadFile(f"{where}: {why}")

    if unknown := [word for word in table if word not in _MEMBERS]:
        refuse(f"there is no {unknown[0]!r}; it may have {', '.join(_MEMBERS)}")
    texts = {name: table.get(name, "") for name in _MEMBERS[:-1]}
    for name, value in texts.items():
        if not isinstance(value, str):
            refuse(f"{name!r} must be a string")
        if not value.strip() and name != "issue":
            refuse(f"{name!r} is missing" + (": say why it is accepted" * (name == "reason")))
    expires = table.get("expires")
    if type(expires) is not date:
        refuse("'expires' must be a date, such as 2030-12-31")
    if texts["case"] not in cases:
        refuse(f"{texts['case']!r} is no case; see plexwire conform --list")
    if texts["clause"] not in clauses():
        refuse(f"{texts['clause']!r} is no clause; see plexwire spec")
    return Expected(**texts, expires=expires)
