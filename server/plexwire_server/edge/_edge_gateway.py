"""An edge: a gateway whose frames come from another one, its upstream, and whose keys are judged there."""

import hmac
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import count
from typing import Final

import trio
from attrs import evolve

from plexwire_protocol import DEVICE_PATH, Auth, Close, CloseCode, EncodedFrame, Publisher
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway import Gateway, Upgrade
from plexwire_server._limits import Limits
from plexwire_server._log import LogEvent, LogValue
from plexwire_server._prometheus import Page
from plexwire_server.edge._edge_viewer_connection import EdgeViewerConnection
from plexwire_server.edge._feed import Feed, FeedIdentity
from plexwire_server.edge._upstream_connection import Upstream, UpstreamConnection
from plexwire_server.edge._upstream_metrics import UpstreamMetrics
from plexwire_server.http._request import Request, RequestRefused, Response, refuse
from plexwire_server.keys._key_store import KeyStore
from plexwire_trio import helper_tasks

_log: Final = logging.getLogger(__name__)


class EdgeGateway(Gateway):
    """A gateway that relays *upstream* to viewers of its own; `open_edge` makes one.

    Viewers with the same key, source and cameras share one stream of the upstream.  While that is away they stay, and
    are told of the attempts to get it back; when it is given up they are closed with 1011.  [PW-RECON-1]
    """

    viewer_connection = EdgeViewerConnection

    def __init__(
        self,
        upstream: Upstream,
        nursery: trio.Nursery,
        *,
        limits: Limits | None = None,
        on_end: Callable[[ConnectionReport], None] = lambda report: None,
        on_event: Callable[[LogEvent], None] = lambda event: None,
    ) -> None:
        super().__init__(KeyStore(), limits=limits, on_end=on_end)
        self.upstream = upstream
        self.upstream_metrics = UpstreamMetrics()
        self._nursery = nursery
        self._on_event = on_event
        self._feeds: dict[FeedIdentity, Feed] = {}
        self._running: set[Feed] = set()
        self._reachable: bool | None = None
        # With a secret of its own an edge's digests tell nobody anything about a key that might be guessed.
        self._secret = secrets.token_bytes(32)
        self._numbers = count(1)

    # ── viewers at the door ──────────────────────────────────────────────────────────────────

    def ask(self, viewer: EdgeViewerConnection, auth: Auth) -> Feed:
        """Begin to ask the upstream whether *viewer* may enter with *auth*; the feed goes on by itself."""
        address = viewer.session.address
        digest = hmac.digest(self._secret, auth.api_key.encode(), "sha256")
        share = FeedIdentity(digest, address.source_id, frozenset(address.cameras))
        # The viewer's timeout is the edge's own business: a feed may outlast the viewer that began it.  [PW-TIME-4]
        feed = Feed(
            self, str(next(self._numbers)), share, evolve(address, timeout=None), auth, viewer
        )
        self._running.add(feed)
        self._nursery.start_soon(feed.run)
        return feed

    def feed_for(self, asked: Feed) -> Feed:
        """Return the feed that shares with *asked*, which may be itself."""
        return self._feeds.setdefault(asked.share, asked)

    def forget(self, feed: Feed) -> None:
        """Let nobody join *feed* any more."""
        if self._feeds.get(feed.share) is feed:
            del self._feeds[feed.share]

    def ended(self, feed: Feed) -> None:
        """Take note that *feed* is over altogether."""
        self._running.discard(feed)

    # ── what feeds bring ─────────────────────────────────────────────────────────────────────

    def hand_out(self, publisher: Publisher, frame: EncodedFrame) -> None:
        """Hand *frame* to the relay and wake its viewers.  [PW-FRAME-10]"""
        for subscriber in self.relay.publish(publisher, frame):
            self.viewers[subscriber].expect(frame.frame.camera_id)

    def note_welcome(self) -> None:
        """Take note that the upstream let somebody in: whoever waits for it may try at once."""
        self.upstream_metrics.links["accepted"] += 1
        self._note_reachable()
        for feed in self._feeds.values():
            feed.hurry()

    def note_refusal(self, link: UpstreamConnection, close: Close) -> None:
        """Take note that *link* ended with *close* before it was let in."""
        if close.code == CloseCode.ABNORMAL:
            self.upstream_metrics.links["unreachable"] += 1
            if self._reachable is not False:
                self._reachable = False
                self.tell("upstream_unreachable", url=str(self.upstream.url), problem=link.problem)
        else:
            self.upstream_metrics.links["refused"] += 1
            self._note_reachable()

    def _note_reachable(self) -> None:
        if self._reachable is not True:
            self._reachable = True
            self.tell("upstream_reachable", url=str(self.upstream.url))

    def note_feed_crash(self, error: Exception) -> None:
        """Count and log an error of ours that cost a feed."""
        self.metrics.crashes += 1
        _log.error("A feed crashed.", exc_info=error)

    def tell(self, name: str, **members: LogValue) -> None:
        """Tell whoever keeps the log; that it can't is no reason for a feed to end."""
        try:
            self._on_event(LogEvent(name, members))
        except Exception as error:
            _log.error("What became of the upstream could not be told.", exc_info=error)

    # ── what an edge does otherwise ──────────────────────────────────────────────────────────

    def route(self, request: Request) -> Response | Upgrade:
        """Do as a gateway does, but send devices to the upstream."""
        if request.path == DEVICE_PATH:
            problem = f"This is an edge: devices connect to {self.upstream.url}{DEVICE_PATH}."
            raise RequestRefused(refuse(HTTPStatus.NOT_FOUND, problem))
        return super().route(request)

    def condition(self) -> dict[str, object]:
        """Return what `health` says; the upstream is `unknown` until a viewer asks for it."""
        states = {None: "unknown", True: "reachable", False: "away"}
        return {
            **super().condition(),
            "upstream": {
                "url": str(self.upstream.url),
                "state": states[self._reachable],
                "feeds": len(self._feeds),
                "feeds_away": self._feeds_away,
            },
        }

    def write_metrics(self, page: Page) -> None:
        """Write what this edge counts on *page*."""
        super().write_metrics(page)
        self.upstream_metrics.write(page, feeds=len(self._feeds), away=self._feeds_away)

    @property
    def _feeds_away(self) -> int:
        return sum(feed.away for feed in self._feeds.values())

    async def drain(self) -> None:
        """Close everybody with 1001, and then the feeds, which end with their last viewer.  [PW-CLOSE-3]"""
        await super().drain()
        with trio.move_on_after(self.limits.close_grace_s):
            for feed in tuple(self._running):
                await feed.over.wait()


@asynccontextmanager
async def open_edge(
    upstream: Upstream,
    *,
    limits: Limits | None = None,
    on_end: Callable[[ConnectionReport], None] = lambda report: None,
    on_event: Callable[[LogEvent], None] = lambda event: None,
) -> AsyncGenerator[EdgeGateway, None]:
    """Make an edge of *upstream*, for `serve`; on leaving, its streams of the upstream are dropped: `drain` it first.

    *on_end* is told of every connection when it is over, *on_event* of what becomes of the upstream.
    """
    async with helper_tasks() as nursery:
        yield EdgeGateway(upstream, nursery, limits=limits, on_end=on_end, on_event=on_event)
