"""An edge towards one viewer: the upstream accepts it, and it is told when the upstream is away."""

from typing import cast

import trio

from plexwire_protocol import (
    Auth,
    Close,
    CloseCode,
    GatewayReconnecting,
    Init,
    State,
    StreamAddress,
    Subscriber,
    ViewerPeer,
)
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway_state import GatewayState
from plexwire_server._peer_connection import Transport, ViewerConnection
from plexwire_server.edge._feed import Feed
from plexwire_server.edge._feeds import Feeds
from plexwire_server.keys._key_decision import KeyGranted, Scope


class EdgeViewerPeer(ViewerPeer):
    """A viewer of an edge, which watches a feed."""

    #: What the relay knows the feed as.
    feed_name = ""

    def _subscribe(self) -> Subscriber:
        address = self.address
        return self.hub.relay.subscribe(
            self.feed_name, address.source_id, address.cameras, take=self._note_frame
        )


class EdgeViewerConnection(ViewerConnection):
    """A viewer of an edge: the upstream decides whether it may enter, and what its `init` holds."""

    _feed: Feed | None = None
    _init: Init

    def __init__(
        self,
        feeds: Feeds,
        gateway: GatewayState,
        address: StreamAddress,
        transport: Transport,
        report: ConnectionReport,
    ) -> None:
        super().__init__(gateway, address, transport, report)
        self._feeds = feeds

    async def answer(self, api_key: str) -> None:
        """Ask the upstream with the viewer's own key."""
        asked = self._feeds.ask(self, self.peer.address, Auth(api_key=api_key))
        try:
            await asked.answered.wait()
        finally:
            asked.abandon()

    def welcome(self, feed: Feed, init: Init) -> None:
        """Accept the viewer, with the *init* of the upstream, to watch *feed*."""
        self._feed, self._init = feed, init
        self.settle(KeyGranted("", frozenset({Scope.READ}), feed.identity.key_name))

    def cut_off(self, close: Close) -> None:
        """End the stream because of the upstream, or before it began."""
        checking = self.peer.session.state is State.CHECKING_KEY
        if checking and close.code == CloseCode.INTERNAL_ERROR:
            self.gateway.metrics.key_check_failures += 1
        self.peer.close(close.code, close.reason, now=trio.current_time())

    def admit(self, granted: KeyGranted) -> None:
        """Send the `init` of the upstream, subscribe, and join the feed."""
        if self._feed is not None:
            # The edge's hub makes no other viewers.
            cast("EdgeViewerPeer", self.peer).feed_name = self._feed.name
            self.peer.judge(
                granted.organisation,
                key=granted.key_name,
                online=self._init.online_sources,
                now=trio.current_time(),
            )
            if self.peer.session.state is State.STREAMING:
                self._feed.join(self)

    def leave(self) -> None:
        """Leave the feed."""
        if self._feed is not None:
            self._feed.leave(self)

    # ── gateway_reconnecting ─────────────────────────────────────────────────────────────────

    def send_reconnecting(self, message: GatewayReconnecting) -> None:
        """Send *message* once the frames that wait are out; a viewer that stalls gets only the last one."""
        self.peer.announce(message)

    def withdraw_reconnecting(self) -> None:
        """Forget a message that was not sent yet, as the upstream is back."""
        self.peer.withdraw()
