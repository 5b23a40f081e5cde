"""What is told of a connection at its end."""

import trio
from attrs import define

from plexwire_protocol import Close, CloseCode, Role
from plexwire_server._log import LogEvent, LogValue


@define(eq=False, kw_only=True)
class ConnectionReport:
    """One connection, filled in while it lives.

    `role` is None until the path says who it is; `status` is the HTTP status where it never became a WebSocket.
    `frames` and `frame_bytes` count what a device sent, or what was sent to a viewer; `dropped` what did not get
    through.  `by` closed it.
    """

    peer: str
    since: float
    role: Role | None = None
    source_id: str = ""
    cameras: tuple[str, ...] = ()
    organisation: str = ""
    key_name: str = ""
    status: int | None = None
    close: Close | None = None
    by: Role | None = None
    frames: int = 0
    frame_bytes: int = 0
    dropped: int = 0
    seconds: float = 0.0
    error: str = ""

    def closed(self, close: Close, by: Role) -> None:
        """Note how the WebSocket ended; the first word counts."""
        if self.close is None:
            self.close, self.by = close, by

    @property
    def auth_refused(self) -> bool:
        """Whether the gateway turned the peer away at its auth."""
        refusals = (CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS)
        return self.by is Role.GATEWAY and self.close is not None and self.close.code in refusals

    @property
    def worth_a_line(self) -> bool:
        """Whether an operator wants to read of it: not of health checks, nor of ports that were only touched."""
        return bool(self.role or self.error) or (self.status is not None and self.status >= 400)

    def members(self) -> dict[str, LogValue]:
        """Return what there is to tell, under stable names."""
        told: dict[str, LogValue] = {"peer": self.peer}
        told["role"] = "http" if self.role is None else self.role.value
        if self.status is not None:
            told["status"] = self.status
        if self.source_id:
            told["source"] = self.source_id
        if self.cameras:
            told["cameras"] = list(self.cameras)
        if self.organisation:
            told["organisation"] = self.organisation
        if self.organisation or self.key_name:
            told["key"] = self.key_name
        if self.close is not None:
            told |= {"code": int(self.close.code), "reason": self.close.reason}
            told["by"] = "" if self.by is None else self.by.value
        told["seconds"] = round(self.seconds, 3)
        if self.role is not None:
            told |= {"frames": self.frames, "bytes": self.frame_bytes, "dropped": self.dropped}
        if self.error:
            told["error"] = self.error
        return told


def as_event(report: ConnectionReport) -> LogEvent:
    """Return *report* as what the log has a line of."""
    return LogEvent("connection", report.members())


def peer_name(stream: trio.abc.Stream) -> str:
    """Return who is at the other end of *stream*, as host:port where it has such a thing."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if not isinstance(stream, trio.SocketStream):
        return "memory"
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:
        return "gone"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
