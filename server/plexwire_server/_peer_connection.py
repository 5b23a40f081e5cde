"""What a gateway does with one viewer or one device, from the handshake to the close."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, Generic, TypeVar, final

import trio
from attrs import evolve, frozen
from trio_websocket import WebSocketConnection

from plexwire_protocol import (
    AuthReceived,
    CloseCode,
    DevicePeer,
    Event,
    State,
    StreamAddress,
    ViewerPeer,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway_state import GatewayState
from plexwire_server.keys._key_decision import KeyDecision, KeyGranted, KeyRefused, Scope
from plexwire_trio.fastlane import DEVICE, FastStream
from plexwire_trio.playing import Player

P = TypeVar("P", bound=ViewerPeer | DevicePeer)


@frozen
class Transport:
    """The WebSocket of a peer, with the stream that it lives on."""

    ws: WebSocketConnection
    stream: FastStream


class PeerConnection(ABC, Generic[P]):
    """One WebSocket of one peer; `run` is its whole life.  `plexwire_server.extending` lists what may be overridden.

    `peer` is the hub's end of the conversation.
    """

    #: What the key of such a peer must allow.
    scope: ClassVar[Scope]

    _nursery: trio.Nursery

    def __init__(
        self, gateway: GatewayState, transport: Transport, report: ConnectionReport
    ) -> None:
        self.gateway = gateway
        self.report = report
        self.stream = transport.stream
        self._player = Player(
            transport.ws,
            transport.stream,
            ping_interval=gateway.limits.ping_interval_s,
            pong_timeout=gateway.limits.pong_timeout_s,
        )
        self.peer: P = self._connect(self._player.wake)
        self._player.peer = self.peer
        if gateway.lane is not None:
            self._player.use_fast_lane()
        report.role = self.peer.role

    @final
    async def run(self) -> None:
        """Serve the peer until the end; an error of ours ends it with 1011 and is counted.  [PW-CLOSE-2]"""
        peer = self.peer
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._player.run(self.handle)
                nursery.cancel_scope.cancel()
        except Exception as error:
            self._crash(error)
            await self._player.run(lambda event: None)
        finally:
            peer.receive_close(CloseCode.ABNORMAL, now=trio.current_time())
            self.leave()
            self._fill_in_report()

    @final
    def go_away(self) -> None:
        """Close with 1001, as the gateway shuts down.  [PW-CLOSE-3]"""
        reason = "the gateway is shutting down"
        self.peer.close(CloseCode.GOING_AWAY, reason, now=trio.current_time())

    @final
    def start_soon(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run *task* as long as the peer is connected, at most."""
        self._nursery.start_soon(task)

    @final
    def settle(self, decision: KeyDecision) -> None:
        """Accept the peer or refuse it, as *decision* says."""
        now = trio.current_time()
        match decision:
            case KeyRefused(code):
                self.peer.judge(code, now=now)
            case KeyGranted() if self.scope not in decision.scopes:
                self.peer.judge(CloseCode.UNAUTHORIZED, now=now)
            case KeyGranted():
                self.admit(decision)
                if self.peer.session.state is State.STREAMING:
                    self.report.organisation = decision.organisation
                    self.report.key_name = decision.key_name
                    self._accepted()

    # ── what a subclass may do differently ───────────────────────────────────────────────────

    def handle(self, event: Event) -> None:
        """Take one event of the session; must not wait."""
        if isinstance(event, AuthReceived):
            self._nursery.start_soon(self.answer, event.api_key)

    async def answer(self, api_key: str) -> None:
        """Have the key checked, and `settle` the decision."""
        self.settle(await self.gateway.check_key(api_key))

    def admit(self, granted: KeyGranted) -> None:
        """Accept the peer, if its key may open one more stream."""
        self.peer.judge(granted.organisation, key=granted.key_name, now=trio.current_time())

    def leave(self) -> None:
        """Take note that the conversation has ended; called once, whether the peer was accepted or not."""

    # ── how it does it ───────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _connect(self, wake: Callable[[], None]) -> P:
        """Return the hub's end of the conversation."""

    def _accepted(self) -> None:
        """Take note that the peer streams."""

    def _crash(self, error: Exception) -> None:
        self.gateway.note_crash(self.report, error)
        self.peer.close(CloseCode.INTERNAL_ERROR, now=trio.current_time())

    def _fill_in_report(self) -> None:
        peer, report = self.peer, self.report
        if peer.closed is not None and peer.closed_by is not None:
            report.closed(peer.closed, peer.closed_by)
        report.frames, report.frame_bytes = peer.frames, peer.frame_bytes
        report.dropped = peer.dropped


class ViewerConnection(PeerConnection[ViewerPeer]):
    """The connection of a viewer of *address*."""

    scope: ClassVar[Scope] = Scope.READ

    def __init__(
        self,
        gateway: GatewayState,
        address: StreamAddress,
        transport: Transport,
        report: ConnectionReport,
    ) -> None:
        report.source_id, report.cameras = address.source_id, address.cameras
        self._address = address
        super().__init__(gateway, transport, report)

    def _connect(self, wake: Callable[[], None]) -> ViewerPeer:
        now = trio.current_time()
        return self.gateway.hub.new_viewer(self._address, wake=wake, now=now)


class DeviceConnection(PeerConnection[DevicePeer]):
    """The connection of a device; another of the same device coexists with it.  [PW-DEV-10]"""

    scope: ClassVar[Scope] = Scope.WRITE

    def _connect(self, wake: Callable[[], None]) -> DevicePeer:
        return self.gateway.hub.new_device(wake=wake, now=trio.current_time())

    def _accepted(self) -> None:
        # Pictures are large; until here, a stranger's budget was enough.
        self.stream.budget = evolve(DEVICE, message_bytes=self.gateway.limits.message_bytes)
        if self.gateway.lane is not None:
            self.stream.on_binary = self._take_message

    def _take_message(self, data: bytes) -> None:
        try:
            for event in self.peer.receive(data, now=trio.current_time()):
                self.handle(event)
        except Exception as error:
            self._crash(error)

    def _fill_in_report(self) -> None:
        super()._fill_in_report()
        self.report.source_id = self.peer.source_id
        self.report.cameras = tuple(sorted(self.peer.cameras))
