"""The gateway: what its connections share, and the way of one connection through it."""

import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, TypeAlias

import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, WebSocketConnection

from plexwire_protocol import (
    DEVICE_PATH,
    AddressRefused,
    Close,
    CloseCode,
    GatewayDeviceSession,
    GatewayViewerSession,
    Refusal,
    Relay,
    Role,
    StreamAddress,
    Subscriber,
)
from plexwire_server._connection_report import ConnectionReport, peer_name
from plexwire_server._device_connection import DeviceConnection
from plexwire_server._limits import Limits
from plexwire_server._log import trace_without
from plexwire_server._metrics import Metrics
from plexwire_server._prometheus import CONTENT_TYPE, Page
from plexwire_server._viewer_connection import ViewerConnection
from plexwire_server.http._replayed_stream import ReplayStream
from plexwire_server.http._request import (
    Request,
    RequestRefused,
    Response,
    read_handshake,
    read_request,
    refuse,
)
from plexwire_server.http._viewer_page import FOLDER, clock_answer, page_answers
from plexwire_server.keys._key_store import KeyChecker, KeyDecision, KeyGranted, KeyRefused
from plexwire_trio import linger, wrap_server_stream

_log: Final = logging.getLogger(__name__)

AnyConnection: TypeAlias = ViewerConnection | DeviceConnection

#: Ends of a WebSocket that don't wait for the peer's answer; what it sent meanwhile lies unread.
_UNANSWERED: Final = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_PAYLOAD, CloseCode.TOO_BIG)


@frozen
class Upgrade:
    """A request that becomes a WebSocket: `address` is the viewer's, None for a device.

    `head` is the handshake, `rest` what came behind it in the same segment: an `auth`, as often as not.
    """

    address: StreamAddress | None
    head: bytes
    rest: bytes


@define(eq=False)
class _Seat:
    """One connection, from its first byte on; `conversation` from when it is a WebSocket."""

    report: ConnectionReport
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    conversation: AnyConnection | None = None


class Gateway:
    """A live relay over any byte streams; `serve` puts it behind TCP.

    *keys* judges API keys.  *unix_ms* is the wall clock that devices set theirs by; all waiting is on Trio's clock.
    *on_end* is told of every connection when it is over.  What a subclass may want to do otherwise has a method of its
    own, here or in the two conversations.
    """

    #: What plays the gateway's side of a stream.
    viewer_connection: type[ViewerConnection] = ViewerConnection
    device_connection: type[DeviceConnection] = DeviceConnection

    def __init__(
        self,
        keys: KeyChecker,
        *,
        limits: Limits | None = None,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        on_end: Callable[[ConnectionReport], None] = lambda report: None,
    ) -> None:
        self.keys = keys
        self.limits = Limits() if limits is None else limits
        self.unix_ms = unix_ms
        self.metrics = Metrics(started=unix_ms() / 1000)
        self.relay = Relay()
        # Read the files of the page now: later everybody would wait for the disk.
        page_answers()
        #: The viewers that are streaming, by what the relay knows them as.
        self.viewers: dict[Subscriber, ViewerConnection] = {}
        self._on_end = on_end
        self._seats: set[_Seat] = set()
        self._open: Counter[Role] = Counter()
        self._open_by_key: Counter[tuple[str, str]] = Counter()
        self._draining = False
        self._emptied = trio.Event()

    # ── one connection ───────────────────────────────────────────────────────────────────────

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection from its first HTTP byte to its end, and close *stream*.

        Raises nothing: an error in here costs this connection alone, and is counted and logged.
        """
        seat = _Seat(ConnectionReport(peer=peer_name(stream), since=trio.current_time()))
        full = self._draining or self._unauthenticated >= self.limits.unauthenticated
        self._seats.add(seat)
        try:
            with seat.scope:
                if full:
                    problem = "The gateway takes in nobody at the moment."
                    answer = refuse(HTTPStatus.SERVICE_UNAVAILABLE, problem, Retry_After="1")
                    await self._send_answer(stream, seat, answer)
                else:
                    await self._serve(stream, seat)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            seat.report.closed(Close(CloseCode.ABNORMAL), Role.GATEWAY)
        except Exception as error:
            self.note_crash(seat.report, error)
        finally:
            self._note_end(seat)
            with suppress(trio.BrokenResourceError, OSError):
                await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream, seat: _Seat) -> None:
        head_only = False
        routed: Response | Upgrade
        try:
            request = await self._read_request(stream)
            if request is None:
                return
            head_only = request.method == "HEAD"
            routed = self.route(request)
        except RequestRefused as refused:
            routed = refused.answer
        if isinstance(routed, Response):
            await self._send_answer(stream, seat, routed, head_only=head_only)
        else:
            await self._serve_websocket(stream, seat, routed)

    async def _read_request(self, stream: trio.abc.Stream) -> Request | None:
        with trio.move_on_after(self.limits.head_s):
            return await read_request(stream, max_bytes=self.limits.head_bytes)
        problem = f"No whole request came within {self.limits.head_s:g} s."
        raise RequestRefused(refuse(HTTPStatus.REQUEST_TIMEOUT, problem))

    async def _serve_websocket(
        self, stream: trio.abc.Stream, seat: _Seat, opening: Upgrade
    ) -> None:
        # The library's reader lives in this nursery, as long as the conversation and no longer.
        async with trio.open_nursery() as nursery:
            ws = await self._accept(nursery, self.lend(stream, opening))
            if ws is None:
                seat.report.closed(Close(CloseCode.ABNORMAL), Role.GATEWAY)
            else:
                seat.conversation = self.converse(opening, ws, seat.report)
                if self._draining:
                    seat.conversation.go_away()
                await seat.conversation.play()
            nursery.cancel_scope.cancel()
        if seat.report.close is not None and seat.report.close.code in _UNANSWERED:
            await linger(stream, within=self.limits.close_grace_s)

    async def _accept(
        self, nursery: trio.Nursery, stream: trio.abc.Stream
    ) -> WebSocketConnection | None:
        with trio.move_on_after(self.limits.head_s):
            request = await wrap_server_stream(
                nursery, stream, max_message_bytes=self.limits.message_bytes
            )
            try:
                return await request.accept()
            except ConnectionClosed:
                pass  # gone before our answer
        return None

    async def _send_answer(
        self, stream: trio.abc.Stream, seat: _Seat, answer: Response, *, head_only: bool = False
    ) -> None:
        seat.report.status = answer.status.value
        with trio.move_on_after(self.limits.close_grace_s):
            await stream.send_all(answer.encode(head_only=head_only))
            await linger(stream, within=self.limits.close_grace_s)

    # ── what a subclass may do otherwise ─────────────────────────────────────────────────────

    def route(self, request: Request) -> Response | Upgrade:
        """Return the answer to *request*, or how it becomes a WebSocket.  [PW-ADDR-1, PW-ADDR-6, PW-ADDR-13]

        Raises:
            RequestRefused: there is nothing here for it.

        """
        page = self.pages().get(request.path)
        address = None
        if page is None and request.path != DEVICE_PATH:
            address = self._address_of(request.target)
        if request.method != "GET" and (page is None or request.method != "HEAD"):
            raise RequestRefused(
                refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is served here.", Allow="GET")
            )
        if page is not None:
            return page().unless_known(request)
        return Upgrade(address, read_handshake(request), request.rest)

    def pages(self) -> Mapping[str, Callable[[], Response]]:
        """Return what is served as plain HTTP, by path."""
        return {
            **page_answers(),
            f"{FOLDER}clock": lambda: clock_answer(self.unix_ms()),
            "/health": self.health,
            "/metrics": self.metrics_page,
        }

    def read_address(self, target: str) -> StreamAddress:
        """Return what a viewer asks for.

        Raises:
            AddressRefused: *target* is no address of a stream.

        """
        return StreamAddress.parse(target)

    async def check_key(self, api_key: str) -> KeyDecision:
        """Have a key judged; where that fails or takes too long, its bearer is refused with 1011."""
        with trio.move_on_after(self.limits.key_check_s):
            try:
                decision = self.keys.check(api_key)
                return await decision if isinstance(decision, Awaitable) else decision
            except Exception as error:
                _log.error("A key could not be checked.\n%s", trace_without(error, api_key))
        self.metrics.key_check_failures += 1
        return KeyRefused(CloseCode.INTERNAL_ERROR)

    def lend(self, stream: trio.abc.Stream, opening: Upgrade) -> trio.abc.Stream:
        """Return the byte stream that the WebSocket library is to work on."""
        return ReplayStream(stream, opening.head, opening.rest)

    def converse(
        self, opening: Upgrade, ws: WebSocketConnection, report: ConnectionReport
    ) -> AnyConnection:
        """Return what will play the gateway's side of a new WebSocket."""
        if opening.address is None:
            return self.device_connection(self, self.device_session(), ws, report)
        report.source_id = opening.address.source_id
        report.cameras = opening.address.cameras
        return self.viewer_connection(self, self.viewer_session(opening.address), ws, report)

    def viewer_session(self, address: StreamAddress) -> GatewayViewerSession:
        """Return the rules towards one viewer."""
        return GatewayViewerSession(address, now=trio.current_time())

    def device_session(self) -> GatewayDeviceSession:
        """Return the rules towards one device."""
        return GatewayDeviceSession(now=trio.current_time())

    def _address_of(self, target: str) -> StreamAddress:
        try:
            return self.read_address(target)
        except AddressRefused as error:
            if error.refusal is Refusal.WRONG_PATH:
                raise RequestRefused(
                    refuse(HTTPStatus.NOT_FOUND, "There is nothing at this path.")
                ) from None
            raise RequestRefused(refuse(HTTPStatus.BAD_REQUEST, str(error))) from None

    # ── who is here ──────────────────────────────────────────────────────────────────────────

    @property
    def _unauthenticated(self) -> int:
        return len(self._seats) - self._open.total()

    def has_room_for(self, granted: KeyGranted) -> bool:
        """Whether one more stream may be opened with this key."""
        key = (granted.organisation, granted.key_name)
        return self._open_by_key[key] < self.limits.streams_per_key

    def take_in(self, role: Role, granted: KeyGranted) -> None:
        """Count a stream that was let in."""
        self._open[role] += 1
        self._open_by_key[granted.organisation, granted.key_name] += 1

    def let_go(self, role: Role, granted: KeyGranted) -> None:
        """Count a stream out that was let in."""
        key = (granted.organisation, granted.key_name)
        self._open[role] -= 1
        self._open_by_key[key] -= 1
        if not self._open_by_key[key]:
            del self._open_by_key[key]

    def health(self) -> Response:
        """Say that the gateway serves; one that is about to go answers everything with 503."""
        return Response(HTTPStatus.OK, json.dumps(self.condition()) + "\n", "application/json")

    def condition(self) -> dict[str, object]:
        """Return what `health` says."""
        return {
            "status": "ok",
            "viewers": self._open[Role.VIEWER],
            "devices": self._open[Role.DEVICE],
        }

    def metrics_page(self) -> Response:
        """Return the counters for Prometheus."""
        page = Page()
        self.write_metrics(page)
        return Response(HTTPStatus.OK, page.text, CONTENT_TYPE)

    def write_metrics(self, page: Page) -> None:
        """Write what this gateway counts on *page*."""
        self.metrics.write(
            page,
            viewers=self._open[Role.VIEWER],
            devices=self._open[Role.DEVICE],
            unauthenticated=self._unauthenticated,
            waiting=sum(subscriber.waiting for subscriber in self.viewers),
            replaced=sum(subscriber.dropped for subscriber in self.viewers),
        )

    async def drain(self) -> None:
        """Close everybody with 1001 and take nobody in any more; returns when the last one is gone.  [PW-CLOSE-3]

        Whoever is still there after `limits.drain_s` seconds is dropped.
        """
        self._draining = True
        for seat in tuple(self._seats):
            if seat.conversation is None:
                seat.scope.cancel()
            else:
                seat.conversation.go_away()
        with trio.move_on_after(self.limits.drain_s):
            await self._wait_until_empty()
        for seat in tuple(self._seats):
            seat.scope.cancel()
        await self._wait_until_empty()

    async def _wait_until_empty(self) -> None:
        self._emptied = trio.Event()
        if self._seats:
            await self._emptied.wait()

    def note_crash(self, report: ConnectionReport, error: Exception) -> None:
        """Count and log an error of ours."""
        self.metrics.crashes += 1
        root: BaseException = error
        while isinstance(root, BaseExceptionGroup):
            root = root.exceptions[0]
        # Its text may hold anything, so only its name goes into the line of the connection.
        report.error = type(root).__name__
        _log.error("A connection crashed.", exc_info=error)

    def _note_end(self, seat: _Seat) -> None:
        self._seats.discard(seat)
        if not self._seats:
            self._emptied.set()
        seat.report.seconds = trio.current_time() - seat.report.since
        self.metrics.note_end(seat.report)
        try:
            self._on_end(seat.report)
        except Exception as error:
            _log.error("The end of a connection could not be told.", exc_info=error)
