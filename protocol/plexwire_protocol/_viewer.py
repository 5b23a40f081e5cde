"""The viewer's end of a stream."""

from collections.abc import Mapping
from typing import ClassVar, Final

from plexwire_protocol._events import Event, MessageIgnored, MessageReceived
from plexwire_protocol._messages import AnyMessage, Auth, GatewayReconnecting, Role
from plexwire_protocol._session import Session
from plexwire_protocol._states import VIEWER_CONVERSATION, ConversationTable, Edge, State, Timer


class ViewerSession(Session):
    """A viewer: send `Auth`, then receive one `Init` and frames until either side closes.

    It never reconnects by itself: after `ConversationClosed` ask `close.may_retry`.  [PW-VIEW-2]
    """

    _table: ClassVar[ConversationTable] = VIEWER_CONVERSATION
    _role: ClassVar[Role] = Role.VIEWER
    _peer: ClassVar[Role] = Role.GATEWAY

    def send(self, message: Auth, *, now: float) -> None:
        """Send the `Auth`, first and once; due within 10 seconds of connecting.  [PW-AUTH-1]

        Raises:
            LocalProtocolError: it was sent already, or the conversation is closed.

        """
        self._follow(self._say(message, "PW-AUTH-1"), now)

    def _received(self, message: AnyMessage, edge: Edge, *, now: float) -> list[Event]:
        self._follow(edge, now)
        return [MessageReceived(message)]

    def _received_unexpected(self, message: AnyMessage, *, now: float) -> list[Event]:
        if isinstance(message, GatewayReconnecting):
            return [MessageIgnored(message)]  # [PW-RECON-2]
        return self._unexpected(message, _BROKEN[self._state], now=now)

    def _due(self, timer: Timer) -> list[Event]:
        return [self._missing("init", timer)]


#: The clause of the gateway that a known message breaks when it may not come in a state.
_BROKEN: Final[Mapping[State, str]] = {
    State.AWAITING_AUTH: "PW-AUTH-10",
    State.CHECKING_KEY: "PW-INIT-3",
    State.STREAMING: "PW-INIT-1",
}
