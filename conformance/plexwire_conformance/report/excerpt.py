"""The member of a message that a finding is about, with what is around it, instead of the whole message."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry, Way

#: Characters of a value beside the member, and of the member itself, that are shown.
_BESIDE: Final = 24
_ITSELF: Final = 200

_STEP: Final = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


@frozen
class Part:
    """A piece of a message; a `marked` one is the member that the finding is about."""

    text: str
    marked: bool = False


def shows(entries: Sequence[Entry], path: str) -> Entry | None:
    """Return the message in *entries* that the member *path* is in: the last received one that has it, or could have it."""
    if not path:
        return None
    received = [e for e in reversed(entries) if e.way is Way.RECEIVED and e.body is not None]
    having = (entry for entry in received if _has(entry.body, _steps(path, entry.body)))
    return next(having, received[0] if received else None)


def excerpt(body: Mapping[str, Any], path: str) -> tuple[Part, ...]:
    """Return *body* as JSON with the member at *path* marked, and other values cut short.

    *path* is as in `online_sources[0].cameras[1]`.  If there is no such member, this is what is marked.
    """
    return tuple(_parts(body, _steps(path, body)))


def _steps(path: str, body: Any) -> list[str | int]:
    if isinstance(body, Mapping) and path in body:
        return [path]
    return [
        int(number) if number else name
        for number, name in (match.groups() for match in _STEP.finditer(path))
    ]


def _has(value: Any, steps: Sequence[str | int]) -> bool:
    if not steps:
        return True
    match value, steps[0]:
        case dict(), str(name) if name in value:
            return _has(value[name], steps[1:])
        case list(), int(number) if number < len(value):
            return _has(value[number], steps[1:])
        case _:
            return False


def _parts(value: Any, steps: Sequence[str | int]) -> Iterator[Part]:
    if not steps:
        yield Part(_cut(value, _ITSELF), marked=True)
        return
    match value, steps[0]:
        case dict(), str(wanted):
            yield Part("{")
            for place, (name, inner) in enumerate(value.items()):
                yield Part(f"{', ' if place else ''}{json.dumps(name, ensure_ascii=False)}: ")
                if name == wanted:
                    yield from _parts(inner, steps[1:])
                else:
                    yield Part(_cut(inner, _BESIDE))
            if wanted not in value:
                yield Part(", " if value else "")
                yield Part(f"no “{wanted}”", marked=True)
            yield Part("}")
        case list(), int(wanted) if wanted < len(value):
            before, after = wanted, len(value) - wanted - 1
            yield Part(f"[{f'{before} more, ' if before else ''}")
            yield from _parts(value[wanted], steps[1:])
            yield Part(f"{f', {after} more' if after else ''}]")
        case _:
            # The path leads no further: this is what was there instead.
            yield Part(_cut(value, _ITSELF), marked=True)


def _cut(value: Any, most: int) -> str:
    if isinstance(value, dict) and {"sha256", "bytes"} <= value.keys():
        return f"<{value['bytes']} bytes {value['sha256'][:8]}>"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"
