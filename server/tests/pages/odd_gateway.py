"""A gateway that does what a viewer rarely sees; which of it, the source's name says.

losing          it has lost its own source, then goes on
talking         it says what no viewer knows or can read, then goes on
leaving-CODE    it closes with CODE
published       it deviates from the protocol as a published system does, then goes on
unreadable      its init can't be read

A key that ends in "silent" is never answered.

python odd_gateway.py JPEG writes its URL and a key to standard output, as JSON, and serves until it is killed.
"""

import json
import sys
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

import trio

from plexwire_protocol import (
    GatewayReconnecting,
    GatewayViewerSession,
    OnlineSource,
    State,
    StreamAddress,
    VideoFrame,
    encode,
)
from plexwire_server import Gateway, KeyDecision, KeyGranted, KeyStore, serve
from plexwire_server.extending import ViewerConnection

JPEG = Path(sys.argv[1]).read_bytes()
STRANGE = (
    '{"type": "novelty", "says": [1, 2, 3]}',
    '{"type": "video_frame", "camera_id": "front", "frame": 7}',
    '{"type": "video_frame", "camera_id": "front", "frame": "@@"}',
    '{"type": "video_frame", "camera_id": "elsewhere", "frame": ""}',
    "null",
    "[]",
    "{",
)


def frame_text(**members: object) -> str:
    """Return a frame of the camera front, without a source unless *members* have one."""
    picture = {"camera_id": "front", "frame": b64encode(JPEG).decode(), "width": 1, "height": 1}
    return json.dumps({"type": "video_frame", "timestamp": 1, **picture, **members})


def published_init(*cameras: str) -> str:
    """Return an init that lists *cameras* as objects."""
    listed = [{"camera_id": camera, "video_type": "rgb"} for camera in cameras]
    sources = [
        {"source_id": "published", "platform": None, "cameras": listed or None},
        {"source_id": "other", "platform": None, "cameras": None},
    ]
    return json.dumps({"type": "init", "online_sources": sources})


class OddSession(GatewayViewerSession):
    """The rules towards one viewer, some of them broken."""

    def grant(self, online_sources: Iterable[OnlineSource], *, now: float) -> None:
        super().grant(online_sources, now=now)
        match self.address.source_id:
            case "published":
                self.take_outbox()
                early = frame_text(timestamp=2)
                self._put(early, '{"type":"init","online_sources":null}', published_init("front"))
            case "unreadable":
                self.take_outbox()
                self._put('{"type":"init","online_sources":[')
            case _:
                pass


class OddViewer(ViewerConnection):
    """One viewer of it."""

    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        self.start_soon(self._speak)

    async def _speak(self) -> None:
        peer = self.peer
        match peer.address.source_id.split("-"):
            case ["losing"]:
                lost = GatewayReconnecting(attempt=2, max_attempts=5, delay_s=3)
                peer.say(encode(lost), now=trio.current_time())
            case ["talking"]:
                for message in STRANGE:
                    peer.say(message, now=trio.current_time())
                    # Each gets its own attempt at being painted.
                    await trio.sleep(0.05)
            case ["published"]:
                for text in (
                    published_init("front", "rear"),
                    frame_text(timestamp=3),
                    frame_text(timestamp=4, source_id="other"),
                ):
                    peer.say(text, now=trio.current_time())
                    # Each picture gets its own attempt at being painted.
                    await trio.sleep(0.2)
            case ["leaving", code]:
                peer.close(int(code), "<b>so</b>", now=trio.current_time())
            case _:
                pass
        # The picture's own size is what counts.
        frame = VideoFrame(
            source_id=peer.address.source_id,
            camera_id="front",
            jpeg=JPEG,
            width=0,
            height=0,
            timestamp=1_700_000_000_123,
        )
        if peer.session.state is State.STREAMING:
            peer.say(encode(frame), now=trio.current_time())


class OddGateway(Gateway):
    """All of it."""

    viewer_connection = OddViewer

    def viewer_session(self, address: StreamAddress) -> GatewayViewerSession:
        return OddSession(address, now=trio.current_time())

    async def check_key(self, api_key: str) -> KeyDecision:
        if api_key.endswith("silent"):
            await trio.sleep_forever()
        return await super().check_key(api_key)


async def main() -> None:
    store, keys = KeyStore.throw_away()
    async with trio.open_nursery() as nursery:
        [(host, port)] = await nursery.start(serve, OddGateway(store))
        print(json.dumps({"url": f"ws://{host}:{port}", "key": keys.api_key}), flush=True)


if __name__ == "__main__":
    trio.run(main)
