"""Which frame of which device a viewer's frame is."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry, RecordedConversation, Way, digest

K = TypeVar("K")

#: The digest of no bytes at all: many frames may have it, so it tells none from another.
_EMPTY: Final = digest(b"")["sha256"]


@frozen
class Origin:
    """A frame that a device sent: from where, and its number among the frames of its camera, from 1."""

    device: str
    organisation: str
    source_id: str
    camera_id: str
    number: int
    body: Mapping[str, Any]

    @property
    def picture(self) -> str:
        """The digest of its JPEG."""
        return str(self.body["frame"]["sha256"])


class Origins:
    """Finds the frame that a device sent from what a viewer got.

    A picture alone does not tell one frame from another: cameras repeat pictures, and empty ones are all alike.  Stamp
    and camera decide between frames with the same picture, and find a frame whose picture was altered.  Cases at the same
    time use the same stamps, so a frame that names its source is looked for there.
    """

    def __init__(self, *, tells_apart: bool = True) -> None:
        #: Whether frames with one camera, one stamp and one picture are taken in turn, or for none that is known.
        self._tells_apart = tells_apart
        self._by_picture: dict[str, list[Origin]] = {}
        self._by_stamp: dict[tuple[str, int], list[Origin]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        #: The frames in the order in which they came, so that the oldest can be forgotten.
        self._all: deque[Origin] = deque()

    @classmethod
    def among(cls, conversations: Iterable[RecordedConversation]) -> "Origins":
        """Return the frames that the devices among *conversations* sent."""
        origins = cls()
        for conversation in conversations:
            if conversation.role == "device":
                for entry in conversation.entries:
                    origins.add(conversation, entry)
        return origins

    def add(self, device: RecordedConversation, entry: Entry) -> None:
        """Note *entry* of a device's conversation, if it is a frame that the device sent."""
        body = entry.body
        if entry.way is not Way.SENT or body is None or body.get("type") != "video_frame":
            return
        picture, camera = body.get("frame"), body.get("camera_id")
        if not isinstance(picture, dict) or not isinstance(camera, str):
            return
        number = self._counts.get((device.name, camera), 0) + 1
        self._counts[device.name, camera] = number
        origin = Origin(device.name, device.organisation, device.source_id, camera, number, body)
        self._all.append(origin)
        self._by_picture.setdefault(origin.picture, []).append(origin)
        if isinstance(stamp := body.get("timestamp"), int):
            self._by_stamp.setdefault((camera, stamp), []).append(origin)

    def forget(self, kept: int) -> None:
        """Forget all but the *kept* newest frames."""
        while len(self._all) > kept:
            origin = self._all.popleft()
            _remove(self._by_picture, origin.picture, origin)
            stamp = origin.body.get("timestamp")
            if isinstance(stamp, int):
                _remove(self._by_stamp, (origin.camera_id, stamp), origin)

    def of(self, body: Mapping[str, Any]) -> tuple[Origin | None, bool]:
        """Return the origin of a viewer's frame, and whether its picture is unaltered."""
        picture = body.get("frame")
        source = body.get("source_id")
        alike = self._by_picture.get(picture["sha256"], []) if isinstance(picture, dict) else []
        alike = [origin for origin in alike if origin.source_id == source] or alike
        if len(alike) == 1 and alike[0].picture != _EMPTY:
            return alike[0], True
        for wanted in (("camera_id", "timestamp"), ("timestamp",), ("camera_id",)):
            fits = [o for o in alike if all(o.body.get(n) == body.get(n) for n in wanted)]
            if len(fits) > 1 and not self._tells_apart:
                return None, False
            if fits and (len(fits) == 1 or wanted != ("camera_id",)):
                return fits[0], True
        camera, stamp = body.get("camera_id"), body.get("timestamp")
        if isinstance(camera, str) and isinstance(stamp, int):
            stamped = self._by_stamp.get((camera, stamp), [])
            if isinstance(source, str):
                stamped = [origin for origin in stamped if origin.source_id == source]
            # Of several with one stamp it is the one that it resembles most.
            return max(stamped, key=lambda origin: _likeness(origin, body), default=None), False
        return None, False

    @property
    def known(self) -> bool:
        """Whether any device of this case sent anything."""
        return bool(self._by_picture)


def _remove(found: dict[K, list[Origin]], key: K, origin: Origin) -> None:
    alike = found[key]
    alike.remove(origin)
    if not alike:
        del found[key]


def _likeness(origin: Origin, body: Mapping[str, Any]) -> int:
    return sum(origin.body.get(name) == value for name, value in body.items())


def first_seen(conversations: Iterable[RecordedConversation]) -> dict[str, float]:
    """Return when each picture had certainly passed the gateway: when the first viewer got it, in seconds."""
    seen: dict[str, float] = {}
    for conversation in conversations:
        for entry in conversation.entries:
            note_seen(seen, entry)
    return seen


def note_seen(seen: dict[str, float], entry: Entry) -> None:
    """Note in *seen* when *entry* came, if it is a frame of a viewer that nobody had before."""
    if entry.way is Way.RECEIVED and (picture := picture_of(entry)) is not None:
        key = seen_key(entry, picture)
        seen[key] = min(seen.get(key, entry.at), entry.at)


def seen_key(entry: Entry, picture: Mapping[str, Any]) -> str:
    """Return what tells the *picture* in *entry* from others: a camera that looks at a wall sends one again and again."""
    return f"{picture['sha256']} {(entry.body or {}).get('timestamp')}"


def picture_of(entry: Entry) -> dict[str, Any] | None:
    """Return the digest of the picture in *entry*, if it has one."""
    picture = None if entry.body is None else entry.body.get("frame")
    return picture if isinstance(picture, dict) and picture["sha256"] != _EMPTY else None
