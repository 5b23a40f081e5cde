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


@fault("conn.no-pong", "Answers no ping.", "PW-CONN-1")
class NoPong(Wire):
    def says(self, opcode: int, frame: bytes) -> bytes:
        return b"" if opcode == PONG else frame


@fault("conn.empty-pong", "Answers pings without their payload.", "PW-CONN-1")
class EmptyPong(Wire):
    def says(self, opcode: int, frame: bytes) -> bytes:
        return b"\x8a\x00" if opcode == PONG else frame


@fault("conn.pong-after-auth", "Answers pings once it has said something itself.", "PW-CONN-1")
class PongAfterAuth(Wire):
    _spoken = False

    def says(self, opcode: int, frame: bytes) -> bytes:
        self._spoken = self._spoken or opcode == TEXT
        return b"" if opcode == PONG and not self._spoken else frame


@fault("conn.close-unanswered", "Hangs up when it gets a close.", "PW-CONN-3")
class CloseUnanswered(FrameWire):
    _closed = False

    def hears_frame(self, frame: ClientFrame) -> bytes:
        self._closed = self._closed or frame.opcode == CLOSE
        return super().hears_frame(frame)

    def says(self, opcode: int, frame: bytes) -> bytes:
        if opcode == CLOSE and self._closed:
            raise trio.BrokenResourceError
        return frame


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@fault("conn.first-fragment-only", "Takes the first fragment for the whole message.", "PW-CONN-2")
class FirstFragmentOnly(FrameWire):
    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode == CONTINUATION:
            return b""
        return ClientFrame(frame.opcode, True, frame.payload).encode()


@fault(
    "conn.fragments-lost-to-pings",
    "Forgets the beginning of a message when a ping comes in between.",
    "PW-CONN-2",
)
class FragmentsLostToPings(FrameWire):
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


@fault("conn.not-utf8-tolerated", "Puts a question mark where text is not UTF-8.", "PW-CONN-5")
class NotUtf8Tolerated(FrameWire):
    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode == TEXT and frame.fin:
            text = frame.payload.decode("utf-8", "replace").replace(
                "\N{REPLACEMENT CHARACTER}", "?"
            )
            return ClientFrame(TEXT, True, text.encode()).encode()
        return super().hears_frame(frame)


@fault("conn.latin-1", "Writes text as Latin-1.", "PW-CONN-6")
class Latin1(Wire):
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


@fault("conn.unoffered-extension", "Accepts compression that nobody offered.", "PW-CONN-4")
class UnofferedExtension(_Adding):
    header = b"Sec-WebSocket-Extensions: permessage-deflate"


@fault("conn.unoffered-subprotocol", "Chooses a subprotocol that nobody offered.", "PW-CONN-4")
class UnofferedSubprotocol(_Adding):
    header = b"Sec-WebSocket-Protocol: video.v1"


@fault(
    "conn.wrong-accept", "Answers every handshake by the same Sec-WebSocket-Accept.", "PW-CONN-6"
)
class WrongAccept(Wire):
    def answer(self, head: bytes) -> bytes:
        accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        return re.sub(rb"(?i)sec-websocket-accept: *[^\r]*", accept, head)


@fault("conn.masked", "Masks its frames as clients do.", "PW-CONN-6")
class Masked(Wire):
    def says(self, opcode: int, frame: bytes) -> bytes:
        return ClientFrame(opcode, True, payload_of(frame)).encode()


@fault(
    "conn.reserved-bit",
    "Sets the bit of compression on frames, without compressing them.",
    "PW-CONN-6",
)
class ReservedBit(Wire):
    def says(self, opcode: int, frame: bytes) -> bytes:
        return bytes((frame[0] | 0x40,)) + frame[1:] if opcode == TEXT else frame
