"""What a gateway does with one viewer or one device, from the handshake to the close.

The methods are small on purpose: a gateway that does one thing otherwise, an edge or a faulty one, overrides it.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import trio
from trio_websocket import WebSocketConnection

from plexwire_protocol import (
    AuthReceived,
    CloseCode,
    ConversationClosed,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    MessageRefused,
    Refusal,
    Role,
    State,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server.keys._key_store import KeyDecision, KeyGranted, KeyRefused, Scope
from plexwire_trio import Connection

if TYPE_CHECKING:
    from plexwire_server._gateway import Gateway

S = TypeVar("S", GatewayViewerSession, GatewayDeviceSession)


class PeerConnection(ABC, Generic[S]):
    """One stream of one peer; `play` is its whole life."""

    #: Which side of the relay the peer stands on, and what its key must allow.
    role: ClassVar[Role]
    scope: ClassVar[Scope]

    _nursery: trio.Nursery

    def __init__(
        self, gateway: "Gateway", session: S, ws: WebSocketConnection, report: ConnectionReport
    ) -> None:
        self.gateway = gateway
        self.session: S = session
        self.report = report
        self.granted: KeyGranted | None = None
        self.connection: Connection[S] = self.connect(ws)
        report.role = self.role

    def connect(self, ws: WebSocketConnection) -> Connection[S]:
        """Return what plays the session over *ws*."""
        limits = self.gateway.limits
        return Connection(
            self.session,
            ws,
            close_grace=limits.close_grace_s,
            ping_interval=limits.ping_interval_s,
            pong_timeout=limits.pong_timeout_s,
        )

    async def play(self) -> None:
        """Play the conversation to its end; an error of ours ends it with 1011 and is counted.  [PW-CLOSE-2]"""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                close = await self.connection.run(self.handle)
                nursery.cancel_scope.cancel()
        except Exception as error:
            self.gateway.note_crash(self.report, error)
            self.session.close(CloseCode.INTERNAL_ERROR, now=trio.current_time())
            close = await self.connection.run(lambda event: None)
        finally:
            if self.granted is not None:
                self.gateway.let_go(self.role, self.granted)
                self.leave()
        self.report.closed(close, Role.GATEWAY)

    def go_away(self) -> None:
        """Close with 1001, as the gateway shuts down.  [PW-CLOSE-3]"""
        reason = "the gateway is shutting down"
        self.session.close(CloseCode.GOING_AWAY, reason, now=trio.current_time())
        self.connection.flush_soon()

    def handle(self, event: Event) -> None:
        """Take one event of the session; must not wait."""
        match event:
            case AuthReceived():
                self._nursery.start_soon(self.answer, event.api_key)
            case ConversationClosed():
                self.report.closed(event.close, event.by)
            case MessageRefused(error) if error.refusal is Refusal.TOO_LARGE:
                # The WebSocket counts the characters of a text, the protocol its bytes.  [PW-LIM-4]
                self.session.close(CloseCode.TOO_BIG, error.clause, now=trio.current_time())
            case _:
                pass

    async def answer(self, api_key: str) -> None:
        """Have the key checked, and let the peer in or turn it away."""
        self.settle(await self.gateway.check_key(api_key))
        await self.connection.flush()
        await self.stream()

    def settle(self, decision: KeyDecision) -> None:
        """Let the peer in or turn it away, as *decision* says."""
        if self.session.state is not State.CHECKING_KEY:
            return  # the peer did not wait for it
        match decision:
            case KeyRefused(code):
                self.session.refuse(code, now=trio.current_time())
            case KeyGranted() if self.scope not in decision.scopes:
                self.session.refuse(CloseCode.UNAUTHORIZED, now=trio.current_time())
            case KeyGranted() if not self.gateway.has_room_for(decision):
                self.session.refuse(CloseCode.TRY_AGAIN_LATER, now=trio.current_time())
            case KeyGranted():
                self.granted = decision
                self.gateway.take_in(self.role, decision)
                self.report.organisation = decision.organisation
                self.report.key_name = decision.key_name
                self.admit(decision)

    async def stream(self) -> None:
        """Do what there is to do beside reading, if the peer was let in."""

    @abstractmethod
    def admit(self, granted: KeyGranted) -> None:
        """Let the peer in, in one step: nothing of the relay may happen between the answer and the joining."""

    @abstractmethod
    def leave(self) -> None:
        """Undo `admit`, and count what only shows at the end."""
