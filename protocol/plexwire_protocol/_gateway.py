"""The gateway's ends: one session towards a viewer, one towards a device.

Checking a key is the embedder's work, a database or an HTTP call: the session tells of `AuthReceived` and waits for
`grant` or `refuse`.
"""

from collections.abc import Iterable
from typing import ClassVar

from attrs import evolve

from plexwire_protocol._addresses import StreamAddress
from plexwire_protocol._closing import CloseCode
from plexwire_protocol._codec import EncodedFrame, encode
from plexwire_protocol._errors import AuthViolation, LocalProtocolError, MalformedMessage
from plexwire_protocol._events import (
    AuthReceived,
    Event,
    MessageIgnored,
    MessageReceived,
    MessageRefused,
)
from plexwire_protocol._messages import (
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Init,
    Message,
    OnlineSource,
    Role,
    VideoFrame,
)
from plexwire_protocol._session import Session
from plexwire_protocol._states import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    Conversation,
    Deadline,
    Edge,
    State,
    Timer,
)


class _GatewaySession(Session):
    """What both ends of the gateway do with an auth that is late, malformed or something else."""

    _role: ClassVar[Role] = Role.GATEWAY
    #: The clause that a first message breaks which is not the auth.
    _auth_first: ClassVar[str]

    def _refused_auth(self, problem: str, clause: str, *, now: float) -> list[Event]:
        return self._violated(AuthViolation(problem, clause), now=now)

    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        if self._state is State.AWAITING_AUTH:
            return self._refused_auth(f"{error.where} {error.problem}", error.clause, now=now)
        return [MessageRefused(error)]

    def _received_unknown(self, message: Message, *, now: float) -> list[Event]:
        if self._state is State.AWAITING_AUTH:
            return self._received_unexpected(message, now=now)
        return [MessageIgnored(message)]

    def _received_unexpected(self, message: Message, *, now: float) -> list[Event]:
        if self._state is State.AWAITING_AUTH:
            return self._refused_auth(
                "the first message was not the auth", self._auth_first, now=now
            )
        return [MessageIgnored(message)]  # [PW-AUTH-13]

    def _late_auth(self, timer: Timer, *, now: float) -> list[Event]:
        return self._refused_auth(f"no auth within {timer.seconds:g} s", timer.clause, now=now)


class GatewayViewerSession(_GatewaySession):
    """The gateway towards one viewer.

    `address` is what the viewer asked for in its handshake; its timeout counts from `grant`.  [PW-TIME-4]
    """

    _conversation: ClassVar[Conversation] = VIEWER_CONVERSATION
    _peer: ClassVar[Role] = Role.VIEWER
    _auth_first: ClassVar[str] = "PW-AUTH-5"

    def __init__(self, address: StreamAddress, *, now: float) -> None:
        self._address = address
        super().__init__(now=now)

    @property
    def address(self) -> StreamAddress:
        """What the viewer asked for."""
        return self._address

    def grant(self, online_sources: Iterable[OnlineSource], *, now: float) -> None:
        """Let the viewer in and send its `init`; from now on frames may follow.  [PW-INIT-1, PW-INIT-2]

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        edge = self._sendable(Init, Init.type, "PW-INIT-1")
        self._outbox.append(encode(Init(online_sources=online_sources)))
        self._follow(edge, now)

    def refuse(self, code: CloseCode = CloseCode.UNAUTHORIZED, *, now: float) -> list[Event]:
        """Turn the viewer away: 4001 for a bad key, 4002 for a plan without API access, 1011 if the check failed.

        1013 says that the key has too many streams open.

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        _require_checking(self._state, "PW-AUTH-7")
        return self.close(code, _REFUSALS.get(code, ""), now=now)

    def send(self, message: VideoFrame | EncodedFrame | GatewayReconnecting, *, now: float) -> None:
        """Send a frame, encoded already or not, or word that the upstream is away.

        Raises:
            LocalProtocolError: the viewer was not let in, or the conversation is closed.

        """
        kind = VideoFrame if isinstance(message, EncodedFrame) else type(message)
        edge = self._sendable(kind, kind.type, "PW-INIT-3")
        self._outbox.append(message.text if isinstance(message, EncodedFrame) else encode(message))
        self._follow(edge, now)

    def _seconds(self, timer: Timer) -> float | None:
        return self._address.timeout if timer.deadline is Deadline.TIMEOUT else timer.seconds

    def _received(self, message: Message, edge: Edge, *, now: float) -> list[Event]:
        assert isinstance(message, Auth)  # the only row that a viewer has
        self._follow(edge, now)
        return [AuthReceived(message)]

    def _due(self, timer: Timer, *, now: float) -> list[Event]:
        if timer.deadline is Deadline.AUTH:
            return self._late_auth(timer, now=now)
        return self.close(CloseCode.TIMEOUT, timer.clause, now=now)


class GatewayDeviceSession(_GatewaySession):
    """The gateway towards one device; frames are told of with the authenticated source's id.  [PW-BIN-2]"""

    _conversation: ClassVar[Conversation] = DEVICE_CONVERSATION
    _peer: ClassVar[Role] = Role.DEVICE
    _auth_first: ClassVar[str] = "PW-DEV-1"

    def __init__(self, *, now: float) -> None:
        super().__init__(now=now)
        self._source_id = ""

    @property
    def source_id(self) -> str:
        """Which source the device declared itself to be; empty before its auth."""
        return self._source_id

    def grant(self, *, server_time_ms: int, now: float) -> None:
        """Let the device in; *server_time_ms* is the gateway's Unix time in milliseconds.  [PW-DEV-2, PW-DEV-3]

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        edge = self._sendable(Authenticated, Authenticated.type, "PW-DEV-2")
        answer = Authenticated(source_id=self._source_id, server_time_ms=server_time_ms)
        self._outbox.append(encode(answer))
        self._follow(edge, now)

    def refuse(self, code: CloseCode = CloseCode.UNAUTHORIZED, *, now: float) -> list[Event]:
        """Turn the device away with an `error` and a close: 4001 for a bad key, 1011 if the check failed.  [PW-DEV-5]

        1013 says that the key has too many streams open.

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        _require_checking(self._state, "PW-DEV-5")
        return self._turn_away(_REFUSALS.get(code, "refused"), code, now=now)

    def report(self, error: ErrorReport, *, now: float) -> None:
        """Tell a streaming device that something was refused; the conversation goes on.

        Raises:
            LocalProtocolError: the device was not let in, or the conversation is closed.

        """
        _ = now
        if self._state is not State.STREAMING:
            raise LocalProtocolError(f"can't report while {self._state.value}", "PW-DEV-5")
        self._outbox.append(encode(error))

    def _turn_away(self, detail: str, code: CloseCode, *, now: float) -> list[Event]:
        self._outbox.append(encode(ErrorReport(code=code.name.lower(), detail=detail)))
        return self.close(code, detail, now=now)

    def _refused_auth(self, problem: str, clause: str, *, now: float) -> list[Event]:
        report = ErrorReport(code=AuthViolation.close_code.name.lower(), detail=problem)
        self._outbox.append(encode(report))
        return super()._refused_auth(problem, clause, now=now)

    def _received(self, message: Message, edge: Edge, *, now: float) -> list[Event]:
        self._follow(edge, now)
        match message:
            case DeviceAuth():
                self._source_id = message.source_id
                return [AuthReceived(message)]
            case VideoFrame():
                return [MessageReceived(evolve(message, source_id=self._source_id))]
            case _:
                return [MessageIgnored(message)]

    def _due(self, timer: Timer, *, now: float) -> list[Event]:
        return self._late_auth(timer, now=now)


#: What a refusal says, in the `error` to a device and in the close reason.
_REFUSALS = {
    CloseCode.UNAUTHORIZED: "the key is not accepted",
    CloseCode.NO_API_ACCESS: "the plan does not include API access",
    CloseCode.INTERNAL_ERROR: "the key could not be checked",
    CloseCode.TRY_AGAIN_LATER: "the key has too many streams open",
}


def _require_checking(state: State, clause: str) -> None:
    if state is not State.CHECKING_KEY:
        raise LocalProtocolError(f"no auth to refuse while {state.value}", clause)
