"""The viewer: watches cameras of one source, newest picture first."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import trio

from plexwire_client._client import Client, Dial, Reconnecting
from plexwire_client._errors import require_trio
from plexwire_client._newest_per_key import NewestPerKey
from plexwire_protocol import (
    Auth,
    GatewayDeviated,
    GatewayReconnecting,
    Init,
    Message,
    StreamAddress,
    VideoFrame,
    ViewerSession,
)
from plexwire_protocol.limits import DEFAULT_CAMERA
from plexwire_trio import GatewayUrl, StreamOpener, open_websocket

#: What `ViewerClient.events` reports: each `Init` after the first, `GatewayReconnecting` while the gateway's upstream is away,
#: `Reconnecting` while the gateway itself is, `GatewayDeviated` once for each kind of deviation.
ViewerEvent: TypeAlias = VideoFrame | Init | GatewayReconnecting | Reconnecting | GatewayDeviated


class _Events:
    """An iterator that may be left at any time, which Trio takes amiss in a generator."""

    def __init__(self, following: Callable[[], Awaitable[ViewerEvent | None]]) -> None:
        self._following = following

    def __aiter__(self) -> AsyncIterator[ViewerEvent]:
        return self

    async def __anext__(self) -> ViewerEvent:
        event = await self._following()
        if event is None:
            raise StopAsyncIteration
        return event


class ViewerClient(Client[ViewerSession]):
    """What `open_viewer` gives: an async iterator of frames.

    A slow application gets the newest frame of each camera and never an old one: what it had no time for is counted in
    `skipped`, and by camera in `skips`.  `frames` counts what arrived, `foreign` what was not asked for and is passed
    over; all of them over all connections.  `deviations` holds what the gateway sends against a clause and the viewer
    reads all the same, the first of each kind.  `frame_to_image`, `frame_to_array` and `frame_to_temps` decode a frame.
    """

    def __init__(
        self, dial: Dial, *, address: StreamAddress, api_key: str, reconnect: bool
    ) -> None:
        super().__init__(dial, reconnect=reconnect)
        self.address = address
        self.frames = 0
        self.foreign = 0
        self.skips: dict[str, int] = {}
        self._auth = Auth(api_key=api_key)
        self._deviations: dict[GatewayDeviated, GatewayDeviated] = {}
        self._init: Init | None = None
        self._pending: NewestPerKey[tuple[type[object], str], ViewerEvent] = NewestPerKey()

    @property
    def init(self) -> Init:
        """What was online when the gateway last said so; nothing if it let us in without an init that can be read."""
        if not self._entered.is_set():
            raise RuntimeError("there is an init only inside of `async with open_viewer(...)`")
        return self._init or Init(online_sources=())

    @property
    def deviations(self) -> tuple[GatewayDeviated, ...]:
        """What the gateway sent against a clause, the first of each kind."""
        return tuple(self._deviations.values())

    @property
    def skipped(self) -> int:
        """How many frames a newer one replaced before the application took them."""
        return sum(self.skips.values())

    def __aiter__(self) -> AsyncIterator[VideoFrame]:
        return self

    async def __anext__(self) -> VideoFrame:
        """Wait for the next frame; ends after 1000, 1001 and 4008 unless reconnecting.

        Raises:
            Refused: the key was turned away while the stream ran.
            ConnectionLost: the stream broke.
            RemoteProtocolError: the gateway broke the protocol.

        """
        while True:
            event = await self._next()
            if event is None:
                raise StopAsyncIteration
            if isinstance(event, VideoFrame):
                return event

    def events(self) -> AsyncIterator[ViewerEvent]:
        """Iterate over frames and whatever else happens; raises and ends as the iteration over frames does."""
        return _Events(self._next)

    async def _next(self) -> ViewerEvent | None:
        await trio.lowlevel.checkpoint()
        while (event := self._pending.take()) is None:
            if self._ending is not None:
                if self._ending.error is not None:
                    raise self._ending.error
                return None
            await self._pending.changed()
        return event

    # ── what the connection brings ───────────────────────────────────────────────────────────

    def _begin(self, now: float) -> ViewerSession:
        session = ViewerSession(source_id=self.address.source_id, now=now)
        session.send(self._auth, now=now)
        return session

    def _received(self, message: Message) -> None:
        match message:
            case VideoFrame():
                self._keep(message)
            case GatewayReconnecting():
                self._pending.put((GatewayReconnecting, ""), message)  # and stay  [PW-RECON-2]
            case Init():
                if self._init is not None:
                    self._pending.put((Init, ""), message)
                self._init = message
            case _:
                pass

    def _deviated(self, deviation: GatewayDeviated) -> None:
        if deviation.kind not in self._deviations:
            self._deviations[deviation.kind] = deviation
            self._pending.put((GatewayDeviated, str(deviation.kind)), deviation)

    def _keep(self, frame: VideoFrame) -> None:
        camera = frame.camera_id
        # Some gateways leave out the source of a frame; a stream has only one.
        if frame.source_id not in ("", self.address.source_id) or (
            camera not in self.address.cameras
        ):
            # Names that a gateway may make up must not fill the memory.
            self.foreign += 1
            return
        self.frames += 1
        if self._pending.put((VideoFrame, camera), frame):
            self.skips[camera] = self.skips.get(camera, 0) + 1

    def _changed(self) -> None:
        if self._away is not None:
            self._pending.put((Reconnecting, ""), self._away)
        self._pending.wake()


@asynccontextmanager
async def open_viewer(
    url: str,
    *,
    api_key: str,
    source_id: str,
    cameras: Iterable[str] = (DEFAULT_CAMERA,),
    timeout: int | None = None,  # the protocol's word, and the gateway's to keep
    reconnect: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    opener: StreamOpener | None = None,
) -> AsyncGenerator[ViewerClient, None]:
    """Watch *cameras* of *source_id* at the gateway whose base address is *url*.

        async with open_viewer("ws://127.0.0.1:8700", api_key=key, source_id="robot-01", cameras=["front"]) as viewer:
            async for frame in viewer:
                show(frame.jpeg)

    Inside, the key is accepted and `viewer.init` is there.  With *timeout* the gateway ends the stream after that many
    seconds.  With *reconnect* a stream that ends or breaks is taken up again, after 4008 at once and else with
    growing pauses, but never after 4001 and 4002; the first connection has to succeed all the same.  [PW-VIEW-2]
    *ssl_context* stands in for the system's certificates, *opener* for TCP and TLS altogether.

    Raises:
        NotInTrio: the program does not run Trio; `plexwire_client.blocking` is for it.
        AddressRefused: *source_id*, *cameras* or *timeout* is none that a gateway could serve.
        ConnectError: there is no WebSocket to be had; its class says why.
        Refused: the gateway turned the key away; `close` says how.
        ConnectionLost: the connection broke before `init`.
        RemoteProtocolError: the gateway broke the protocol, or sent no `init` in time.

    """
    require_trio("open_viewer")
    address = StreamAddress(source_id=source_id, cameras=tuple(cameras), timeout=timeout)
    dial = partial(
        open_websocket,
        GatewayUrl.parse(url),
        address.target(),
        ssl_context=ssl_context,
        opener=opener,
    )
    viewer = ViewerClient(dial, address=address, api_key=api_key, reconnect=reconnect)
    async with viewer._playing():
        yield viewer
