"""Writing and reading what the suite wrote: one JSON object a line, a header first and a footer last, or not at all."""

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import field, frozen

E = TypeVar("E", bound=StrEnum)

_HUGE: Final = 1e15


class BadFile(Exception):
    """A file can't be used; the text says in one sentence why, and what to do."""


#: What many readers of lines take for the end of one, and JSON has as it is.
_LINE_ENDS: Final = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def one_line(members: Mapping[str, Any]) -> str:
    """Return *members* as one line of JSON, with its end."""
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_LINE_ENDS) + "\n"


def read_text(path: Path) -> str:
    """Return the text in *path*.

    Raises:
        BadFile: it can't be read.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise BadFile(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"can't read {path}: it is no UTF-8 text") from None


@frozen
class JsonObject:
    """One JSON object of a file, and `where` it stands; every question that it can't answer is a `BadFile`."""

    where: str
    members: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str:
        """Return the string *name*."""
        value = self._value(name)
        if isinstance(value, str):
            return value
        raise self._refusal(name, "a string")

    def whole(self, name: str) -> int:
        """Return the whole number *name*."""
        value = self._value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._refusal(name, "a whole number")

    def whole_or_none(self, name: str) -> int | None:
        """Return the whole number *name*, None for null."""
        return None if self._value(name) is None else self.whole(name)

    def number(self, name: str) -> float:
        """Return the number *name*."""
        value = self._value(name)
        # NaN and what would overflow are no numbers that the suite wrote.
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE:
            return float(value)
        raise self._refusal(name, "a number")

    def number_or_none(self, name: str) -> float | None:
        """Return the number *name*, None for null."""
        return None if self._value(name) is None else self.number(name)

    def one_of(self, name: str, words: type[E]) -> E:
        """Return the member of *words* that *name* says."""
        value = self.text(name)
        if value not in (word.value for word in words):
            raise self._refusal(name, f"one of {', '.join(words)}")
        return words(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the list of strings *name*."""
        value = self._value(name)
        if isinstance(value, list) and all(isinstance(inner, str) for inner in value):
            return tuple(value)
        raise self._refusal(name, "a list of strings")

    def members_or_none(self, name: str) -> Mapping[str, Any] | None:
        """Return the object *name*; None for null, or where it is not given."""
        value = self.members.get(name)
        if value is None or isinstance(value, dict):
            return value
        raise self._refusal(name, "an object")

    def has(self, name: str) -> bool:
        """Whether there is a member *name* at all."""
        return name in self.members

    def object(self, name: str) -> "JsonObject":
        """Return the object *name*."""
        value = self._value(name)
        if isinstance(value, dict):
            return JsonObject(self.where, value)
        raise self._refusal(name, "an object")

    def objects(self, name: str) -> tuple["JsonObject", ...]:
        """Return the list of objects *name*."""
        value = self._value(name)
        if isinstance(value, list) and all(isinstance(inner, dict) for inner in value):
            return tuple(JsonObject(self.where, inner) for inner in value)
        raise self._refusal(name, "a list of objects")

    def _value(self, name: str) -> Any:
        if name not in self.members:
            raise BadFile(f"{self.where} lacks {name!r}")
        return self.members[name]

    def _refusal(self, name: str, wanted: str) -> BadFile:
        return BadFile(f"{self.where}: {name!r} must be {wanted}")


def read_lines(
    text: str, name: str, *, kind: str, formats: Collection[int], middle: str
) -> tuple[JsonObject, tuple[JsonObject, ...], JsonObject]:
    """Take *text* apart into its header, the lines between, each of type *middle*, and its footer.

    Raises:
        BadFile: it is not of this *kind*, of another format, or truncated.
    """
    raw = [line for line in text.split("\n") if line.strip()]
    if not raw:
        raise BadFile(f"{name} is empty: nothing was written to it")
    header = _object(raw[0], f"{name}, line 1", truncated=False)
    found = header.members.get("kind")
    if header.members.get("type") != "header" or found is None:
        raise BadFile(f"{name} does not begin with a header: no file of plexwire conform")
    if found != kind:
        held = _HELD.get(str(found), "something else")
        raise BadFile(f"{name} holds {held}, not {_HELD[kind]}, which {_WRITTEN_BY[kind]} writes")
    if header.members.get("format") not in formats:
        known = " and ".join(map(str, formats))
        writer = header.members.get("plexwire", "unknown")
        raise BadFile(
            f"{name} has format {header.members.get('format')}, this plexwire reads {known}: "
            f"use the version that wrote it ({writer})"
        )
    lines = [
        _object(line, f"{name}, line {number}", truncated=number == len(raw))
        for number, line in enumerate(raw[1:], 2)
    ]
    if not lines or lines[-1].members.get("type") != "footer":
        raise BadFile(f"{name} is truncated: it has no footer, so its run was not over")
    for line in lines[:-1]:
        if line.members.get("type") != middle:
            raise BadFile(f"{line.where} is no {middle}: the file was altered")
    return header, tuple(lines[:-1]), lines[-1]


_HELD: Final = {"run": "the verdicts of a run", "transcripts": "transcripts"}
_WRITTEN_BY: Final = {
    "run": "plexwire conform --report",
    "transcripts": "plexwire conform --transcripts",
}


def _object(line: str, where: str, *, truncated: bool) -> JsonObject:
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        why = "it is truncated" if truncated else "it is no JSON"
        raise BadFile(f"{where} can't be read: {why}") from None
    if not isinstance(members, dict):
        raise BadFile(f"{where} is no JSON object")
    return JsonObject(where, members)
