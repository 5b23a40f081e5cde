"""The gateway of the published system: devices on one side, and on the other one connection per viewer of the API.

Sentences in quotation marks are facts about the published system's own source.  It shares no code with ours.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from published_keys import KeyCache
    from websockets.asyncio.server import ServerConnection

SOURCE_ID: Final = re.compile("[a-z0-9][a-z0-9._-]{0,255}")
JPEG: Final = b"\xff\xd8"
NUMBERS: Final = struct.Struct(">IIq")
DEVICE_PATIENCE: Final = 10.0
#: "A slow viewer has a queue of 128."
QUEUE: Final = 128
#: "… may be missing for some tens of milliseconds": seconds until a subscription has been read.
SUBSCRIPTION_DELAY: Final = 0.04
#: "2000 messages burst, 500 a second."
BURST: Final = 2000
PER_SECOND: Final = 500
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
#: What a device may say besides frames.
KNOWN: Final = {"telemetry", "heartbeat", "command_result", "command_status", "command_sync"}


class DeviceError(Exception):
    """A message of a device that is answered by an `error`; the connection stays open."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Budget:
    """The rate at which one device may speak."""

    left: float = BURST
    at: float = field(default_factory=time.monotonic)

    def spend(self) -> bool:
        """Return whether there was enough left for one more message."""
        now = time.monotonic()
        self.left = min(BURST, self.left + (now - self.at) * PER_SECOND)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(eq=False)
class Device:
    """A device's connection, authenticated."""

    ws: ServerConnection
    organisation: str
    source: str
    platform: object
    sensors: object
    #: Video type of each camera that has sent.
    cameras: dict[str, str] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)


@dataclass(eq=False)
class Upstream:
    """The connection that the API holds for one viewer."""

    ws: ServerConnection
    organisation: str
    #: None until the subscription has been read.
    source: str | None = None
    cameras: frozenset[str] = frozenset()
    queue: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def offer(self, text: str) -> None:
        """Queue a message: "the oldest entries stay, the newest are dropped"."""
        if not self.queue.full():
            self.queue.put_nowait(text)

    async def write(self) -> None:
        while True:
            await self.ws.send(await self.queue.get())


@dataclass
class Gateway:
    """Who is connected, and what goes where."""

    keys: KeyCache
    without_redis: bool = False
    devices: dict[tuple[str, str], Device] = field(default_factory=dict)
    upstreams: set[Upstream] = field(default_factory=set)

    # ── the API's side ───────────────────────────────────────────────────────────────────────

    async def upstream(self, ws: ServerConnection) -> None:
        """Serve `/ws/browser`."""
        hello = json.loads(await ws.recv())
        me = Upstream(ws, hello["organisation"])
        me.offer(self.init(me.organisation))
        self.upstreams.add(me)
        writing = asyncio.create_task(me.write())
        writing.add_done_callback(_forget_closed)
        try:
            subscription = json.loads(await ws.recv())
            await asyncio.sleep(SUBSCRIPTION_DELAY)
            me.source, me.cameras = subscription["source_id"], frozenset(subscription["cameras"])
            await self.throttle(me)
            await ws.wait_closed()
        finally:
            self.upstreams.discard(me)
            writing.cancel()

    def init(self, organisation: str) -> str:
        """Return the `init` of one organisation."""
        # "The list covers the whole organisation."  "Each entry has further members (`platform`, `sensors`)."
        entries = [
            {
                "source_id": device.source,
                "platform": device.platform,
                "sensors": device.sensors,
                "cameras": self.listed(device),
            }
            for device in self.devices.values()
            if device.organisation == organisation
        ]
        # "`online_sources` is `null` if the organisation has nothing online."
        return json.dumps({"type": "init", "online_sources": entries or None})

    def listed(self, device: Device) -> list[dict[str, str]] | None:
        # "`cameras` holds objects `{"camera_id": …, "video_type": …}` and may be `null`."
        cameras = [
            {"camera_id": camera, "video_type": video_type}
            for camera, video_type in device.cameras.items()
        ]
        return cameras or None

    async def throttle(self, me: Upstream) -> None:
        # "Messages that the pages do not mention: … `set_throttle`."
        device = self.devices.get((me.organisation, me.source or ""))
        if device is not None:
            with suppress(ConnectionClosed):
                await say(device.ws, type="set_throttle", max_fps=30)

    def relay(self, device: Device, camera: str, text: str) -> None:
        """Hand one frame on."""
        mine = [one for one in self.upstreams if one.organisation == device.organisation]
        hearers = [one for one in mine if one.source == device.source and camera in one.cameras]
        if not hearers:
            # "Frames of a camera that no viewer has subscribed to go to every viewer of that source."
            # "Until a new viewer's subscription has been read, that viewer also gets frames of the organisation's other
            # sources" by the same rule, "and its own first frames may be missing", if another viewer has subscribed.
            hearers = [one for one in mine if one.source in (None, device.source)]
        for one in hearers:
            one.offer(text)

    # ── devices ──────────────────────────────────────────────────────────────────────────────

    async def device(self, ws: ServerConnection) -> None:
        """Serve `/ws/device`."""
        try:
            async with asyncio.timeout(DEVICE_PATIENCE):
                auth = device_auth(await ws.recv())
                account = await self.keys.verdict(auth["api_key"])
        except TimeoutError:
            await refuse(ws, "no device_auth in time")
        except ValueError as error:
            await refuse(ws, str(error))
        else:
            if account is None or not account.has_access:
                await refuse(ws, "the key is not accepted")
            elif self.without_redis:
                await say(ws, type="error", code="REDIS_UNAVAILABLE", message="try again later")
                await ws.close(TRY_AGAIN_LATER)
            else:
                await self.serve(self.admitted(ws, account.organisation, auth))

    def admitted(self, ws: ServerConnection, organisation: str, auth: dict[str, Any]) -> Device:
        device = Device(
            ws, organisation, auth["source_id"], auth.get("platform"), auth.get("sensors")
        )
        # "A second connection for a source closes the first (1006)."
        if first := self.devices.get((organisation, device.source)):
            first.ws.transport.close()
        self.devices[organisation, device.source] = device
        return device

    async def serve(self, device: Device) -> None:
        place = device.organisation, device.source
        now = time.time_ns() // 1_000_000
        try:
            await say(device.ws, type="authenticated", source_id=device.source, server_time_ms=now)
            self.report_online(device)
            async for data in device.ws:
                try:
                    self.receive(device, data)
                except DeviceError as error:
                    await say(device.ws, type="error", code=error.code, message=str(error))
                # The writers take their turn: what a device sends in a burst is not for a viewer to lose.
                await asyncio.sleep(0)
        finally:
            if self.devices.get(place) is device:
                del self.devices[place]

    def report_online(self, device: Device) -> None:
        # "Messages that the pages do not mention: `source_status` …"
        news = {"type": "source_status", "source_id": device.source, "status": "online"}
        for one in self.upstreams:
            if (one.organisation, one.source) == (device.organisation, device.source):
                one.offer(json.dumps(news))

    def receive(self, device: Device, data: str | bytes) -> None:
        """Take one message; `DeviceError` if it can't be read, or is one too many."""
        if not device.budget.spend():
            raise DeviceError("RATE_LIMITED", "too many messages")
        if isinstance(data, bytes):
            camera, text = repackaged(data, device.source)
            device.cameras.setdefault(camera, "rgb")
            self.relay(device, camera, text)
            return
        message = json_object(data)
        if message.get("type") == "video_frame":
            camera = checked_camera(message)
            device.cameras.setdefault(camera, str(message.get("video_type", "rgb")))
            # "A text `video_frame` of a device is relayed verbatim, without `source_id` if the device sent none.
            # The device's key order and spelling are kept."
            self.relay(device, camera, data)
        elif message.get("type") not in KNOWN:
            # "An unknown type gets an `error`; the connection stays open."
            raise DeviceError("INVALID_MESSAGE", "unknown type")


async def say(ws: ServerConnection, **members: object) -> None:
    await ws.send(json.dumps(members))


async def refuse(ws: ServerConnection, why: str) -> None:
    # "A refusal is an `error` without `code`, then 1008."
    await say(ws, type="error", message=why)
    await ws.close(POLICY_VIOLATION, why)


def device_auth(data: str | bytes) -> dict[str, Any]:
    """Return a device's first message; `ValueError` if it is not a `device_auth`."""
    try:
        auth: object = json.loads(data, parse_constant=_not_json)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(auth, dict) or auth.get("type") != "device_auth":
        raise ValueError("not a device_auth")
    key, source = auth.get("api_key"), auth.get("source_id")
    if not isinstance(key, str) or not isinstance(source, str) or not SOURCE_ID.fullmatch(source):
        raise ValueError("api_key or source_id can't be read")
    return auth


def json_object(text: str) -> dict[str, Any]:
    """Return the object in *text*."""
    try:
        message: object = json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise DeviceError("INVALID_JSON", str(error)) from None
    if not isinstance(message, dict):
        raise DeviceError("INVALID_MESSAGE", "not an object")
    return message


def _not_json(literal: str) -> NoReturn:
    # "`NaN` is refused as invalid JSON."
    raise ValueError(f"{literal} is not JSON")


def checked_camera(message: dict[str, Any]) -> str:
    """Return the camera of a text frame that can be relayed."""
    camera, picture = message.get("camera_id"), message.get("frame")
    if not isinstance(camera, str) or not isinstance(picture, str):
        raise DeviceError("INVALID_MESSAGE", "camera_id or frame is missing")
    try:
        jpeg = base64.b64decode(picture, validate=True)
    except ValueError as error:
        raise DeviceError("INVALID_FRAME_ENCODING", str(error)) from None
    if not jpeg.startswith(JPEG):
        raise DeviceError("INVALID_FRAME_ENCODING", "not a JPEG")
    return camera


def repackaged(data: bytes, source: str) -> tuple[str, str]:
    """Return the camera of a binary frame, and the frame as text.

    "Binary frames are repackaged as text at the gateway"; they "have no extra members".
    """
    try:
        if data[0] != 1:
            raise DeviceError("INVALID_FRAME_ENCODING", "unknown version")
        at = 2 + data[1]
        end = at + 1 + data[at]
        camera = data[at + 1 : end].decode(errors="replace")
        width, height, timestamp = NUMBERS.unpack_from(data, end)
    except (IndexError, struct.error) as error:
        raise DeviceError("INVALID_FRAME_ENCODING", str(error)) from None
    picture = data[end + NUMBERS.size :]
    if not picture.startswith(JPEG):
        raise DeviceError("INVALID_FRAME_ENCODING", "not a JPEG")
    members = {
        "type": "video_frame",
        "source_id": source,
        "camera_id": camera,
        "frame": base64.b64encode(picture).decode(),
        "width": width,
        "height": height,
        "timestamp": timestamp,
    }
    return camera, json.dumps(members)


def _forget_closed(task: asyncio.Task[None]) -> None:
    """Take note that a writer has ended because its connection did."""
    if not task.cancelled() and not isinstance(error := task.exception(), ConnectionClosed):
        raise RuntimeError("a writer failed") from error
