"""The cameras as Motion JPEG over HTTP, for any browser, player or program that has never heard of the protocol."""

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from secrets import token_hex
from typing import Final

import h11
import trio
from attrs import frozen

from plexwire_client.commands import _mjpeg_http
from plexwire_client.commands._frame_sinks import FrameSink, SinkError
from plexwire_protocol import VideoFrame
from plexwire_trio import helper_tasks, linger

#: Clients at a time; the next one is told to come back later.
MAX_CLIENTS: Final = 64
#: Seconds that a client gets to send its request.
REQUEST_TIMEOUT_S: Final = 10.0
#: Seconds that a client gets to take one picture: a slow one takes long for each, a dead one takes none.
PICTURE_TIMEOUT_S: Final = 30.0
#: Seconds that the pictures on their way get at the end.
CLOSE_GRACE_S: Final = 1.0
_MAX_REQUEST_BYTES: Final = 16_384
_TEXT: Final = "text/plain; charset=utf-8"
_PLACE: Final = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]/\s]*):)?(?P<port>[0-9]{1,5})")


@frozen
class ListenAddress:
    """Where to listen: `host` and `port`, 0 being any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read `HOST:PORT`, `:PORT` or `PORT`; without a host it is this machine's loopback alone.

        Raises:
            ValueError: it is none of these.

        """
        match = _PLACE.fullmatch(text)
        if match is None or (port := int(match["port"])) > 65_535:
            raise ValueError(
                f"{text!r} is not an address to listen at, such as :8081 or 0.0.0.0:8081"
            )
        return cls((match["host"] or "127.0.0.1").strip("[]"), port)

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine gets there."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class _CameraStream:
    """One camera's newest picture, and who waits for the next."""

    def __init__(self, boundary: str) -> None:
        self.boundary = boundary
        self.newest: VideoFrame | None = None
        self.part = b""
        self.number = 0
        self.over = False
        self._changed = trio.Event()

    def put(self, frame: VideoFrame) -> None:
        self.newest = frame
        self.part = _mjpeg_http.stream_part(self.boundary, frame)
        self.number += 1
        self._wake()

    def end(self) -> None:
        self.over = True
        self._wake()

    async def after(self, number: int) -> bool:
        """Wait for a picture after that *number*, and return False where there will be none."""
        while self.number <= number and not self.over:
            await self._changed.wait()
        return not self.over

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


class MjpegServer(FrameSink):
    """What `serve_mjpeg` gives: `/` is a page, `/CAMERA.mjpg` a stream, `/CAMERA.jpg` the newest picture.

    Each client gets the newest picture whenever it has taken the last: a slow one sees fewer, and holds nobody up.
    """

    def __init__(
        self,
        source_id: str,
        cameras: Iterable[str],
        place: ListenAddress,
        allow_origin: str | None = None,
    ) -> None:
        self.place = place
        self._picture_headers = (
            {} if allow_origin is None else {"Access_Control_Allow_Origin": allow_origin}
        )
        self.clients = 0
        self._source_id = source_id
        boundary = f"next-{token_hex(12)}"
        self._camera_streams = {camera: _CameraStream(boundary) for camera in cameras}
        self._left = trio.Event()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{self.place}/"

    async def take(self, frame: VideoFrame) -> None:
        """Show *frame* to everybody who watches its camera; never waits."""
        self._camera_streams[frame.camera_id].put(frame)

    def status(self) -> str:
        """Return where to look, and how many do."""
        return f"{self.url}, {self.clients} watching" if self.clients else self.url

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer one request on *stream*."""
        self.clients += 1
        try:
            await self._answer(stream)
            await linger(stream, within=CLOSE_GRACE_S)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it left
        finally:
            self.clients -= 1
            self._left.set()

    async def finish(self) -> None:
        """Let everybody have the picture that is on its way, within a second."""
        for camera_stream in self._camera_streams.values():
            camera_stream.end()
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_GRACE_S, shield=True):
            while self.clients:
                self._left = trio.Event()
                await self._left.wait()

    async def _answer(self, stream: trio.abc.Stream) -> None:
        if self.clients > MAX_CLIENTS:
            return await _refuse(
                stream,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many clients are connected.",
                Retry_After="5",
            )
        request = await _read_request(stream)
        if request is None:
            return None
        if isinstance(request, HTTPStatus):
            return await _refuse(stream, request, "This is not an HTTP request.")
        if request.method not in (b"GET", b"HEAD"):
            return await _refuse(
                stream,
                HTTPStatus.METHOD_NOT_ALLOWED,
                "Only GET and HEAD are served here.",
                Allow="GET, HEAD",
            )
        if self.place.is_loopback and not _is_this_machine(request):
            # A page of a stranger may have had its name resolved to this machine, to read what is here.
            return await _refuse(
                stream,
                HTTPStatus.FORBIDDEN,
                "Use localhost or an address of this machine: other names are refused.",
            )
        return await self._show(stream, request.target.decode("ascii"), request.method == b"HEAD")

    async def _show(self, stream: trio.abc.Stream, target: str, head_only: bool) -> None:
        if target.partition("?")[0] == "/":
            page = _mjpeg_http.page(self._source_id, self._camera_streams)
            await _send_in_time(stream, _mjpeg_http.page_response(page, head_only=head_only))
            return None
        camera, ending = _mjpeg_http.camera_of(target) or ("", "")
        camera_stream = self._camera_streams.get(camera)
        if camera_stream is None or not ending:
            there = " ".join(_mjpeg_http.path_of(each, "mjpg") for each in self._camera_streams)
            return await _refuse(stream, HTTPStatus.NOT_FOUND, f"There are / {there}", head_only)
        if ending == "mjpg":
            return await _stream(stream, camera_stream, head_only, self._picture_headers)
        if camera_stream.newest is None:
            return await _refuse(
                stream,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "No picture yet.",
                head_only,
                Retry_After="1",
            )
        jpeg = camera_stream.newest.jpeg
        await _send_in_time(
            stream,
            _mjpeg_http.response(
                HTTPStatus.OK, "image/jpeg", jpeg, head_only=head_only, **self._picture_headers
            ),
        )
        return None


@asynccontextmanager
async def serve_mjpeg(
    place: ListenAddress,
    *,
    source_id: str,
    cameras: Iterable[str],
    allow_origin: str | None = None,
) -> AsyncGenerator[MjpegServer, None]:
    """Serve what the server takes inside; leaving ends all streams, between two pictures where their readers let it.

    Pages of the origin *allow_origin*, or of any if it is `*`, may read the pictures.

    Raises:
        SinkError: nobody can listen at *place*.

    """
    try:
        listeners = await trio.open_tcp_listeners(place.port, host=place.host)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SinkError(f"{place} can't be listened at: {reason}. Choose another port.") from None
    port: int = listeners[0].socket.getsockname()[1]
    server = MjpegServer(source_id, cameras, ListenAddress(place.host, port), allow_origin)
    async with helper_tasks() as nursery:
        await nursery.start(
            partial(trio.serve_listeners, server.serve, listeners, handler_nursery=nursery)
        )
        try:
            yield server
        finally:
            await server.finish()


async def _read_request(stream: trio.abc.Stream) -> h11.Request | HTTPStatus | None:
    """Return the request, the status that refuses it, or None where nobody asks anything."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_REQUEST_BYTES)
    with trio.move_on_after(REQUEST_TIMEOUT_S):
        try:
            while not isinstance(event := connection.next_event(), h11.Request):
                if isinstance(event, h11.ConnectionClosed):
                    return None
                connection.receive_data(bytes(await stream.receive_some(_MAX_REQUEST_BYTES)))
        except h11.RemoteProtocolError as error:
            return HTTPStatus(error.error_status_hint)
        return event
    return HTTPStatus.REQUEST_TIMEOUT


def _is_this_machine(request: h11.Request) -> bool:
    named = next(
        (value.decode("latin-1") for name, value in request.headers if name == b"host"), ""
    )
    host = re.sub(r":[0-9]*\Z", "", named).strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return host in ("", "localhost") or host.endswith(".localhost")
    return True


async def _stream(
    stream: trio.abc.Stream,
    camera_stream: _CameraStream,
    head_only: bool,
    headers: Mapping[str, str],
) -> None:
    boundary = camera_stream.boundary
    begin = b"" if head_only else _mjpeg_http.stream_begin(boundary)
    await _send_in_time(stream, _mjpeg_http.stream_head(boundary, **headers) + begin)
    if head_only:
        return
    async with helper_tasks() as nursery:
        nursery.start_soon(_until_gone, stream, nursery.cancel_scope.cancel)
        number = 0
        while await camera_stream.after(number):
            number = camera_stream.number
            if not await _send_in_time(stream, camera_stream.part):
                return


async def _until_gone(stream: trio.abc.Stream, then: Callable[[], None]) -> None:
    # A client that has asked says no more: whatever comes, its end above all, is for this to notice.
    try:
        while await stream.receive_some(_MAX_REQUEST_BYTES):
            pass
    except trio.BrokenResourceError:
        pass
    then()


async def _send_in_time(stream: trio.abc.Stream, data: bytes) -> bool:
    with trio.move_on_after(PICTURE_TIMEOUT_S):
        await stream.send_all(data)
        return True
    return False


async def _refuse(
    stream: trio.abc.Stream,
    status: HTTPStatus,
    problem: str,
    head_only: bool = False,
    **headers: str,
) -> None:
    body = f"{problem}\n".encode()
    await _send_in_time(
        stream, _mjpeg_http.response(status, _TEXT, body, head_only=head_only, **headers)
    )
