"""What is said between others, judged as it comes, for hours: nothing is kept but numbers and the last entries."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import define, evolve, field

from plexwire_conformance.passive.heard import Heard
from plexwire_conformance.program.monitor import ProgramWatch, introduces, judge_request
from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.run.findings import Finding, Verdict
from plexwire_conformance.run.monitor import ViewerWatch
from plexwire_conformance.run.origins import Origins, note_seen
from plexwire_spec import Party

#: Frames of devices, and pictures that viewers got, that are remembered.
_REMEMBERED: Final = 2000
#: Entries that a finding shows.
_SHOWN: Final = 20
#: Where not every device is heard, a frame of one that is not is no invention of the gateway.
_NOT_KNOWN_HERE: Final = frozenset({"PW-FRAME-2/unknown-picture"})
_FLIPPED: Final = {Way.SENT: Way.RECEIVED, Way.RECEIVED: Way.SENT}
_NO_INTRODUCTION: Final = {
    Party.VIEWER: "PW-AUTH-1/other-message",
    Party.DEVICE: "PW-DEV-1/other-message",
}


@define(eq=False)
class LiveJudge:
    """Judges both sides of every conversation that is heard; tells `found` each finding when it is new."""

    found: Callable[[Finding, str], None]
    findings: dict[str, Finding] = field(factory=dict[str, Finding], init=False)
    conversations: int = field(default=0, init=False)
    frames: int = field(default=0, init=False)
    origins: Origins = field(factory=lambda: Origins(tells_apart=False), init=False)
    seen: dict[str, float] = field(factory=dict[str, float], init=False)

    def listen(self, heard: Heard) -> "Ear":
        """Return what takes the entries of one connection."""
        self.conversations += 1
        return Ear(self, heard)

    @property
    def broken(self) -> int:
        """How many documented promises were broken."""
        return len({f.clause for f in self.findings.values() if f.verdict is Verdict.FAIL})

    def note(self, finding: Finding, name: str) -> None:
        """Take a finding about the connection *name*."""
        if finding.check in _NOT_KNOWN_HERE or not finding.is_breach:
            return
        known = self.findings.get(finding.check)
        if known is None:
            self.findings[finding.check] = finding
            self.found(finding, name)
        else:
            self.findings[finding.check] = evolve(known, connections=known.connections + 1)

    def forget(self) -> None:
        """Keep no more than is needed."""
        self.origins.forget(_REMEMBERED)
        while len(self.seen) > _REMEMBERED:
            del self.seen[next(iter(self.seen))]


@define(eq=False)
class Ear:
    """Takes the entries of one connection."""

    _judge: LiveJudge
    heard: Heard
    _last: deque[Entry] = field(factory=lambda: deque[Entry](maxlen=_SHOWN), init=False)
    _told: set[str] = field(factory=set[str], init=False)
    _viewer: ViewerWatch | None = field(default=None, init=False)
    _program: ProgramWatch | None = field(default=None, init=False)
    _frames: int = field(default=0, init=False)

    def take(self, entry: Entry) -> None:
        """Judge *entry*, by what is known by now."""
        self._last.append(entry)
        if entry.kind is Kind.HANDSHAKE and entry.way is Way.SENT:
            self._open(entry)
        role = self.heard.role
        if role is None or self._program is None:
            return
        for finding in self._said(role, entry):
            if finding.check not in self._told:
                self._told.add(finding.check)
                shown = evolve(finding, timeline=tuple(self._last), at=entry.at)
                self._judge.note(shown, self.heard.name)

    def _open(self, entry: Entry) -> None:
        role, request = self.heard.role, self.heard.request
        if role is None or request is None:
            return
        self._program = ProgramWatch(role)
        judge = self._judge
        if role is Party.VIEWER:
            self._viewer = ViewerWatch(self.heard.conversation, judge.origins, judge.seen)
        for finding in judge_request(request, role, self.heard.keys, entry.at):
            self._told.add(finding.check)
            judge.note(evolve(finding, timeline=(entry,)), self.heard.name)

    def _said(self, role: Party, entry: Entry) -> Iterator[Finding]:
        judge = self._judge
        if entry.type == "video_frame":
            judge.frames += entry.way is Way.RECEIVED
            self._frames += 1
            if self._frames % _REMEMBERED == 0 and self._viewer is not None:
                self._viewer.forget()
        if role is Party.DEVICE:
            judge.origins.add(self.heard.conversation, entry)
        elif self._viewer is not None:
            note_seen(judge.seen, entry)
            for breach in self._viewer.see(entry):
                yield breach.finding
        judge.forget()
        yield from self._of_program(role, entry)

    def _of_program(self, role: Party, entry: Entry) -> Iterator[Finding]:
        flipped = evolve(entry, way=_FLIPPED[entry.way])
        assert self._program is not None
        is_message = entry.way is Way.SENT and entry.kind in (Kind.TEXT, Kind.BINARY)
        if is_message and not self._program.has_spoken and not introduces(role, entry):
            yield Finding(check=_NO_INTRODUCTION[role], observed={"message": entry.text})
        observed: dict[str, Any]
        for check, observed in self._program.see(flipped):
            yield Finding(check=check, observed=observed)

    def end(self) -> None:
        """Judge what the conversation as a whole breaks."""
        if self._viewer is None:
            return
        for breach in self._viewer.end():
            self._judge.note(breach.finding, self.heard.name)
