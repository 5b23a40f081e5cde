"""What a gateway does with one viewer or one device, from the handshake to the close."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, Generic, TypeVar, final

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
from plexwire_server._gateway_state import GatewayState
from plexwire_server.keys._key_decision import KeyDecision, KeyGranted, KeyRefused, Scope
from plexwire_trio import Connection

S = TypeVar("S", GatewayViewerSession, GatewayDeviceSession)


class PeerConnection(ABC, Generic[S]):
    """One WebSocket of one peer; `run` is its whole life.  `plexwire_server.extending` lists what may be overridden.

    `granted` is what the peer's key allows, None until it was accepted.
    """

    #: Which side of the relay the peer is on, and what its key must allow.
    role: ClassVar[Role]
    scope: ClassVar[Scope]

    _nursery: trio.Nursery

    def __init__(
        self, gateway: GatewayState, session: S, ws: WebSocketConnection, report: ConnectionReport
    ) -> None:
        self.gateway = gateway
        self.session: S = session
        self.ws = ws
        self.report = report
        self.granted: KeyGranted | None = None
        self._connection: Connection[S] = Connection(
            session,
            ws,
            close_grace=gateway.limits.close_grace_s,
            ping_interval=gateway.limits.ping_interval_s,
            pong_timeout=gateway.limits.pong_timeout_s,
        )
        report.role = self.role

    @final
    async def run(self) -> None:
        """Serve the peer until the end; an error of ours ends it with 1011 and is counted.  [PW-CLOSE-2]"""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                close = await self._connection.run(self.handle)
                nursery.cancel_scope.cancel()
        except Exception as error:
            self.gateway.note_crash(self.report, error)
            self.session.close(CloseCode.INTERNAL_ERROR, now=trio.current_time())
            close = await self._connection.run(lambda event: None)
        finally:
            if self.granted is not None:
                self.gateway.count_closed(self.role, self.granted)
                self.leave()
        self.report.closed(close, Role.GATEWAY)

    @final
    def go_away(self) -> None:
        """Close with 1001, as the gateway shuts down.  [PW-CLOSE-3]"""
        reason = "the gateway is shutting down"
        self.session.close(CloseCode.GOING_AWAY, reason, now=trio.current_time())
        self.flush_soon()

    @final
    async def flush(self) -> None:
        """Send what the session has to send; waits while the peer does not read."""
        await self._connection.flush()

    @final
    def flush_soon(self) -> None:
        """Have what the session has to send sent, without waiting."""
        self._connection.flush_soon()

    @final
    def start_soon(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run *task* as long as the peer is connected, at most."""
        self._nursery.start_soon(task)

    @final
    def settle(self, decision: KeyDecision) -> None:
        """Accept the peer or refuse it, as *decision* says."""
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
                self.gateway.count_opened(self.role, decision)
                self.report.organisation = decision.organisation
                self.report.key_name = decision.key_name
                self.admit(decision)

    # ── what a subclass may do differently ───────────────────────────────────────────────────

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
        """Have the key checked, `settle` the decision, and stream."""
        self.settle(await self.gateway.check_key(api_key))
        await self.flush()
        await self.stream()

    async def stream(self) -> None:
        """Do what there is to do beside reading, if the peer was accepted."""

    @abstractmethod
    def admit(self, granted: KeyGranted) -> None:
        """Accept the peer, in one step: nothing of the relay may happen between the answer and the joining."""

    @abstractmethod
    def leave(self) -> None:
        """Undo `admit`, and count what only shows at the end."""
