"""One conversation of a test with its gateway, in the Trio thread."""

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

import trio
from attrs import define, field

from plexwire_client import (
    ConnectionLost,
    GatewayUrl,
    HostUnreachable,
    Refused,
    TlsFailed,
    open_websocket,
)
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.target.target import Endpoint
from plexwire_protocol import (
    Authenticated,
    Close,
    CloseCode,
    DeviceSession,
    ErrorReport,
    Event,
    GatewayDeviated,
    Init,
    MessageReceived,
    PeerViolated,
    RemoteProtocolError,
    Session,
    State,
    VideoFrame,
)
from plexwire_trio import Connection

S = TypeVar("S", bound=Session)

#: Seconds that things get which take no time where the gateway is sound.
DEFAULT_TIMEOUT_S: Final = 5.0

#: The codes that a gateway spells out in an `error`, before it closes.
_SPELLED: Final = {
    code.name.lower(): code for code in (CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS)
}


@define(eq=False)
class OpenConversation(Generic[S]):
    """A conversation that was begun; everything in it happens in the Trio thread, but for reading its attributes."""

    _begin: Callable[[float], S]
    _session: S | None = field(default=None, init=False)
    _connection: Connection[S] | None = field(default=None, init=False)
    _frames: deque[VideoFrame] = field(factory=deque[VideoFrame], init=False)
    _is_let_in: bool = field(default=False, init=False)
    _welcome: Init | Authenticated | None = field(default=None, init=False)
    _deviations: dict[GatewayDeviated, GatewayDeviated] = field(
        factory=dict[GatewayDeviated, GatewayDeviated], init=False
    )
    _report: ErrorReport | None = field(default=None, init=False)
    _broken: RemoteProtocolError | None = field(default=None, init=False)
    _changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    #: How it ended; None while it goes on.
    close: Close | None = field(default=None, init=False)

    @staticmethod
    async def open(
        thread: TrioThread, endpoint: Endpoint, target: str, begin: Callable[[float], S]
    ) -> "OpenConversation[S]":
        """Connect to *target*, and wait until the gateway lets us in.

        Raises:
            ConnectError: there is no WebSocket to be had.
            Refused, ConnectionLost, RemoteProtocolError: it does not let us in.
        """
        conversation = OpenConversation(begin)
        await thread.nursery.start(conversation._play, endpoint, target)
        if not await conversation.until(lambda: conversation._is_let_in):
            raise conversation._complaint()
        return conversation

    @property
    def init(self) -> Init:
        """What the gateway said first to a viewer; empty if it let the viewer in without an init that can be read."""
        if isinstance(self._welcome, Authenticated):
            raise TypeError("an init is for viewers")
        return self._welcome or Init(online_sources=())

    @property
    def deviations(self) -> tuple[GatewayDeviated, ...]:
        """What the gateway sent against a clause, the first of each kind."""
        return tuple(self._deviations.values())

    async def until(self, ready: Callable[[], bool], timeout: float = float("inf")) -> bool:
        """Wait until it is *ready*, or over, for *timeout* seconds at most; return whether it is ready."""
        with trio.move_on_after(timeout):
            while not ready() and self.close is None:
                await self._changed.park()
        return ready()

    async def take(self, camera_id: str | None, timeout: float) -> VideoFrame | None:
        """Return the next frame, of any camera or of one; None if none came in *timeout* seconds.

        Raises:
            ConnectionLost, RemoteProtocolError: it is over.
        """

        def waiting() -> VideoFrame | None:
            return next(
                (frame for frame in self._frames if camera_id in (None, frame.camera_id)), None
            )

        await self.until(lambda: waiting() is not None, timeout)
        frame = waiting()
        if frame is not None:
            self._frames.remove(frame)
        elif self.close is not None:
            raise self._complaint()
        return frame

    async def send(self, frame: VideoFrame) -> None:
        """Send a frame, and wait until it is written.

        Raises:
            ConnectionLost, RemoteProtocolError: it is over.
        """
        session, connection = self._session, self._connection
        if self.close is not None or not isinstance(session, DeviceSession) or connection is None:
            raise self._complaint()
        session.send(frame, now=trio.current_time())
        await connection.flush()

    async def leave(self) -> None:
        """Close properly, within a few seconds."""
        if self.close is None and self._session is not None and self._connection is not None:
            self._session.close(now=trio.current_time())
            self._connection.flush_soon()
            await self.until(lambda: False, DEFAULT_TIMEOUT_S)

    async def _play(
        self, endpoint: Endpoint, target: str, *, task_status: trio.TaskStatus[None]
    ) -> None:
        close = Close(CloseCode.ABNORMAL)
        url = GatewayUrl.parse(endpoint.url)
        try:
            async with open_websocket(url, target, opener=partial(_dial, endpoint)) as websocket:
                self._session = self._begin(trio.current_time())
                self._connection = Connection(self._session, websocket)
                task_status.started()
                close = await self._connection.run(self._handle)
        except ConnectionLost:
            pass  # told by the code 1006
        finally:
            self.close = close
            self._changed.unpark_all()

    def _handle(self, event: Event) -> None:
        match event:
            case MessageReceived(VideoFrame() as frame):
                self._frames.append(frame)
            case MessageReceived(Init() | Authenticated() as welcome):
                self._welcome = welcome
            case MessageReceived(ErrorReport() as report):
                self._report = report
            case GatewayDeviated():
                self._deviations.setdefault(event.kind, event)
            case PeerViolated(error):
                self._broken = error
            case _:
                pass
        if self._session is not None and self._session.state is State.STREAMING:
            self._is_let_in = True
        self._changed.unpark_all()

    def _complaint(self) -> Exception:
        close = self.close or Close(CloseCode.ABNORMAL)
        if self._broken is not None:
            return self._broken
        if not self._is_let_in and self._report is not None:
            # The device closes on an `error` by itself, before the gateway's own close arrives.
            said = f"{self._report.detail} ({self._report.code})".strip()
            code = _SPELLED.get(self._report.code.lower(), close.code)
            return Refused(Close(code, close.reason), said)
        if not self._is_let_in and close.code != CloseCode.ABNORMAL:
            return Refused(close)
        return ConnectionLost(close)


async def _dial(endpoint: Endpoint, url: GatewayUrl) -> trio.abc.Stream:
    try:
        return await endpoint.dial(False)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error.strerror or str(error)
        raise HostUnreachable(
            f"{url.place} can't be reached: {why}.", "Is the gateway up?"
        ) from None
    except trio.BrokenResourceError as error:
        raise TlsFailed(
            f"TLS with {url.place} failed: {error.__cause__ or error}.", "Is its certificate right?"
        ) from None
