"""What must hold in every conversation with a program, whatever the case was about: pure functions of what was said."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import define, evolve, field

from plexwire_conformance.recording.recorder import Entry, Kind, RecordedConversation, Way
from plexwire_conformance.recording.redaction import redact
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.wire.served_peer import HandshakeRequest
from plexwire_spec import Party

#: The protocol's own numbers, in bytes; the judge takes none from the code under judgement.
LARGEST_MESSAGE: Final = 1_048_576
LARGEST_JPEG: Final = 750_000
#: Stamps in between are seconds since 1970, of the years 2001 to 5138, and no milliseconds of any year with a camera.
_SECONDS: Final = range(10**9, 10**11)
#: What the role of a conversation begins with in which we are the gateway.
SERVED: Final = "served-"
#: What a program of each role says first.
FIRST_MESSAGES: Final[Mapping[Party, str]] = {Party.VIEWER: "auth", Party.DEVICE: "device_auth"}
#: Entries before the one that shows a breach.
_BEFORE: Final = 20
_WHOLE_NUMBERS: Final = ("width", "height", "timestamp")

#: The clauses that are judged in whatever is said.
MONITORED: Final[Mapping[Party, tuple[str, ...]]] = {
    Party.VIEWER: ("PW-ADDR-14", "PW-CONN-15"),
    Party.DEVICE: (
        "PW-ADDR-20",
        "PW-CONN-16",
        "PW-DEV-25",
        "PW-DEV-26",
        "PW-DEV-27",
        "PW-LIM-5",
    ),
}


def introduces(role: Party, first: Entry) -> bool:
    """Whether *first* is the text message by which a program of *role* says who it is."""
    return bool(first.kind is Kind.TEXT and first.type == FIRST_MESSAGES[role])


def judge_request(
    request: HandshakeRequest, role: Party, secrets: tuple[str, ...], at: float
) -> Iterator[Finding]:
    """Yield what is wrong with the *request* of a handshake: a key where others can read it.  [PW-ADDR-14, PW-ADDR-20]"""
    clause = "PW-ADDR-14" if role is Party.VIEWER else "PW-ADDR-20"
    if redact(request.target, secrets) != request.target:
        address = redact(request.target, secrets)
        yield Finding(check=f"{clause}/key-in-url", observed={"address": address}, at=at)
    for name, value in request.headers.items():
        if redact(value, secrets) != value:
            yield Finding(check=f"{clause}/key-in-header", observed={"header": name}, at=at)
            return


def judge_conversations(
    role: Party, conversations: Iterable[RecordedConversation]
) -> list[Finding]:
    """Return what a program of *role* breaks in *conversations*, but for its first message: one finding per check."""
    found: dict[str, Finding] = {}
    for conversation in conversations:
        entries = conversation.entries
        watch = ProgramWatch(role)
        here: set[str] = set()
        for place, entry in enumerate(entries):
            for check, observed in watch.see(entry):
                if check in here:
                    continue
                here.add(check)
                if (known := found.get(check)) is not None:
                    found[check] = evolve(known, connections=known.connections + 1)
                else:
                    shown = entries[max(0, place - _BEFORE) : place + 1]
                    found[check] = Finding(check=check, observed=observed, timeline=shown)
    return list(found.values())


@define
class ProgramWatch:
    """One conversation of a program of `role`, judged entry by entry: what it says is RECEIVED here."""

    role: Party
    #: Whether its first message has come.
    has_spoken: bool = field(default=False, init=False)

    def see(self, entry: Entry) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each check that *entry* fails, and what was observed."""
        if entry.way is not Way.RECEIVED:
            return
        if entry.kind in (Kind.TEXT, Kind.BINARY) and not self.has_spoken:
            # What it says first is judged apart.
            self.has_spoken = True
            return
        yield from _judge(self.role, entry)


def _judge(role: Party, entry: Entry) -> Iterator[tuple[str, dict[str, Any]]]:
    if entry.kind is Kind.GARBAGE:
        clause = "PW-CONN-15" if role is Party.VIEWER else "PW-CONN-16"
        yield f"{clause}/bad-frame", {"problem": entry.text}
    if role is not Party.DEVICE or entry.kind not in (Kind.TEXT, Kind.BINARY):
        return
    if entry.size > LARGEST_MESSAGE:
        yield "PW-LIM-5/too-large", {"size": entry.size, "limit": LARGEST_MESSAGE}
    if entry.kind is Kind.BINARY and entry.body is None:
        yield "PW-DEV-26/unreadable-frame", {"begins": entry.text}
    if entry.kind is Kind.TEXT and (entry.body is None or not isinstance(entry.type, str)):
        yield "PW-DEV-27/not-json", {"text": entry.text, "broken_at": entry.broken_at}
    if entry.type == "video_frame" and entry.body is not None:
        yield from _judge_frame(entry.body)


def _judge_frame(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if flaw := _flaw(body):
        yield "PW-DEV-26/member", {"flaw": flaw}
    stamp = body.get("timestamp")
    if isinstance(stamp, int | float) and int(stamp) in _SECONDS:
        yield "PW-DEV-26/stamp-in-seconds", {"timestamp": stamp}
    picture = body.get("frame")
    if isinstance(picture, dict) and picture["bytes"] > LARGEST_JPEG:
        yield "PW-DEV-25/large-jpeg", {"size": picture["bytes"], "limit": LARGEST_JPEG}


def _flaw(body: Mapping[str, Any]) -> str:
    """Return what is wrong with the members of a frame; empty for nothing."""
    if not isinstance(body.get("camera_id"), str):
        return "camera_id is no string"
    picture = body.get("frame")
    if not isinstance(picture, dict):
        return "frame is no string"
    if picture.get("problem"):
        return f"frame is {picture['problem']}"
    for name in _WHOLE_NUMBERS:
        value = body.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{name} is no number"
        if not math.isfinite(value) or value != int(value):
            return f"{name} is no whole number"
    return ""
