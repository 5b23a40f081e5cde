"""The monitor: one pure function from recorded conversations to findings.

It judges what must hold in every conversation, whatever the case was about: the shape and order of messages, and that
each frame which reaches a viewer is one that a device sent, unaltered, in order, once, and within the viewer's scope.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry, Kind, RecordedConversation, Way
from plexwire_conformance.run.findings import Finding

_Breach: TypeAlias = tuple[str, str, str, float]  # clause, expected, actual, at

#: Seconds after an `auth` from which on a frame without an `init` before it shows that none comes.
_NO_INIT_ANY_MORE: Final = 3.0


@frozen
class _Origin:
    """A frame that a device sent: from where, and as how manieth of its camera."""

    device: str
    organisation: str
    source_id: str
    camera_id: str
    index: int
    body: Mapping[str, Any]


def monitor(conversations: Iterable[RecordedConversation]) -> list[Finding]:
    """Return what breaks a clause in *conversations*, all of one case; at most one finding a clause."""
    conversations = list(conversations)
    origins = _Origins(conversations)
    first_seen = _first_seen(conversations)
    found: dict[str, Finding] = {}
    for conversation in conversations:
        if conversation.role != "viewer":
            continue
        for clause, expected, actual, at in _judge(conversation, origins, first_seen):
            if clause not in found:
                found[clause] = Finding(
                    clause=clause,
                    expected=expected,
                    actual=f"{conversation.name}: {actual}",
                    timeline=_around(conversation.entries, at),
                )
    return list(found.values())


def _around(entries: tuple[Entry, ...], at: float) -> tuple[Entry, ...]:
    before = [entry for entry in entries if entry.at <= at][-20:]
    after = [entry for entry in entries if entry.at > at][:3]
    return (*before, *after)


class _Origins:
    """Finds the frame that a device sent from what a viewer got."""

    def __init__(self, conversations: Iterable[RecordedConversation]) -> None:
        self._by_picture: dict[str, _Origin] = {}
        self._by_stamp: dict[tuple[str, int], _Origin] = {}
        for conversation in conversations:
            if conversation.role == "device":
                self._add(conversation)

    def _add(self, conversation: RecordedConversation) -> None:
        counts: dict[str, int] = {}
        for entry in conversation.entries:
            body = entry.body
            if entry.way is not Way.SENT or body is None or body.get("type") != "video_frame":
                continue
            picture, camera = body.get("frame"), body.get("camera_id")
            if not isinstance(picture, dict) or not isinstance(camera, str):
                continue
            counts[camera] = counts.get(camera, 0) + 1
            origin = _Origin(
                conversation.name,
                conversation.organisation,
                conversation.source_id,
                camera,
                counts[camera],
                body,
            )
            self._by_picture[picture["sha256"]] = origin
            if isinstance(stamp := body.get("timestamp"), int):
                self._by_stamp[camera, stamp] = origin

    def of(self, body: Mapping[str, Any]) -> tuple[_Origin | None, bool]:
        """Return the origin of a viewer's frame, and whether its picture is unaltered."""
        picture = body.get("frame")
        if isinstance(picture, dict) and picture["sha256"] in self._by_picture:
            return self._by_picture[picture["sha256"]], True
        camera, stamp = body.get("camera_id"), body.get("timestamp")
        if isinstance(camera, str) and isinstance(stamp, int):
            return self._by_stamp.get((camera, stamp)), False
        return None, False

    @property
    def known(self) -> bool:
        """Whether any device of this case sent anything."""
        return bool(self._by_picture)


def _first_seen(conversations: Iterable[RecordedConversation]) -> dict[str, float]:
    """Return when each picture had certainly passed the gateway: when the first viewer got it."""
    seen: dict[str, float] = {}
    for conversation in conversations:
        for entry in conversation.entries:
            if entry.way is Way.RECEIVED and entry.body is not None:
                picture = entry.body.get("frame")
                if isinstance(picture, dict):
                    at = seen.get(picture["sha256"], entry.at)
                    seen[picture["sha256"]] = min(at, entry.at)
    return seen


def _judge(
    conversation: RecordedConversation, origins: _Origins, first_seen: Mapping[str, float]
) -> Iterator[_Breach]:
    authenticated_at: float | None = None
    inits = 0
    early: list[Entry] = []
    last_index: dict[tuple[str, str], int] = {}
    got: set[str] = set()
    for entry in conversation.entries:
        if entry.way is Way.SENT:
            if entry.kind in (Kind.TEXT, Kind.BINARY, Kind.RAW) and authenticated_at is None:
                authenticated_at = entry.at
            continue
        if entry.kind is Kind.HANDSHAKE:
            continue
        if entry.kind is Kind.GARBAGE:
            yield "PW-CONN-6", "frames as RFC 6455 has them", entry.text, entry.at
        if entry.kind is Kind.BINARY:
            yield "PW-FRAME-1", "JSON in text messages", "a binary message", entry.at
        if entry.kind is not Kind.TEXT:
            continue
        if authenticated_at is None:
            yield (
                "PW-AUTH-10",
                "nothing but a close before the auth",
                f"a message: {entry.text[:80]}",
                entry.at,
            )
        match entry.type:
            case "init":
                inits += 1
                if inits > 1:
                    yield "PW-INIT-1", "exactly one init", f"init number {inits}", entry.at
                if early:
                    yield "PW-INIT-3", "init before any frame", "a video_frame first", early[0].at
                yield from _judge_init(conversation, entry)
            case "video_frame":
                if inits == 0:
                    early.append(entry)
                yield from _judge_shape(entry)
                yield from _judge_frame(conversation, entry, origins)
                yield from _judge_order(entry, origins, last_index, got)
                if origins.of(entry.body or {})[1]:
                    yield from _judge_replay(entry, authenticated_at, first_seen)
            case "gateway_reconnecting":
                yield from _judge_reconnecting(entry)
            case None if entry.body is None:
                yield "PW-FRAME-1", "JSON in text messages", entry.text[:80], entry.at
            case _:
                pass
    if inits == 0 and early and _asked(conversation, before=early[-1].at - _NO_INIT_ANY_MORE):
        yield "PW-INIT-1", "exactly one init", "frames, and no init", early[-1].at


def _asked(conversation: RecordedConversation, *, before: float) -> bool:
    """Whether a viewer had sent its `auth` by then."""
    return any(
        entry.way is Way.SENT and entry.type == "auth" and entry.at <= before
        for entry in conversation.entries
    )


def _judge_init(conversation: RecordedConversation, entry: Entry) -> Iterator[_Breach]:
    body = entry.body or {}
    sources = body.get("online_sources")
    clause, expected = "PW-INIT-4", "online_sources: a list of {source_id, cameras}"
    if not isinstance(sources, list):
        yield clause, expected, f"online_sources is {sources!r}", entry.at
        return
    for source in sources:
        if (
            not isinstance(source, dict)
            or not isinstance(source.get("source_id"), str)
            or not isinstance(source.get("cameras"), list)
            or not all(isinstance(camera, str) for camera in source["cameras"])
        ):
            yield clause, expected, f"it lists {source!r}", entry.at


def is_whole(value: object) -> bool:
    """Whether *value*, as JSON gave it, is a whole number, however it was spelled."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _judge_shape(entry: Entry) -> Iterator[_Breach]:
    body = entry.body or {}
    for name in ("source_id", "camera_id"):
        if not isinstance(body.get(name), str):
            yield "PW-FRAME-1", f"{name}: a string", f"{name} is {body.get(name)!r}", entry.at
    for name in ("width", "height", "timestamp"):
        if not is_whole(body.get(name)):
            actual = f"{name} is {body.get(name)!r}"
            yield "PW-FRAME-1", f"{name}: a whole number", actual, entry.at
    picture = body.get("frame")
    if not isinstance(picture, dict):
        yield "PW-FRAME-1", "frame: a string", f"frame is {picture!r}", entry.at
    elif picture["problem"] is not None:
        yield "PW-FRAME-11", "padded base64, standard alphabet", picture["problem"], entry.at


def _judge_frame(
    conversation: RecordedConversation, entry: Entry, origins: _Origins
) -> Iterator[_Breach]:
    body = entry.body or {}
    origin, unaltered = origins.of(body)
    has_picture = isinstance(body.get("frame"), dict)
    if origin is None:
        named = body.get("source_id")
        if origins.known and isinstance(named, str) and named != conversation.source_id:
            # Whoever sent it, in this case or another, the gateway itself says that it does not belong here.
            expected = f"frames of {conversation.source_id} alone"
            yield "PW-ISO-2", expected, f"a frame of {named}", entry.at
        elif origins.known and has_picture:
            actual = f"a picture that no device sent ({entry.text[:80]})"
            yield "PW-FRAME-2", "the JPEG of the device", actual, entry.at
        return
    what = f"frame {origin.index} of {origin.camera_id!r} of {origin.source_id}"
    # What is no base64 is judged as such; what the picture in it may be is anybody's guess.
    if has_picture and not unaltered and body["frame"]["problem"] is None:
        yield "PW-FRAME-2", "the JPEG of the device, to the byte", f"{what} altered", entry.at
    if origin.organisation != conversation.organisation:
        expected = "no frame of another organisation"
        yield "PW-ISO-3", expected, f"{what}, of the other organisation", entry.at
        return
    if origin.source_id != conversation.source_id:
        yield "PW-ISO-2", f"frames of {conversation.source_id} alone", what, entry.at
        return
    if origin.camera_id not in conversation.cameras:
        yield "PW-ISO-1", f"frames of {list(conversation.cameras)} alone", what, entry.at
        return
    for name, true in (("source_id", origin.source_id), ("camera_id", origin.camera_id)):
        if isinstance(body.get(name), str) and body[name] != true:
            yield "PW-FRAME-8", f"{name} {true!r}", f"{what} says {body[name]!r}", entry.at
    for name, clause in (
        ("width", "PW-FRAME-3"),
        ("height", "PW-FRAME-3"),
        ("timestamp", "PW-FRAME-4"),
    ):
        true_number = origin.body.get(name)
        if is_whole(body.get(name)) and is_whole(true_number) and body[name] != true_number:
            expected = f"{name} {true_number}"
            yield clause, expected, f"{what} says {body[name]}", entry.at


def _judge_order(
    entry: Entry, origins: _Origins, last_index: dict[tuple[str, str], int], got: set[str]
) -> Iterator[_Breach]:
    origin, unaltered = origins.of(entry.body or {})
    if origin is None or not unaltered:
        return
    sha256 = (entry.body or {})["frame"]["sha256"]
    what = f"frame {origin.index} of {origin.camera_id!r}"
    if sha256 in got:
        yield "PW-FRAME-6", "each frame at most once", f"{what} again", entry.at
        return
    got.add(sha256)
    # Between two connections of one source there is no order to keep.
    key = (origin.device, origin.camera_id)
    previous = last_index.get(key, 0)
    if origin.index < previous:
        yield "PW-FRAME-5", "frames in the order sent", f"{what} after frame {previous}", entry.at
    last_index[key] = max(previous, origin.index)


def _judge_replay(
    entry: Entry, authenticated_at: float | None, first_seen: Mapping[str, float]
) -> Iterator[_Breach]:
    picture = (entry.body or {}).get("frame")
    if authenticated_at is None or not isinstance(picture, dict):
        return
    if (seen := first_seen[picture["sha256"]]) < authenticated_at:
        actual = f"a frame that another viewer had {(authenticated_at - seen) * 1000:.0f} ms before"
        yield "PW-FRAME-7", "no frame from before this viewer's auth", actual, entry.at


def _judge_reconnecting(entry: Entry) -> Iterator[_Breach]:
    body = entry.body or {}
    delay = body.get("delay_s")
    if not (
        is_whole(body.get("attempt"))
        and is_whole(body.get("max_attempts"))
        and isinstance(delay, int | float)
        and not isinstance(delay, bool)
    ):
        expected = "attempt and max_attempts, whole numbers, and delay_s, a number"
        yield "PW-RECON-1", expected, entry.text[:80], entry.at
