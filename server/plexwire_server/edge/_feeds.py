"""The feeds of an edge: who asks the upstream, and which viewers share one of its streams."""

import hmac
import secrets
from itertools import count

import trio
from attrs import evolve

from plexwire_protocol import Auth, StreamAddress
from plexwire_server._gateway_state import GatewayState
from plexwire_server.edge._feed import Feed, FeedIdentity, FeedViewer
from plexwire_server.edge._upstream_status import UpstreamStatus


class Feeds:
    """All feeds of one edge, which run in *nursery*: `running`, and those that viewers may join, `shared`."""

    def __init__(
        self, gateway: GatewayState, status: UpstreamStatus, nursery: trio.Nursery
    ) -> None:
        self.shared: dict[FeedIdentity, Feed] = {}
        self.running: set[Feed] = set()
        self._gateway = gateway
        self._status = status
        self._nursery = nursery
        # With a secret of its own an edge's digests reveal nothing about a key that might be guessed.
        self._secret = secrets.token_bytes(32)
        self._numbers = count(1)

    @property
    def away(self) -> int:
        """How many shared feeds wait for the upstream."""
        return sum(feed.away for feed in self.shared.values())

    def ask(self, viewer: FeedViewer, address: StreamAddress, auth: Auth) -> Feed:
        """Begin to ask the upstream whether *viewer* may enter with *auth*; the feed goes on by itself."""
        digest = hmac.digest(self._secret, auth.api_key.encode(), "sha256")
        feed = Feed(
            self._gateway,
            self._status,
            self.shared,
            str(next(self._numbers)),
            FeedIdentity(digest, address.source_id, frozenset(address.cameras)),
            # The viewer's timeout is the edge's own business: a feed may outlast the viewer that began it.  [PW-TIME-4]
            evolve(address, timeout=None),
            auth,
            viewer,
        )
        self.running.add(feed)
        self._nursery.start_soon(self._run, feed)
        return feed

    async def wait_until_over(self) -> None:
        """Wait until every feed that runs now has ended."""
        for feed in tuple(self.running):
            await feed.over.wait()

    async def _run(self, feed: Feed) -> None:
        try:
            await feed.run()
        finally:
            self.running.discard(feed)
