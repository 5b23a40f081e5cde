"""HTTP responses that are written here, read by h11's client."""

from http import HTTPStatus

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_trio.http_response import write_response

STATUSES = st.sampled_from([HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


def read(data: bytes, method: str = "GET") -> tuple[h11.Response, bytes, bool]:
    """Return the head, the body, and whether the response is complete before the connection is closed."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    return head, body, isinstance(event, h11.EndOfMessage)


@given(STATUSES, st.binary(max_size=300), VALUES)
def test_response_reads_back_whole(status: HTTPStatus, body: bytes, value: str) -> None:
    head, read_body, complete = read(write_response(status, [("X-Word", value)], body))
    headers = dict(head.headers)
    assert (head.status_code, bytes(head.reason)) == (status, status.phrase.encode())
    assert (read_body, complete) == (body, True)
    assert headers[b"x-word"] == value.encode()
    assert headers[b"connection"] == b"close"
    assert headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(
    ("status", "method"), [(HTTPStatus.OK, "HEAD"), (HTTPStatus.NOT_MODIFIED, "GET")]
)
def test_response_has_its_length_but_no_body_to_head_and_as_304(
    status: HTTPStatus, method: str
) -> None:
    data = write_response(status, (), b"12345", head_only=method == "HEAD")
    head, body, complete = read(data, method)
    assert (body, complete) == (b"", True)
    assert dict(head.headers)[b"content-length"] == b"5"


def test_response_without_body_goes_on_until_the_connection_is_closed() -> None:
    head = write_response(HTTPStatus.OK, [("Content-Type", "video/x")], None)
    read_head, body, complete = read(head + b"one" + b"two")
    assert (body, complete) == (b"onetwo", False)
    assert b"content-length" not in dict(read_head.headers)


def test_header_can_not_end_the_head() -> None:
    with pytest.raises(h11.LocalProtocolError):
        write_response(HTTPStatus.OK, [("X-Word", "a\r\n\r\nb")], b"")
