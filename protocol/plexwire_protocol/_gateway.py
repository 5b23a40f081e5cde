"""The gateway's ends: one session towards a viewer, one towards a device.

Checking a key is the embedder's work, a database or an HTTP call: the session reports `AuthReceived` and waits for
`grant` or `refuse`.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from plexwire_protocol._addresses import StreamAddress
from plexwire_protocol._closing import Close, CloseCode
from plexwire_protocol._codec import EncodedFrame, decode, encode
from plexwire_protocol._errors import AuthViolation, LocalProtocolError, MalformedMessage
from plexwire_protocol._events import (
    AuthReceived,
    Event,
    MessageIgnored,
    MessageReceived,
    PeerViolated,
)
from plexwire_protocol._messages import (
    AnyMessage,
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Init,
    OnlineSource,
    Role,
    VideoFrame,
)
from plexwire_protocol._session import Session
from plexwire_protocol._states import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
    Edge,
    State,
    Timer,
)
from plexwire_protocol.limits import MAX_MESSAGE_BYTES, MAX_STRANGER_BYTES


class _GatewaySession(Session):
    """What both ends of the gateway do with an auth that is late, malformed or something else."""

    _role: ClassVar[Role] = Role.GATEWAY
    #: The clause that a first message breaks which is not the auth.
    _auth_first: ClassVar[str]

    @abstractmethod
    def _refused_auth(self, error: AuthViolation, *, now: float) -> list[Event]:
        """Close because of what came instead of a proper auth."""

    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        if self._state is State.AWAITING_AUTH:
            problem = f"{error.where} {error.problem}"
            return self._refused_auth(AuthViolation(problem, error.clause), now=now)
        return super()._received_malformed(error, now=now)

    def _received_unknown(self, message: AnyMessage, *, now: float) -> list[Event]:
        if self._state is State.AWAITING_AUTH:
            return self._received_unexpected(message, now=now)
        return super()._received_unknown(message, now=now)

    def _received_unexpected(self, message: AnyMessage, *, now: float) -> list[Event]:
        if self._state is State.AWAITING_AUTH:
            problem = "the first message was not the auth"
            return self._refused_auth(AuthViolation(problem, self._auth_first), now=now)
        return [MessageIgnored(message)]  # [PW-AUTH-13]

    def _late_auth(self, timer: Timer) -> AuthViolation:
        return AuthViolation(f"no auth within {timer.seconds:g} s", timer.clause)


class GatewayViewerSession(_GatewaySession):
    """The gateway towards one viewer.

    `address` is what the viewer asked for in its handshake; its timeout counts from `grant`.  [PW-TIME-4]
    """

    _table: ClassVar[ConversationTable] = VIEWER_CONVERSATION
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
        """Accept the viewer and send its `init`; from now on frames may follow.  [PW-INIT-1, PW-INIT-2]

        Does nothing if the conversation has ended: a viewer may leave while its key is checked.

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        if self._state is State.CLOSED:
            return
        try:
            init = Init(online_sources=online_sources)
        except (TypeError, MalformedMessage) as error:
            problem = f"the online sources: {getattr(error, 'problem', error)}"
            raise LocalProtocolError(problem, "PW-INIT-4") from None
        self._follow(self._say(init, "PW-INIT-1"), now)

    def refuse(self, code: CloseCode = CloseCode.UNAUTHORIZED, *, now: float) -> list[Event]:
        """Refuse the viewer: 4001 for a bad key, 4002 for a plan without API access, 1011 if the check failed.

        1013 says that the key has too many streams open.  Does nothing if the conversation has ended.

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        if self._state is State.CLOSED:
            return []
        # An auth is waiting exactly while its answer may be sent.
        self._allowed(Init, "refuse a key", "PW-AUTH-7")
        return self.close(code, _REFUSALS.get(code, ""), now=now)

    def send(self, message: VideoFrame | EncodedFrame | GatewayReconnecting, *, now: float) -> None:
        """Send a frame, encoded already or not, or word that the upstream is away.

        Raises:
            LocalProtocolError: the viewer was not accepted, or the conversation is closed.

        """
        kind = VideoFrame if isinstance(message, EncodedFrame) else type(message)
        edge = self._sendable(kind, "PW-INIT-3")
        self._outbox.append(message.text if isinstance(message, EncodedFrame) else encode(message))
        self._follow(edge, now)

    def _decode(self, data: str | bytes) -> AnyMessage:
        return decode(data, sender=self._peer, max_bytes=MAX_STRANGER_BYTES)

    def _timer_seconds(self, timer: Timer) -> float | None:
        return self._address.timeout if timer.deadline is Deadline.TIMEOUT else timer.seconds

    def _received(self, message: AnyMessage, edge: Edge, *, now: float) -> list[Event]:
        assert isinstance(message, Auth)  # the only row that a viewer has
        self._follow(edge, now)
        return [AuthReceived(message)]

    def _due(self, timer: Timer) -> list[Event]:
        return [PeerViolated(self._late_auth(timer))] if timer.deadline is Deadline.AUTH else []

    def _refused_auth(self, error: AuthViolation, *, now: float) -> list[Event]:
        return self._violated(error, now=now)


class GatewayDeviceSession(_GatewaySession):
    """The gateway towards one device; frames are reported with the authenticated source's id.  [PW-BIN-2]"""

    _table: ClassVar[ConversationTable] = DEVICE_CONVERSATION
    _peer: ClassVar[Role] = Role.DEVICE
    _auth_first: ClassVar[str] = "PW-DEV-1"

    def __init__(self, *, now: float) -> None:
        self._source_id: str | None = None
        super().__init__(now=now)

    @property
    def source_id(self) -> str:
        """Which source the device declared itself to be; empty before its auth."""
        return self._source_id or ""

    def grant(self, *, server_time_ms: int, now: float) -> None:
        """Accept the device; *server_time_ms* is the gateway's Unix time in milliseconds.  [PW-DEV-2, PW-DEV-3]

        Does nothing if the conversation has ended: a device may leave while its key is checked.

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        if self._state is State.CLOSED:
            return
        try:
            answer = Authenticated(source_id=self._source_id or "", server_time_ms=server_time_ms)
        except MalformedMessage as error:
            raise LocalProtocolError(f"{error.where} {error.problem}", error.clause) from None
        self._follow(self._say(answer, "PW-DEV-2"), now)

    def refuse(self, code: CloseCode = CloseCode.UNAUTHORIZED, *, now: float) -> list[Event]:
        """Refuse the device with an `error` and a close: 4001 for a bad key, 1011 if the check failed.  [PW-DEV-5]

        1013 says that the key has too many streams open.  Does nothing if the conversation has ended.

        Raises:
            LocalProtocolError: no auth is waiting.

        """
        if self._state is State.CLOSED:
            return []
        # An auth is waiting exactly while its answer may be sent.
        self._allowed(Authenticated, "refuse a key", "PW-DEV-5")
        detail = _REFUSALS.get(code, "refused")
        return self._end(self._say_refused(detail, code), Close(code, detail), now)

    def report(self, error: ErrorReport, *, now: float) -> None:
        """Report to a streaming device that something was refused; the conversation goes on.

        Raises:
            LocalProtocolError: the device was not accepted, or the conversation is closed.

        """
        edge = self._allowed(ErrorReport, "report an error", "PW-DEV-5")
        if edge.target is State.CLOSED:  # here, an error is a refusal
            raise self._cannot("report an error", "PW-DEV-5")
        self._follow(self._say(error, "PW-DEV-5"), now)

    def _say_refused(self, detail: str, code: CloseCode) -> Edge:
        return self._say(ErrorReport(code=code.name.lower(), detail=detail), "PW-DEV-5")

    def _refused_auth(self, error: AuthViolation, *, now: float) -> list[Event]:
        edge = self._say_refused(error.problem, error.close_code)
        close = Close(error.close_code, error.clause)
        return [PeerViolated(error), *self._end(edge, close, now)]

    def _decode(self, data: str | bytes) -> AnyMessage:
        streaming = self._state is State.STREAMING
        return decode(
            data,
            sender=self._peer,
            source_id=self._source_id,
            max_bytes=MAX_MESSAGE_BYTES if streaming else MAX_STRANGER_BYTES,
        )

    def _received(self, message: AnyMessage, edge: Edge, *, now: float) -> list[Event]:
        self._follow(edge, now)
        match message:
            case DeviceAuth():
                self._source_id = message.source_id
                return [AuthReceived(message)]
            case VideoFrame():
                return [MessageReceived(message)]
            case _:
                return [MessageIgnored(message)]

    def _due(self, timer: Timer) -> list[Event]:
        error = self._late_auth(timer)
        self._say_refused(error.problem, error.close_code)
        return [PeerViolated(error)]


#: What a refusal says, in the `error` to a device and in the close reason.
_REFUSALS = {
    CloseCode.UNAUTHORIZED: "the key is not accepted",
    CloseCode.NO_API_ACCESS: "the plan does not include API access",
    CloseCode.INTERNAL_ERROR: "the key could not be checked",
    CloseCode.TRY_AGAIN_LATER: "the key has too many streams open",
}
