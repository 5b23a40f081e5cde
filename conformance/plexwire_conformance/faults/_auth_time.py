"""Faults in when a viewer's auth counts."""

from contextvars import ContextVar
from typing import ClassVar

import trio

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._wire import PING, ClientFrame, FrameWire, Wire
from plexwire_protocol import CloseCode, Event, GatewayViewerSession, State, StreamAddress
from plexwire_protocol.tables import Deadline, Timer


class _Deadline(GatewayViewerSession):
    """Waits `wait` seconds for the auth, None for ever."""

    wait: ClassVar[float | None]

    def _timer_seconds(self, timer: Timer) -> float | None:
        return self.wait if timer.deadline is Deadline.AUTH else super()._timer_seconds(timer)


@fault("auth.no-deadline", "Waits for the auth for ever.", "PW-AUTH-3")
class NoDeadline(_Deadline):
    wait = None


@fault("auth.deadline-too-long", "Waits fourteen seconds for the auth.", "PW-AUTH-3")
class DeadlineTooLong(_Deadline):
    wait = 14.0


@fault("auth.deadline-too-short", "Waits five seconds for the auth.", "PW-AUTH-4")
class DeadlineTooShort(_Deadline):
    wait = 5.0


@fault(
    "auth.late-refused",
    "Refuses an auth that comes later than five seconds after connecting.",
    "PW-AUTH-2",
)
class LateRefused(GatewayViewerSession):
    def __init__(self, address: StreamAddress, *, now: float) -> None:
        super().__init__(address, now=now)
        self._since = now

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        if self.state is State.AWAITING_AUTH and now > self._since + 5:
            return self.close(CloseCode.UNAUTHORIZED, now=now)
        return super()._receive(data, now=now)


# ── a deadline that is put off ───────────────────────────────────────────────────────────────


class Attentive(FrameWire):
    """Tells its session of what comes."""

    session: "PutOff | None" = None

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        _wire.set(self)

    def put_off(self) -> None:
        """Have the session count anew."""
        if self.session is not None:
            self.session.put_off()


class PutOff(GatewayViewerSession):
    """Counts the deadline of one state anew whenever its wire says so."""

    #: The state in which it can be put off.
    puts_off: ClassVar[State] = State.AWAITING_AUTH

    def __init__(self, address: StreamAddress, *, now: float) -> None:
        super().__init__(address, now=now)
        _wire.get().session = self

    def put_off(self) -> None:
        """Begin to count anew."""
        if self.state is self.puts_off:
            self._restart_timers(trio.current_time())


#: The wire of the connection that a task serves.
_wire: ContextVar[Attentive] = ContextVar("_wire")


class _PutOffByPings(Attentive):
    def hears_frame(self, frame: ClientFrame) -> bytes:
        if frame.opcode == PING:
            self.put_off()
        return super().hears_frame(frame)


class _PutOffByBytes(Attentive):
    def hears(self, data: bytes) -> bytes:
        self.put_off()
        return Wire.hears(self, data)


@fault(
    "auth.deadline-restarted-by-pings", "Counts the ten seconds anew with every ping.", "PW-AUTH-3"
)
class DeadlineRestartedByPings(FaultyGateway):
    viewer_rules = PutOff
    wire = _PutOffByPings


@fault(
    "auth.deadline-restarted-by-bytes",
    "Counts the ten seconds anew with every byte that comes.",
    "PW-AUTH-3",
)
class DeadlineRestartedByBytes(FaultyGateway):
    viewer_rules = PutOff
    wire = _PutOffByBytes
