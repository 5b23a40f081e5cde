"""A raw peer: one connection, played frame by frame and recorded; a client's, unless it is told to be a gateway's.

It reads always, unless told to stall; answers pings unless told not to; and never judges.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

import trio
from attrs import define, field, frozen

from plexwire_conformance.recording.recorder import Entry, Kind, Way, WireRecorder
from plexwire_conformance.wire.framing import (
    MASK,
    BadFraming,
    FrameReader,
    HandshakeResponse,
    Opcode,
    WireFrame,
    encode_close,
    encode_frame,
    encode_message,
    handshake_request,
    parse_close,
    parse_response,
)

_CHUNK = 65536
#: Seconds so few that no clock of virtual time moves by them.
_NO_TIME = 1e-9

#: Bytes of the User-Agent by which operators recognise the suite in their logs.
USER_AGENT = ("User-Agent", "plexwire-conform")


class ClosingKind(StrEnum):
    """How a connection ended, judged apart from the code."""

    #: It has not ended.
    OPEN = "still open"
    CLOSE_FRAME = "a close frame"
    TCP_EOF = "the end of TCP without a close frame"
    TCP_RESET = "a TCP reset"
    GARBAGE = "bytes that are no WebSocket"


_ENDINGS = {
    Kind.CLOSE: ClosingKind.CLOSE_FRAME,
    Kind.EOF: ClosingKind.TCP_EOF,
    Kind.RESET: ClosingKind.TCP_RESET,
    Kind.GARBAGE: ClosingKind.GARBAGE,
}


@frozen
class Ending:
    """How and when (seconds) a connection ended; `code` and `reason` are those of the close frame, if there was one."""

    kind: ClosingKind
    code: int | None
    at: float
    reason: str = ""

    def __str__(self) -> str:
        if self.kind is not ClosingKind.CLOSE_FRAME:
            return self.kind.value
        return "a close without a code" if self.code is None else f"close {self.code}"


class HandshakeFailed(Exception):
    """The gateway did not upgrade; `response` is its HTTP response, if it gave one."""

    def __init__(
        self, problem: str, response: HandshakeResponse | None = None, *, is_lost: bool = False
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.response = response
        #: Whether the connection ended before there was any answer.
        self.is_lost = is_lost

    @property
    def status(self) -> int | None:
        """The HTTP status of the response, if there was one."""
        return None if self.response is None else self.response.status

    @property
    def in_short(self) -> str:
        """The status of the response, or what went wrong without one."""
        return self.problem if self.status in (None, 101) else f"HTTP {self.status}"

    @property
    def refusal(self) -> dict[str, Any]:
        """What became of the handshake, as a finding holds it."""
        body = "" if self.response is None else self.response.body
        return {"problem": self.problem, "status": self.status, "body": body}


class NoConnection(Exception):
    """There was no connection to judge: nothing listens, no such name, TLS failed, no room, no file descriptors."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        #: What to do about it, in a sentence, if that is known.
        self.remedy = remedy


@define(eq=False)
class RawPeer:
    """One connection; `run` must run in a nursery from the handshake to the end."""

    _stream: trio.abc.Stream
    _recorder: WireRecorder
    _clock: Callable[[], float]
    #: Seconds to allow on top to whoever waits since then, as the gateway is slow to answer anything.
    slack: Callable[[float], float] = lambda since: 0.0
    #: Called with everything that the gateway says.
    heard: Callable[[], None] = lambda: None
    #: What its frames are masked with; a gateway masks none.
    _mask: bytes | None = MASK
    opened_at: float = field(init=False)
    #: When the response to the handshake had come, in seconds.
    upgraded_at: float = field(default=0.0, init=False)
    response: HandshakeResponse | None = field(default=None, init=False)
    ending: Ending | None = field(default=None, init=False)
    answers_pings: bool = field(default=True, init=False)
    answers_closes: bool = field(default=True, init=False)
    #: Whether the gateway is about to close it: however it ends then, the network is not to blame.
    end_is_due: bool = field(default=False, init=False)
    #: Whether TCP is left for the gateway to end once a close frame has gone each way, and whether it did.
    lingers: bool = field(default=False, init=False)
    has_tcp_ended: bool = field(default=False, init=False)
    _inbox: deque[Entry] = field(factory=deque[Entry], init=False)
    _arrived: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _reading: trio.Event = field(factory=trio.Event, init=False)
    _receiving: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _frames: FrameReader = field(init=False)
    _sending: trio.StrictFIFOLock = field(factory=trio.StrictFIFOLock, init=False)
    _closed_by_us: bool = field(default=False, init=False)
    _vanished: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.opened_at = self._clock()
        self._frames = FrameReader(masked=self._mask is None)
        self._reading.set()

    @property
    def name(self) -> str:
        """What the timeline calls this connection."""
        return self._recorder.peer

    @property
    def is_open(self) -> bool:
        """Whether it was upgraded and has not ended."""
        response = self.response
        return response is not None and response.status == 101 and self.ending is None

    @property
    def state(self) -> str:
        """Whether it is still open, or how it ended, for people."""
        return ClosingKind.OPEN.value if self.ending is None else str(self.ending)

    def outcome(self, since: float | None = None) -> dict[str, Any]:
        """Return what became of the connection, as a finding holds it; `after` is seconds from *since*, or from connecting."""
        began = self.opened_at if since is None else since
        ending = self.ending
        at = self._clock() if ending is None else ending.at
        outcome: dict[str, Any] = {
            "how": "open" if ending is None else ending.kind.name.lower().replace("_", "-"),
            "connection": self.name,
            "after": round(max(0.0, at - began), 3),
        }
        if ending is not None and ending.kind is ClosingKind.CLOSE_FRAME:
            outcome |= {"code": ending.code, "reason": ending.reason}
        return outcome

    @property
    def was_used(self) -> bool:
        """Whether the gateway accepted who we are here: it sent an `init` or an `authenticated`."""
        accepted = ("init", "authenticated")
        return any(e.way is Way.RECEIVED and e.type in accepted for e in self._recorder.entries)

    @property
    def may_be_served(self) -> bool:
        """Whether the gateway may serve it although we left: something was sent here, and the gateway did not close it.

        An `init` that we did not wait for, or that the network lost, may have been sent all the same.
        """
        closed_by_gateway = (
            self.ending is not None
            and self.ending.kind is ClosingKind.CLOSE_FRAME
            and not self._closed_by_us
        )
        messages = (Kind.TEXT, Kind.BINARY, Kind.RAW)
        asked = any(e.way is Way.SENT and e.kind in messages for e in self._recorder.entries)
        return asked and not closed_by_gateway

    @property
    def is_broken(self) -> bool:
        """Whether the connection ended without a close frame, and not by us."""
        abrupt = (ClosingKind.TCP_EOF, ClosingKind.TCP_RESET)
        ended_by_us = self._closed_by_us or self._vanished
        return not ended_by_us and self.ending is not None and self.ending.kind in abrupt

    @property
    def is_closing(self) -> bool:
        """Whether we sent a close that is not answered yet."""
        return self._closed_by_us and self.ending is None

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was recorded so far."""
        return tuple(self._recorder.entries)

    # ── the opening handshake ────────────────────────────────────────────────────────────────

    async def handshake(
        self,
        target: str,
        host: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        pipelined: bytes = b"",
        request: bytes = b"",
    ) -> None:
        """Upgrade; *pipelined* goes out in the same write as the request, and *request* in place of our own.

        Raises:
            HandshakeFailed: no response, no HTTP, or another status than 101.
        """
        request = request or handshake_request(target, host, (USER_AGENT, *headers))
        self._note(Way.SENT, Kind.HANDSHAKE, f"GET {target}")
        if pipelined:
            self._note(Way.SENT, Kind.RAW, "auth, in the same write", size=len(pipelined))
        data = b""
        try:
            await self._stream.send_all(request + pipelined)
            while (response := parse_response(data)) is None:
                chunk = bytes(await self._stream.receive_some(_CHUNK))
                if not chunk:
                    self._note(Way.RECEIVED, Kind.EOF)
                    problem = "the connection was closed before the handshake was answered"
                    raise HandshakeFailed(problem, is_lost=True)
                data += chunk
        except BadFraming as error:
            self._note(Way.RECEIVED, Kind.GARBAGE, str(error))
            raise HandshakeFailed(str(error)) from None
        except trio.BrokenResourceError:
            self._note(Way.RECEIVED, Kind.RESET)
            problem = "the connection was reset before the handshake was answered"
            raise HandshakeFailed(problem, is_lost=True) from None
        self.upgraded_at = self._clock()
        self.response = response
        self._note(Way.RECEIVED, Kind.HANDSHAKE, f"HTTP {response.status}")
        if response.status != 101:
            said = (
                f", a redirect to {response.leads_to}" if response.leads_to else f" {response.body}"
            )
            raise HandshakeFailed(f"HTTP {response.status}{said}".strip(), response)
        if (flaw := response.problem()) is not None:
            raise HandshakeFailed(flaw, response)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Read until the connection ends; then close our side."""
        try:
            if self.response is not None:
                await self._take(self.response.rest)
            while self.ending is None:
                await self._reading.wait()
                with trio.CancelScope() as self._receiving:
                    chunk = bytes(await self._stream.receive_some(_CHUNK))
                    await self._take(chunk, at_end=not chunk)
            await self._linger()
        except trio.BrokenResourceError:
            self._end(Kind.RESET)
        except BadFraming as error:
            self._end(Kind.GARBAGE, str(error))
        except trio.ClosedResourceError:
            self._end(Kind.EOF, "closed by us")
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _linger(self) -> None:
        if not self.lingers or self.ending is None:
            return
        if self.ending.kind is ClosingKind.CLOSE_FRAME:
            with suppress(trio.BrokenResourceError):
                while await self._stream.receive_some(_CHUNK):
                    pass
            self._note(Way.RECEIVED, Kind.EOF)
        self.has_tcp_ended = True
        self._arrived.unpark_all()

    def stall(self) -> None:
        """Stop reading: the network fills up, and then the gateway feels it.  Once stalled, a no-op."""
        if self._reading.is_set():
            self._reading = trio.Event()
            self._receiving.cancel()
            self._note(Way.SENT, Kind.NOTE, "stops reading")

    def resume(self) -> None:
        """Read again, after a stall."""
        if not self._reading.is_set():
            self._note(Way.SENT, Kind.NOTE, "reads again")
            self._reading.set()

    async def _take(self, chunk: bytes, *, at_end: bool = False) -> None:
        for frame in self._frames.feed(chunk):
            self.heard()
            await self._take_frame(frame)
            if self.ending is not None:
                return
        if at_end:
            self._end(Kind.EOF)

    async def _take_frame(self, frame: WireFrame) -> None:
        now = self._clock()
        match frame.opcode:
            case Opcode.TEXT:
                self._deliver(self._recorder.text(now, Way.RECEIVED, frame.text()))
            case Opcode.BINARY:
                self._deliver(self._recorder.binary(now, Way.RECEIVED, frame.payload))
            case Opcode.PING:
                self._note(Way.RECEIVED, Kind.PING, frame.payload.hex())
                if self.answers_pings:
                    pong = encode_frame(Opcode.PONG, frame.payload, mask=self._mask)
                    await self._send_quietly(pong)
            case Opcode.PONG:
                self._deliver(self._note(Way.RECEIVED, Kind.PONG, frame.payload.hex()))
            case Opcode.CLOSE:
                code, reason = parse_close(frame.payload)
                self._end(Kind.CLOSE, reason, code)
                if self.answers_closes and not self._closed_by_us:
                    await self._send_quietly(encode_close(code, mask=self._mask))
            case _:
                raise BadFraming("a continuation without a beginning")

    async def _send_quietly(self, data: bytes) -> None:
        # A pong or the echo of a close is a courtesy; its failure is no finding.
        with trio.move_on_after(1):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._write(data)

    def _end(self, kind: Kind, text: str = "", code: int | None = None) -> None:
        if self.ending is None:
            entry = self._note(Way.RECEIVED, kind, text, code=code)
            reason = entry.text if kind is Kind.CLOSE else ""
            self.ending = Ending(_ENDINGS[kind], code, entry.at, reason)
            self._arrived.unpark_all()

    def _deliver(self, entry: Entry) -> None:
        self._inbox.append(entry)
        self._arrived.unpark_all()

    # ── what cases wait for ──────────────────────────────────────────────────────────────────

    async def next(self, within: float) -> Entry | None:
        """Return the next message or pong; None on silence for *within* seconds, or at the end."""
        began = self._clock()
        while not self._inbox and self.ending is None and await self._arrival(began, within):
            pass
        return self._inbox.popleft() if self._inbox else None

    async def until(self, wanted: Callable[[Entry], bool], within: float) -> Entry | None:
        """Return the next entry that is *wanted*, passing over others; None if it did not come."""
        began = self._clock()
        while True:
            while self._inbox:
                if wanted(entry := self._inbox.popleft()):
                    return entry
            if self.ending is not None or not await self._arrival(began, within):
                return None

    async def until_ended(self, within: float, *, exactly: bool = False) -> Ending:
        """Return how the connection ended; `ClosingKind.OPEN` if it did not within *within* seconds.

        Where so many are meant *exactly*, a slow gateway is allowed no more.
        """
        began = self._clock()
        while self.ending is None and await self._arrival(began, within, exactly=exactly):
            pass
        return self.ending or Ending(ClosingKind.OPEN, None, self._clock())

    async def until_tcp_ended(self, within: float) -> bool:
        """Return whether the gateway has ended TCP before *within* seconds had passed; for a peer that lingers."""
        began = self._clock()
        while not self.has_tcp_ended and await self._arrival(began, within):
            pass
        return self.has_tcp_ended

    async def state_after(self, within: float) -> str:
        """Return `state` once the connection has ended, or *within* seconds have passed."""
        await self.until_ended(within)
        return self.state

    async def _arrival(self, began: float, within: float, *, exactly: bool = False) -> bool:
        """Wait until something arrives, or the connection ends; whether it did before the time was up."""
        while True:
            slack = 0.0 if exactly else self.slack(began)
            left = began + within + slack - self._clock()
            if left <= _NO_TIME:
                break
            with trio.move_on_after(left):
                await self._arrived.park()
                return True
        await trio.lowlevel.checkpoint()
        return False

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    async def send(self, payload: str | bytes, *, cuts: Sequence[int] = ()) -> float:
        """Send a message, cut into frames at the byte positions *cuts*; return when (seconds) it was written."""
        if isinstance(payload, str):
            entry = self._recorder.text(self._clock(), Way.SENT, payload)
        else:
            entry = self._recorder.binary(self._clock(), Way.SENT, payload)
        await self._deliver_to_gateway(b"".join(self._encoded(payload, cuts)))
        return entry.at

    async def send_together(self, payloads: Sequence[bytes]) -> None:
        """Send several binary messages in one write, so that they arrive in as few segments as they fit."""
        for payload in payloads:
            self._recorder.binary(self._clock(), Way.SENT, payload)
        data = b"".join(part for each in payloads for part in self._encoded(each))
        await self._deliver_to_gateway(data)

    def _encoded(self, payload: str | bytes, cuts: Sequence[int] = ()) -> list[bytes]:
        return encode_message(payload, cuts=cuts, mask=self._mask)

    async def send_raw(self, data: bytes, what: str) -> None:
        """Send bytes as they are; *what* names them in the timeline."""
        self._note(Way.SENT, Kind.RAW, what, size=len(data))
        await self._deliver_to_gateway(data)

    async def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self._note(Way.SENT, Kind.PING, payload.hex())
        await self._deliver_to_gateway(encode_frame(Opcode.PING, payload, mask=self._mask))

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame, once."""
        if self.ending is None and not self._closed_by_us:
            self._closed_by_us = True
            self._note(Way.SENT, Kind.CLOSE, reason, code=code)
            await self._deliver_to_gateway(encode_close(code, reason, mask=self._mask))

    async def vanish(self) -> None:
        """Drop the connection without a word; on TCP with a reset where the system allows it."""
        self._vanished = True
        self._note(Way.SENT, Kind.RESET)
        stream = self._stream
        tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        if isinstance(tcp, trio.SocketStream):
            # Zero linger turns the close into a reset.  The gateway may have been quicker, and the socket closed already.
            linger = struct.pack("ii", 1, 0)
            with suppress(OSError):
                tcp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
        await trio.aclose_forcefully(stream)

    async def half_close(self) -> None:
        """End our side of TCP without a close frame; where TLS has no such thing, drop the connection."""
        self._note(Way.SENT, Kind.EOF)
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            self._vanished = True
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async with self._sending:
                    await self._stream.send_eof()
        else:
            await self.vanish()

    async def _deliver_to_gateway(self, data: bytes) -> None:
        try:
            await self._write(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The reader sees the end as well and records how it came.
            await trio.lowlevel.checkpoint()

    async def _write(self, data: bytes) -> None:
        async with self._sending:
            await self._stream.send_all(data)

    def _note(
        self, way: Way, kind: Kind, text: str = "", *, size: int = 0, code: int | None = None
    ) -> Entry:
        return self._recorder.event(self._clock(), way, kind, text, size=size, code=code)
