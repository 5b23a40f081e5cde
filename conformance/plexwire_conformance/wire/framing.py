"""RFC 6455 as the judge sees it: frames and the opening handshake, from the RFC alone.

The gateways that are judged stand on WebSocket libraries; a judge that stood on the same one would share its bugs.
Everything here is sans-IO, and the sender may be as rude as a case wants.
"""

import base64
import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final

from attrs import define, field, frozen


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class BadFraming(Exception):
    """The other side sent what is no WebSocket."""


@frozen
class WireFrame:
    """One frame as it came."""

    opcode: Opcode
    payload: bytes
    fin: bool = True

    def text(self) -> str:
        """Return the payload of a text message.

        Raises:
            BadFraming: it is not UTF-8.
        """
        try:
            return self.payload.decode()
        except UnicodeDecodeError:
            raise BadFraming("a text message is not UTF-8") from None


# ── sending ──────────────────────────────────────────────────────────────────────────────────

#: A fixed mask: its purpose is to protect proxies from scripts, and there is none of either here.
MASK: Final = b"\x37\xfa\x21\x3d"


def encode_frame(
    opcode: int, payload: bytes, *, fin: bool = True, mask: bytes | None = MASK, rsv: int = 0
) -> bytes:
    """Return one frame of a client; `mask=None` and `rsv` make it a wrong one."""
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", first, masked | size)
    elif size < 2**16:
        head = struct.pack(">BBH", first, masked | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked | 127, size)
    return head + mask + _masked(payload, mask) if mask else head + payload


def encode_message(
    payload: str | bytes, *, cuts: Sequence[int] = (), mask: bytes | None = MASK
) -> list[bytes]:
    """Return a text or binary message as frames, cut at the byte positions *cuts*; `mask=None` makes a gateway's."""
    opcode = Opcode.TEXT if isinstance(payload, str) else Opcode.BINARY
    data = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    last = len(pieces) - 1
    return [
        encode_frame(
            opcode if index == 0 else Opcode.CONTINUATION, piece, fin=index == last, mask=mask
        )
        for index, piece in enumerate(pieces)
    ]


def encode_close(code: int | None = 1000, reason: str = "", *, mask: bytes | None = MASK) -> bytes:
    """Return a close frame; without *code* an empty one."""
    payload = b"" if code is None else struct.pack(">H", code) + reason.encode()
    return encode_frame(Opcode.CLOSE, payload, mask=mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    pad = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


# ── receiving ────────────────────────────────────────────────────────────────────────────────


@define
class FrameReader:
    """Bytes in, frames out; fragments are joined, so TEXT and BINARY frames are whole messages.

    Frames of a gateway are plain, those of a client `masked`.
    """

    masked: bool = False
    _buffer: bytearray = field(factory=bytearray, init=False)
    _message: list[WireFrame] = field(factory=list[WireFrame], init=False)

    def feed(self, data: bytes) -> Iterable[WireFrame]:
        """Take *data* and give the messages and control frames that it completes.

        Raises:
            BadFraming: it is no WebSocket; what came before was given already.
        """
        self._buffer += data
        while (frame := self._next()) is not None:
            if frame.opcode >= Opcode.CLOSE:
                yield frame
            elif (message := self._join(frame)) is not None:
                yield message

    def _next(self) -> WireFrame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise BadFraming("a reserved bit is set, and no extension was agreed on")
        if bool(second & 0x80) is not self.masked:
            raise BadFraming(
                "a frame is not masked" if self.masked else "a frame from the gateway is masked"
            )
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise BadFraming(f"opcode {first & 0x0F:#x} does not exist") from None
        size, start = second & 0x7F, 2
        if opcode >= Opcode.CLOSE and (size > 125 or not first & 0x80):
            raise BadFraming("a control frame is fragmented or over 125 bytes")
        if size == 126:
            size, start = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10], "big"), 10
        body = start + (len(MASK) if self.masked else 0)
        if len(buffer) < body or len(buffer) < body + size:
            return None
        payload = bytes(buffer[body : body + size])
        if self.masked:
            payload = _masked(payload, bytes(buffer[start:body]))
        del buffer[: body + size]
        return WireFrame(opcode, payload, bool(first & 0x80))

    def _join(self, frame: WireFrame) -> WireFrame | None:
        if (frame.opcode is Opcode.CONTINUATION) is not bool(self._message):
            raise BadFraming("fragments of a message are out of order")
        self._message.append(frame)
        if not frame.fin:
            return None
        whole = WireFrame(self._message[0].opcode, b"".join(f.payload for f in self._message))
        self._message.clear()
        return whole


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """Return code and reason of a close frame's *payload*; no code where it has none."""
    if len(payload) < 2:
        return None, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")


# ── the opening handshake ────────────────────────────────────────────────────────────────────

KEY: Final = base64.b64encode(b"plexwire conform").decode()
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key: str) -> str:
    """Return the `Sec-WebSocket-Accept` that answers *key*."""
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()


ACCEPT: Final = accept_of(KEY)


def handshake_request(target: str, host: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the request of an opening handshake."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


@frozen
class HandshakeResponse:
    """The response to an opening handshake: status, headers by lower-case name, what came behind the head."""

    status: int
    headers: dict[str, str]
    rest: bytes
    #: Whether its lines end with LF instead of CRLF.
    has_bare_lines: bool = False
    #: Its first line that is no header, if there is one.
    no_header: str = ""

    @property
    def leads_to(self) -> str:
        """Where a redirect leads; empty for any other response."""
        location = self.headers.get("location", "") if self.status // 100 == 3 else ""
        return "".join(filter(str.isprintable, location))

    @property
    def body(self) -> str:
        """The beginning of what came after the head, as one line of text."""
        return " ".join(self.rest[:200].decode("utf-8", "replace").split())

    def problem(self) -> str | None:
        """What is wrong with a 101, or None."""
        if self.has_bare_lines:
            return "the lines of the answer to the handshake end with LF instead of CRLF"
        if self.no_header:
            return (
                f"the answer to the handshake has the line {self.no_header!r}, which is no header"
            )
        if self.headers.get("sec-websocket-accept") != ACCEPT:
            return "Sec-WebSocket-Accept is missing or wrong"
        if self.headers.get("upgrade", "").lower() != "websocket":
            return "Upgrade is not `websocket`"
        connection = self.headers.get("connection", "").lower().split(",")
        if "upgrade" not in map(str.strip, connection):
            return "Connection does not say `Upgrade`"
        return None


#: A name, which is a token, and a colon right after it (RFC 9110 section 5.1); old servers fold long lines.
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:|[ \t]")
_STATUS: Final = re.compile(r"HTTP/1\.[0-9] ([0-9]{3})(?: |$)")


def parse_response(data: bytes) -> HandshakeResponse | None:
    """Return the response in *data*, or None while its head is incomplete.

    Raises:
        BadFraming: it is no HTTP.
    """
    if not data.startswith(b"HTTP/1."[: len(data)]):
        raise BadFraming(f"the handshake was answered by {data[:40]!r}, not by HTTP")
    head, end, rest = data.partition(b"\r\n\r\n")
    has_bare_lines = b"\n\n" in (head if end else data)
    if has_bare_lines:
        head, end, rest = data.partition(b"\n\n")
    if not end:
        if len(data) > 65536:
            raise BadFraming("the head of the answer does not end within 64 KiB")
        return None
    first, *lines = head.decode("latin-1").split("\n" if has_bare_lines else "\r\n")
    status = _STATUS.match(first.rstrip("\r"))
    if status is None:
        raise BadFraming(f"the status line is {first[:60]!r}")
    no_header = next((line for line in lines if _HEADER.match(line) is None), "")
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    return HandshakeResponse(int(status[1]), headers, rest, has_bare_lines, no_header[:60])
