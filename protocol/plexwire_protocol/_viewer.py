"""The viewer's end of a stream."""

from typing import ClassVar, Final

from plexwire_protocol._errors import MalformedMessage, Refusal
from plexwire_protocol._events import (
    Event,
    GatewayDeviated,
    MessageIgnored,
    MessageReceived,
)
from plexwire_protocol._messages import (
    AnyMessage,
    Auth,
    GatewayReconnecting,
    Init,
    Role,
    VideoFrame,
)
from plexwire_protocol._session import Session
from plexwire_protocol._states import VIEWER_CONVERSATION, ConversationTable, Edge, Timer
from plexwire_protocol._tolerance import read_from_gateway


class ViewerSession(Session):
    """A viewer: send `Auth`, then receive one `Init` and frames until either side closes.

    It reads what real gateways send: an `Init` with members of other types, or after the first one, a frame before it, a
    frame without `source_id`.  `GatewayDeviated` reports each.  [PW-VIEW-5]

    It never reconnects by itself: after `ConversationClosed` ask `close.may_retry`.  [PW-VIEW-2]
    """

    _table: ClassVar[ConversationTable] = VIEWER_CONVERSATION
    _role: ClassVar[Role] = Role.VIEWER
    _peer: ClassVar[Role] = Role.GATEWAY

    def __init__(self, *, source_id: str = "", now: float) -> None:
        """Begin; a frame without a source is taken for one of *source_id*, that of the stream's address."""
        super().__init__(now=now)
        self._source_id = source_id
        self._has_init = False
        self._deviations: list[Event] = []

    def send(self, message: Auth, *, now: float) -> None:
        """Send the `Auth`, first and once; due within 10 seconds of connecting.  [PW-AUTH-1]

        Raises:
            LocalProtocolError: it was sent already, or the conversation is closed.

        """
        self._follow(self._say(message, "PW-AUTH-1"), now)

    def _decode(self, data: str | bytes) -> AnyMessage:
        message, deviations = read_from_gateway(data, source_id=self._source_id)
        self._deviations = [*deviations]
        return message

    def _received(self, message: AnyMessage, edge: Edge, *, now: float) -> list[Event]:
        events = self._deviations
        match message:
            case Init() if self._has_init:
                events.append(GatewayDeviated("PW-INIT-1", "message", "is an init after the first"))
            case Init():
                self._has_init = True
            case VideoFrame() if not self._has_init:
                events.append(GatewayDeviated("PW-INIT-3", "message", "is a frame before the init"))
            case _:
                pass
        self._follow(edge, now)
        return [*events, MessageReceived(message)]

    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        answer = self._table.edge(self._state, self._peer, Init)
        if answer is not None and not self._has_init and error.refusal in _UNTYPED:
            # The first that comes after the auth is the init; there is no other to wait for.
            self._has_init = True
            self._follow(answer, now)
        return super()._received_malformed(error, now=now)

    def _received_unexpected(self, message: AnyMessage, *, now: float) -> list[Event]:
        if isinstance(message, GatewayReconnecting):
            return [MessageIgnored(message)]  # [PW-RECON-2]
        early = GatewayDeviated("PW-AUTH-10", "message", "came before the auth")
        return [*self._deviations, early, MessageIgnored(message)]

    def _due(self, timer: Timer) -> list[Event]:
        return [self._missing("init", timer)]


#: Why a message is refused that may have been of any type.
_UNTYPED: Final = frozenset(
    (Refusal.BINARY, Refusal.NOT_JSON, Refusal.NOT_AN_OBJECT, Refusal.NO_TYPE)
)
