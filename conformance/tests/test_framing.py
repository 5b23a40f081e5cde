"""The judge's own RFC 6455, held against wsproto in both directions, and total on whatever a gateway sends."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from itertools import cycle, islice, pairwise

import pytest
from attrs import frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from plexwire_conformance.wire.framing import (
    ACCEPT,
    BadFraming,
    FrameReader,
    HandshakeResponse,
    Opcode,
    WireFrame,
    encode_close,
    encode_frame,
    encode_message,
    handshake_request,
    parse_close,
    parse_response,
)

TARGET = "/v1/sources/drone-01/video/stream?camera_id=front"
HOST = "gateway.test"

#: Sizes, in bytes, at which the length of a frame changes its form.
EDGES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)


def payloads() -> SearchStrategy[str | bytes]:
    return st.one_of(
        st.text(max_size=200),
        st.binary(max_size=200),
        st.sampled_from(EDGES).map(lambda size: bytes(size % 251 for _ in range(size))),
        st.sampled_from(EDGES).map(lambda size: "x" * size),
    )


def as_bytes(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


@frozen
class Said:
    """A message, the byte positions at which it is cut into frames, and the pings between its frames."""

    payload: str | bytes
    cuts: tuple[int, ...]
    between: tuple[bytes, ...]

    @property
    def opcode(self) -> Opcode:
        return Opcode.TEXT if isinstance(self.payload, str) else Opcode.BINARY


def saids() -> SearchStrategy[Said]:
    def of(payload: str | bytes) -> SearchStrategy[Said]:
        places = st.integers(0, len(as_bytes(payload)))
        return st.builds(
            Said,
            st.just(payload),
            st.lists(places, max_size=4).map(lambda cuts: tuple(sorted(cuts))),
            st.lists(st.binary(max_size=125), max_size=3).map(tuple),
        )

    return payloads().flatmap(of)


def chunked(data: bytes, sizes: Sequence[int]) -> Iterable[bytes]:
    """Cut *data* into chunks of *sizes* bytes, again and again; what is left after many chunks comes at once."""
    at = 0
    for size in islice(cycle(sizes), 200):
        yield data[at : at + size]
        at += size
    yield data[at:]


def chunk_sizes() -> SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 9000), min_size=1, max_size=5)


def from_gateway(said: Said) -> bytes:
    """Return *said* as the unmasked frames of a gateway, the pings behind the first frame."""
    data = as_bytes(said.payload)
    pieces = [data[start:end] for start, end in pairwise((0, *said.cuts, len(data)))]
    wire = b""
    for number, piece in enumerate(pieces):
        opcode = Opcode.CONTINUATION if number else said.opcode
        wire += encode_frame(opcode, piece, fin=number == len(pieces) - 1, mask=None)
        if number == 0:
            wire += b"".join(encode_frame(Opcode.PING, p, mask=None) for p in said.between)
    return wire


def expected(said: Said) -> list[WireFrame]:
    pings = [WireFrame(Opcode.PING, payload) for payload in said.between]
    whole = WireFrame(said.opcode, as_bytes(said.payload))
    return [*pings, whole] if said.cuts else [whole, *pings]


def read(data: bytes, sizes: Sequence[int] = (65_536,)) -> list[WireFrame]:
    reader = FrameReader()
    return [frame for chunk in chunked(data, sizes) for frame in reader.feed(chunk)]


# ── the reader ───────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(st.lists(saids(), max_size=4), chunk_sizes())
def test_reader_takes_any_messages_in_any_chunks_and_gives_them_whole(
    talk: list[Said], sizes: list[int]
) -> None:
    wire = b"".join(map(from_gateway, talk))
    assert read(wire, sizes) == [frame for said in talk for frame in expected(said)]


@settings(deadline=None)
@given(saids(), st.data())
def test_reader_gets_less_than_a_frame_and_gives_nothing(said: Said, data: st.DataObject) -> None:
    wire = from_gateway(said)
    part = data.draw(st.integers(0, len(wire) - 1))
    assert len(read(wire[:part])) < len(expected(said))


SHORT = encode_frame(Opcode.TEXT, b"{}", mask=None)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (encode_frame(Opcode.TEXT, b"{}"), "masked"),
        (encode_frame(Opcode.TEXT, b"{}", mask=None, rsv=4), "reserved bit"),
        (encode_frame(Opcode.TEXT, b"{}", mask=None, rsv=2), "reserved bit"),
        (encode_frame(Opcode.TEXT, b"{}", mask=None, rsv=1), "reserved bit"),
        *((encode_frame(opcode, b"", mask=None), "does not exist") for opcode in range(3, 8)),
        *((encode_frame(opcode, b"", mask=None), "does not exist") for opcode in range(11, 16)),
        (encode_frame(Opcode.CONTINUATION, b"{}", mask=None), "out of order"),
        (encode_frame(Opcode.TEXT, b"{", fin=False, mask=None) + SHORT, "out of order"),
        (encode_frame(Opcode.PING, bytes(126), mask=None), "over 125 bytes"),
        (encode_frame(Opcode.CLOSE, bytes(70_000), mask=None), "over 125 bytes"),
        (encode_frame(Opcode.PONG, b"", fin=False, mask=None), "fragmented"),
    ],
)
def test_reader_gets_what_no_gateway_may_send_and_says_so_behind_what_came_before(
    data: bytes, problem: str
) -> None:
    reader = FrameReader()
    frames = iter(reader.feed(SHORT + data))
    assert next(frames) == WireFrame(Opcode.TEXT, b"{}")
    with pytest.raises(BadFraming, match=problem):
        next(frames)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=40) | saids().map(from_gateway), max_size=6).map(b"".join),
    chunk_sizes(),
)
@example(b"\x82\x7f" + b"\xff" * 8 + b"more", [1])
def test_reader_gets_any_bytes_and_gives_frames_or_bad_framing(
    data: bytes, sizes: list[int]
) -> None:
    try:
        frames = read(data, sizes)
    except BadFraming:
        return
    assert all(frame.fin and frame.opcode is not Opcode.CONTINUATION for frame in frames)


# ── what wsproto says ────────────────────────────────────────────────────────────────────────


def upgraded() -> tuple[WSConnection, bytes]:
    """Return wsproto's server after our request, and its answer."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(handshake_request(TARGET, HOST, [("User-Agent", "x")]))
    (request,) = server.events()
    assert isinstance(request, Request)
    assert (request.target, request.host) == (TARGET, HOST)
    return server, server.send(AcceptConnection())


def messages_of(events: Iterable[Event]) -> list[Event]:
    """Join wsproto's fragments."""
    joined: list[Event] = []
    text, data = "", b""
    for event in events:
        match event:
            case TextMessage():
                text += event.data
                if event.message_finished:
                    joined.append(TextMessage(data=text))
                    text = ""
            case BytesMessage():
                data += bytes(event.data)
                if event.message_finished:
                    joined.append(BytesMessage(data=data))
                    data = b""
            case _:
                joined.append(event)
    return joined


@settings(deadline=None)
@given(st.lists(saids(), max_size=3), chunk_sizes())
def test_wsproto_server_takes_our_messages_in_any_cuts_and_chunks_and_reads_the_same(
    talk: list[Said], sizes: list[int]
) -> None:
    server, _ = upgraded()
    wire = b"".join(b"".join(encode_message(said.payload, cuts=said.cuts)) for said in talk)
    events: list[Event] = []
    for chunk in chunked(wire, sizes):
        server.receive_data(chunk)
        events += server.events()
    assert messages_of(events) == [
        TextMessage(data=said.payload)
        if isinstance(said.payload, str)
        else BytesMessage(data=said.payload)
        for said in talk
    ]


@settings(deadline=None)
@given(st.binary(max_size=125), st.binary(min_size=4, max_size=4))
def test_wsproto_server_takes_our_control_frames_under_any_mask_and_reads_the_same(
    payload: bytes, mask: bytes
) -> None:
    server, _ = upgraded()
    server.receive_data(encode_frame(Opcode.PING, payload, mask=mask))
    server.receive_data(encode_frame(Opcode.PONG, payload, mask=mask))
    assert list(server.events()) == [Ping(payload=payload), Pong(payload=payload)]


@settings(deadline=None)
@given(
    st.sampled_from((1000, 1001, 1011)) | st.integers(3000, 4999),
    st.text(max_size=30),
)
def test_wsproto_server_takes_our_close_and_we_take_its_answer(code: int, reason: str) -> None:
    server, _ = upgraded()
    server.receive_data(encode_close(code, reason))
    (close,) = server.events()
    assert isinstance(close, CloseConnection)
    assert (close.code, close.reason or "") == (code, reason)
    (answer,) = read(server.send(close.response()))
    assert answer.opcode is Opcode.CLOSE
    assert parse_close(answer.payload) == (code, reason)


def test_wsproto_server_takes_our_close_without_a_code() -> None:
    server, _ = upgraded()
    server.receive_data(encode_close(None))
    (close,) = server.events()
    assert isinstance(close, CloseConnection)
    assert close.code == 1005


@settings(deadline=None)
@given(st.lists(saids(), max_size=3), chunk_sizes())
def test_reader_takes_what_wsproto_server_sends_and_reads_the_same(
    talk: list[Said], sizes: list[int]
) -> None:
    server, _ = upgraded()
    wire = b""
    for said in talk:
        for number, message in enumerate(parts_of(said)):
            wire += server.send(message)
            if number == 0:
                wire += b"".join(server.send(Ping(payload=p)) for p in said.between)
    want = [
        frame
        for said in talk
        for frame in expected(said if isinstance(said.payload, bytes) else uncut(said))
    ]
    assert read(wire, sizes) == want


def parts_of(said: Said) -> list[Event]:
    """Return *said* as wsproto takes it; text, which has no byte positions there, in one piece."""
    if isinstance(said.payload, str):
        return [TextMessage(data=said.payload)]
    pieces = [said.payload[a:b] for a, b in pairwise((0, *said.cuts, len(said.payload)))]
    last = len(pieces) - 1
    return [BytesMessage(data=p, message_finished=n == last) for n, p in enumerate(pieces)]


def uncut(said: Said) -> Said:
    return Said(said.payload, (), said.between)


# ── the opening handshake ────────────────────────────────────────────────────────────────────


def test_wsproto_server_accepts_our_request_and_its_answer_is_without_a_problem() -> None:
    _, data = upgraded()
    answer = parse_response(data)
    assert answer is not None
    assert (answer.status, answer.problem(), answer.rest) == (101, None, b"")


@settings(deadline=None)
@given(st.binary(max_size=20), st.data())
def test_answer_comes_in_parts_and_is_there_once_its_head_is_whole(
    rest: bytes, data: st.DataObject
) -> None:
    head = upgraded()[1]
    part = data.draw(st.integers(0, len(head) - 1))
    assert parse_response(head[:part]) is None
    answer = parse_response(head + rest)
    assert answer is not None
    assert answer.rest == rest


def a_response(*headers: str) -> HandshakeResponse:
    text = "\r\n".join(("HTTP/1.1 101 Switching Protocols", *headers, "", ""))
    answer = parse_response(text.encode())
    assert answer is not None
    return answer


ACCEPTED = f"Sec-WebSocket-Accept: {ACCEPT}"


def test_answer_in_other_letters_and_spaces_is_without_a_problem() -> None:
    answer = a_response(
        f"SEC-WEBSOCKET-ACCEPT:{ACCEPT}  ",
        "upgrade:  WebSocket",
        "connection: keep-alive,  upgrade",
    )
    assert answer.problem() is None


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        (("Upgrade: websocket", "Connection: Upgrade"), "Sec-WebSocket-Accept"),
        (
            (
                "Upgrade: websocket",
                "Connection: Upgrade",
                f"Sec-WebSocket-Accept: {ACCEPT.swapcase()}",
            ),
            "Sec-WebSocket-Accept",
        ),
        ((ACCEPTED, "Connection: Upgrade"), "Upgrade"),
        ((ACCEPTED, "Upgrade: h2c", "Connection: Upgrade"), "Upgrade"),
        ((ACCEPTED, "Upgrade: websocket"), "Connection"),
        ((ACCEPTED, "Upgrade: websocket", "Connection: close"), "Connection"),
    ],
)
def test_answer_that_every_browser_refuses_has_a_problem(
    headers: tuple[str, ...], problem: str
) -> None:
    said = a_response(*headers).problem()
    assert said is not None
    assert problem in said


def test_accept_is_the_digest_that_the_rfc_asks_for() -> None:
    request = handshake_request(TARGET, HOST).decode()
    (key,) = (
        line.split(": ")[1]
        for line in request.split("\r\n")
        if line.startswith("Sec-WebSocket-Key: ")
    )
    assert len(base64.b64decode(key)) == 16
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    assert base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode() == ACCEPT


def answers() -> SearchStrategy[bytes]:
    """Return what a gateway may answer to a handshake: noise, HTTP, and HTTP with a piece replaced."""

    def damaged(data: bytes) -> SearchStrategy[bytes]:
        places = st.integers(0, len(data))
        return st.builds(
            lambda start, end, piece: data[:start] + piece + data[end:],
            places,
            places,
            st.binary(max_size=6) | st.sampled_from((b"\r\n\r\n", b" ", b"\xb2", b"9" * 5000)),
        )

    status = st.binary(max_size=8) | st.integers().map(lambda number: str(number).encode())
    return st.one_of(
        st.binary(),
        st.binary().map(b"HTTP/1.1 ".__add__),
        status.map(lambda said: b"HTTP/1.1 " + said + b" OK\r\n\r\n"),
        damaged(upgraded()[1]),
    )


@settings(deadline=None)
@given(answers())
@example(b"HTTP/1.1 \xb2 Superscript\r\n\r\n")
@example(b"HTTP/1.1 " + b"9" * 5000 + b" Huge\r\n\r\n")
@example(b"HTTP/1.1 101" + b"x" * 70_000)
@example(b"SSH-2.0-OpenSSH_9.2\r\n")
def test_answer_is_anything_and_reads_as_an_answer_as_incomplete_or_as_bad_framing(
    data: bytes,
) -> None:
    try:
        response = parse_response(data)
    except BadFraming:
        return
    assert (response is None) == (b"\r\n\r\n" not in data)
    if response is not None:
        assert data.endswith(b"\r\n\r\n" + response.rest)
        assert response.problem() is None or response.problem()


def test_answer_without_an_end_is_given_up_after_64_kib() -> None:
    with pytest.raises(BadFraming, match="64 KiB"):
        parse_response(b"HTTP/1.1 200 OK\r\n" + b"x" * 65_536)


@settings(deadline=None)
@given(st.binary(max_size=125))
def test_close_payload_is_anything_and_reads_as_a_code_and_a_reason(payload: bytes) -> None:
    code, reason = parse_close(payload)
    assert (code is None) == (len(payload) < 2)
    reason.encode()
