"""A gateway on asyncio and `websockets` that shares no code with ours: the suite must find nothing to say against it.

Written from the specification's text alone, and as short as somebody would write it in an evening: where the
specification leaves a choice it does what the library does.  With `--choices odd` it says the same things in the
oddest way that JSON and WebSocket allow.  Run as a program it prints its port and serves on 127.0.0.1 until its
standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import http
import json
import math
import re
import struct
import sys
import time
import urllib.parse
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from websockets.http11 import Request, Response

#: Organisation and whether its plan has API access, by key.
KEYS: Final = {
    "plx_independent_home": ("home", True),
    "plx_independent_foreign": ("foreign", True),
    "plx_independent_no_access": ("home", False),
}

PATIENCE: Final = 10
DEVICE_PATIENCE: Final = 60
LIMIT: Final = 2**20
SOURCE_ID: Final = re.compile("[a-z0-9][a-z0-9._-]{0,255}")
JPEG: Final = b"\xff\xd8"
#: Characters of a WebSocket frame, and seconds between two pings, where the odd way is taken.
FRAGMENT: Final = 10_000
PING_INTERVAL: Final = 0.3

Channel = tuple[str, str, str]


@dataclass(eq=False)
class Watching:
    """A viewer with one place for each of its cameras."""

    latest: dict[str, str] = field(default_factory=dict)
    over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Gateway:
    """What is online, and who watches which camera."""

    odd: bool
    online: dict[tuple[str, str], dict[object, set[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    watching: dict[Channel, set[Watching]] = field(default_factory=lambda: defaultdict(set))

    # ── viewers ──────────────────────────────────────────────────────────────────────────────

    async def viewer(self, ws: ServerConnection, source: str, query: dict[str, list[str]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                first = await ws.recv()
        except TimeoutError:
            await ws.close(4001, "no auth")
            return
        account = KEYS.get(viewer_key(first) or "")
        if account is None:
            await ws.close(4001, "bad auth")
            return
        organisation, has_access = account
        if not has_access:
            await ws.close(4002, "no API access")
            return
        cameras = query.get("camera_id", ["default"])
        online = self.online.get((organisation, source), {})
        listed = sorted(set().union(*online.values()) & set(cameras))
        source_list = [{"source_id": source, "cameras": listed}]
        await self.send(ws, self.spelled({"type": "init", "online_sources": source_list}))
        me = Watching()
        channels = {(organisation, source, camera) for camera in cameras}
        for channel in channels:
            self.watching[channel].add(me)
        ignoring = asyncio.create_task(ignore(ws))
        pumping = asyncio.create_task(self.pump(ws, me))
        try:
            _, pending = await asyncio.wait(
                {ignoring, pumping}, timeout=seconds(query), return_when=asyncio.FIRST_COMPLETED
            )
            if len(pending) == 2:
                # A message in fragments can't be left half-way.
                me.over = True
                me.news.set()
                await asyncio.wait({pumping}, timeout=PATIENCE)
                await ws.close(4008, "timeout")
        finally:
            for channel in channels:
                self.watching[channel].discard(me)
                if not self.watching[channel]:
                    del self.watching[channel]
            ignoring.cancel()
            pumping.cancel()
            await asyncio.wait({ignoring, pumping})

    async def pump(self, ws: ServerConnection, me: Watching) -> None:
        while not me.over:
            await me.news.wait()
            me.news.clear()
            while me.latest and not me.over:
                camera = next(iter(me.latest))
                await self.send(ws, me.latest.pop(camera))

    async def send(self, ws: ServerConnection, text: str) -> None:
        if self.odd:
            await ws.send(text[at : at + FRAGMENT] for at in range(0, len(text), FRAGMENT))
        else:
            await ws.send(text)

    def spelled(self, message: dict[str, Any]) -> str:
        if not self.odd:
            return json.dumps(message)
        # As some writers do it: slashes escaped, numbers with a fraction, the members in another order, white space.
        reversed_members = {name: oddly(message[name]) for name in reversed(message)}
        return "\n " + json.dumps(reversed_members, indent=1).replace("/", "\\/") + "\r\n"

    # ── devices ──────────────────────────────────────────────────────────────────────────────

    async def device(self, ws: ServerConnection) -> None:
        try:
            async with asyncio.timeout(DEVICE_PATIENCE):
                first = json_object(await ws.recv())
        except TimeoutError:
            first = {}
        key, source = (str(first.get(name)) for name in ("api_key", "source_id"))
        organisation, has_access = KEYS.get(key, ("", False))
        good = has_access and SOURCE_ID.fullmatch(source) and isinstance(first["source_id"], str)
        if first.get("type") != "device_auth" or not good:
            refusal = {"type": "error", "code": 401, "message": "not accepted"}
            await self.send(ws, self.spelled(refusal))
            await ws.close(1008)
            return
        now = time.time_ns() // 1_000_000
        answer = {"type": "authenticated", "source_id": source, "server_time_ms": now}
        await self.send(ws, self.spelled(answer))
        cameras: set[str] = set()
        place = organisation, source
        self.online[place][ws] = cameras
        try:
            async for data in ws:
                frame = binary_frame(data) if isinstance(data, bytes) else text_frame(data)
                if frame is not None:
                    cameras.add(frame["camera_id"])
                    self.relay(place, {"type": "video_frame", "source_id": source, **frame})
        finally:
            del self.online[place][ws]
            if not self.online[place]:
                del self.online[place]

    def relay(self, place: tuple[str, str], frame: dict[str, Any]) -> None:
        watching = self.watching.get((*place, frame["camera_id"]), ())
        if watching:
            text = self.spelled(frame)
            for viewer in watching:
                viewer.latest[frame["camera_id"]] = text
                viewer.news.set()

    # ── both ─────────────────────────────────────────────────────────────────────────────────

    async def handle(self, ws: ServerConnection) -> None:
        place = route(ws.request.path) if ws.request is not None else None
        try:
            if place is None:
                await self.device(ws)
            else:
                await self.viewer(ws, *place)
        except ConnectionClosed:
            pass

    def refuse(self, ws: ServerConnection, request: Request) -> Response | None:
        try:
            route(request.path)
        except LookupError as error:
            return ws.respond(http.HTTPStatus.NOT_FOUND, f"{error}\n")
        return None


def oddly(value: object) -> object:
    """Return a whole number as one with a fraction, as far as that changes nothing."""
    return float(value) if isinstance(value, int) and abs(value) < 2**53 else value


def route(target: str) -> tuple[str, dict[str, list[str]]] | None:
    """Source and query of a viewer's target; None for the device's."""
    path, _, query = target.partition("?")
    if path == "/ws/device":
        return None
    match path.split("/"):
        case ["", "v1", "sources", source, "video", "stream"] if source:
            return urllib.parse.unquote(source), urllib.parse.parse_qs(query)
    raise LookupError(f"nothing at {path}")


def seconds(query: dict[str, list[str]]) -> float | None:
    """Return the timeout that was asked for, if it can be read."""
    text = query.get("timeout", [""])[0]
    good = re.fullmatch("[0-9]{1,10}", text) and 0 < int(text) < 2**31
    return float(text) if good else None


def json_object(data: str | bytes) -> dict[str, Any]:
    """Return the object in *data*; an empty one where there is none."""
    try:
        # What is not JSON, or no finite number, is passed on as null.
        value = (
            json.loads(data, parse_constant=lambda _: None, parse_float=finite)
            if isinstance(data, str)
            else None
        )
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def finite(literal: str) -> float | None:
    """Return the number, or None where a double can't hold it."""
    value = float(literal)
    return value if math.isfinite(value) else None


def viewer_key(data: str | bytes) -> str | None:
    """Return the key in a viewer's first message."""
    message = json_object(data)
    key = message.get("api_key")
    return key if message.get("type") == "auth" and isinstance(key, str) else None


def binary_frame(data: bytes) -> dict[str, Any] | None:
    """Return the members of a device's binary frame; None where it is none."""
    try:
        if data[0] != 1:
            return None
        at = 2 + data[1]
        data[2:at].decode()
        camera = data[at + 1 : at + 1 + data[at]].decode()
        at += 1 + data[at]
        width, height, timestamp = struct.unpack_from(">IIq", data, at)
    except (IndexError, struct.error, UnicodeDecodeError):
        return None
    picture = data[at + 16 :]
    if not picture.startswith(JPEG):
        return None
    return {
        "camera_id": camera,
        "frame": base64.b64encode(picture).decode(),
        "width": width,
        "height": height,
        "timestamp": timestamp,
    }


def text_frame(data: str) -> dict[str, Any] | None:
    """Return the members of a device's text frame; None where it can't be read."""
    message = json_object(data)
    camera, picture = message.get("camera_id"), message.get("frame")
    if message.pop("type", None) != "video_frame" or not isinstance(camera, str):
        return None
    sizes = (message.get(name) for name in ("width", "height"))
    if not all(is_whole(size, 0, 2**32) for size in sizes):
        return None
    if not is_whole(message.get("timestamp"), -(2**63), 2**63):
        return None
    if not isinstance(message.pop("source_id", ""), str):
        return None
    try:
        camera.encode()
        jpeg = base64.b64decode(picture, validate=True) if isinstance(picture, str) else b""
    except ValueError:
        return None
    return message if jpeg.startswith(JPEG) else None


def is_whole(value: object, least: int, end: int) -> bool:
    """Whether *value* is a whole number from *least* on, below *end*."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value == int(value) and least <= value < end


async def ignore(ws: ServerConnection) -> None:
    """Read whatever a viewer says after its auth."""
    async for _ in ws:
        pass


async def main(*, odd: bool) -> None:
    """Serve until standard input closes."""
    gateway = Gateway(odd)
    async with serve(
        gateway.handle,
        "127.0.0.1",
        0,
        process_request=gateway.refuse,
        max_size=LIMIT,
        compression=None,
        ping_interval=PING_INTERVAL if odd else 20,
        # A viewer that stalls answers no ping, and stays.
        ping_timeout=None,
        close_timeout=3,
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choices", choices=("plain", "odd"), default="plain")
    asyncio.run(main(odd=parser.parse_args().choices == "odd"))
