"""Motion JPEG: what is written read back by others, and a server before slow, dead and hostile clients."""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from email.message import Message
from email.parser import BytesParser
from html.parser import HTMLParser
from urllib.parse import unquote

import h11
import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_client.commands import _mjpeg_http, _mjpeg_server
from plexwire_client.commands._frame_sinks import SinkError
from plexwire_client.commands._mjpeg_server import (
    MAX_CLIENTS,
    ListenAddress,
    MjpegServer,
    serve_mjpeg,
)
from plexwire_protocol import VideoFrame
from plexwire_protocol.limits import MAX_ID_BYTES

BOUNDARY = "next-0123456789abcdef"
LOOPBACK = ListenAddress("127.0.0.1", 8081)

cameras = st.text(max_size=MAX_ID_BYTES // 4)
jpegs = st.binary(max_size=300).map(lambda rest: b"\xff\xd8" + rest + b"\xff\xd9")


def frame(number: int, camera_id: str = "front", jpeg: bytes | None = None) -> VideoFrame:
    return VideoFrame(
        camera_id=camera_id,
        jpeg=b"\xff\xd8" + number.to_bytes(4) + b"\xff\xd9" if jpeg is None else jpeg,
        width=0,
        height=0,
        timestamp=number,
    )


# ── down to the byte ─────────────────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(jpegs, st.integers(-(2**63), 2**63 - 1)), max_size=4))
@example([(b"\xff\xd8\r\n--\r\n\r\n--next\r\n\xff\xd9", -1)])
def test_stream_is_read_back_by_another_parser(pictures: list[tuple[bytes, int]]) -> None:
    frames = [VideoFrame(camera_id="", jpeg=j, width=0, height=0, timestamp=t) for j, t in pictures]
    status, _, headers = _mjpeg_http.stream_head(BOUNDARY).partition(b"\r\n")
    assert status == b"HTTP/1.1 200 OK"
    parts = (_mjpeg_http.stream_part(BOUNDARY, each) for each in frames)
    body = _mjpeg_http.stream_begin(BOUNDARY) + b"".join(parts)
    message = BytesParser().parsebytes(headers + body)
    assert message.get_content_type() == "multipart/x-mixed-replace"
    parsed = message.get_payload()
    assert isinstance(parsed, list)
    *read, last = [part for part in parsed if isinstance(part, Message)]
    assert [part.get_payload(decode=True) for part in read] == [jpeg for jpeg, _ in pictures]
    assert all(
        part["Content-Length"] == str(len(j)) for part, (j, _) in zip(read, pictures, strict=True)
    )
    stamps = [Decimal(part["X-Timestamp"]) * 1000 for part in read]
    assert stamps == [stamp for _, stamp in pictures]
    assert not last.get_payload(decode=True)  # the boundary is there before the picture behind it


@given(cameras, st.sampled_from(["mjpg", "jpg"]))
@example("..", "jpg")
@example("front.jpg", "mjpg")
def test_camera_is_found_by_its_own_path(camera: str, ending: str) -> None:
    path = _mjpeg_http.path_of(camera, ending)
    assert path.isascii()
    assert path.count("/") == 1
    assert _mjpeg_http.camera_of(path) == (camera, ending)
    assert _mjpeg_http.camera_of(f"{path}?again=1") == (camera, ending)


@given(st.text())
def test_any_target_names_a_camera_or_none(target: str) -> None:
    found = _mjpeg_http.camera_of(target)
    assert found is None or _mjpeg_http.camera_of(_mjpeg_http.path_of(*found)) == found


@pytest.mark.parametrize("target", ["/", "/front", "/a/b.jpg", "/%ff.jpg", "front.jpg", "*", ""])
def test_target_names_no_camera_where_it_is_none(target: str) -> None:
    assert _mjpeg_http.camera_of(target) is None


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[tuple[str, str]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.images.append((values["src"], values["alt"]))
        if tag == "a":
            self.links.append(values["href"])


@given(st.lists(cameras, min_size=1, max_size=8, unique=True))
@example(["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&amp;b"])
def test_page_shows_every_camera_and_nothing_that_a_name_says(names: list[str]) -> None:
    plain, reader = Reader(), Reader()
    plain.feed(
        _mjpeg_http.page("robot-01", [f"camera-{number}" for number in range(len(names))]).decode()
    )
    reader.feed(_mjpeg_http.page("robot-01", names).decode())
    assert reader.tags == plain.tags
    shown = [_mjpeg_http.camera_of(source) for source, _ in reader.images]
    live = _mjpeg_http.LIVE_ON_PAGE
    assert shown == [(name, "mjpg") for name in names[:live]] + [
        (name, "jpg") for name in names[live:]
    ]
    assert {_mjpeg_http.camera_of(link) for link in reader.links} == {
        (name, ending) for name in names for ending in ("mjpg", "jpg")
    }


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8081", "127.0.0.1", 8081),
        ("8081", "127.0.0.1", 8081),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("[::1]:0", "::1", 0),
        ("localhost:65535", "localhost", 65535),
    ],
)
def test_place_is_loopback_unless_a_host_is_given(text: str, host: str, port: int) -> None:
    place = ListenAddress.parse(text)
    assert (place.host, place.port) == (host, port)
    assert place.is_loopback == (host != "0.0.0.0")
    assert ListenAddress.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", ":", "host", "host:", ":65536", "a:b:1", "::1:80", "http://h:1", "h :1"]
)
def test_place_is_refused_where_it_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address to listen at, such as"):
        ListenAddress.parse(text)


# ── the server, in virtual time ──────────────────────────────────────────────────────────────


class Client:
    """A client over a pair in memory, on which every byte waits until it is read."""

    def __init__(self, nursery: trio.Nursery, server: MjpegServer) -> None:
        self.stream, theirs = trio.testing.lockstep_stream_pair()
        self.over = trio.Event()
        self.answer = h11.Connection(h11.CLIENT)
        nursery.start_soon(self._served, server, theirs)

    async def _served(self, server: MjpegServer, stream: trio.StapledStream) -> None:  # type: ignore[type-arg]
        await server.serve(stream)
        await stream.aclose()
        self.over.set()

    async def ask(
        self, target: str, *, method: str = "GET", host: str = "127.0.0.1:8081"
    ) -> h11.Response:
        request = h11.Request(method=method, target=target, headers=[("Host", host)])
        await self.stream.send_all(self.answer.send(request) or b"")
        self.answer.send(h11.EndOfMessage())
        response = await self._event()
        assert isinstance(response, h11.Response)
        return response

    async def body(self) -> bytes:
        """Return the rest of the answer."""
        data = b""
        while isinstance(event := await self._event(), h11.Data):
            data += event.data
        return data

    async def picture(self) -> int:
        """Return the number in the next picture of a stream."""
        data = b""
        while (
            found := re.search(rb"\xff\xd8(.{4})\xff\xd9\r\n--\S+\r\n", data, re.DOTALL)
        ) is None:
            event = await self._event()
            assert isinstance(event, h11.Data)
            data += event.data
        return int.from_bytes(found[1])

    async def _event(self) -> object:
        while (event := self.answer.next_event()) is h11.NEED_DATA:
            self.answer.receive_data(bytes(await self.stream.receive_some()))
        return event


@asynccontextmanager
async def serving(
    place: ListenAddress = LOOPBACK,
    names: tuple[str, ...] = ("front", "rear/1", ""),
    allow_origin: str | None = None,
) -> AsyncGenerator[tuple[MjpegServer, Callable[[], Client]], None]:
    server = MjpegServer("robot-01", names, place, allow_origin)
    with trio.fail_after(3600):
        async with trio.open_nursery() as nursery:
            yield server, lambda: Client(nursery, server)
            nursery.cancel_scope.cancel()


async def test_server_shows_page_with_every_camera(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as (_, client):
        asker = client()
        response = await asker.ask("/")
        headers = dict(response.headers)
        assert response.status_code == 200
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        page = (await asker.body()).decode()
        assert all(f'src="{path}"' in page for path in ("/front.mjpg", "/rear%2F1.mjpg", "/.mjpg"))
        await asker.over.wait()


async def test_server_gives_newest_picture_of_each_camera(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (server, client):
        assert (await client().ask("/front.jpg")).status_code == 503
        for number in range(3):
            await server.take(frame(number, "front"))
            await server.take(frame(number + 10, "rear/1"))
        for path, number in (("/front.jpg", 2), ("/rear%2F1.jpg", 12)):
            asker = client()
            response = await asker.ask(path)
            assert dict(response.headers)[b"content-type"] == b"image/jpeg"
            assert await asker.body() == frame(number).jpeg


@pytest.mark.parametrize("origin", [None, "*", "https://dashboard.example:8443"])
async def test_server_lets_another_origin_read_pictures_only_if_asked_to(
    origin: str | None, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(allow_origin=origin) as (server, client):
        await server.take(frame(1))
        for path in ("/front.jpg", "/front.mjpg"):
            headers = dict((await client().ask(path)).headers)
            allowed = headers.get(b"access-control-allow-origin")
            assert allowed == (None if origin is None else origin.encode())
        # The page names the cameras, and is for those who open it.
        assert b"access-control-allow-origin" not in dict((await client().ask("/")).headers)


async def test_server_gives_slow_client_the_newest_and_holds_nobody_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (server, client):
        slow, quick = client(), client()
        await slow.ask("/front.mjpg")
        await quick.ask("/front.mjpg")
        seen_slowly = []
        for number in range(100):
            await server.take(frame(number))
            assert await quick.picture() == number
            await trio.sleep(0.1)
            if number % 25 == 24:
                seen_slowly.append(await slow.picture())
        # One is on its way while it does not read; behind that comes the newest, not the next.
        assert seen_slowly == [0, 25, 50, 75]
        assert await slow.picture() == 99
        await trio.sleep(0.1)
        await server.take(frame(100))
        assert await slow.picture() == 100  # each at most once


async def test_server_lets_go_of_client_that_takes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (server, client):
        stalled = client()
        await stalled.ask("/front.mjpg")
        await server.take(frame(1))
        began = trio.current_time()
        await stalled.over.wait()
        lasted = trio.current_time() - began
        assert 0 <= lasted - _mjpeg_server.PICTURE_TIMEOUT_S <= _mjpeg_server.CLOSE_GRACE_S
        assert server.clients == 0


async def test_server_notices_client_that_left_while_no_picture_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (server, client):
        asker = client()
        await asker.ask("/front.mjpg")
        assert server.clients == 1
        await asker.stream.aclose()
        await asker.over.wait()
        assert server.clients == 0


async def test_server_ends_streams_between_two_pictures(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (server, client):
        waiting, stalled = client(), client()
        await waiting.ask("/front.mjpg")
        await stalled.ask("/front.mjpg")
        await server.take(frame(1))
        assert await waiting.picture() == 1
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.finish)
            assert await waiting.body() == b""
        assert (
            trio.current_time() - began <= _mjpeg_server.CLOSE_GRACE_S
        )  # the stalled one does not hold it up


async def test_server_takes_bounded_number_of_clients(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (_, client):
        for _ in range(MAX_CLIENTS):
            assert (await client().ask("/front.mjpg")).status_code == 200
        refused = await client().stream.receive_some()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 5\r\n" in refused


@pytest.mark.parametrize(
    ("target", "method", "host", "status"),
    [
        ("/nobody.jpg", "GET", "localhost:8081", 404),
        ("/../etc/passwd", "GET", "127.0.0.1", 404),
        ("/front.mjpg", "POST", "127.0.0.1", 405),
        ("/front.mjpg", "GET", "evil.example", 403),
        ("/front.mjpg", "GET", "localhost.evil.example:8081", 403),
        ("/", "GET", "[::1]:8081", 200),
        ("/", "HEAD", "plexwire.localhost", 200),
        ("/front.mjpg", "HEAD", "127.0.0.1", 200),
    ],
)
async def test_server_answers_as_http_has_it(
    target: str, method: str, host: str, status: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving() as (_, client):
        asker = client()
        response = await asker.ask(target, method=method, host=host)
        assert response.status_code == status
        if method == "HEAD":
            assert await asker.body() == b""


async def test_server_takes_any_name_where_it_listens_to_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(ListenAddress("0.0.0.0", 8081)) as (_, client):
        assert (await client().ask("/", host="robot.example:8081")).status_code == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x00\xff\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 20_000, b"431"),
        (b"hello\r\n\r\n", b"400"),
    ],
)
async def test_server_refuses_what_is_no_request(
    request_bytes: bytes, status: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving() as (_, client):
        asker = client()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_some, asker.stream, request_bytes)
            assert (await asker.stream.receive_some()).startswith(b"HTTP/1.1 " + status + b" ")


async def send_some(stream: trio.abc.SendStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # where it has seen enough
        await stream.send_all(data)


async def test_server_lets_go_of_client_that_asks_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as (_, client):
        began = trio.current_time()
        assert (await client().stream.receive_some()).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - began == pytest.approx(
            _mjpeg_server.REQUEST_TIMEOUT_S, abs=0.01
        )


async def test_server_says_so_where_its_port_is_taken() -> None:
    async with serve_mjpeg(
        ListenAddress("127.0.0.1", 0), source_id="robot-01", cameras=["front"]
    ) as one:
        assert unquote(one.url) == f"http://127.0.0.1:{one.place.port}/"
        with pytest.raises(SinkError, match="in use"):
            async with serve_mjpeg(one.place, source_id="robot-01", cameras=["front"]):
                pytest.fail("listens twice")
