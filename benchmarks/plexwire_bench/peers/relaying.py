"""What all peers share, so that a comparison compares libraries: one key, one encoder, one rule for who is slow."""

import json
import sys
import time
from binascii import b2a_base64
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from plexwire_bench.frames import server_header

API_KEY: Final = "plx_bench"
MAX_MESSAGE_BYTES: Final = 1 << 20
AUTH_S: Final = 10.0
#: A viewer with more pictures than this unsent misses the newest.
MAX_WAITING: Final = 2

Buffer: TypeAlias = bytes | bytearray | memoryview
V = TypeVar("V")


def _stdlib_b64encode(data: Buffer) -> bytes:
    return b2a_base64(data, newline=False)


b64encode: Callable[[Buffer], bytes]
try:
    import pybase64
except ImportError:
    b64encode = _stdlib_b64encode
else:
    b64encode = pybase64.b64encode


class Stream(NamedTuple):
    """What a viewer's address asks for."""

    source_id: str
    cameras: frozenset[str]


class Picture(NamedTuple):
    """A device's binary message, with the JPEG as a view of it."""

    camera_id: str
    width: int
    height: int
    timestamp: int
    jpeg: memoryview


_TAIL: Final = Struct(">IIq")


def port() -> int:
    """Return the port in the command line."""
    return int(sys.argv[1])


def stream_of(target: str) -> Stream | None:
    """Return what a request target asks for, or None if it is not a viewer's."""
    parts = urlsplit(target)
    match parts.path.split("/"):
        case ["", "v1", "sources", source, "video", "stream"]:
            cameras = parse_qs(parts.query).get("camera_id", ["default"])
            return Stream(unquote(source), frozenset(cameras))
        case _:
            return None


def read_auth(text: Any, expected_type: str) -> dict[str, Any] | None:
    """Return the members of a good first message, else None."""
    try:
        members: dict[str, Any] = json.loads(text)
        good = members["type"] == expected_type and members["api_key"] == API_KEY
    except (ValueError, KeyError, TypeError):
        return None
    return members if good else None


def authenticated(source_id: str) -> str:
    """Return the gateway's answer to a device."""
    now = time.time_ns() // 1_000_000
    return json.dumps({"type": "authenticated", "source_id": source_id, "server_time_ms": now})


def read_picture(data: Buffer) -> Picture:
    """Return the parts of a device's binary message."""
    view = memoryview(data)
    camera_at = 2 + view[1]
    tail_at = camera_at + 1 + view[camera_at]
    camera = str(view[camera_at + 1 : tail_at], "utf-8", "replace")
    width, height, timestamp = _TAIL.unpack_from(view, tail_at)
    return Picture(camera, width, height, timestamp, view[tail_at + _TAIL.size :])


def video_frame(source_id: str, picture: Picture, *, framed: bool = False) -> bytes:
    """Return the viewers' text, in one piece; *framed*: as a whole WebSocket frame."""
    before = (
        f'{{"type":"video_frame","source_id":{json.dumps(source_id)},'
        f'"camera_id":{json.dumps(picture.camera_id)},"frame":"'
    ).encode()
    after = b'","width":%d,"height":%d,"timestamp":%d}' % picture[1:4]
    body = b64encode(picture.jpeg)
    if framed:
        before = server_header(len(before) + len(body) + len(after)) + before
    return b"".join((before, body, after))


class Registry(Generic[V]):
    """Which viewers watch which camera, and which cameras are online."""

    def __init__(self) -> None:
        self._viewers: dict[str, dict[V, frozenset[str]]] = {}
        self._online: dict[str, set[str]] = {}

    def init(self, stream: Stream) -> str:
        """Return the text that a new viewer gets first."""
        cameras = sorted(self._online.get(stream.source_id, set()) & stream.cameras)
        sources = [{"source_id": stream.source_id, "cameras": cameras}] if cameras else []
        return json.dumps({"type": "init", "online_sources": sources})

    def add(self, viewer: V, stream: Stream) -> None:
        """Let *viewer* have what comes from now on."""
        self._viewers.setdefault(stream.source_id, {})[viewer] = stream.cameras

    def remove(self, viewer: V, stream: Stream) -> None:
        """Forget *viewer*."""
        self._viewers.get(stream.source_id, {}).pop(viewer, None)

    def watching(self, source_id: str, camera_id: str) -> list[V]:
        """Return the viewers of a camera, which is online from now on."""
        self._online.setdefault(source_id, set()).add(camera_id)
        viewers = self._viewers.get(source_id, {})
        return [viewer for viewer, cameras in viewers.items() if camera_id in cameras]
