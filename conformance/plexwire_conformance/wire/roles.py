"""A raw peer in a role: a viewer or a device that says what the protocol asks for, unless the case says otherwise."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from struct import pack
from typing import Any
from urllib.parse import quote

from attrs import define, field, frozen

from plexwire_conformance.recording.recorder import Entry, Kind, Way, digest
from plexwire_conformance.wire.framing import encode_message
from plexwire_conformance.wire.peer import RawPeer
from plexwire_conformance.wire.pictures import picture


@frozen(kw_only=True)
class SentFrame:
    """A frame that a device sent: what must come out at the other end."""

    camera_id: str
    jpeg: bytes = field(repr=False)
    sha256: str
    width: int
    height: int
    timestamp: int
    #: When it was written, in seconds.
    at: float

    def is_in(self, entry: Entry) -> bool:
        """Whether *entry* shows this frame, even if the gateway altered its picture or its stamp."""
        body = entry.body
        if body is None or body.get("type") != "video_frame":
            return False
        shown = body.get("frame")
        same_picture = isinstance(shown, dict) and shown.get("sha256") == self.sha256
        return same_picture or body.get("timestamp") == self.timestamp


def stream_target(source_id: str, cameras: Iterable[str] = (), timeout: object = None) -> str:
    """Return a viewer's request target, without the base path; *timeout* goes in as it is."""
    query = [f"camera_id={quote(camera, safe='')}" for camera in cameras]
    if timeout is not None:
        query.append(f"timeout={timeout}")
    path = f"/v1/sources/{quote(source_id, safe='')}/video/stream"
    return f"{path}?{'&'.join(query)}" if query else path


@define(eq=False)
class RawViewer:
    """A viewer's connection."""

    peer: RawPeer
    source_id: str
    cameras: tuple[str, ...]
    request_target: str
    #: The `init`, once it came.
    init: Entry | None = field(default=None, init=False)

    async def authenticate(self, api_key: str) -> float:
        """Send a proper `auth`; return when (seconds)."""
        return await self.peer.send(auth_text(api_key))

    async def await_init(self, within: float) -> Entry | None:
        """Return the `init`, or None if none came."""
        self.init = await self.peer.until(lambda entry: entry.type == "init", within)
        return self.init

    async def sees(self, sent: SentFrame, within: float) -> Entry | None:
        """Return the entry that shows *sent*, passing over others; None if it did not come."""
        return await self.peer.until(sent.is_in, within)

    async def next_frame(self, within: float) -> Entry | None:
        """Return the entry of the next frame, whichever it is; None if none came."""
        return await self.peer.until(lambda entry: entry.type == "video_frame", within)

    def listed(self, source_id: str) -> tuple[str, ...]:
        """The cameras that `init` lists for *source_id*."""
        return listed_cameras(self.init, source_id)

    @property
    def has_readable_init(self) -> bool:
        """Whether an `init` came of which all can be understood that it lists."""
        return self.init is not None and is_readable(self.init)

    def messages(self) -> list[Entry]:
        """Every message that came so far."""
        kinds = (Kind.TEXT, Kind.BINARY)
        return [e for e in self.peer.entries if e.way is Way.RECEIVED and e.kind in kinds]

    def frames(self) -> list[Entry]:
        """Every frame that came so far."""
        return [entry for entry in self.messages() if entry.type == "video_frame"]


def listed_cameras(init: Entry | None, source_id: str) -> tuple[str, ...]:
    """Return the cameras that *init* lists for *source_id*, whatever else is wrong with it.

    A camera may be a string or an object with `camera_id`, and null is read as an empty list: what can be understood is
    judged, and its shape is judged apart.  [PW-INIT-4]
    """
    cameras: list[str] = []
    for source in _entries_of(init):
        of_source = source.get("cameras")
        if source.get("source_id") == source_id and isinstance(of_source, list):
            cameras += filter(None, map(_camera_id, of_source))
    return tuple(cameras)


def is_readable(init: Entry) -> bool:
    """Whether all that *init* lists can be understood, well-formed or not: what it lacks is missing only then."""
    sources = (init.body or {}).get("online_sources")
    return sources is None or (
        isinstance(sources, list)
        and all(isinstance(source, dict) and _has_readable_cameras(source) for source in sources)
    )


def _has_readable_cameras(source: dict[str, Any]) -> bool:
    cameras = source.get("cameras")
    return cameras is None or (
        isinstance(cameras, list) and all(_camera_id(camera) is not None for camera in cameras)
    )


def listed_sources(init: Entry | None) -> tuple[str, ...]:
    """Return the ids of the sources that *init* lists."""
    ids = (source.get("source_id") for source in _entries_of(init))
    return tuple(source_id for source_id in ids if isinstance(source_id, str))


def _entries_of(init: Entry | None) -> list[dict[str, Any]]:
    listed = init.body.get("online_sources") if init is not None and init.body is not None else ()
    return [s for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []


def _camera_id(camera: Any) -> str | None:
    named = camera.get("camera_id") if isinstance(camera, dict) else camera
    return named if isinstance(named, str) else None


def auth_text(api_key: str, **more: Any) -> str:
    """Return a viewer's `auth`."""
    return json.dumps({"type": "auth", "api_key": api_key, **more})


def pipelined_auth(api_key: str) -> bytes:
    """Return an `auth` as bytes to send right after the handshake."""
    return b"".join(encode_message(auth_text(api_key)))


def device_auth_text(api_key: str, source_id: str, **more: Any) -> str:
    """Return a device's `device_auth`, with the members that every SDK sends."""
    return json.dumps(
        {
            "type": "device_auth",
            "api_key": api_key,
            "source_id": source_id,
            "platform": "plexwire-conform",
            "agent_version": "1",
            **more,
        }
    )


@define(eq=False)
class RawDevice:
    """A device's connection; `stamp` gives a new Unix time in ms for every frame of the run."""

    peer: RawPeer
    source_id: str
    _stamp: Callable[[], int]
    sent: list[SentFrame] = field(factory=list[SentFrame], init=False)

    async def authenticate(self, api_key: str, **more: Any) -> float:
        """Send a proper `device_auth`; return when (seconds)."""
        return await self.peer.send(device_auth_text(api_key, self.source_id, **more))

    async def await_answer(self, within: float) -> Entry | None:
        """Return the gateway's first message, or None."""
        return await self.peer.until(lambda entry: entry.kind is Kind.TEXT, within)

    def errors(self) -> list[Entry]:
        """Every `error` that came so far."""
        entries = self.peer.entries
        return [e for e in entries if e.way is Way.RECEIVED and e.type == "error"]

    async def publish(
        self,
        camera_id: str,
        *,
        size: int = 0,
        width: int = 640,
        height: int = 480,
        timestamp: int | None = None,
        source_field: str | None = None,
        cuts: tuple[int, ...] = (),
    ) -> SentFrame:
        """Send a frame in the binary form; `source_field` is what its source_id field says, *size* the JPEG's bytes."""
        sent = self.make(camera_id, size=size, width=width, height=height, timestamp=timestamp)
        named = self.source_id if source_field is None else source_field
        await self.peer.send(binary_frame(sent, named), cuts=cuts)
        self.sent.append(sent)
        return sent

    async def publish_last(self) -> set[str]:
        """Send one more frame of each camera that it has sent, if it can; return the cameras."""
        cameras = {sent.camera_id for sent in self.sent}
        if not self.peer.is_open or self.peer.is_closing:
            return set()
        for camera_id in sorted(cameras):
            await self.publish(camera_id)
        return cameras

    async def publish_text(
        self,
        camera_id: str,
        *,
        size: int = 0,
        names_source: bool = True,
        named: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> SentFrame:
        """Send a frame in the text form, with *extra* members after its own; *named* is what its source_id says."""
        sent = self.make(camera_id, size=size, **more)
        source_id = (named or self.source_id) if names_source else None
        await self.peer.send(text_frame(sent, source_id, extra))
        self.sent.append(sent)
        return sent

    def make(
        self,
        camera_id: str,
        *,
        size: int = 0,
        width: int = 640,
        height: int = 480,
        timestamp: int | None = None,
    ) -> SentFrame:
        """Make a frame that no other equals, without sending it."""
        stamp = self._stamp()
        jpeg = picture(f"{self.source_id} {camera_id[:40]} {stamp}", size)
        return SentFrame(
            camera_id=camera_id,
            jpeg=jpeg,
            sha256=digest(jpeg)["sha256"],
            width=width,
            height=height,
            timestamp=stamp if timestamp is None else timestamp,
            at=self.peer.now(),
        )


def binary_frame(sent: SentFrame, source_id: str) -> bytes:
    """Return *sent* in the binary form, from the published layout."""
    source, camera = source_id.encode(), sent.camera_id.encode()
    return b"".join(
        (
            bytes((1, len(source))),
            source,
            bytes((len(camera),)),
            camera,
            pack(">IIq", sent.width, sent.height, sent.timestamp),
            sent.jpeg,
        )
    )


def text_frame(
    sent: SentFrame, source_id: str | None, extra: Mapping[str, Any] | None = None
) -> str:
    """Return *sent* in the text form; NaN goes out as the SDK writes it."""
    members: dict[str, Any] = {"type": "video_frame"}
    if source_id is not None:
        members["source_id"] = source_id
    members |= {
        "camera_id": sent.camera_id,
        "frame": base64.b64encode(sent.jpeg).decode(),
        "width": sent.width,
        "height": sent.height,
        "timestamp": sent.timestamp,
        **(extra or {}),
    }
    return json.dumps(members)
