"""The sentences of a finding, made from its data by the templates of its check.

Here alone data becomes English.  What a peer said stands in quotes, and times have their units.
"""

import json
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, Final

from plexwire_conformance.run.checks import checks
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.known_failures import Colour, Red

#: Characters of what a peer said that a sentence has room for.
_LONG: Final = 120


def expected_sentence(finding: Finding) -> str:
    """Return what the clause asks for, as one sentence; empty for a choice."""
    return _filled(checks()[finding.check].expected, finding)


def observed_sentence(finding: Finding) -> str:
    """Return what the other side did instead, or what it chose, as one sentence."""
    return _filled(checks()[finding.check].observed, finding)


def actual_with_margin(finding: Finding) -> str:
    """Return `observed_sentence`, with what is known besides: by how much, how often, after which steps."""
    words = observed_sentence(finding)
    if finding.margin_ms is not None:
        words += f" (off by {finding.margin_ms:.0f} ms)"
    if finding.shown is not None and finding.shown[0] < finding.shown[1]:
        k, n = finding.shown
        words += f" It was seen in {k} of {n} plays of the same script: look for a race."
    if finding.steps:
        steps = "; ".join(f"{n}. {step}" for n, step in enumerate(finding.steps, 1))
        words += f" Steps: {steps}."
    return words


def lacking(finding: Finding) -> tuple[str, ...]:
    """Return the members that the sentences of *finding* need and its data lacks."""
    check = checks()[finding.check]
    parts = (*_WORDS.parse(check.expected), *_WORDS.parse(check.observed))
    needed = dict.fromkeys(name for _, name, _, _ in parts if name)
    return tuple(name for name in needed if name not in _members(finding))


def red_sentence(red: Red) -> str:
    """Return why a check is not as expected, as one sentence."""
    match red.colour:
        case Colour.NEW if red.finding is not None:
            why = (
                f"a new failure: {observed_sentence(red.finding)} {expected_sentence(red.finding)}"
            )
        case Colour.EXPIRED if red.entry is not None:
            why = (
                f"it was accepted until {red.entry.expires}; fix it, or give the entry a new date."
            )
        case _:
            why = (
                "it no longer fails; remove it from the known failures, "
                "or give it may = true if it fails only sometimes."
            )
    return f"{red.check}: {why}"


def _filled(template: str, finding: Finding) -> str:
    return _WORDS.vformat(template, (), _members(finding))


def _members(finding: Finding) -> dict[str, Any]:
    path = {"path": finding.path} if finding.path else {}
    return {**finding.expected, **finding.observed, **path}


class _Words(Formatter):
    """Puts values into words; the part after the colon says which."""

    def get_value(self, key: int | str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        # What a stored run lacks keeps no report from being written.
        return kwargs.get(str(key), "?")

    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec:
            case "q":
                return f"“{_short(str(value))}”"
            case "s" if isinstance(value, int | float):
                return seconds(value)
            case "json":
                return _short(json.dumps(value, ensure_ascii=False))
            case "list" if isinstance(value, list | tuple):
                return listed(value)
            case "The":
                return f"The {value}"
            case "position":
                return "" if value is None else f", which stops being JSON at character {value}"
            case "words":
                return _last_words(value)
            case "left" if isinstance(value, dict):
                return "; ".join(f"after {what} it {_plain(how)}" for what, how in value.items())
            case "ping":
                return f"“{value}” (hexadecimal)" if value else "of no bytes"
            case "seconds" if isinstance(value, list | tuple):
                return ", ".join(seconds(each) for each in value)
            case "of":
                return f", of “{value}”" if value else ""
            case _:
                return _plain(value)


def _plain(value: Any) -> str:
    match value:
        case {"how": str(how)}:
            return _ending(how, value)
        case {"problem": str(problem)}:
            return _refusal(problem, value)
        case dict():
            return "; ".join(f"{what}: {_outcome(outcome)}" for what, outcome in value.items())
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _last_words(words: Any) -> str:
    """Say how a program ended, if it did, as the end of a sentence."""
    match words:
        case {"exit": code, "last": str(last)}:
            said = f", its last line “{_short(last)}”" if last else ""
            return f"; the program ended with exit code {code}{said}"
        case _:
            return ""


def _outcome(outcome: Any) -> str:
    return _plain(outcome)


def _ending(how: str, ending: Mapping[str, Any]) -> str:
    """Say what became of a connection, with the gateway as the one who acts."""
    who, after = ending.get("connection", "connection"), ending.get("after")
    when = "" if after is None else f" after {seconds(after)}"
    reason = f", with the reason “{_short(ending['reason'])}”" if ending.get("reason") else ""
    match how:
        case "open":
            return f"left the {who} open{'' if after is None else f' for {seconds(after)}'}"
        case "close-frame":
            code = ending.get("code")
            code = "a close frame without a code" if code is None else f"close code {code}"
            return f"closed the {who} with {code}{when}{reason}"
        case "tcp-eof":
            return f"ended the TCP connection of the {who} without a close frame{when}"
        case "another":
            return f"left the {who} open and made another one{when}"
        case "tcp-reset":
            return f"reset the TCP connection of the {who}{when}"
        case _:
            return f"sent the {who} bytes that break RFC 6455{when}"


def _refusal(problem: str, refusal: Mapping[str, Any]) -> str:
    """Say what became of a handshake, with the gateway as the one who acts."""
    status = refusal.get("status")
    if status is not None and status != 101:
        body = f" (“{_short(refusal['body'])}”)" if refusal.get("body") else ""
        return f"answered the handshake with HTTP {status}{body}"
    return f"did not complete the handshake: {problem}"


def seconds(value: float) -> str:
    """Return a time in seconds with its unit, as exactly as a reader needs it."""
    return f"{value * 1000:.0f} ms" if 0 < abs(value) < 0.1 else f"{value:.3g} s"


def listed(values: Iterable[Any]) -> str:
    """Return *values* in quotes, with commas."""
    return ", ".join(f"“{_short(str(value))}”" for value in values) or "nothing"


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


_WORDS: Final = _Words()
