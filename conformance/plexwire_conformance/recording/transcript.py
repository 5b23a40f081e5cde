"""Transcripts: everything that was said in one case or in one script of it, kept so that it can be judged again."""

import math
from collections.abc import Mapping
from typing import Any, TextIO

from attrs import frozen

from plexwire_conformance.recording.jsonlines import BadFile, JsonObject, one_line, read_lines
from plexwire_conformance.recording.recorder import Entry, Kind, RecordedConversation, Way
from plexwire_protocol import __version__

#: What the header of a file of transcripts calls itself, and the version of its format.
KIND, FORMAT = "transcripts", 1


@frozen(kw_only=True)
class Transcript:
    """The conversations that belong together; `script` counts the scripts of a case, 0 is the case itself.

    The monitor keeps quiet about the clauses in `excused`, since what the case sends is to blame for them.
    """

    case: str
    script: int = 0
    excused: tuple[str, ...] = ()
    conversations: tuple[RecordedConversation, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.case}, script {self.script}" if self.script else self.case


class TranscriptFile:
    """Writes transcripts to *out*, one a line, between a header and a footer."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._count = 0

    def begin(self, url: str) -> None:
        """Write the header."""
        header = {"type": "header", "kind": KIND, "format": FORMAT, "plexwire": __version__}
        self._write({**header, "url": url})

    def add(self, transcript: Transcript) -> None:
        """Write one transcript."""
        self._count += 1
        self._write({"type": "transcript", **_members(transcript)})

    def end(self) -> None:
        """Write the footer, by which a reader sees that nothing is missing."""
        self._write({"type": "footer", "transcripts": self._count})

    def _write(self, members: Mapping[str, Any]) -> None:
        self._out.write(one_line(members))


def read_transcripts(text: str, name: str) -> tuple[Transcript, ...]:
    """Return the transcripts in *text*, which messages call *name*.

    Raises:
        BadFile: it is no such file, of another format, or truncated.
    """
    _, lines, footer = read_lines(text, name, kind=KIND, formats=(FORMAT,), middle="transcript")
    transcripts = tuple(map(_transcript, lines))
    if footer.whole("transcripts") != len(transcripts):
        counted = footer.whole("transcripts")
        raise BadFile(f"{name} is damaged: its footer counts {counted}, it has {len(transcripts)}")
    return transcripts


def entry_members(entry: Entry) -> dict[str, Any]:
    """Return *entry* as JSON has it, without its body."""
    return {
        "at": round(entry.at, 6),
        "peer": entry.peer,
        "way": entry.way.value,
        "kind": entry.kind.value,
        "text": entry.text,
        "size": entry.size,
        "code": entry.code,
    }


def read_entry(line: JsonObject) -> Entry:
    """Return the entry that *line* holds."""
    body = line.members_or_none("body")
    if body is not None and isinstance(body.get("frame"), dict):
        _check_digest(JsonObject(line.where, body["frame"]))
    return Entry(
        at=line.number("at"),
        peer=line.text("peer"),
        way=line.one_of("way", Way),
        kind=line.one_of("kind", Kind),
        text=line.text("text"),
        size=line.whole("size"),
        code=line.whole_or_none("code"),
        body=body,
    )


def _check_digest(picture: JsonObject) -> None:
    """Check what stands for a picture, which is all that the monitor takes on trust."""
    picture.text("sha256")
    picture.whole("bytes")
    if picture.members.get("problem") is not None:
        picture.text("problem")


def _members(transcript: Transcript) -> dict[str, Any]:
    return {
        "case": transcript.case,
        "script": transcript.script,
        "excused": list(transcript.excused),
        "conversations": [
            {
                "name": conversation.name,
                "role": conversation.role,
                "source_id": conversation.source_id,
                "cameras": list(conversation.cameras),
                "organisation": conversation.organisation,
                "entries": [
                    {**entry_members(entry), "body": _finite(entry.body)}
                    for entry in conversation.entries
                ],
            }
            for conversation in transcript.conversations
        ],
    }


def _finite(value: Any) -> Any:
    """Return *value* without what Python reads and JSON can't say."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {name: _finite(inner) for name, inner in value.items()}
        case list():
            return [_finite(inner) for inner in value]
        case _:
            return value


def _transcript(line: JsonObject) -> Transcript:
    return Transcript(
        case=line.text("case"),
        script=line.whole("script"),
        excused=line.texts("excused"),
        conversations=tuple(map(_conversation, line.objects("conversations"))),
    )


def _conversation(line: JsonObject) -> RecordedConversation:
    return RecordedConversation(
        name=line.text("name"),
        role=line.text("role"),
        source_id=line.text("source_id"),
        cameras=line.texts("cameras"),
        organisation=line.text("organisation"),
        entries=tuple(map(read_entry, line.objects("entries"))),
    )
