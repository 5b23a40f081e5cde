"""A connection in a role: what we say to a viewer or a device, as a sound gateway would unless the case says otherwise."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from plexwire_conformance.recording.recorder import Entry, Kind, Way, pong_with
from plexwire_conformance.run.stage import Inconclusive
from plexwire_conformance.wire.peer import ClosingKind, Ending
from plexwire_conformance.wire.pictures import picture
from plexwire_conformance.wire.served_peer import ServedPeer

#: Seconds in which a program shows that a message was too much for it.
SETTLES_S: Final = 0.5
#: Seconds that a pong may take.
PONG_S: Final = 3.0


@define(eq=False)
class Served:
    """A connection of a program; `first` is its first message, once it came, and `source_id` whose stream it is."""

    peer: ServedPeer
    source_id: str
    first: Entry | None = field(default=None, init=False)

    async def await_first(self, within: float) -> Entry | None:
        """Return the program's first message, or None if none came."""
        self.first = await self.peer.until(_is_message, within)
        return self.first

    async def say(self, message: Mapping[str, Any] | str | bytes) -> None:
        """Send a message; a mapping goes as JSON."""
        data = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.peer.send(data)

    async def say_in_pieces(self, message: Mapping[str, Any], cuts: Sequence[int]) -> None:
        """Send a message as several frames, cut at the byte positions *cuts*."""
        await self.peer.send(json.dumps(message), cuts=cuts)

    async def answers(self, payload: bytes) -> bool:
        """Whether a ping with *payload* is answered."""
        await self.peer.ping(payload)
        return await self.peer.until(pong_with(payload), PONG_S) is not None

    async def leaves(self, within: float = SETTLES_S) -> Ending | None:
        """Return how the program ended the connection, None if it did not within so many seconds."""
        ending = await self.peer.until_ended(within, exactly=True)
        return None if self.peer.ending is None else ending

    def check_sound(self) -> None:
        """Check that the connection did not end because of bytes that are no WebSocket, which are judged apart.

        Raises:
            Inconclusive: it did.
        """
        if self.peer.ending is not None and self.peer.ending.kind is ClosingKind.GARBAGE:
            raise Inconclusive("what it sent breaks RFC 6455")

    def messages(self, since: float = 0.0) -> list[Entry]:
        """Every message that came since then."""
        return [e for e in self.peer.entries if _is_message(e) and e.at >= since]

    def of_type(self, wanted: str, since: float = 0.0) -> list[Entry]:
        """Every message of that type that came since then."""
        return [entry for entry in self.messages(since) if entry.type == wanted]


def _is_message(entry: Entry) -> bool:
    return entry.way is Way.RECEIVED and entry.kind in (Kind.TEXT, Kind.BINARY)


@define(eq=False)
class ServedViewer(Served):
    """A viewer's connection."""

    _stamp: int = field(default=1_750_000_000_000, init=False)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that it asked for."""
        return self.peer.request.cameras

    def init(self, **more: Any) -> dict[str, Any]:
        """Return an `init` that lists what it asked for."""
        listed = {"source_id": self.source_id, "cameras": list(self.cameras)}
        return {"type": "init", "online_sources": [listed], **more}

    def frame(self, *, size: int = 0, **more: Any) -> dict[str, Any]:
        """Return the next frame of its first camera, with *more* members instead of or after the usual ones."""
        self._stamp += 40
        jpeg = picture(f"{self.source_id} {self._stamp}", size)
        members = {
            "type": "video_frame",
            "source_id": self.source_id,
            "camera_id": self.cameras[0],
            "frame": base64.b64encode(jpeg).decode(),
            "width": 8,
            "height": 8,
            "timestamp": self._stamp,
        }
        return {**members, **more}

    async def show(self, frames: int = 1) -> None:
        """Send so many frames."""
        for _ in range(frames):
            await self.say(self.frame())


@define(eq=False)
class ServedDevice(Served):
    """A device's connection."""

    def authenticated(self, **more: Any) -> dict[str, Any]:
        """Return the answer that authenticates it, with the source that it declared."""
        body = {} if self.first is None or self.first.body is None else self.first.body
        declared = body.get("source_id", self.source_id)
        return {
            "type": "authenticated",
            "source_id": declared,
            "server_time_ms": 1_750_000_000_000,
            **more,
        }

    def frames(self, since: float = 0.0) -> list[Entry]:
        """Every frame that came since then."""
        return self.of_type("video_frame", since)
