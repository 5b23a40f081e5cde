"""The viewer API of the published system: "the API is itself a client of the gateway".

Sentences in quotation marks are facts about the published system's own source.  It shares no code with ours.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

if TYPE_CHECKING:
    from published_keys import KeyCache

AUTH_PATIENCE: Final = 10.0
#: "No `timeout` means 600 s."
LONGEST_STREAM: Final = 600
MAX_ATTEMPTS: Final = 5
RECONNECT_DELAY: Final = 1.0
#: What the API's own connection takes: a frame of which "becomes a text of over 1 MiB breaks" it.
UPSTREAM_LIMIT: Final = 1_048_576
UNAUTHORIZED: Final = 4001
NO_API_ACCESS: Final = 4002
TIMED_OUT: Final = 4008
INTERNAL_ERROR: Final = 1011


class Refused(Exception):
    """A handshake is answered by an HTTP status."""


class Crashed(Exception):
    """The API's own code fails at what a viewer sent first."""


class Lost(Exception):
    """The gateway is gone."""


class ApiConnection(ServerConnection):
    """A viewer's connection: what comes in one piece with the handshake is lost, as the server beneath has it."""

    def data_received(self, data: bytes) -> None:
        if self.request is None:
            head, end, _ = data.partition(b"\r\n\r\n")
            data = head + end
        super().data_received(data)


@dataclass(frozen=True)
class Address:
    """What a viewer asks for."""

    source: str
    cameras: tuple[str, ...]
    timeout: int


def read_address(target: str) -> Address:
    """Return what a request target asks for.

    Raises:
        Refused: it is not an address of a stream.
    """
    path, _, query = target.partition("?")
    match urllib.parse.unquote(path).split("/"):
        case ["", "v1", "sources", source, "video", "stream"] if source:
            pass
        case _:
            # "An unknown path is 403, not 404."
            raise Refused(path)
    # "Bad escapes are accepted."
    values = urllib.parse.parse_qs(query, keep_blank_values=True, errors="replace")
    try:
        # "1.5 and words are refused with HTTP 403."
        timeout = int(values.get("timeout", [str(LONGEST_STREAM)])[-1])
    except ValueError:
        raise Refused("timeout") from None
    return Address(source, tuple(values.get("camera_id", ["default"])), timeout)


@dataclass
class Api:
    """Serves viewers."""

    keys: KeyCache
    #: Where the gateway is, once it is there.
    gateway_port: int = 0
    #: How often a stream has lost its upstream.
    reconnects: int = 0

    async def viewer(self, ws: ServerConnection, address: Address) -> None:
        try:
            async with asyncio.timeout(AUTH_PATIENCE):
                key = auth_key(await ws.recv())
        except TimeoutError:
            await ws.close(UNAUTHORIZED, "no auth")
            return
        except Crashed:
            # "TCP ends without a close frame (the viewer sees 1006)."
            ws.transport.close()
            return
        account = await self.keys.verdict(key) if key is not None else None
        if account is None:
            await ws.close(UNAUTHORIZED, "unauthorized")
        elif not account.has_access:
            await ws.close(NO_API_ACCESS, "the plan has no API access")
        elif address.timeout <= 0:
            # "`timeout` of 0 or less closes with 4008 immediately."
            await ws.close(TIMED_OUT, "timeout")
        else:
            await self.stream(ws, account.organisation, address)

    async def stream(self, ws: ServerConnection, organisation: str, address: Address) -> None:
        try:
            async with asyncio.timeout(address.timeout):
                await self.relay(ws, organisation, address)
        except TimeoutError:
            await ws.close(TIMED_OUT, "timeout")
        else:
            await ws.close(INTERNAL_ERROR, "the gateway is away")

    async def relay(self, ws: ServerConnection, organisation: str, address: Address) -> None:
        """Relay until the gateway has been away for too many attempts."""
        attempt = 0
        while attempt < MAX_ATTEMPTS:
            try:
                async with self.upstream() as upstream:
                    attempt = 0
                    await self.subscribe(upstream, organisation, address)
                    # Nothing is read from the viewer: "while no frame flows, a viewer that vanishes or closes goes
                    # unnoticed: the connection behind it stays until the stream's own timeout".
                    while True:
                        # "The API sends `init` again, … when it has lost and regained the gateway."
                        await ws.send(await next_text(upstream))
            except (Lost, OSError, InvalidHandshake):
                pass
            attempt += 1
            self.reconnects += 1
            # "… after a `gateway_reconnecting` with `attempt` 1."
            news = {"attempt": attempt, "max_attempts": MAX_ATTEMPTS, "delay_s": RECONNECT_DELAY}
            await ws.send(json.dumps({"type": "gateway_reconnecting", **news}))
            await asyncio.sleep(RECONNECT_DELAY)

    def upstream(self) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.gateway_port}/ws/browser",
            max_size=UPSTREAM_LIMIT,
            max_queue=1,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            proxy=None,
        )

    async def subscribe(
        self, upstream: ClientConnection, organisation: str, address: Address
    ) -> None:
        hello = {"type": "browser_auth", "organisation": organisation}
        subscription = {
            "type": "subscribe",
            "source_id": address.source,
            "cameras": list(address.cameras),
        }
        try:
            await upstream.send(json.dumps(hello))
            await upstream.send(json.dumps(subscription))
        except ConnectionClosed:
            raise Lost from None


async def next_text(upstream: ClientConnection) -> str:
    """Return the gateway's next message.

    Raises:
        Lost: there is none.
    """
    try:
        return await upstream.recv(decode=True)
    except ConnectionClosed:
        raise Lost from None


def auth_key(first: str | bytes) -> str | None:
    """Return the key in a viewer's first message; None if it is an object, but not an `auth` with a key.

    Raises:
        Crashed: "the first message is binary, is not JSON, is an array, or has a key that is not a string".
    """
    if isinstance(first, bytes):
        raise Crashed("a binary message")
    try:
        message: Any = json.loads(first)
    except (ValueError, RecursionError):
        raise Crashed("not JSON") from None
    if not isinstance(message, dict):
        raise Crashed("not an object")
    if message.get("type") != "auth" or "api_key" not in message:
        return None
    if not isinstance(key := message["api_key"], str):
        raise Crashed("a key that is not a string")
    return key
