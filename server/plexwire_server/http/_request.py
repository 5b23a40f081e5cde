"""HTTP requests: one head is read from a connection."""

import re
from http import HTTPStatus
from typing import Final

import h11
import trio
from attrs import define, field, frozen

_ORIGIN_OF_TARGET: Final = re.compile(r"[a-z]+://[^/?]*", re.IGNORECASE)


@define(eq=False)
class RequestRefused(Exception):
    """What came is not a request that can be served; `status`, `problem` and `headers` tell the peer why."""

    status: HTTPStatus
    problem: str
    headers: dict[str, str] = field(factory=dict[str, str])


@frozen(kw_only=True)
class Request:
    """One request head, and what came after it in the same segment."""

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
        raise RequestRefused(status, f"This is no HTTP request: {problem}") from None
    if has_body and event.method == b"GET":
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "A GET has no body here.")
    return Request(
        method=event.method.decode("ascii"),
        target=_ORIGIN_OF_TARGET.sub("", event.target.decode("ascii"), count=1),
        http_version=event.http_version.decode("ascii"),
        headers=headers,
        rest=b"" if has_body else connection.trailing_data[0],
    )
