"""An edge: a gateway whose frames come from another one, its upstream, and whose keys are judged there."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import trio
from prometheus_client.metrics_core import Metric

from plexwire_protocol import DEVICE_PATH, StreamAddress
from plexwire_server._connection_report import ConnectionReport
from plexwire_server._gateway import Gateway, open_lane
from plexwire_server._limits import Limits
from plexwire_server._log import LogEvent
from plexwire_server._peer_connection import Transport
from plexwire_server.edge._edge_viewer_connection import EdgeViewerConnection, EdgeViewerPeer
from plexwire_server.edge._feeds import Feeds
from plexwire_server.edge._upstream import Upstream
from plexwire_server.edge._upstream_status import UpstreamStatus
from plexwire_server.http._request import Request, RequestRefused
from plexwire_server.http._response import Response
from plexwire_server.http._websocket_handshake import Upgrade
from plexwire_server.keys._key_store import KeyStore
from plexwire_trio import helper_tasks
from plexwire_trio.fastlane import FastLane


class EdgeGateway(Gateway):
    """A gateway that relays *upstream* to viewers of its own; `open_edge` makes one.

    Viewers with the same key, source and cameras share one stream of the upstream.  While the upstream is away they stay,
    and get a message before each attempt to get it back; when it is given up they are closed with 1011.  [PW-RECON-1]
    """

    viewer_peer = EdgeViewerPeer

    def __init__(
        self,
        upstream: Upstream,
        nursery: trio.Nursery,
        *,
        limits: Limits | None = None,
        lane: FastLane | None = None,
        on_end: Callable[[ConnectionReport], None] = lambda report: None,
        on_event: Callable[[LogEvent], None] = lambda event: None,
    ) -> None:
        super().__init__(KeyStore(), limits=limits, lane=lane, on_end=on_end)
        self.status = UpstreamStatus(upstream, on_event)
        self.feeds = Feeds(self, self.status, nursery)

    def route(self, request: Request) -> Response | Upgrade:
        """Do as a gateway does, but send devices to the upstream."""
        if request.path == DEVICE_PATH:
            url = self.status.upstream.url
            problem = f"This is an edge: devices connect to {url}{DEVICE_PATH}."
            raise RequestRefused(HTTPStatus.NOT_FOUND, problem)
        return super().route(request)

    def new_viewer(
        self, address: StreamAddress, transport: Transport, report: ConnectionReport
    ) -> EdgeViewerConnection:
        """Return what will serve a new viewer."""
        return EdgeViewerConnection(self.feeds, self, address, transport, report)

    def condition(self) -> dict[str, object]:
        """Return what `health` says; the upstream is `unknown` until a viewer asks for it."""
        states = {None: "unknown", True: "reachable", False: "away"}
        return {
            **super().condition(),
            "upstream": {
                "url": str(self.status.upstream.url),
                "state": states[self.status.reachable],
                "feeds": len(self.feeds.shared),
                "feeds_away": self.feeds.away,
            },
        }

    def collect_metrics(self) -> Iterator[Metric]:
        """Yield what this edge counts."""
        yield from super().collect_metrics()
        yield from self.status.collect(feeds=len(self.feeds.shared), away=self.feeds.away)

    async def drain(self) -> None:
        """Close all connections with 1001, and then the feeds, which end with their last viewer.  [PW-CLOSE-3]"""
        await super().drain()
        with trio.move_on_after(self.limits.close_grace_s):
            await self.feeds.wait_until_over()


@asynccontextmanager
async def open_edge(
    upstream: Upstream,
    *,
    limits: Limits | None = None,
    on_end: Callable[[ConnectionReport], None] = lambda report: None,
    on_event: Callable[[LogEvent], None] = lambda event: None,
    fast_lane: bool = True,
) -> AsyncGenerator[EdgeGateway, None]:
    """Make an edge of *upstream*, for `serve`; on leaving, its streams of the upstream are dropped: `drain` it first.

    *on_end* gets the report of every connection that has ended, *on_event* what becomes of the upstream.
    """
    async with open_lane(fast_lane) as lane, helper_tasks() as nursery:
        yield EdgeGateway(
            upstream, nursery, limits=limits, lane=lane, on_end=on_end, on_event=on_event
        )
