"""An edge towards one viewer: the upstream lets it in, and it hears of it when the upstream is away."""

from collections.abc import Iterable

import trio
from trio_websocket import WebSocketConnection

from plexwire_protocol import (
    Auth,
    Close,
    CloseCode,
    GatewayReconnecting,
    GatewayViewerSession,
    Init,
    OnlineSource,
    State,
    Subscriber,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway_state import GatewayState
from plexwire_server._viewer_connection import ViewerConnection
from plexwire_server.edge._feed import Feed
from plexwire_server.edge._feeds import Feeds
from plexwire_server.keys._key_decision import KeyGranted, Scope


class EdgeViewerConnection(ViewerConnection):
    """A viewer of an edge: the upstream says whether it may enter, and what its `init` holds."""

    _feed: Feed | None = None
    _init: Init
    _reconnecting: GatewayReconnecting | None = None

    def __init__(
        self,
        feeds: Feeds,
        gateway: GatewayState,
        session: GatewayViewerSession,
        ws: WebSocketConnection,
        report: ConnectionReport,
    ) -> None:
        super().__init__(gateway, session, ws, report)
        self._feeds = feeds

    async def answer(self, api_key: str) -> None:
        """Ask the upstream with the viewer's own key, and stream if it is let in."""
        await self._ask(api_key)
        await self.flush()
        await self.stream()

    async def _ask(self, api_key: str) -> None:
        # In a method of its own: what was asked with, a frame in it perhaps, must not stay for as long as the viewer.
        asked = self._feeds.ask(self, self.session.address, Auth(api_key=api_key))
        try:
            await asked.answered.wait()
        finally:
            asked.abandon()

    def welcome(self, feed: Feed, init: Init) -> None:
        """Let the viewer in, with the *init* of the upstream, to watch *feed*."""
        self._feed, self._init = feed, init
        self.settle(KeyGranted("", frozenset({Scope.READ}), feed.identity.key_name))
        self.flush_soon()

    def cut_off(self, close: Close) -> None:
        """End the stream because of the upstream, or before it began."""
        if self.session.state is State.CHECKING_KEY and close.code == CloseCode.INTERNAL_ERROR:
            self.gateway.metrics.key_check_failures += 1
        self.session.close(close.code, close.reason, now=trio.current_time())
        self.flush_soon()

    def admit(self, granted: KeyGranted) -> None:
        """Send the `init`, subscribe, and join the feed."""
        super().admit(granted)
        if self._feed is not None:
            self._feed.join(self)

    def leave(self) -> None:
        """Unsubscribe, and leave the feed."""
        super().leave()
        if self._feed is not None:
            self._feed.leave(self)

    def online(self, granted: KeyGranted) -> Iterable[OnlineSource]:
        """Return what the upstream says is online."""
        return self._init.online_sources

    def subscribe(self, granted: KeyGranted) -> Subscriber:
        """Ask the relay for the cameras of the address, as the feed has them."""
        address = self.session.address
        name = "" if self._feed is None else self._feed.name
        return self.gateway.relay.subscribe(name, address.source_id, address.cameras)

    # ── gateway_reconnecting ─────────────────────────────────────────────────────────────────

    def send_reconnecting(self, message: GatewayReconnecting) -> None:
        """Send *message* once the frames that wait are out; a viewer that stalls gets only the last one."""
        self._reconnecting = message
        self.ring()

    def withdraw_reconnecting(self) -> None:
        """Forget a message that was not sent yet, as the upstream is back."""
        self._reconnecting = None

    def expect(self, camera_id: str) -> None:
        """Take note of a frame: with it the upstream is back."""
        self.withdraw_reconnecting()
        super().expect(camera_id)

    async def rest(self) -> None:
        """Send the message that waits, or wait."""
        if self._reconnecting is None:
            await super().rest()
            return
        message, self._reconnecting = self._reconnecting, None
        self.session.send(message, now=trio.current_time())
        await self.flush()
