"""How all reports put things into words."""

from typing import Final

from plexwire_conformance._record import Entry, Kind
from plexwire_conformance._verdict import Finding
from plexwire_conformance.report._summary import Accusation

#: Characters of an entry that a line has room for.
_LONG: Final = 110
#: Other cases that are named.
_NAMED: Final = 6


def say(entry: Entry, *, whole: bool = False) -> str:
    """Return what an entry of a timeline says, in one line; long texts are cut, unless it is wanted *whole*."""
    text = entry.text if whole or len(entry.text) <= _LONG else f"{entry.text[:_LONG]}…"
    match entry.kind:
        case Kind.TEXT | Kind.HANDSHAKE | Kind.NOTE:
            return text
        case Kind.CLOSE:
            return f"close {entry.code or ''} {text}".rstrip()
        case Kind.EOF:
            return text or "TCP ended without a close frame"
        case Kind.RESET:
            return "TCP reset"
        case Kind.PING | Kind.PONG:
            return f"{entry.kind} {_payload(entry.text)}".rstrip()
        case Kind.BINARY | Kind.RAW | Kind.GARBAGE:
            return f"{entry.kind}: {text}"


def _payload(text: str) -> str:
    """Return the payload of a ping, recorded in hex, as letters where it is made of them."""
    try:
        letters = bytes.fromhex(text).decode("ascii")
    except ValueError:
        return text
    return f"'{letters}'" if letters.isprintable() and letters else text


def say_finding(finding: Finding) -> str:
    """Return what *finding* says, in one line."""
    expected = f"expected {finding.expected}; " if finding.expected else ""
    return f"{finding.clause} {finding.verdict}: {expected}{finding.actual}{off_by(finding)}"


def off_by(finding: Finding) -> str:
    """Return by how much, where time was measured."""
    return "" if finding.margin_ms is None else f" (off by {finding.margin_ms:.0f} ms)"


def replay_command(token: str, url: str) -> str:
    """Return the command that plays a script again."""
    return f"plexwire replay '{token}' --url {url}"


def seen_elsewhere(accusation: Accusation) -> list[str]:
    """Return where else the same clause was seen broken, in at most one line."""
    names = [result.case for result, _ in accusation.others]
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"also seen by {', '.join(names[:_NAMED])}{more}"]
