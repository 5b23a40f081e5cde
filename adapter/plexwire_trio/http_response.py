"""HTTP/1.1 responses as bytes, written by h11; the connection is closed after each."""

from collections.abc import Iterable
from http import HTTPStatus

import h11


def write_response(
    status: HTTPStatus,
    headers: Iterable[tuple[str, str]],
    body: bytes | None,
    *,
    head_only: bool = False,
) -> bytes:
    """Return a response with *body*, its `Content-Length` and `Connection: close`.

    With *body* None the caller sends the body, which goes on until the connection is closed.  With *head_only* the
    response is one to HEAD.  A 304 has no body either; its length is that of what the peer has kept.

    Raises:
        h11.LocalProtocolError: a header has a name or value that HTTP does not allow.

    """
    fields = [*headers, ("Connection", "close")]
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
    writer = h11.Connection(h11.SERVER)
    data = writer.send(
        h11.Response(
            status_code=status.value,
            reason=status.phrase.encode("ascii"),
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in fields],
        )
    )
    head = bytes(data or b"")
    if body is None or head_only or status is HTTPStatus.NOT_MODIFIED:
        return head
    return head + (writer.send(h11.Data(data=body)) or b"")
