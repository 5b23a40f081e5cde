"""A conversation that is heard from the side: bytes of both directions in, entries out, keys taken out."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import define, evolve, field

from plexwire_conformance.program.monitor import FIRST_MESSAGES
from plexwire_conformance.recording.recorder import (
    Entry,
    Kind,
    RecordedConversation,
    Way,
    WireRecorder,
)
from plexwire_conformance.wire.framing import (
    BadFraming,
    FrameReader,
    HandshakeResponse,
    Opcode,
    WireFrame,
    parse_close,
    parse_response,
)
from plexwire_conformance.wire.served_peer import HandshakeRequest, parse_request
from plexwire_spec import Party

_STREAM: Final = re.compile(r"/v1/sources/([^/]+)/video/stream$")
_DEVICE: Final = "/ws/device"


def role_at(target: str) -> tuple[Party | None, str]:
    """Return who connects at the address *target*, and to which source; None for what is no address of the protocol."""
    path = urlsplit(target).path
    if path.endswith(_DEVICE):
        return Party.DEVICE, ""
    if found := _STREAM.search(path):
        return Party.VIEWER, unquote(found[1])
    return None, ""


@define(eq=False)
class Heard:
    """One connection; `conversation` says who it is, as far as that is known by now.

    In its entries SENT is what the client said, and RECEIVED what the gateway said, as where the suite is the client.
    """

    name: str
    conversation: RecordedConversation = field(init=False)
    role: Party | None = field(default=None, init=False)
    request: HandshakeRequest | None = field(default=None, init=False)
    response: HandshakeResponse | None = field(default=None, init=False)
    #: The keys that it used, which no report may show.
    keys: tuple[str, ...] = field(default=(), init=False)
    _recorder: WireRecorder = field(init=False)
    _head: bytes = field(default=b"", init=False)
    _answer: bytes = field(default=b"", init=False)
    _from_client: FrameReader = field(factory=lambda: FrameReader(masked=True), init=False)
    _from_gateway: FrameReader = field(factory=FrameReader, init=False)
    _broken: set[Way] = field(factory=set[Way], init=False)

    def __attrs_post_init__(self) -> None:
        self._recorder = WireRecorder(self.name, ())
        self.conversation = RecordedConversation(
            name=self.name, role="", source_id="", cameras=(), organisation="home", entries=()
        )

    # ── from bytes ───────────────────────────────────────────────────────────────────────────

    def hear_client(self, data: bytes, at: float) -> Iterator[Entry]:
        """Take bytes that the client sent; yield the entries that they complete."""
        if self.request is None:
            self._head += data
            if b"\r\n\r\n" not in self._head or Way.SENT in self._broken:
                return
            try:
                request = parse_request(self._head)
            except ValueError:
                # A page, or a health check: it is relayed, and nobody's to judge.
                self._broken |= {Way.SENT, Way.RECEIVED}
                return
            yield self.open(request, at)
            data = request.rest
        yield from self._frames(Way.SENT, self._from_client, data, at)

    def hear_gateway(self, data: bytes, at: float) -> Iterator[Entry]:
        """Take bytes that the gateway sent; yield the entries that they complete."""
        if self.response is None:
            if Way.RECEIVED in self._broken:
                return
            self._answer += data
            try:
                self.response = parse_response(self._answer)
            except BadFraming as error:
                self._broken.add(Way.RECEIVED)
                yield self._recorder.event(at, Way.RECEIVED, Kind.GARBAGE, str(error))
                return
            if self.response is None:
                return
            status = f"HTTP {self.response.status}"
            yield self._recorder.event(at, Way.RECEIVED, Kind.HANDSHAKE, status)
            data = self.response.rest
        yield from self._frames(Way.RECEIVED, self._from_gateway, data, at)

    def end(self, way: Way, at: float, *, is_reset: bool = False) -> Entry:
        """Note that one side ended TCP."""
        return self._recorder.event(at, way, Kind.RESET if is_reset else Kind.EOF)

    def _frames(self, way: Way, reader: FrameReader, data: bytes, at: float) -> Iterator[Entry]:
        is_open = self.response is None or self.response.status == 101
        if way in self._broken or not is_open:
            return
        try:
            for frame in reader.feed(data):
                yield self._entry(way, frame, at)
        except BadFraming as error:
            # What follows can't be told from noise.
            self._broken.add(way)
            yield self._recorder.event(at, way, Kind.GARBAGE, str(error))

    def _entry(self, way: Way, frame: WireFrame, at: float) -> Entry:
        match frame.opcode:
            case Opcode.TEXT:
                return self.text(way, frame.text(), at)
            case Opcode.BINARY:
                return self.binary(way, frame.payload, at)
            case Opcode.PING | Opcode.PONG:
                kind = Kind.PING if frame.opcode is Opcode.PING else Kind.PONG
                return self._recorder.event(at, way, kind, frame.payload.hex())
            case Opcode.CLOSE:
                code, reason = parse_close(frame.payload)
                return self._recorder.event(at, way, Kind.CLOSE, reason, code=code)
            case _:
                raise BadFraming("a continuation without a beginning")

    # ── from messages ────────────────────────────────────────────────────────────────────────

    def open(self, request: HandshakeRequest, at: float) -> Entry:
        """Take the request of the handshake."""
        self.request = request
        self.role, source_id = role_at(request.target)
        self.conversation = evolve(
            self.conversation,
            role="" if self.role is None else str(self.role),
            source_id=source_id,
            cameras=request.cameras if self.role is Party.VIEWER else (),
        )
        return self._recorder.event(at, Way.SENT, Kind.HANDSHAKE, f"GET {request.target}")

    def text(self, way: Way, text: str, at: float) -> Entry:
        """Take a text message; of a first message, learn the key and the source."""
        if way is Way.SENT and not self.keys:
            self._learn(text)
        return self._recorder.text(at, way, text)

    def binary(self, way: Way, data: bytes, at: float) -> Entry:
        """Take a binary message."""
        return self._recorder.binary(at, way, data)

    def _learn(self, text: str) -> None:
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(body, dict) or body.get("type") not in FIRST_MESSAGES.values():
            return
        key, source_id = body.get("api_key"), body.get("source_id")
        if isinstance(key, str) and key:
            self.keys = (key,)
            self._recorder.keep_out(key)
        if self.role is Party.DEVICE and isinstance(source_id, str):
            self.conversation = evolve(self.conversation, source_id=source_id)

    def recorded(self, entries: Iterable[Entry]) -> RecordedConversation:
        """Return the conversation with *entries*."""
        return evolve(self.conversation, entries=tuple(entries))
