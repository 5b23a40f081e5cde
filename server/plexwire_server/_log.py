"""Log lines: one an event, for people or for machines, and never a key in it."""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO, TypeAlias

from attrs import frozen

LogValue: TypeAlias = str | int | float | list[str]

# A key can turn up wherever a peer may choose a word: as a camera, a source, a close reason.
_KEY: Final = re.compile(r"plx_[\w.~+/=%-]*", re.IGNORECASE | re.ASCII)
_REDACTED: Final = "plx_***"


class LogFormat(StrEnum):
    """For people, or for machines."""

    TEXT = "text"
    JSON = "json"


@frozen
class LogEvent:
    """Something that an operator wants to know: what happened, and what there is to tell of it."""

    name: str
    members: Mapping[str, LogValue]


def redact(text: str) -> str:
    """Return *text* with whatever looks like a key taken out."""
    return _KEY.sub(_REDACTED, text)


def trace_without(error: Exception, secret: str) -> str:
    """Return the traceback of *error* without *secret*, which whoever raised it may have put into its text."""
    trace = "".join(traceback.format_exception(error)).rstrip()
    return trace.replace(secret, _REDACTED) if secret else trace


def json_line(event: LogEvent, *, at: datetime | None = None) -> str:
    """Return *event* as one line of JSON."""
    told = {name: _safe(value) for name, value in event.members.items()}
    return json.dumps({"time": _stamp(at), "event": event.name, **told})


def text_line(event: LogEvent, *, at: datetime | None = None) -> str:
    """Return *event* as one line for people."""
    # What a peer chose (a camera, a reason) is quoted: it can't add a line, nor a colour.
    told = (f"{name}={_word(_safe(value))}" for name, value in event.members.items() if value != "")
    return " ".join((_stamp(at), event.name, *told))


def write_line(event: LogEvent, form: LogFormat, file: TextIO | None = None) -> None:
    """Write *event* to *file*, or to stderr; one that nobody reads any more keeps nobody from serving."""
    line = json_line(event) if form is LogFormat.JSON else text_line(event)
    with suppress(OSError):
        print(line, file=file or sys.stderr, flush=True)


class LogFormatter(logging.Formatter):
    """Brings what libraries and crashes say through `logging` into the same form; a traceback stays many lines of text."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as a line, its traceback behind it, or in it where the form is JSON."""
        told: dict[str, LogValue] = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        at = datetime.fromtimestamp(record.created, UTC)
        if self._form is LogFormat.JSON:
            if trace:
                told["exception"] = trace
            return json_line(LogEvent("log", told), at=at)
        line = text_line(LogEvent("log", told), at=at)
        return f"{line}\n{redact(trace)}" if trace else line


def _safe(value: LogValue) -> LogValue:
    match value:
        case str():
            return redact(value)
        case list():
            return [redact(item) for item in value]
        case _:
            return value


def _word(value: LogValue) -> str:
    text = json.dumps(value)
    plain = text.strip('"')
    return plain if isinstance(value, str) and plain == value and " " not in value else text


def _stamp(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
