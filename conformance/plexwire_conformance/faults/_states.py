"""Faults in what a peer may send at any moment, and in what comes of it."""

from typing import ClassVar, Final

import trio

from plexwire_conformance.faults._auth_time import Attentive, PutOff
from plexwire_conformance.faults._fault import FaultyGateway, Viewer, fault
from plexwire_conformance.faults._wire import (
    CLOSE,
    PONG,
    ClientFrame,
    FrameWire,
    Wire,
    encode_frame,
)
from plexwire_protocol import EncodedFrame, Event, GatewayViewerSession, State
from plexwire_protocol.tables import Deadline, Timer

#: A frame of an opcode that nobody may use: who gets it fails the connection.
_ILLEGAL: Final = encode_frame(0x3, b"", mask=bytes(4))
_IDLE_S: Final = 10.0
_LINGERS_S: Final = 30.0


# ── pongs ────────────────────────────────────────────────────────────────────────────────────


@fault("conn.pong-refused", "Fails a connection on which a pong answers no ping.", "PW-CONN-11")
class PongRefused(FrameWire):
    def hears_frame(self, frame: ClientFrame) -> bytes:
        return _ILLEGAL if frame.opcode == PONG else super().hears_frame(frame)


class _Streaming(PutOff):
    puts_off: ClassVar[State] = State.STREAMING


class _PutOffByPongs(Attentive):
    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode == PONG:
            self.put_off()
        return super().hears_frame(frame)


@fault(
    "auth.deadline-restarted-by-pongs",
    "Counts the ten seconds anew with every pong.",
    "PW-AUTH-3",
    also=("PW-CONN-11",),
)
class AuthRestartedByPongs(FaultyGateway):
    viewer_rules = PutOff
    wire = _PutOffByPongs


@fault(
    "time.restarted-by-pongs",
    "Counts the timeout anew with every pong.",
    "PW-TIME-1",
    also=("PW-CONN-11",),
)
class TimeoutRestartedByPongs(FaultyGateway):
    viewer_rules = _Streaming
    wire = _PutOffByPongs


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@fault(
    "time.restarted-by-messages", "Counts the timeout from a viewer's last message.", "PW-TIME-1"
)
class TimeoutRestartedByMessages(GatewayViewerSession):
    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if self.state is State.STREAMING:
            self._restart_timers(now)
        return super()._receive(data, now=now)


@fault(
    "time.stopped-by-messages", "Forgets the timeout of a viewer that says something.", "PW-TIME-1"
)
class TimeoutStoppedByMessages(GatewayViewerSession):
    _has_spoken = False

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if self.state is State.STREAMING:
            self._has_spoken = True
            self._restart_timers(now)
        return super()._receive(data, now=now)

    def _timer_seconds(self, timer: Timer) -> float | None:
        forgets = self._has_spoken and timer.deadline is Deadline.TIMEOUT
        return None if forgets else super()._timer_seconds(timer)


@fault(
    "frames.end-with-a-message",
    "Sends no more frames to a viewer that has said something on its stream.",
    "PW-FRAME-9",
)
class FramesEndWithAMessage(Viewer):
    _has_spoken = False

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        self._has_spoken = self._has_spoken or self.session.state is State.STREAMING
        return super()._receive(data, now)

    def _take_frame(self) -> EncodedFrame | None:
        frame = super()._take_frame()
        return None if self._has_spoken else frame


# ── silence, and the end ─────────────────────────────────────────────────────────────────────


@fault(
    "conn.idle-closed",
    "Drops a connection on which it hears nothing for ten seconds.",
    "PW-TIME-2",
    also=("PW-AUTH-3", "PW-AUTH-4", "PW-CLOSE-1"),
)
class IdleClosed(Wire):
    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive what comes, for ten seconds."""
        with trio.move_on_after(_IDLE_S):
            return await super().receive_some(max_bytes)
        await self.aclose()
        raise trio.BrokenResourceError


@fault("conn.tcp-left-open", "Leaves TCP open after a close frame has gone each way.", "PW-CONN-12")
class TcpLeftOpen(Wire):
    _closes = False

    def says(self, opcode: int, frame: bytes) -> bytes:
        self._closes = self._closes or opcode == CLOSE
        return frame

    async def aclose(self) -> None:
        """Close the stream, much later."""
        if self._closes:
            await trio.sleep(_LINGERS_S)
        await super().aclose()
