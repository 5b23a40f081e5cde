"""How all reports put things into words."""

import json
import re
import shlex
from collections.abc import Sequence
from typing import Final

from plexwire_conformance.recording.recorder import Entry, Kind
from plexwire_conformance.report.sentences import actual_with_margin, expected_sentence
from plexwire_conformance.report.summary import Accusation, plural
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import OBSERVED, Finding
from plexwire_spec import Party, clauses

#: Characters of an entry that a line has room for.
_LONG: Final = 110
#: Other cases that are named.
_NAMED: Final = 6
#: Seconds in all that a judge may be late by without a word.
_LATE_S: Final = 1.0
#: What an ordinary frame says, and nothing but that.
_FRAME: Final = {
    "type": str,
    "source_id": str,
    "camera_id": str,
    "frame": str,
    "width": int,
    "height": int,
    "timestamp": int,
}
#: After these a connection says nothing more.
ENDINGS: Final = (Kind.CLOSE, Kind.EOF, Kind.RESET, Kind.GARBAGE)
#: A case that judged so soon (seconds) after the last entry did not wait for more.
_SHORT_WAIT: Final = 0.05
_DIGEST: Final = re.compile(r"<\d+ bytes [0-9a-f]{8}>")


def say(entry: Entry, *, whole: bool = False) -> str:
    """Return what an entry of a timeline says, in one line; long texts are cut, unless it is wanted *whole*."""
    text = _frame(entry.text) or entry.text
    text = text if whole or len(text) <= _LONG else f"{text[:_LONG]}…"
    match entry.kind:
        case Kind.TEXT | Kind.HANDSHAKE | Kind.NOTE:
            return text
        case Kind.CLOSE:
            return f"close {entry.code or ''}{f' “{text}”' if text else ''}".rstrip()
        case Kind.EOF:
            return text or "TCP ended without a close frame"
        case Kind.RESET:
            return "TCP reset"
        case Kind.PING | Kind.PONG:
            return f"{entry.kind} {_payload(entry.text)}".rstrip()
        case Kind.BINARY | Kind.RAW | Kind.GARBAGE:
            return f"{entry.kind}: {text}"


def waited(entries: Sequence[Entry], judged_at: float | None) -> float | None:
    """Return for how long (seconds) no more came before it was judged; None where nobody waited for more."""
    if judged_at is None or not entries or judged_at - entries[-1].at < _SHORT_WAIT:
        return None
    ended = {entry.peer for entry in entries if entry.kind in ENDINGS}
    return None if all(entry.peer in ended for entry in entries) else judged_at - entries[-1].at


def _frame(text: str) -> str:
    """Return an ordinary frame with what tells it from others in front; empty for anything that is none."""
    if not text.startswith('{"type": "video_frame"'):
        return ""
    try:
        members = json.loads(text)
    except ValueError:
        return ""
    if {name: type(value) for name, value in members.items()} != _FRAME:
        return ""
    if not _DIGEST.fullmatch(members["frame"]):
        return ""
    named = [json.dumps(members[name], ensure_ascii=False) for name in ("camera_id", "source_id")]
    return (
        f"video_frame {named[0]} {members['timestamp']} {members['width']}×{members['height']} "
        f"{members['frame']} of {named[1]}"
    )


def _payload(text: str) -> str:
    """Return the payload of a ping, recorded in hex, as letters where it is made of them."""
    try:
        letters = bytes.fromhex(text).decode("ascii")
    except ValueError:
        return text
    return f"'{letters}'" if letters.isprintable() and letters else text


def say_finding(finding: Finding) -> str:
    """Return what *finding* says, in one line."""
    expected = expected_sentence(finding)
    wanted = f"Expected: {expected} Observed: " if expected else ""
    return f"{finding.check} {finding.verdict}: {wanted}{actual_with_margin(finding)}"


def say_used(event: RunFinished) -> str:
    """Return what the run used of the gateway, for people; empty if it was cut short, since nothing was counted then."""
    if not event.connections:
        return ""
    return f"{plural(event.connections, 'connection')} and {plural(event.sources, 'source')}"


def say_late(late: float) -> str:
    """Return what to know of a judge whose machine was busy for *late* seconds in all; empty where it hardly was."""
    if late < _LATE_S:
        return ""
    return f"This machine was busy: the suite's own scheduling delay was {late:.1f} s in all, and its waits grew by it."


def replay_command(finding: Finding, case_id: str, place: str) -> str:
    """Return the command that plays again what *finding* came from: its script, or the whole case.

    *place* are the options by which the command line names what was judged.
    """
    # No case answers for what the monitor saw.
    case_id = finding.clause if case_id.startswith(OBSERVED) else case_id
    role = clauses()[finding.clause].role
    if role is not Party.GATEWAY:
        return f"plexwire conform-{role} --only {case_id} {place}".rstrip()
    return f"plexwire replay {shlex.quote(finding.replay or case_id)} {place}".rstrip()


def seen_elsewhere(accusation: Accusation) -> list[str]:
    """Return where else the same clause was seen broken, in at most one line."""
    names = [result.case for result, _ in accusation.others if not result.is_observation]
    lines = [f"also found by {name_some(names)}"] if names else []
    if accusation.connections > len(accusation.sightings):
        lines.append(f"seen on {accusation.connections} connections of the run")
    return lines


def name_some(names: Sequence[str]) -> str:
    """Return the first few of *names*, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
