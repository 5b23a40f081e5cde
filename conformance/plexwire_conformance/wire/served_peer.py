"""A connection of a program under judgement: here we play the gateway, which may be as unusual as a case wants."""

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import trio
from attrs import define, field, frozen

from plexwire_conformance.recording.recorder import Kind, Way
from plexwire_conformance.wire.framing import HandshakeResponse, accept_of
from plexwire_conformance.wire.peer import HandshakeFailed, RawPeer

_CHUNK: Final = 65536
_LONGEST_HEAD: Final = 65536


@frozen
class HandshakeRequest:
    """The request of an opening handshake: its target, its headers by lower-case name, what came behind the head."""

    target: str
    headers: dict[str, str]
    rest: bytes = b""

    @property
    def path(self) -> str:
        """The path, its escapes resolved."""
        return unquote(urlsplit(self.target).path)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that a viewer asks for; the one camera `default` where it names none.  [PW-ADDR-3]"""
        asked = parse_qs(urlsplit(self.target).query, keep_blank_values=True).get("camera_id", [])
        return tuple(dict.fromkeys(asked)) or ("default",)


@define(eq=False)
class ServedPeer(RawPeer):
    """One connection of a program, recorded from the gateway's side; it is made with `mask=None`."""

    request: HandshakeRequest = field(default=HandshakeRequest("", {}), init=False)
    _decided: trio.Event = field(factory=trio.Event, init=False)

    async def take_request(self) -> HandshakeRequest:
        """Read the request of the opening handshake.

        Raises:
            HandshakeFailed: what came is no such request.
        """
        try:
            data = await read_head(self._stream)
        except trio.BrokenResourceError:
            raise HandshakeFailed(
                "it reset the connection before its handshake was whole"
            ) from None
        except trio.ClosedResourceError:
            # The play was over before it said anything: browsers open connections in advance.
            raise HandshakeFailed("it opened a connection and asked for nothing") from None
        if not data:
            raise HandshakeFailed("it ended the connection before its handshake was whole")
        try:
            self.request = parse_request(data)
        except ValueError as error:
            raise HandshakeFailed(str(error)) from None
        self._note(Way.RECEIVED, Kind.HANDSHAKE, f"GET {self.request.target}")
        return self.request

    async def serve(self) -> None:
        """Wait until somebody decides what becomes of the handshake; if it is a WebSocket then, read it to its end."""
        await self._decided.wait()
        if self.response is not None:
            await self.run()

    async def upgrade(self) -> None:
        """Answer the handshake with 101, and be a WebSocket from then on."""
        key = self.request.headers.get("sec-websocket-key", "")
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n"
        )
        self.upgraded_at = self.now()
        self.response = HandshakeResponse(101, {}, self.request.rest)
        self._note(Way.SENT, Kind.HANDSHAKE, "HTTP 101")
        await self._deliver_to_gateway(head.encode())
        self._decided.set()

    async def refuse(self, status: int) -> None:
        """Answer the handshake with an HTTP error, and end the connection."""
        self._note(Way.SENT, Kind.HANDSHAKE, f"HTTP {status}")
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        await self._deliver_to_gateway(head.encode())
        await self.abandon()

    async def abandon(self) -> None:
        """End the connection without a word, whatever state it is in."""
        self._decided.set()
        await trio.aclose_forcefully(self._stream)


async def read_head(stream: trio.abc.Stream) -> bytes:
    """Return the head of a request with what came behind it; empty if it did not come whole."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = bytes(await stream.receive_some(_CHUNK))
        if not chunk or len(head) > _LONGEST_HEAD:
            return b""
        head += chunk
    return head


def parse_request(data: bytes) -> HandshakeRequest:
    """Return the request of a handshake whose head is in *data*, whole.

    Raises:
        ValueError: it asks for something else than a WebSocket.
    """
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, target = first.partition(" ")
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    if method != "GET" or headers.get("upgrade", "").lower() != "websocket":
        raise ValueError(f"it asked for {first[:80]!r} without `Upgrade: websocket`")
    return HandshakeRequest(target.rpartition(" ")[0], headers, rest)
