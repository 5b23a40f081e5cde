"""The monitor: one pure function from recorded conversations to findings.

It judges what must hold in every conversation, whatever the case was about: the shape and order of messages, and that
each frame which reaches a viewer is one that a device sent, unaltered, in order, once, and within the viewer's scope.

It reads leniently and judges strictly: a member of the wrong shape is one finding, and what can be understood of it is
judged all the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import define, evolve, field, frozen

from plexwire_conformance.recording.recorder import Entry, Kind, RecordedConversation, Way
from plexwire_conformance.run.findings import Finding
from plexwire_conformance.run.origins import Origin, Origins, first_seen, picture_of, seen_key

#: The clauses that the monitor judges in whatever is said.
MONITORED: Final = (
    "PW-CONN-6",
    "PW-AUTH-10",
    "PW-INIT-1",
    "PW-INIT-3",
    "PW-INIT-4",
    "PW-FRAME-1",
    "PW-FRAME-2",
    "PW-FRAME-3",
    "PW-FRAME-4",
    "PW-FRAME-5",
    "PW-FRAME-6",
    "PW-FRAME-7",
    "PW-FRAME-8",
    "PW-FRAME-11",
    "PW-ISO-1",
    "PW-ISO-2",
    "PW-ISO-3",
    "PW-RECON-1",
    "PW-RECON-4",
)

#: Seconds after an `auth` from which on a frame without an `init` before it shows that none comes.
_NO_INIT_ANY_MORE: Final = 3.0


@frozen
class Breach:
    """A breach at one entry: `path` is the JSON path of the member that shows it."""

    check: str
    entry: Entry
    expected: Mapping[str, Any] = field(factory=dict[str, Any])
    observed: Mapping[str, Any] = field(factory=dict[str, Any])
    path: str = ""

    @property
    def finding(self) -> Finding:
        """The finding that it is, without a timeline."""
        return Finding(
            check=self.check, expected=self.expected, observed=self.observed, path=self.path
        )


def monitor(conversations: Iterable[RecordedConversation]) -> list[Finding]:
    """Return what breaks a clause in *conversations*, all of one case: one finding per check."""
    conversations = list(conversations)
    origins = Origins.among(conversations)
    seen = first_seen(conversations)
    found: dict[str, Finding] = {}
    for conversation in conversations:
        if conversation.role != "viewer":
            continue
        here: dict[str, Breach] = {}
        for breach in _judge(conversation, origins, seen):
            here.setdefault(breach.check, breach)
        for check, breach in here.items():
            if check in found:
                found[check] = evolve(found[check], connections=found[check].connections + 1)
            else:
                found[check] = _finding(conversation, breach)
    return list(found.values())


def _finding(conversation: RecordedConversation, breach: Breach) -> Finding:
    return evolve(breach.finding, timeline=_until(conversation.entries, breach.entry))


def _until(entries: tuple[Entry, ...], last: Entry) -> tuple[Entry, ...]:
    """Return the entries up to *last*, which shows the breach."""
    place = next(place for place, entry in enumerate(entries) if entry is last)
    return entries[max(0, place - 20) : place + 1]


def _judge(
    conversation: RecordedConversation, origins: Origins, seen: Mapping[str, float]
) -> Iterator[Breach]:
    watch = ViewerWatch(conversation, origins, seen)
    for entry in conversation.entries:
        yield from watch.see(entry)
    yield from watch.end()


@define(eq=False)
class ViewerWatch:
    """One viewer's conversation, judged entry by entry: by what came before, and by what devices sent and others got."""

    #: Who it is and what it asked for; its entries are given one by one.
    viewer: RecordedConversation
    origins: Origins
    seen: Mapping[str, float]
    _authenticated_at: float | None = field(default=None, init=False)
    _asked_at: float | None = field(default=None, init=False)
    _inits: int = field(default=0, init=False)
    _reconnecting: bool = field(default=False, init=False)
    #: The first and the last frame that came before an `init`.
    _early: list[Entry] = field(factory=list[Entry], init=False)
    _last_number: dict[tuple[str, str], int] = field(factory=dict[tuple[str, str], int], init=False)
    _got: dict[int, Origin] = field(factory=dict[int, Origin], init=False)

    def see(self, entry: Entry) -> Iterator[Breach]:
        """Yield what *entry* breaks."""
        if entry.way is Way.SENT:
            if entry.kind in (Kind.TEXT, Kind.BINARY, Kind.RAW) and self._authenticated_at is None:
                self._authenticated_at = entry.at
            if entry.type == "auth" and self._asked_at is None:
                self._asked_at = entry.at
            return
        if entry.kind is Kind.GARBAGE:
            yield Breach("PW-CONN-6/bad-frame", entry, observed={"problem": entry.text})
        if entry.kind is Kind.BINARY:
            yield Breach("PW-FRAME-1/binary-message", entry, observed={"size": entry.size})
        if entry.kind is not Kind.TEXT:
            return
        if self._authenticated_at is None:
            observed = {"message": entry.text}
            yield Breach("PW-AUTH-10/message-before-auth", entry, observed=observed)
        match entry.type:
            case "init":
                yield from self._see_init(entry)
            case "video_frame":
                yield from self._see_frame(entry)
            case "gateway_reconnecting":
                self._reconnecting = True
                yield from _judge_reconnecting(entry)
            case None if entry.body is None:
                broken = {"message": entry.text, "broken_at": entry.broken_at}
                yield Breach("PW-FRAME-1/not-json", entry, observed=broken)
            case _:
                pass

    def _see_init(self, entry: Entry) -> Iterator[Breach]:
        self._inits += 1
        if self._inits > 1:
            check = "PW-RECON-4" if self._reconnecting else "PW-INIT-1"
            yield Breach(f"{check}/second-init", entry, observed={"count": self._inits})
        self._reconnecting = False
        if self._early:
            yield Breach("PW-INIT-3/frame-before-init", self._early[0])
        yield from _judge_init(entry)

    def _see_frame(self, entry: Entry) -> Iterator[Breach]:
        if self._inits == 0:
            self._early = [*self._early[:1], entry]
        origin, unaltered = self.origins.of(entry.body or {})
        yield from _judge_shape(entry)
        yield from _judge_scope(self.viewer, entry, self.origins, origin)
        if origin is None or not _in_scope(self.viewer, origin):
            return
        yield from _judge_contents(entry, origin, unaltered)
        if unaltered:
            yield from _judge_order(entry, origin, self._last_number, self._got)
            yield from _judge_replay(entry, origin, self._authenticated_at, self.seen)

    def forget(self) -> None:
        """Forget which frames came, so that a watch of hours keeps nothing but numbers."""
        self._got.clear()

    def end(self) -> Iterator[Breach]:
        """Yield what the conversation as a whole breaks."""
        if self._inits or not self._early or self._asked_at is None:
            return
        if self._asked_at <= self._early[-1].at - _NO_INIT_ANY_MORE:
            expected = {"within": _NO_INIT_ANY_MORE}
            yield Breach("PW-INIT-1/frames-without-init", self._early[-1], expected)


# ── init ─────────────────────────────────────────────────────────────────────────────────────


def _judge_init(entry: Entry) -> Iterator[Breach]:
    def breach(name: str, path: str, value: object) -> Breach:
        return Breach(f"PW-INIT-4/{name}", entry, observed={"value": value}, path=path)

    sources = (entry.body or {}).get("online_sources")
    if not isinstance(sources, list):
        yield breach("no-list", "online_sources", sources)
        return
    for number, source in enumerate(sources):
        path = f"online_sources[{number}]"
        if not isinstance(source, dict):
            yield breach("source-not-an-object", path, source)
            continue
        if not isinstance(source.get("source_id"), str):
            yield breach("source-id-not-a-string", f"{path}.source_id", source.get("source_id"))
        cameras = source.get("cameras")
        if not isinstance(cameras, list):
            yield breach("cameras-not-a-list", f"{path}.cameras", cameras)
            continue
        for place, camera in enumerate(cameras):
            if not isinstance(camera, str):
                yield breach("cameras-not-strings", f"{path}.cameras[{place}]", camera)


# ── frames ───────────────────────────────────────────────────────────────────────────────────


def is_whole(value: object) -> bool:
    """Whether *value*, as JSON gave it, is a whole number, however it was spelled."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _judge_shape(entry: Entry) -> Iterator[Breach]:
    body = entry.body or {}

    def breach(name: str, path: str) -> Breach:
        return Breach(f"PW-FRAME-1/{name}", entry, observed={"value": body.get(path)}, path=path)

    for name in ("source_id", "camera_id"):
        if not isinstance(body.get(name), str):
            yield breach("member-not-a-string", name)
    for name in ("width", "height", "timestamp"):
        if not is_whole(body.get(name)):
            yield breach("member-not-a-whole-number", name)
    picture = body.get("frame")
    if not isinstance(picture, dict):
        yield breach("member-not-a-string", "frame")
    elif picture["problem"] is not None:
        observed = {"problem": picture["problem"]}
        yield Breach("PW-FRAME-11/bad-base64", entry, observed=observed, path="frame")


def _in_scope(conversation: RecordedConversation, origin: Origin) -> bool:
    return (
        origin.organisation == conversation.organisation
        and origin.source_id == conversation.source_id
        and origin.camera_id in conversation.cameras
    )


def _judge_scope(
    conversation: RecordedConversation, entry: Entry, origins: Origins, origin: Origin | None
) -> Iterator[Breach]:
    body = entry.body or {}
    source = {"source": conversation.source_id, "connection": conversation.name}
    if origin is None:
        named = body.get("source_id")
        if not origins.known:
            return
        if isinstance(named, str) and named != conversation.source_id:
            # Whoever sent it, in this case or another, the gateway itself says that it does not belong here.
            yield Breach("PW-ISO-2/other-source", entry, source, {"got": named}, "source_id")
        elif isinstance(named, str) and picture_of(entry) is not None:
            unknown = {"camera": body.get("camera_id"), "timestamp": body.get("timestamp")}
            yield Breach("PW-FRAME-2/unknown-picture", entry, observed=unknown, path="frame")
        return
    which = {"camera": origin.camera_id}
    if origin.organisation != conversation.organisation:
        yield Breach("PW-ISO-3/other-organisation", entry, observed=which)
    elif origin.source_id != conversation.source_id:
        yield Breach("PW-ISO-2/other-source", entry, source, {"got": origin.source_id})
    elif origin.camera_id not in conversation.cameras:
        asked = {
            "cameras": list(conversation.cameras),
            "connection": conversation.name,
        }
        yield Breach("PW-ISO-1/other-camera", entry, asked, which)


def _judge_contents(entry: Entry, origin: Origin, unaltered: bool) -> Iterator[Breach]:
    body = entry.body or {}
    which = {"frame": origin.number, "camera": origin.camera_id}
    picture = body.get("frame")
    # What is not base64 is judged as such; which picture it holds cannot be known.
    if isinstance(picture, dict) and not unaltered and picture["problem"] is None:
        sizes = {"sent_bytes": origin.body["frame"]["bytes"], "got_bytes": picture["bytes"]}
        yield Breach("PW-FRAME-2/altered", entry, which, sizes, "frame")
    for name, true, check in (
        ("source_id", origin.source_id, "PW-FRAME-8/other-source"),
        ("camera_id", origin.camera_id, "PW-FRAME-8/other-camera"),
    ):
        if isinstance(body.get(name), str) and body[name] != true:
            yield Breach(check, entry, {**which, "sent": true}, {"got": body[name]}, name)
    for name, check in (
        ("width", "PW-FRAME-3/other-size"),
        ("height", "PW-FRAME-3/other-size"),
        ("timestamp", "PW-FRAME-4/other-timestamp"),
    ):
        true_number = origin.body.get(name)
        if is_whole(body.get(name)) and is_whole(true_number) and body[name] != true_number:
            yield Breach(check, entry, {**which, "sent": true_number}, {"got": body[name]}, name)


def _judge_order(
    entry: Entry, origin: Origin, last_number: dict[tuple[str, str], int], got: dict[int, Origin]
) -> Iterator[Breach]:
    if id(origin) in got:
        repeats = {"count": 1, "camera": origin.camera_id}
        yield Breach("PW-FRAME-6/repeated", entry, observed=repeats)
        return
    # Kept, as an id is one for ever only while its owner lives.
    got[id(origin)] = origin
    # Between two connections of one source there is no order to keep.
    key = (origin.device, origin.camera_id)
    previous = last_number.get(key, 0)
    if origin.number < previous:
        yield Breach(
            "PW-FRAME-5/out-of-order",
            entry,
            {"camera": origin.camera_id},
            {"frame": origin.number, "previous": previous},
        )
    last_number[key] = max(previous, origin.number)


def _judge_replay(
    entry: Entry, origin: Origin, authenticated_at: float | None, seen: Mapping[str, float]
) -> Iterator[Breach]:
    if authenticated_at is None or (picture := picture_of(entry)) is None:
        return
    if (age := authenticated_at - seen.get(seen_key(entry, picture), authenticated_at)) > 0:
        observed = {"camera": origin.camera_id, "age": round(age, 3)}
        yield Breach("PW-FRAME-7/replayed", entry, observed=observed)


# ── the rest ─────────────────────────────────────────────────────────────────────────────────


def _judge_reconnecting(entry: Entry) -> Iterator[Breach]:
    body = entry.body or {}
    for name in ("attempt", "max_attempts", "delay_s"):
        value = body.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number if name == "delay_s" else is_whole(value)):
            yield Breach("PW-RECON-1/bad-member", entry, observed={"value": value}, path=name)
