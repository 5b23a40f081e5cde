"""The device: sends pictures of its cameras, the newest or none."""

import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define

from plexwire_client._client import Client, Dial, StreamEnding
from plexwire_client._errors import ConnectionLost, ImageError, Refused, require_trio
from plexwire_client._jpeg import DEFAULT_QUALITY, Jpeg, Picture, as_it_is
from plexwire_client._newest_per_key import NewestPerKey
from plexwire_protocol import (
    DEVICE_PATH,
    Authenticated,
    Close,
    CloseCode,
    DeviceAuth,
    DeviceSession,
    ErrorReport,
    JsonValue,
    Message,
    State,
    VideoFrame,
    __version__,
    encode,
)
from plexwire_protocol.limits import DEFAULT_CAMERA, MAX_MESSAGE_BYTES
from plexwire_trio import Connection, GatewayUrl, StreamOpener, open_websocket

if TYPE_CHECKING:
    from plexwire_client._thermal_pictures import Temperatures

#: Codes of an `error` that no second attempt with the same key will change.
_FINAL = {code.name.lower(): code for code in (CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS)}


@define
class DeviceCounters:
    """What became of the pictures handed over, over all connections.

    `sent_bytes` counts those of the pictures alone, `thermal` how many of `sent` were thermal ones, `reencoded` what
    was too large as it was.  `dropped_slow`: a newer picture of the camera came before the link was free.
    `dropped_away`: the gateway was away, or went while the picture was on its way.
    """

    sent: int = 0
    sent_bytes: int = 0
    thermal: int = 0
    reencoded: int = 0
    dropped_slow: int = 0
    dropped_away: int = 0

    @property
    def dropped(self) -> int:
        """All that was handed over and not sent, whatever the reason."""
        return self.dropped_slow + self.dropped_away


class DeviceClient(Client[DeviceSession]):
    """What `open_device` gives: `send_video_frame`, and `counters` that tell what became of the pictures.

    One picture a camera waits for the link; a newer one replaces it.  [PW-DEV-16]
    """

    def __init__(
        self,
        dial: Dial,
        *,
        auth: DeviceAuth,
        reconnect: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(dial, reconnect=reconnect)
        self.counters = DeviceCounters()
        self.clock_offset_ms = 0
        self._auth = auth
        self._clock = clock
        self._asked_at_ms = 0
        self._report: ErrorReport | None = None
        self._pending: NewestPerKey[str, VideoFrame] = NewestPerKey()
        self._sending = False
        self._progress = trio.Event()

    @property
    def source_id(self) -> str:
        """Which source this device is."""
        return self._auth.source_id

    @property
    def last_error(self) -> ErrorReport | None:
        """The last `error` that the gateway sent on this connection, if any."""
        return self._report

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds, by the gateway's clock.  [PW-DEV-3]"""
        return self._local_ms() + self.clock_offset_ms

    async def send_video_frame(
        self,
        picture: Picture,
        camera_id: str = DEFAULT_CAMERA,
        *,
        quality: int = DEFAULT_QUALITY,
        timestamp: int | None = None,
        width: int | None = None,
        height: int | None = None,
        extra: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Send *picture* as soon as the link is free; waits for no network, only for the encoding.

        A JPEG that fits goes out as it is, also as the array that OpenCV's `imencode` returns.  PNG, BMP and WebP bytes,
        arrays as OpenCV has them (uint8, uint16 or bool, blue first) and Pillow's images are encoded with *quality*,
        16 bits scaled to 8; what is larger than a device may send is made smaller.
        *timestamp* is Unix milliseconds, by default now on the gateway's clock.  *width* and *height* are read from
        the picture unless given.  With *extra* members, as thermal frames have them, it goes out as text.

        Raises:
            ImageError: the picture can't be sent; `ImagesMissing` where it takes an extra that is not installed.
            MalformedMessage: another value that no frame can have, such as a camera id over 255 bytes.
            Refused: the gateway turned the key away.
            ConnectionLost: the connection is over, and won't be taken up again.

        """
        stamp = self.now_ms() if timestamp is None else timestamp
        jpeg = await self._encoded(picture, quality)
        self._hand_over(
            self._frame(
                camera_id,
                jpeg,
                stamp,
                width=width,
                height=height,
                extra={} if extra is None else dict(extra),
            )
        )

    async def send_thermal_frame(
        self,
        temps: "Temperatures",
        camera_id: str = DEFAULT_CAMERA,
        *,
        span: tuple[float, float] | None = None,
        with_temps: bool | None = None,
        quality: int = DEFAULT_QUALITY,
        timestamp: int | None = None,
    ) -> None:
        """Send a thermal camera's *temps*, °C in rows, as a picture in false colours with its thermal members.

        An array (height, width) or rows of numbers; NaN is a pixel that was not measured, shown grey and sent as
        `null`.  The picture of a small sensor is made larger, by a whole factor, to 480 pixels or a little more.
        *span* is what is shown as coldest and hottest, in °C, by default the picture's own extremes: give it where
        colours are to be compared from picture to picture.  *with_temps* says whether every pixel's temperature goes
        along, rounded to 0.01 °C; by default those of a sensor of at most 4096 pixels.

        Raises:
            ImageError: *temps* is no picture, or does not fit into a message *with_temps*; `ImagesMissing` where the
                extra is not installed.
            MalformedMessage, Refused, ConnectionLost: as for `send_video_frame`.

        """
        from plexwire_client._thermal_pictures import render_thermal

        stamp = self.now_ms() if timestamp is None else timestamp
        render = partial(render_thermal, temps, span=span, with_temps=with_temps, quality=quality)
        thermal = await trio.to_thread.run_sync(render)
        self._hand_over(self._frame(camera_id, thermal.jpeg, stamp, extra=thermal.members))

    def _frame(
        self,
        camera_id: str,
        jpeg: Jpeg,
        timestamp: int,
        *,
        extra: dict[str, JsonValue],
        width: int | None = None,
        height: int | None = None,
    ) -> VideoFrame:
        frame = VideoFrame(
            source_id=self.source_id,
            camera_id=camera_id,
            jpeg=jpeg.data,
            width=jpeg.width if width is None else width,
            height=jpeg.height if height is None else height,
            timestamp=timestamp,
            extra=extra,
        )
        if frame.extra and (size := len(encode(frame))) > MAX_MESSAGE_BYTES:
            raise ImageError(
                f"The frame with its extra members has {size} bytes, over {MAX_MESSAGE_BYTES}"
            )
        return frame

    async def stream_camera(
        self,
        url: str,
        camera_id: str = DEFAULT_CAMERA,
        *,
        fps: float | None = 15,
        quality: int = DEFAULT_QUALITY,
        frames: int | None = None,
    ) -> None:
        """Send what ffmpeg reads from *url* (RTSP, HLS, /dev/video0, a file, ...) until its end, or so many *frames* of it.

        *fps* is pictures per second; None keeps the camera's own rate.  Cancel it to stop it earlier.

        Raises:
            FfmpegError: ffmpeg is not installed, or gave up; the error says what ffmpeg said.
            Refused, ConnectionLost: as for `send_video_frame`.

        """
        from plexwire_client._ffmpeg import play_camera

        send = partial(self.send_video_frame, camera_id=camera_id)
        await play_camera(url, send, fps=fps, quality=quality, pictures=frames)

    async def _encoded(self, picture: Picture, quality: int) -> Jpeg:
        if (jpeg := as_it_is(picture)) is not None:
            await trio.lowlevel.checkpoint()
            return jpeg
        # Only a picture that is not a JPEG within the limit takes the encoder.
        from plexwire_client._encoding import to_jpeg

        jpeg = await trio.to_thread.run_sync(partial(to_jpeg, picture, quality=quality))
        self.counters.reencoded += jpeg.reencoded
        return jpeg

    def _hand_over(self, frame: VideoFrame) -> None:
        if self._ending is not None:
            raise self._ending.error or ConnectionLost(self._ending.close)
        if self._connection is None or self._connection.session.state is not State.STREAMING:
            # What waited for the gateway to come back would be old by then.
            self.counters.dropped_away += 1
            return
        self.counters.dropped_slow += self._pending.put(frame.camera_id, frame)

    # ── what the connection does ─────────────────────────────────────────────────────────────

    def _begin(self, now: float) -> DeviceSession:
        session = DeviceSession(agent_version=__version__, now=now)
        session.send(self._auth, now=now)
        self._report = None
        self._asked_at_ms = self._local_ms()
        return session

    def _received(self, message: Message) -> None:
        match message:
            case Authenticated():
                # The gateway looked at its clock somewhere between the question and the answer.
                middle_ms = (self._asked_at_ms + self._local_ms()) // 2
                self.clock_offset_ms = message.server_time_ms - middle_ms
            case ErrorReport():
                self._report = message
            case _:
                pass

    async def _stream(self, connection: Connection[DeviceSession]) -> None:
        session = connection.session
        try:
            while True:
                frame = self._pending.take()
                if frame is None:
                    self._progress.set()
                    await self._pending.changed()
                    continue
                self._sending = True
                if session.state is not State.STREAMING:
                    # The gateway closed since the picture was handed over; the end is on its way here too.
                    await trio.sleep_forever()
                session.send(frame, now=trio.current_time())
                await connection.flush()
                self._sending = False
                self.counters.sent += 1
                self.counters.sent_bytes += len(frame.jpeg)
                self.counters.thermal += frame.extra.get("video_type") == "thermal"
        finally:
            self.counters.dropped_away += self._pending.clear() + self._sending
            self._sending = False
            self._progress.set()

    async def _drained(self) -> None:
        while len(self._pending) or self._sending:
            self._progress = trio.Event()
            await self._progress.wait()

    def _judge(self, close: Close) -> StreamEnding:
        report = self._report
        if report is None or self._welcomed_at is not None or self._broken is not None:
            return super()._judge(close)
        # The session closes by itself on an `error`, before the gateway's own close with its code arrives.
        said = f"{report.detail} ({report.code})" if report.detail else report.code
        refused = Close(_FINAL.get(report.code.lower(), close.code), close.reason)
        return StreamEnding(refused, Refused(refused, said))

    def _changed(self) -> None:
        """Nobody waits: `send_video_frame` drops while the gateway is away, and tells when it is over."""

    def _local_ms(self) -> int:
        return round(self._clock() * 1000)


@asynccontextmanager
async def open_device(
    url: str,
    *,
    api_key: str,
    source_id: str,
    reconnect: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    opener: StreamOpener | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[DeviceClient, None]:
    """Be the device *source_id* at the gateway whose base address is *url*.

        async with open_device("ws://127.0.0.1:8700", api_key=key, source_id="robot-01") as device:
            await device.send_video_frame(jpeg, "front")

    Inside, the gateway has let the device in; heartbeats go out by themselves.  Leaving waits for the last pictures,
    two seconds at most.  With *reconnect* a connection that ends or breaks is taken up again with growing pauses, and
    pictures are dropped meanwhile; the first connection has to succeed all the same.  [PW-DEV-15]  *clock* is the
    local Unix time in seconds; the gateway's own corrects it.

    Raises:
        NotInTrio: the program does not run Trio; `plexwire_client.blocking` is for it.
        MalformedMessage: *source_id* is none that a device could have.
        ConnectError: there is no WebSocket to be had; its class says why.
        Refused: the gateway turned the key away; it says why.
        ConnectionLost: the connection broke before the gateway let the device in.
        RemoteProtocolError: the gateway broke the protocol, or did not answer in time.

    """
    require_trio("open_device")
    auth = DeviceAuth(
        api_key=api_key,
        source_id=source_id,
        extra={"platform": "plexwire", "agent_version": __version__},
    )
    dial = partial(
        open_websocket, GatewayUrl.parse(url), DEVICE_PATH, ssl_context=ssl_context, opener=opener
    )
    device = DeviceClient(dial, auth=auth, reconnect=reconnect, clock=clock)
    async with device._playing():
        yield device
