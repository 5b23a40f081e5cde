"""A gateway on asyncio and `aiohttp` that shares no code with ours: the suite must find nothing to say against it.

Written from the specification's text alone.  `--choices` says how it chooses where the specification leaves a choice.
Run as a program it prints its port, serves on 127.0.0.1 until its standard input closes, and says last how many
connections it had at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientConnectionResetError, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp_choices import GROUPS
from aiohttp_reading import (
    LIMIT,
    SOURCE_ID,
    Address,
    AddressReader,
    Frame,
    MessageReader,
    Refused,
    Unreadable,
    WrongPath,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from aiohttp import WSMessage
    from aiohttp_choices import Choices

#: Organisation and whether its plan has API access, by key.
KEYS: Final = {
    "plx_independent_home": ("home", True),
    "plx_independent_foreign": ("foreign", True),
    "plx_independent_no_access": ("home", False),
}

PATIENCE: Final = 10.0
#: Seconds since its last frame after which a camera is no longer online, where only fresh ones are.
FRESH: Final = 5.0
#: Seconds that a close may take.
FAREWELL: Final = 3.0


class Leaving(Exception):
    """The gateway closes this connection."""

    def __init__(self, code: int, why: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.why = why


@dataclass(eq=False)
class Peer:
    """A connection, and a way for others to have it closed."""

    ws: web.WebSocketResponse
    sent_away: asyncio.Future[Leaving] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def send_away(self, code: int, why: str) -> None:
        if not self.sent_away.done():
            self.sent_away.set_result(Leaving(code, why))

    async def say(self, **message: Any) -> None:
        await self.ws.send_str(json.dumps(message, ensure_ascii=False))

    async def until_over(self, *jobs: Coroutine[Any, Any, None], deadline: float | None) -> None:
        """Do *jobs* until the first ends or fails, somebody sends us away, or the deadline has passed."""
        tasks: set[asyncio.Future[Any]] = {asyncio.ensure_future(job) for job in jobs}
        now = asyncio.get_running_loop().time()
        try:
            done, _ = await asyncio.wait(
                {*tasks, self.sent_away},
                timeout=None if deadline is None else max(0.0, deadline - now),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self.sent_away in done:
            raise self.sent_away.result()
        for task in tasks & done:
            task.result()
        if not done:
            raise TimeoutError


@dataclass(eq=False)
class Viewer(Peer):
    """Who watches, and the frames that wait for it, by camera in the order of their turn."""

    cameras: frozenset[str] = frozenset()
    waiting: dict[str, deque[str]] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, camera: str, text: str, most: int) -> None:
        queue = self.waiting.setdefault(camera, deque())
        if most == 1:
            queue.clear()
        if len(queue) < most:
            queue.append(text)
        self.news.set()

    async def pump(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            while self.waiting:
                camera = next(iter(self.waiting))
                queue = self.waiting.pop(camera)
                text = queue.popleft()
                if queue:
                    self.waiting[camera] = queue
                await self.ws.send_str(text)


@dataclass(eq=False)
class Device(Peer):
    """Who publishes: its cameras, each with when it was last heard of."""

    cameras: dict[str, float] = field(default_factory=dict)


@dataclass
class Gateway:
    """What is online and who watches, by organisation and source."""

    choices: Choices
    devices: dict[tuple[str, str], list[Device]] = field(default_factory=dict)
    viewers: dict[tuple[str, str], set[Viewer]] = field(default_factory=dict)
    open: int = 0
    most_open: int = 0

    def __post_init__(self) -> None:
        self.addresses = AddressReader(self.choices)
        self.messages = MessageReader(self.choices)

    # ── both ─────────────────────────────────────────────────────────────────────────────────

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self.choices.connections is not None and self.open > self.choices.connections:
                return web.Response(status=503, text="no room\n")
            return await self.answer(request)
        except Refused as refused:
            return web.Response(status=refused.status, text=f"{refused}\n")
        finally:
            self.open -= 1

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        address = None
        elsewhere = False
        if path != "/ws/device":
            try:
                address = self.addresses.viewer(path, query)
                self.look_before_upgrade(request, address)
            except WrongPath:
                elsewhere = True
                if not self.choices.wrong_path_served:
                    raise
        elif query and self.choices.device_query_refused:
            raise Refused(400, "no query here")
        # One byte more, as aiohttp refuses the limit itself.
        most = LIMIT + 1 if self.choices.oversize == 1009 else 4 * LIMIT
        ws = web.WebSocketResponse(
            timeout=FAREWELL, compress=False, max_msg_size=most, writer_limit=1
        )
        if not ws.can_prepare(request):
            return web.Response(status=426, headers={"Upgrade": "websocket"})
        await ws.prepare(request)
        connected = asyncio.get_running_loop().time()
        pinging = asyncio.ensure_future(self.ping(ws))
        try:
            if elsewhere:
                await ws.send_str('{"type": "welcome_to_something_else"}')
            elif address is None:
                await self.device(ws, connected)
            else:
                await self.viewer(ws, address, connected)
        except Leaving as leaving:
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await ws.close(code=leaving.code, message=leaving.why.encode()[:123])
        except ClientConnectionResetError:
            pass
        finally:
            pinging.cancel()
        return ws

    def look_before_upgrade(self, request: web.BaseRequest, address: Address) -> None:
        if self.choices.unseen == "not-found":
            online = [set(self.online(key)) for key in self.devices if key[1] == address.source]
            if all(cameras.isdisjoint(address.cameras) for cameras in online):
                raise Refused(404, "nobody has that")

    async def ping(self, ws: web.WebSocketResponse) -> None:
        while self.choices.pings_every is not None:
            await asyncio.sleep(self.choices.pings_every)
            with suppress(ClientConnectionResetError):
                await ws.ping(b"and you?")

    async def received(self, ws: web.WebSocketResponse) -> AsyncIterator[WSMessage]:
        """Yield what comes until the connection ends, without what is over the limit."""
        while True:
            message = await ws.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            data = message.data
            size = len(data) if isinstance(data, bytes) else len(data.encode())
            if size <= LIMIT:
                yield message
            elif self.choices.oversize is not None:
                raise Leaving(self.choices.oversize, "too large")

    # ── viewers ──────────────────────────────────────────────────────────────────────────────

    async def viewer(self, ws: web.WebSocketResponse, address: Address, connected: float) -> None:
        try:
            async with asyncio.timeout_at(connected + PATIENCE):
                first = await anext(self.received(ws), None)
        except TimeoutError:
            raise Leaving(4001, "no auth in ten seconds") from None
        if first is None:
            return
        organisation = await self.organisation_of(first)
        key = organisation, address.source
        if self.choices.unseen == "closed" and set(self.online(key)).isdisjoint(address.cameras):
            raise Leaving(4404, "nobody has that")
        me = Viewer(ws, cameras=frozenset(address.cameras))
        # Between this and the writing of the init nothing else gets a turn.
        self.viewers.setdefault(key, set()).add(me)
        try:
            await me.say(type="init", online_sources=self.listing(key, address.cameras))
            begun = asyncio.get_running_loop().time()
            deadline = None if self.choices.own_end is None else begun + self.choices.own_end
            if address.timeout is not None:
                from_handshake = self.choices.timeout_from == "handshake"
                deadline = (connected if from_handshake else begun) + address.timeout
            await me.until_over(me.pump(), self.listen(me), deadline=deadline)
        except TimeoutError:
            code = 1000 if address.timeout is None else 4008
            raise Leaving(code, "the time has passed") from None
        finally:
            self.viewers[key].discard(me)
            if not self.viewers[key]:
                del self.viewers[key]

    async def organisation_of(self, first: WSMessage) -> str:
        text = first.data
        try:
            if isinstance(text, bytes):
                if not self.choices.binary_auth:
                    raise Unreadable("a binary message")
                text = text.decode()
            auth = self.messages.message(text)
        except (Unreadable, UnicodeDecodeError) as error:
            raise Leaving(4001, "unreadable") from error
        api_key = auth.get("api_key")
        if auth["type"] != "auth" or not isinstance(api_key, str):
            raise Leaving(4001, "no auth")
        await asyncio.sleep(self.choices.key_check)
        organisation, has_access = KEYS.get(api_key, (None, False))
        if organisation is None:
            raise Leaving(4001, "the key is not accepted")
        if not has_access:
            raise Leaving(4002, "no API access")
        return organisation

    async def listen(self, me: Viewer) -> None:
        async for _ in self.received(me.ws):
            match self.choices.talk:
                case "closed":
                    raise Leaving(1008, "nobody asked")
                case "answered":
                    await me.say(type="acme_heard_you")

    def online(self, key: tuple[str, str]) -> list[str]:
        oldest = time.monotonic() - FRESH if self.choices.online == "fresh" else 0
        cameras = {
            camera: None
            for device in self.devices.get(key, ())
            for camera, heard in device.cameras.items()
            if heard > oldest
        }
        return list(cameras)

    def listing(self, key: tuple[str, str], asked: tuple[str, ...]) -> list[dict[str, Any]]:
        keys = [key]
        if self.choices.listed == "organisation":
            keys = [key, *(other for other in self.devices if other[0] == key[0] and other != key)]
        listing = []
        for one in keys:
            cameras = self.online(one)
            if self.choices.listed == "asked":
                cameras = [camera for camera in cameras if camera in asked]
            if cameras or (self.choices.lists_empty_source and one == key):
                listing.append({"source_id": one[1], "cameras": cameras})
        return listing

    # ── devices ──────────────────────────────────────────────────────────────────────────────

    async def device(self, ws: web.WebSocketResponse, connected: float) -> None:
        me = Device(ws)
        coming = self.received(ws)
        try:
            async with asyncio.timeout_at(connected + self.choices.device_patience):
                auth = await self.device_auth(me, coming)
        except TimeoutError:
            auth = None
            await self.refuse(me, 4001, "no device_auth in time")
        if auth is None:
            return
        organisation, source = await self.admit(me, auth)
        key = organisation, source
        if self.choices.online == "announced" and isinstance(auth.get("cameras"), list):
            announced = [camera for camera in auth["cameras"] if isinstance(camera, str)]
            me.cameras = dict.fromkeys(announced, time.monotonic())
        now: float = time.time_ns() // 1_000_000
        if self.choices.numbers_with_fraction:
            now = float(now)
        acks = {"acks": True} if self.choices.acks else {}
        if self.choices.second_connection == "replaces":
            for older in self.devices.get(key, ()):
                older.send_away(1008, "replaced by a newer connection")
        self.devices.setdefault(key, []).append(me)
        try:
            await me.say(type="authenticated", source_id=source, server_time_ms=now, **acks)
            await me.until_over(self.take(me, key, coming), deadline=None)
        finally:
            self.devices[key].remove(me)
            if not self.devices[key]:
                del self.devices[key]
                await self.tell_of_leaving(key)

    async def device_auth(
        self, me: Device, coming: AsyncIterator[WSMessage]
    ) -> dict[str, Any] | None:
        async for message in coming:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise Unreadable("a binary message")
                auth = self.messages.message(message.data, of_device=True)
                source = auth.get("source_id")
                if auth["type"] != "device_auth" or not isinstance(auth.get("api_key"), str):
                    raise Unreadable("no device_auth")
                if not isinstance(source, str) or not SOURCE_ID.fullmatch(source):
                    raise Unreadable("no source id")
            except Unreadable as error:
                match self.choices.bad_first:
                    case "error":
                        await self.refuse(me, 4001, str(error))
                    case "silent":
                        raise Leaving(1002, "no device_auth") from None
            else:
                return auth
        return None

    async def admit(self, me: Device, auth: dict[str, Any]) -> tuple[str, str]:
        await asyncio.sleep(self.choices.device_check)
        source: str = auth["source_id"]
        organisation, has_access = KEYS.get(auth["api_key"], (None, False))
        if organisation is None:
            await self.refuse(me, 4001, "the key is not accepted")
        if not has_access:
            await self.refuse(me, 4002, "no API access")
        key = str(organisation), source
        if self.choices.id_of_first_organisation and any(
            other[1] == source and other[0] != key[0] for other in self.devices
        ):
            await self.refuse(me, 4001, "somebody else has that source id")
        if self.choices.second_connection == "refused" and key in self.devices:
            await self.refuse(me, 4001, "this source is connected already")
        return key

    async def refuse(self, me: Device, code: int, why: str) -> None:
        if self.choices.refused_device is None:
            await me.say(type="error", code="unauthorized", detail=why)
            raise Leaving(code, why)
        await me.say(type="error", code=401, message=why)
        raise Leaving(self.choices.refused_device, why)

    async def take(
        self, me: Device, key: tuple[str, str], coming: AsyncIterator[WSMessage]
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self.choices.device_silence):
                    message = await anext(coming, None)
            except TimeoutError:
                raise Leaving(1008, "not a word") from None
            if message is None:
                return
            try:
                if message.type is WSMsgType.BINARY:
                    self.relay(me, key, self.messages.binary_frame(message.data))
                else:
                    await self.hear(me, key, message.data)
            except Unreadable as error:
                if self.choices.malformed is not None:
                    raise Leaving(self.choices.malformed, str(error)) from None

    async def hear(self, me: Device, key: tuple[str, str], text: str) -> None:
        message = self.messages.message(text, of_device=True)
        match message["type"]:
            case "video_frame":
                self.relay(me, key, self.messages.text_frame(message))
            case "telemetry" if self.choices.acks and "seq" in message:
                await me.say(type="telemetry_ack", seq=message["seq"])

    def relay(self, me: Device, key: tuple[str, str], frame: Frame) -> None:
        if frame.camera == "" and self.choices.empty_id_dropped:
            return
        if frame.camera not in me.cameras and len(me.cameras) >= self.choices.cameras_of_device:
            return
        me.cameras[frame.camera] = time.monotonic()
        watching = [one for one in self.viewers.get(key, ()) if frame.camera in one.cameras]
        if not watching:
            return
        message = {
            "type": "video_frame",
            "source_id": key[1],
            "camera_id": frame.camera,
            "frame": frame.picture,
            "width": frame.width,
            "height": frame.height,
            "timestamp": frame.timestamp,
            **frame.more,
        }
        if self.choices.numbers_with_fraction:
            message |= {"width": float(frame.width), "height": float(frame.height)}
        if self.choices.own_members:
            message["acme_relayed_ms"] = time.time_ns() // 1_000_000
        text = json.dumps(message, ensure_ascii=not self.choices.own_members)
        if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
            text = json.dumps(message)
        for viewer in watching:
            viewer.offer(frame.camera, text, self.choices.waiting)

    async def tell_of_leaving(self, key: tuple[str, str]) -> None:
        for viewer in list(self.viewers.get(key, ())):
            match self.choices.leaving:
                case "closed":
                    viewer.send_away(1001, "the source has left")
                case "told":
                    viewer.offer("", json.dumps({"type": "acme_source_offline"}), 1)


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


async def serve(choices: Choices) -> None:
    """Serve until standard input closes."""
    # The library logs at length what is wrong with a peer's HTTP; only what goes wrong here is a complaint.
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    gateway = Gateway(choices)
    runner = web.ServerRunner(web.Server(gateway.handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    print(json.dumps({"connections": gateway.most_open}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choices", choices=GROUPS, default="decided")
    asyncio.run(serve(GROUPS[parser.parse_args().choices]))
