"""Plain HTTP before the WebSocket: one request head in, and an answer or a handshake out."""

import re
from base64 import b64decode
from http import HTTPStatus
from typing import Final

import h11
import trio
from attrs import define, evolve, field, frozen

_TEXT: Final = "text/plain; charset=utf-8"
_ORIGIN_OF_TARGET: Final = re.compile(r"[a-z]+://[^/?]*", re.IGNORECASE)


@frozen
class Response:
    """An HTTP answer; the connection is closed after it."""

    status: HTTPStatus
    body: str | bytes = ""
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()
    cache_control: str = "no-store"

    def unless_known(self, request: "Request") -> "Response":
        """Return 304 in the place of an answer that the peer has kept, as its `ETag` shows."""
        tags = (value for name, value in self.headers if name == "ETag")
        if any(tag in request.header("if-none-match") for tag in tags):
            return evolve(self, status=HTTPStatus.NOT_MODIFIED)
        return self

    def encode(self, *, head_only: bool = False) -> bytes:
        """Return the bytes to send, without the body where *head_only*."""
        body = self.body.encode() if isinstance(self.body, str) else self.body
        headers = (
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", self.cache_control),
            ("Connection", "close"),
            *self.headers,
        )
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = "\r\n".join(lines) + "\r\n\r\n"
        # The length in a 304 is that of what the peer has kept.
        without = head_only or self.status is HTTPStatus.NOT_MODIFIED
        return head.encode("ascii") + (b"" if without else body)


def refuse(status: HTTPStatus, problem: str, **headers: str) -> Response:
    """Return an answer that says in one line what is wrong."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(status, problem + "\n", headers=named)


@define(eq=False)
class RequestRefused(Exception):
    """What came is not a request that can be served; `answer` says so to the peer."""

    answer: Response


@frozen(kw_only=True)
class Request:
    """One request head, and what came behind it in the same segment."""

    method: str
    target: str
    http_version: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    rest: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        """Return the values of the header *name*, joined by commas; empty when it is absent."""
        return ", ".join(value for key, value in self.headers if key == name)

    def tokens(self, name: str) -> set[str]:
        """Return the comma-separated words in the header *name*, in lower case."""
        return {word.strip().lower() for word in self.header(name).split(",")}


async def read_request(stream: trio.abc.ReceiveStream, *, max_bytes: int) -> Request | None:
    """Read one request head of at most *max_bytes* from *stream*; None when the peer left without a word.

    Raises:
        RequestRefused: it is not HTTP, or too large.
        trio.BrokenResourceError: the connection is lost.

    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=max_bytes)
    received = 0
    try:
        while not isinstance(event := connection.next_event(), h11.Request):
            if isinstance(event, h11.ConnectionClosed):
                return None
            # One byte more than allowed is enough to know.
            data = await stream.receive_some(max_bytes + 1 - received)
            received += len(data)
            connection.receive_data(bytes(data))
        headers = tuple((n.decode("ascii"), v.decode("latin-1")) for n, v in event.headers)
        has_body = any(
            n in ("content-length", "transfer-encoding") and v != "0" for n, v in headers
        )
        if not has_body:
            connection.next_event()
    except h11.RemoteProtocolError as error:
        status = HTTPStatus(error.error_status_hint)
        # Behind a colon the library quotes what came, and with it perhaps a key.
        problem = str(error).partition(":")[0]
        raise RequestRefused(refuse(status, f"This is no HTTP request: {problem}")) from None
    if has_body and event.method == b"GET":
        raise RequestRefused(refuse(HTTPStatus.BAD_REQUEST, "A GET has no body here."))
    return Request(
        method=event.method.decode("ascii"),
        target=_ORIGIN_OF_TARGET.sub("", event.target.decode("ascii"), count=1),
        http_version=event.http_version.decode("ascii"),
        headers=headers,
        rest=b"" if has_body else connection.trailing_data[0],
    )


def read_handshake(request: Request) -> bytes:
    """Return the head of *request*'s WebSocket handshake as the library may see it: what counts, and no more.

    It names no extension and no subprotocol, so that none is accepted.  [PW-CONN-4]

    Raises:
        RequestRefused: it is no handshake of RFC 6455.

    """
    if "websocket" not in request.tokens("upgrade") or "upgrade" not in request.tokens(
        "connection"
    ):
        raise RequestRefused(
            refuse(
                HTTPStatus.UPGRADE_REQUIRED,
                "Here speaks a WebSocket: connect with ws:// or wss://.",
                Upgrade="websocket",
            )
        )
    if request.header("sec-websocket-version").strip() != "13":
        raise RequestRefused(
            refuse(
                HTTPStatus.UPGRADE_REQUIRED,
                "The Sec-WebSocket-Version must be 13.",
                Sec_WebSocket_Version="13",
            )
        )
    key = request.header("sec-websocket-key").strip()
    if request.http_version != "1.1" or not _is_nonce(key):
        raise RequestRefused(
            refuse(
                HTTPStatus.BAD_REQUEST,
                "A WebSocket handshake is HTTP/1.1 with a Sec-WebSocket-Key of 16 bytes in base64.",
            )
        )
    lines = (
        f"GET {request.target} HTTP/1.1",
        "Host: plexwire",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _is_nonce(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except ValueError:
        return False
