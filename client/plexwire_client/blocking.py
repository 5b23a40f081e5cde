"""The viewer and the device for programs without Trio: scripts, callbacks on any thread, and asyncio through `to_thread`.

    from plexwire_client.blocking import open_device, open_viewer

    with open_device(url, api_key=key, source_id="robot-01", reconnect=True) as device:
        device.send_video_frame(array, "front")

    with open_viewer(url, api_key=key, source_id="robot-01", cameras=["front"]) as viewer:
        for frame in viewer:
            show(frame.jpeg)

Each client has a thread on which `plexwire_client`'s client for Trio runs, so connections are kept and pictures are sent
while the program does something else.  Parameters, counters, reconnects and exceptions are those of the Trio client.
All methods may be called from any thread.  The thread ends with the `with`, or with `close` where there is none.  A client
that is not closed gives a `ResourceWarning`, and does not keep the process alive.
"""

import atexit
import ssl
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import trio

import plexwire_client
from plexwire_client._client import Client
from plexwire_client._client_thread import CallEnded, ClientThread
from plexwire_client._decoding import decode_to_array, decode_to_image
from plexwire_client._decoding import frame_to_temps as frame_to_temps
from plexwire_client._device import DeviceClient, DeviceCounters
from plexwire_client._errors import ConnectionLost
from plexwire_client._jpeg import DEFAULT_QUALITY, Picture
from plexwire_client._viewer import ViewerClient, ViewerEvent
from plexwire_protocol import (
    Close,
    CloseCode,
    ErrorReport,
    GatewayDeviated,
    Init,
    JsonValue,
    StreamAddress,
    VideoFrame,
)
from plexwire_protocol.limits import DEFAULT_CAMERA
from plexwire_trio import StreamOpener

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

    from plexwire_client._client import Reconnecting
    from plexwire_client._thermal_pictures import Temperatures

__all__ = [
    "BlockingDevice",
    "BlockingViewer",
    "frame_to_array",
    "frame_to_image",
    "frame_to_temps",
    "open_device",
    "open_viewer",
]

C = TypeVar("C", bound=Client[Any])


class BlockingClient(Generic[C]):
    """What `BlockingViewer` and `BlockingDevice` share; not for use by itself."""

    def __init__(self, open_client: Callable[[], AbstractAsyncContextManager[C]]) -> None:
        self._thread = ClientThread(open_client)
        self._client = self._thread.client
        self._open = True
        _clients.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._end(failed=error is not None)

    def __del__(self) -> None:
        thread: ClientThread[C] | None = getattr(self, "_thread", None)
        if thread is not None and thread.is_running:
            try:
                self._warn()
            finally:
                thread.leave_soon(drain=False)

    def close(self) -> None:
        """Leave as the end of the `with` does: the connection is closed and the thread ends, within eight seconds.

        Frames that another thread waits for end there; `send_video_frame` raises `ConnectionLost` from then on.  A second
        call does nothing.

        Raises:
            Exception: what ended the client's thread before, such as an error in an `opener`.

        """
        self._end(failed=False)

    @property
    def reconnects(self) -> int:
        """How often the gateway accepted the client again."""
        return self._client.reconnects

    @property
    def closed(self) -> Close | None:
        """How the conversation ended; None while it goes on, or is about to be taken up again."""
        return self._client.closed

    @property
    def away(self) -> "Reconnecting | None":
        """Why and for how long the connection is away; None while it is there, or has ended."""
        return self._client.away

    def _end(self, *, failed: bool) -> None:
        self._thread.stop(drain=not failed)
        was_open, self._open = self._open, False
        if was_open and not failed and self._thread.failure is not None:
            raise self._thread.failure

    def _warn(self) -> None:
        warnings.warn(
            f"{type(self).__name__} was not closed: open it in a `with`, or call close().",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )


class BlockingViewer(BlockingClient[ViewerClient]):
    """What `open_viewer` returns: an iterator of frames.

    A slow program gets the newest frame of each camera and never an old one.
    """

    @property
    def address(self) -> StreamAddress:
        """Which source and cameras this viewer asked for."""
        return self._client.address

    @property
    def init(self) -> Init:
        """What was online when the gateway last reported it."""
        return self._client.init

    @property
    def frames(self) -> int:
        """How many frames arrived, over all connections."""
        return self._client.frames

    @property
    def foreign(self) -> int:
        """How many frames of other cameras or sources arrived, which are dropped."""
        return self._client.foreign

    @property
    def skips(self) -> dict[str, int]:
        """How many frames of each camera a newer one replaced before the program took them."""
        return self._client.skips.copy()

    @property
    def skipped(self) -> int:
        """How many frames a newer one replaced before the program took them."""
        return sum(self.skips.values())

    @property
    def deviations(self) -> tuple[GatewayDeviated, ...]:
        """What the gateway sent against a clause, the first of each kind."""
        return self._client.deviations

    def __iter__(self) -> Iterator[VideoFrame]:
        return self

    def __next__(self) -> VideoFrame:
        """Wait for the next frame, as `next_frame` does."""
        frame = self.next_frame()
        if frame is None:
            raise StopIteration
        return frame

    def next_frame(self, timeout: float | None = None) -> VideoFrame | None:
        """Wait for the next frame, at most *timeout* seconds, and return it.

        None is the end of the stream: after 1000, 1001 and 4008 unless reconnecting, and after `close`.

        Raises:
            TimeoutError: there was no frame for *timeout* seconds; the next call may bring one.
            Refused: the key was refused while the stream ran.
            ConnectionLost: the stream broke.
            RemoteProtocolError: the gateway broke the protocol.

        """
        with suppress(CallEnded):
            return self._thread.call(partial(_next_frame, self._client, timeout))
        return None

    def events(self) -> Iterator[ViewerEvent]:
        """Iterate over frames and whatever else happens; raises and ends as the iteration over frames does."""
        while True:
            try:
                event = self._thread.call(self._client._next)
            except CallEnded:
                return
            if event is None:
                return
            yield event


class BlockingDevice(BlockingClient[DeviceClient]):
    """What `open_device` returns: `send_video_frame`, and `counters` of what became of the pictures.

    One picture per camera waits for the link; a newer one replaces it.  [PW-DEV-16]
    """

    @property
    def counters(self) -> DeviceCounters:
        """What became of the pictures, over all connections; its numbers go on counting."""
        return self._client.counters

    @property
    def source_id(self) -> str:
        """Which source this device is."""
        return self._client.source_id

    @property
    def clock_offset_ms(self) -> int:
        """Milliseconds that the gateway's clock is ahead of this machine's."""
        return self._client.clock_offset_ms

    @property
    def last_error(self) -> ErrorReport | None:
        """The last `error` that the gateway sent on this connection, if any."""
        return self._client.last_error

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds, by the gateway's clock.  [PW-DEV-3]"""
        return self._client.now_ms()

    def send_video_frame(
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

        JPEGs of up to 750 000 bytes go out as they are; PNG, BMP and WebP bytes, arrays as OpenCV has them and Pillow's
        images are encoded with *quality*, 1 to 95.  *timestamp* is Unix milliseconds, by default now on the gateway's
        clock.  *width* and *height*, in pixels, are read from the picture unless given.  With *extra* members, as thermal
        frames have them, it goes out as text.

        Raises:
            ImageError: the picture can't be sent; `ImagesMissing` if it takes an extra that is not installed.
            MalformedMessage: another value that no frame can have, such as a camera id over 255 bytes.
            Refused: the gateway refused the key.
            ConnectionLost: the connection has ended and is not taken up again, or the device was closed.

        """
        self._call(
            partial(
                self._client.send_video_frame,
                picture,
                camera_id,
                quality=quality,
                timestamp=timestamp,
                width=width,
                height=height,
                extra=extra,
            )
        )

    def send_thermal_frame(
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

        NaN is a pixel that was not measured.  *span* is what is shown as coldest and hottest, in °C, by default the
        picture's own extremes.  *with_temps* decides whether every pixel's temperature is sent too; by default it is if
        the sensor has at most 4096 pixels.  *timestamp* is Unix milliseconds.

        Raises:
            ImageError: *temps* is not a picture, or does not fit into a message *with_temps*; `ImagesMissing` if the
                extra is not installed.
            MalformedMessage, Refused, ConnectionLost: as for `send_video_frame`.

        """
        self._call(
            partial(
                self._client.send_thermal_frame,
                temps,
                camera_id,
                span=span,
                with_temps=with_temps,
                quality=quality,
                timestamp=timestamp,
            )
        )

    def stream_camera(
        self,
        url: str,
        camera_id: str = DEFAULT_CAMERA,
        *,
        fps: float | None = 15,
        quality: int = DEFAULT_QUALITY,
        frames: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send what ffmpeg reads from *url* (RTSP, HLS, /dev/video0, ...) until its end, *frames* of it, or *timeout* seconds.

        *fps* is pictures per second; None keeps the camera's own rate.
        Ctrl-C ends it, and so does `close` from another thread, which makes it raise `ConnectionLost`.

        Raises:
            FfmpegError: ffmpeg is not installed, or gave up; the error contains what ffmpeg reported.
            Refused, ConnectionLost: as for `send_video_frame`.

        """

        async def stream() -> None:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                await self._client.stream_camera(
                    url, camera_id, fps=fps, quality=quality, frames=frames
                )

        self._call(stream)

    def _call(self, function: Callable[[], Any]) -> None:
        try:
            self._thread.call(function)
        except CallEnded:
            raise ConnectionLost(self._client.closed or Close(CloseCode.NORMAL)) from None


def open_viewer(
    url: str,
    *,
    api_key: str,
    source_id: str,
    cameras: Iterable[str] = (DEFAULT_CAMERA,),
    timeout: int | None = None,
    reconnect: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    opener: StreamOpener | None = None,
) -> BlockingViewer:
    """Watch *cameras* of *source_id* at the gateway whose base address is *url*; returns when the key is accepted.

    With *timeout* the gateway ends the stream after that many seconds.  With *reconnect* a stream that ends or breaks is
    taken up again, after 4008 immediately and otherwise with growing pauses, but never after 4001 and 4002; the first
    connection has to succeed all the same.  [PW-VIEW-2]  *ssl_context* replaces the system's certificates, *opener* TCP
    and TLS altogether; Trio calls the opener on the client's thread.

    Raises:
        AddressRefused: *source_id*, *cameras* or *timeout* is not one that a gateway could serve.
        ConnectError: there is no WebSocket to be had; its class says why.
        Refused: the gateway refused the key; `close` says how.
        ConnectionLost: the connection broke before `init`.
        RemoteProtocolError: the gateway broke the protocol, or sent no `init` in time.

    """
    return BlockingViewer(
        partial(
            plexwire_client.open_viewer,
            url,
            api_key=api_key,
            source_id=source_id,
            cameras=tuple(cameras),
            timeout=timeout,
            reconnect=reconnect,
            ssl_context=ssl_context,
            opener=opener,
        )
    )


def open_device(
    url: str,
    *,
    api_key: str,
    source_id: str,
    reconnect: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    opener: StreamOpener | None = None,
    clock: Callable[[], float] = time.time,
) -> BlockingDevice:
    """Be the device *source_id* at the gateway whose base address is *url*; returns when the gateway has accepted it.

    Leaving waits for the last pictures, two seconds at most.  With *reconnect* a connection that ends or breaks is taken
    up again with growing pauses, and pictures are dropped meanwhile; the first connection has to succeed all the same.
    [PW-DEV-15]  *clock* is the local Unix time in seconds; the gateway's own corrects it.  Trio calls *clock* and
    *opener* on the client's thread.

    Raises:
        MalformedMessage: *source_id* is not one that a device could have.
        ConnectError: there is no WebSocket to be had; its class says why.
        Refused: the gateway refused the key; the error says why.
        ConnectionLost: the connection broke before the gateway accepted the device.
        RemoteProtocolError: the gateway broke the protocol, or did not answer in time.

    """
    return BlockingDevice(
        partial(
            plexwire_client.open_device,
            url,
            api_key=api_key,
            source_id=source_id,
            reconnect=reconnect,
            ssl_context=ssl_context,
            opener=opener,
            clock=clock,
        )
    )


def frame_to_image(frame: VideoFrame) -> "Image":
    """Decode *frame*, in this thread, to an image of Pillow's in RGB with the right side up.

    Raises:
        ImagesMissing: Pillow is not installed.
        ImageError: the picture can't be decoded: broken, cut short, or over 8192 x 8192 pixels.

    """
    return decode_to_image(frame)


def frame_to_array(frame: VideoFrame) -> "npt.NDArray[np.uint8]":
    """Decode *frame*, in this thread, to an array (height, width, 3) of uint8, blue first, as OpenCV has it.

    Raises:
        ImagesMissing: Pillow or numpy is not installed.
        ImageError: the picture can't be decoded: broken, cut short, or over 8192 x 8192 pixels.

    """
    return decode_to_array(frame)


async def _next_frame(viewer: ViewerClient, timeout: float | None) -> VideoFrame | None:
    # A frame that waits is there in time, however short the time is.
    while (event := viewer._pending.take()) is not None:
        if isinstance(event, VideoFrame):
            return event
    with trio.move_on_after(float("inf") if timeout is None else timeout):
        return await anext(viewer, None)
    raise TimeoutError(f"No frame of {viewer.address.source_id} came within {timeout:g} seconds.")


# ── at the end of the process ────────────────────────────────────────────────────────────────

#: Every client whose thread may still run.
_clients: "weakref.WeakSet[BlockingClient[Any]]" = weakref.WeakSet()


@atexit.register
def _close_forgotten() -> None:
    for client in [each for each in _clients if each._thread.is_running]:
        try:
            client._warn()
        finally:
            client._thread.stop(drain=False)
