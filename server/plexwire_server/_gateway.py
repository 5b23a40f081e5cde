"""The gateway: the way of one connection through it, from the first byte to the end."""

import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeAlias, final

import trio
from attrs import define, field
from prometheus_client.metrics_core import Metric
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto.frame_protocol import CloseReason

from plexwire_protocol import (
    DEVICE_PATH,
    AddressRefused,
    Close,
    CloseCode,
    Refusal,
    Role,
    StreamAddress,
)
from plexwire_server._connection_report import ConnectionReport, peer_name
from plexwire_server._gateway_state import GatewayState
from plexwire_server._limits import Limits
from plexwire_server._peer_connection import (
    DeviceConnection,
    PeerConnection,
    Transport,
    ViewerConnection,
)
from plexwire_server.http._metrics_page import metrics_response
from plexwire_server.http._request import Request, RequestRefused, read_request
from plexwire_server.http._response import Response, refusal
from plexwire_server.http._viewer_page import FOLDER, clock_response, page_responses
from plexwire_server.http._websocket_handshake import Upgrade, read_upgrade
from plexwire_server.keys._key_decision import KeyChecker
from plexwire_trio import accept_upgrade, linger, reset_on_close
from plexwire_trio.fastlane import (
    STRANGER,
    FastLane,
    FastStream,
    keep_heap,
    open_fast_lane,
    unmask,
)

_log: Final = logging.getLogger(__name__)

AnyPeerConnection: TypeAlias = PeerConnection[Any]

#: Ends of a WebSocket that don't wait for the peer's answer; what it sent meanwhile lies unread.
_UNANSWERED: Final = (
    CloseCode.PROTOCOL_ERROR,
    CloseCode.INVALID_PAYLOAD,
    CloseReason.POLICY_VIOLATION,
    CloseCode.TOO_BIG,
)


@define(eq=False)
class _OpenConnection:
    """One connection, from its first byte on; `peer` from when it is a WebSocket."""

    report: ConnectionReport
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    peer: AnyPeerConnection | None = None


class Gateway(GatewayState):
    """A live relay over any byte streams; `serve` puts it behind TCP.

    *keys* judges API keys.  *unix_ms* is the wall clock that devices set theirs by; all waiting is on Trio's clock.
    Frames go through *lane*, the gateway's fast lane, or through trio-websocket if there is none.  *on_end* gets the report
    of every connection that has ended.  `plexwire_server.extending` lists what a subclass may do differently.
    """

    #: What serves a viewer, and what a device.
    viewer_connection: type[ViewerConnection] = ViewerConnection
    device_connection: type[DeviceConnection] = DeviceConnection

    def __init__(
        self,
        keys: KeyChecker,
        *,
        limits: Limits | None = None,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        lane: FastLane | None = None,
        on_end: Callable[[ConnectionReport], None] = lambda report: None,
    ) -> None:
        super().__init__(keys, limits=limits, unix_ms=unix_ms, lane=lane)
        # Read the files of the page now: later everybody would wait for the disk.
        page_responses()
        self._on_end = on_end
        self._connections: set[_OpenConnection] = set()
        self._draining = False
        self._emptied = trio.Event()

    # ── one connection ───────────────────────────────────────────────────────────────────────

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection from its first HTTP byte to its end, and close *stream*.

        Raises nothing: an error in here costs only this connection, and is counted and logged.
        """
        connection = _OpenConnection(
            ConnectionReport(peer=peer_name(stream), since=trio.current_time())
        )
        full = self._draining or self._unauthenticated >= self.limits.unauthenticated
        self._connections.add(connection)
        try:
            with connection.scope:
                if full:
                    await self._send_response(stream, connection, refusal(_full()))
                else:
                    await self._serve(stream, connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            connection.report.closed(Close(CloseCode.ABNORMAL), Role.GATEWAY)
        except Exception as error:
            self.note_crash(connection.report, error)
        finally:
            self._note_end(connection)
            with suppress(trio.BrokenResourceError, OSError):
                await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream, connection: _OpenConnection) -> None:
        head_only = False
        routed: Response | Upgrade
        try:
            request = await self._read_request(stream)
            if request is None:
                return
            head_only = request.method == "HEAD"
            routed = self.route(request)
        except RequestRefused as refused:
            routed = refusal(refused)
        if isinstance(routed, Response):
            await self._send_response(stream, connection, routed, head_only=head_only)
        else:
            await self._serve_websocket(stream, connection, routed)

    async def _read_request(self, stream: trio.abc.Stream) -> Request | None:
        with trio.move_on_after(self.limits.head_s):
            return await read_request(stream, max_bytes=self.limits.head_bytes)
        problem = f"No whole request came within {self.limits.head_s:g} s."
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, problem)

    async def _serve_websocket(
        self, stream: trio.abc.Stream, connection: _OpenConnection, upgrade: Upgrade
    ) -> None:
        report = connection.report
        # The library's reader lives in this nursery, as long as the peer's connection and no longer.
        async with trio.open_nursery() as nursery:
            fast = self._attach(nursery, stream, upgrade.rest)
            ws = await self._accept(nursery, fast, upgrade)
            if ws is None:
                report.closed(Close(CloseCode.ABNORMAL), Role.GATEWAY)
            else:
                transport = Transport(ws, fast)
                if upgrade.address is None:
                    connection.peer = self.new_device(transport, report)
                else:
                    connection.peer = self.new_viewer(upgrade.address, transport, report)
                if self._draining:
                    connection.peer.go_away()
                await connection.peer.run()
            nursery.cancel_scope.cancel()
        if connection.peer is not None and connection.peer.peer.aborted:
            reset_on_close(stream)
        elif report.close is not None and report.close.code in _UNANSWERED:
            await linger(stream, within=self.limits.close_grace_s)
        await trio.aclose_forcefully(fast)

    def _attach(self, nursery: trio.Nursery, stream: trio.abc.Stream, already: bytes) -> FastStream:
        """Return the stream under a WebSocket, which holds its peer to a budget, with a lane beside it or not."""
        if self.lane is not None:
            return self.lane.attach(stream, already=already, upgraded=True)
        fast = FastStream(
            stream,
            None,
            budget=STRANGER,
            unmask=unmask,
            already=already,
            upgraded=True,
            detach=lambda fast: None,
        )
        nursery.start_soon(fast.outlet.drive, stream)
        return fast

    async def _accept(
        self, nursery: trio.Nursery, fast: FastStream, upgrade: Upgrade
    ) -> WebSocketConnection | None:
        with trio.move_on_after(self.limits.head_s):
            try:
                return await accept_upgrade(
                    nursery,
                    fast,
                    upgrade.target,
                    upgrade.key,
                    max_message_bytes=self.limits.message_bytes,
                )
            except ConnectionClosed:
                pass  # gone before our answer
        return None

    async def _send_response(
        self,
        stream: trio.abc.Stream,
        connection: _OpenConnection,
        response: Response,
        *,
        head_only: bool = False,
    ) -> None:
        connection.report.status = response.status.value
        with trio.move_on_after(self.limits.close_grace_s):
            await stream.send_all(response.encode(head_only=head_only))
            await linger(stream, within=self.limits.close_grace_s)

    # ── what a subclass may do differently ───────────────────────────────────────────────────

    def route(self, request: Request) -> Response | Upgrade:
        """Return the response to *request*, or how it becomes a WebSocket.  [PW-ADDR-1, PW-ADDR-6, PW-ADDR-13]

        Raises:
            RequestRefused: there is nothing here for it.

        """
        page = self.pages().get(request.path)
        address = None
        if page is None and request.path != DEVICE_PATH:
            address = self._address_of(request.target)
        if request.method != "GET" and (page is None or request.method != "HEAD"):
            problem = "Only GET is served here."
            raise RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, problem, {"Allow": "GET"})
        if page is not None:
            return page().unless_known(request)
        return read_upgrade(request, address)

    def pages(self) -> Mapping[str, Callable[[], Response]]:
        """Return what is served as plain HTTP, by path."""
        return {
            **page_responses(),
            f"{FOLDER}clock": lambda: clock_response(self.unix_ms()),
            "/health": self.health,
            "/metrics": self.metrics_page,
        }

    def read_address(self, target: str) -> StreamAddress:
        """Return what a viewer asks for.

        Raises:
            AddressRefused: *target* is not an address of a stream.

        """
        return StreamAddress.parse(target)

    def new_viewer(
        self, address: StreamAddress, transport: Transport, report: ConnectionReport
    ) -> ViewerConnection:
        """Return what will serve a new viewer."""
        return self.viewer_connection(self, address, transport, report)

    def new_device(self, transport: Transport, report: ConnectionReport) -> DeviceConnection:
        """Return what will serve a new device."""
        return self.device_connection(self, transport, report)

    def condition(self) -> dict[str, object]:
        """Return what `health` says."""
        return {
            "status": "ok",
            "viewers": self.open_streams(Role.VIEWER),
            "devices": self.open_streams(Role.DEVICE),
        }

    def collect_metrics(self) -> Iterator[Metric]:
        """Yield what this gateway counts."""
        viewers = self.hub.viewers
        yield from self.metrics.collect(
            viewers=self.open_streams(Role.VIEWER),
            devices=self.open_streams(Role.DEVICE),
            unauthenticated=self._unauthenticated,
            traffic=self.hub.traffic,
            waiting=sum(viewer.waiting for viewer in viewers),
            replaced=sum(viewer.dropped for viewer in viewers),
        )

    async def drain(self) -> None:
        """Close all connections with 1001 and accept no more; returns when the last one is gone.  [PW-CLOSE-3]

        Those that are still open after `limits.drain_s` seconds are dropped.
        """
        self._draining = True
        for connection in tuple(self._connections):
            if connection.peer is None:
                connection.scope.cancel()
            else:
                connection.peer.go_away()
        with trio.move_on_after(self.limits.drain_s):
            await self._wait_until_empty()
        for connection in tuple(self._connections):
            connection.scope.cancel()
        await self._wait_until_empty()

    # ── pages ────────────────────────────────────────────────────────────────────────────────

    @final
    def health(self) -> Response:
        """Return that the gateway serves; one that is draining answers everything with 503."""
        return Response(HTTPStatus.OK, json.dumps(self.condition()) + "\n", "application/json")

    @final
    def metrics_page(self) -> Response:
        """Return the counters for Prometheus."""
        return metrics_response(self.collect_metrics())

    def _address_of(self, target: str) -> StreamAddress:
        try:
            return self.read_address(target)
        except AddressRefused as error:
            wrong_path = error.refusal is Refusal.WRONG_PATH
            problem = "There is nothing at this path." if wrong_path else str(error)
            raise RequestRefused(HTTPStatus(error.status), problem) from None

    # ── the open connections ─────────────────────────────────────────────────────────────────

    @property
    def _unauthenticated(self) -> int:
        streaming = self.open_streams(Role.VIEWER) + self.open_streams(Role.DEVICE)
        return len(self._connections) - streaming

    async def _wait_until_empty(self) -> None:
        self._emptied = trio.Event()
        if self._connections:
            await self._emptied.wait()

    def _note_end(self, connection: _OpenConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()
        report = connection.report
        report.seconds = trio.current_time() - report.since
        self.metrics.note_end(report)
        try:
            self._on_end(report)
        except Exception as error:
            _log.error("The end of a connection could not be told.", exc_info=error)


@asynccontextmanager
async def open_gateway(
    keys: KeyChecker,
    *,
    limits: Limits | None = None,
    on_end: Callable[[ConnectionReport], None] = lambda report: None,
    fast_lane: bool = True,
) -> AsyncGenerator[Gateway, None]:
    """Make a gateway with a fast lane, or without; on leaving, all that is still connected is dropped: `drain` it first.

    *on_end* gets the report of every connection that has ended.
    """
    async with open_lane(fast_lane) as lane:
        yield Gateway(keys, limits=limits, lane=lane, on_end=on_end)


@asynccontextmanager
async def open_lane(fast_lane: bool) -> AsyncGenerator[FastLane | None, None]:
    """Open a fast lane, and prepare the process for it; None without *fast_lane*."""
    if not fast_lane:
        yield None
        return
    keep_heap()
    async with open_fast_lane() as lane:
        yield lane


def _full() -> RequestRefused:
    problem = "The gateway takes in nobody at the moment."
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, problem, {"Retry-After": "1"})
