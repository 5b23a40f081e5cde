"""Faults in RFC 6455 itself."""

import re
from typing import ClassVar

import trio

from plexwire_conformance.faults._fault import fault
from plexwire_conformance.faults._wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ClientFrame,
    FrameWire,
    Wire,
    encode_frame,
    payload_of,
)

# ── control frames ───────────────────────────────────────────────────────────────────────────


@fault("conn.no-pong", "PW-CONN-1")
class NoPong(Wire):
    """Answers no ping."""

    def says(self, opcode: int, frame: bytes) -> bytes:
        return b"" if opcode == PONG else frame


@fault("conn.empty-pong", "PW-CONN-1")
class EmptyPong(Wire):
    """Answers pings without their payload."""

    def says(self, opcode: int, frame: bytes) -> bytes:
        return b"\x8a\x00" if opcode == PONG else frame


@fault("conn.pong-after-auth", "PW-CONN-1")
class PongAfterAuth(Wire):
    """Answers pings once it has said something itself."""

    _spoken = False

    def says(self, opcode: int, frame: bytes) -> bytes:
        self._spoken = self._spoken or opcode == TEXT
        return b"" if opcode == PONG and not self._spoken else frame


@fault("conn.close-unanswered", "PW-CONN-3")
class CloseUnanswered(FrameWire):
    """Hangs up when it gets a close."""

    _closed = False

    def hears_frame(self, frame: ClientFrame) -> bytes:
        self._closed = self._closed or frame.opcode == CLOSE
        return super().hears_frame(frame)

    def says(self, opcode: int, frame: bytes) -> bytes:
        if opcode == CLOSE and self._closed:
            raise trio.BrokenResourceError
        return frame


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@fault("conn.first-fragment-only", "PW-CONN-2")
class FirstFragmentOnly(FrameWire):
    """Takes the first fragment for the whole message."""

    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode == CONTINUATION:
            return b""
        return ClientFrame(frame.opcode, True, frame.payload).encode()


@fault("conn.fragments-lost-to-pings", "PW-CONN-2")
class FragmentsLostToPings(FrameWire):
    """Forgets the beginning of a message when a ping comes in between."""

    _begun: ClientFrame | None = None

    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode in (TEXT, BINARY) and not frame.fin:
            self._begun = frame
            return b""
        if frame.opcode == PING and self._begun is not None:
            self._begun = ClientFrame(self._begun.opcode, False, b"")
        if frame.opcode != CONTINUATION or self._begun is None:
            return super().hears_frame(frame)
        joined = self._begun.payload + frame.payload
        begun = ClientFrame(self._begun.opcode, frame.fin, joined)
        self._begun = None if frame.fin else begun
        return begun.encode() if frame.fin else b""


@fault("conn.not-utf8-tolerated", "PW-CONN-5")
class NotUtf8Tolerated(FrameWire):
    """Puts a question mark where text is not UTF-8."""

    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode == TEXT and frame.fin:
            text = frame.payload.decode("utf-8", "replace").replace(
                "\N{REPLACEMENT CHARACTER}", "?"
            )
            return ClientFrame(TEXT, True, text.encode()).encode()
        return super().hears_frame(frame)


@fault("conn.latin-1", "PW-CONN-6")
class Latin1(Wire):
    """Writes text as Latin-1."""

    def says(self, opcode: int, frame: bytes) -> bytes:
        if opcode != TEXT or rb"\u00" not in frame:
            return frame
        return encode_frame(TEXT, re.sub(rb"\\u00(..)", _byte, payload_of(frame)))


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escape[1].decode())


# ── the handshake, and what frames look like ─────────────────────────────────────────────────


class _Adding(Wire):
    """Adds a header to the answer."""

    header: ClassVar[bytes]

    def answer(self, head: bytes) -> bytes:
        return head.replace(b"\r\n", b"\r\n" + self.header + b"\r\n", 1)


@fault("conn.unoffered-extension", "PW-CONN-4")
class UnofferedExtension(_Adding):
    """Accepts compression that nobody offered."""

    header = b"Sec-WebSocket-Extensions: permessage-deflate"


@fault("conn.unoffered-subprotocol", "PW-CONN-4")
class UnofferedSubprotocol(_Adding):
    """Chooses a subprotocol that nobody offered."""

    header = b"Sec-WebSocket-Protocol: video.v1"


@fault("conn.wrong-accept", "PW-CONN-6")
class WrongAccept(Wire):
    """Answers every handshake by the same Sec-WebSocket-Accept."""

    def answer(self, head: bytes) -> bytes:
        accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        return re.sub(rb"(?i)sec-websocket-accept: *[^\r]*", accept, head)


@fault("conn.masked", "PW-CONN-6")
class Masked(Wire):
    """Masks its frames as clients do."""

    def says(self, opcode: int, frame: bytes) -> bytes:
        return ClientFrame(opcode, True, payload_of(frame)).encode()


@fault("conn.reserved-bit", "PW-CONN-6")
class ReservedBit(Wire):
    """Sets the bit of compression on frames, without compressing them."""

    def says(self, opcode: int, frame: bytes) -> bytes:
        return bytes((frame[0] | 0x40,)) + frame[1:] if opcode == TEXT else frame
