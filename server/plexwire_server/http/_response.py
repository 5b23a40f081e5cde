"""HTTP responses of a gateway."""

from http import HTTPStatus
from typing import Final

from attrs import evolve, frozen

from plexwire_server.http._request import Request, RequestRefused
from plexwire_trio.http_response import write_response

_TEXT: Final = "text/plain; charset=utf-8"


@frozen
class Response:
    """An HTTP response; the connection is closed after it."""

    status: HTTPStatus
    body: str | bytes = ""
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()
    cache_control: str = "no-store"

    def unless_known(self, request: Request) -> "Response":
        """Return 304 instead of a response that the peer has kept, as its `ETag` shows."""
        tags = (value for name, value in self.headers if name == "ETag")
        if any(tag in request.header("if-none-match") for tag in tags):
            return evolve(self, status=HTTPStatus.NOT_MODIFIED)
        return self

    def encode(self, *, head_only: bool = False) -> bytes:
        """Return the bytes to send, without the body if *head_only*."""
        body = self.body.encode() if isinstance(self.body, str) else self.body
        fixed = (("Content-Type", self.content_type), ("Cache-Control", self.cache_control))
        return write_response(self.status, (*fixed, *self.headers), body, head_only=head_only)


def refusal(refused: RequestRefused) -> Response:
    """Return the response that says in one line why a request was *refused*."""
    headers = tuple(refused.headers.items())
    return Response(refused.status, refused.problem + "\n", headers=headers)
