"""The parts of the fast lane that are sans-IO, against wsproto as the other opinion."""

from typing import TypeAlias

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import FrameProtocol

from lane_conversations import masked
from plexwire_trio.fastlane import (
    DEVICE,
    STRANGER,
    Binary,
    Budget,
    Cutter,
    Excess,
    Passing,
    close_frame,
    text_frame,
    unmask,
)
from plexwire_trio.fastlane._cutter import LARGE_READ, PIECE_BYTES, PIECE_FRAMES, SMALL_READ
from plexwire_trio.fastlane._speedups import stdlib_unmask

Said: TypeAlias = tuple[str, object]

REQUEST = b"GET /ws/device HTTP/1.1\r\nHost: x\r\n\r\n"


def open_cutter(budget: Budget = DEVICE, *, binary: bool = True, rest: bytes = b"") -> Cutter:
    """Return a cutter that has passed the request on."""
    cutter = Cutter(budget, unmask=unmask, already=REQUEST + rest)
    cutter.binary = binary
    assert cutter.take(0.0) == Passing(REQUEST)
    return cutter


def put(cutter: Cutter, data: bytes, now: float = 0.0) -> list[Binary | Passing | Excess]:
    """Give *data* to *cutter* as fast as it has room, and return all pieces up to an excess."""
    pieces: list[Binary | Passing | Excess] = []
    while True:
        while (piece := cutter.take(now)) is not None:
            pieces.append(piece)
            if isinstance(piece, Excess):
                return pieces
        if not data:
            return pieces
        room = cutter.room()
        size = min(len(room), len(data))
        room[:size] = data[:size]
        cutter.filled(size)
        data = data[size:]


def chunks(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return *data* in parts of these sizes, and the rest of it."""
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]


def heard(wire: bytes) -> list[Said]:
    """Return what wsproto reads in *wire*, a client's frames."""
    connection = Connection(ConnectionType.SERVER)
    connection.receive_data(wire)
    said: list[Said] = []
    text, data = "", b""
    for event in connection.events():
        match event:
            case TextMessage():
                text += event.data
                if event.message_finished:
                    said.append(("text", text))
                    text = ""
            case BytesMessage():
                data += event.data
                if event.message_finished:
                    said.append(("binary", data))
                    data = b""
            case Ping() | Pong():
                said.append((type(event).__name__, bytes(event.payload)))
            case CloseConnection():
                said.append(("close", event.code))
                break
    return said


SIZES = st.one_of(st.integers(0, 200), st.sampled_from([125, 126, 65_535, 65_536, 70_000]))


@frozen
class Sent:
    """A message of a client: its fragments' sizes, and whether control frames come before and within."""

    opcode: int
    sizes: tuple[int, ...]
    ping: bool
    pong: bool

    def frames(self) -> bytes:
        """Return it as it travels."""
        data = masked(0x89, b"before") if self.ping else b""
        for number, size in enumerate(self.sizes):
            last = number == len(self.sizes) - 1
            opcode = self.opcode if number == 0 else 0
            data += masked(opcode | 0x80 * last, b"x" * size)
            if self.pong and not last:
                data += masked(0x8A, b"in between")
        return data


MESSAGES = st.lists(
    st.builds(
        Sent,
        st.sampled_from([1, 2]),
        st.lists(SIZES, min_size=1, max_size=4).map(tuple),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
CUTS = st.lists(st.one_of(st.integers(1, 20), st.integers(1, 70_000)), max_size=20)


@given(MESSAGES, CUTS)
def test_cutter_and_library_together_hear_what_the_client_said(
    messages: list[Sent], cuts: list[int]
) -> None:
    data = b"".join(message.frames() for message in messages)
    cutter = open_cutter()
    order: list[Said] = []
    rest = b""
    for chunk in chunks(data, cuts):
        for piece in put(cutter, chunk):
            assert not isinstance(piece, Excess)
            if isinstance(piece, Binary):
                order += heard(rest)
                order.append(("binary", piece.payload))
                rest = b""
            else:
                rest += piece.data
    assert order + heard(rest) == heard(data)


@given(MESSAGES, CUTS)
def test_cutter_passes_every_byte_on_when_nothing_is_taken_out(
    messages: list[Sent], cuts: list[int]
) -> None:
    cutter = open_cutter(binary=False)
    data = b"".join(message.frames() for message in messages)
    pieces = [piece for chunk in chunks(data, cuts) for piece in put(cutter, chunk)]
    assert b"".join(piece.data for piece in pieces if isinstance(piece, Passing)) == data


@given(st.lists(st.binary(max_size=3000), max_size=5), st.booleans())
def test_cutter_takes_whatever_a_client_sends(parts: list[bytes], binary: bool) -> None:
    cutter = Cutter(DEVICE, unmask=unmask)
    cutter.binary = binary
    for part in (b"\r\n\r\n", *parts):
        put(cutter, part)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.sampled_from([b"\r\n", b"\n"]))
def test_cutter_finds_the_end_of_the_request_however_it_is_cut(
    sizes: list[int], line: bytes
) -> None:
    request = REQUEST.replace(b"\r\n", line)
    cutter = Cutter(DEVICE, unmask=unmask)
    cutter.binary = True
    pieces = [
        piece
        for chunk in chunks(request + masked(0x82, b"picture"), sizes)
        for piece in put(cutter, chunk)
    ]
    assert pieces.pop() == Binary(b"picture")
    assert b"".join(piece.data for piece in pieces if isinstance(piece, Passing)) == request


def test_cutter_leaves_to_the_library_what_is_not_masked() -> None:
    frame = b"\x82\x07picture"
    assert put(open_cutter(), frame) == [Passing(frame)]


def test_cutter_leaves_to_the_library_a_message_within_another() -> None:
    frames = masked(0x01, b"begun") + masked(0x82, b"picture")
    assert put(open_cutter(), frames) == [Passing(frames)]


def test_cutter_reports_how_much_of_a_picture_is_missing() -> None:
    frame = masked(0x82, b"x" * 300_000)
    cutter = open_cutter()
    assert put(cutter, frame[:100]) == []
    assert cutter.missing == len(frame) - 100
    assert len(cutter.room()) >= cutter.missing
    assert put(cutter, frame[100:]) == [Binary(b"x" * 300_000)]
    assert cutter.missing == 0


def test_cutter_reads_little_until_pictures_are_expected() -> None:
    cutter = open_cutter(STRANGER, binary=False)
    assert len(cutter.room()) == SMALL_READ
    cutter.binary = True
    assert len(cutter.room()) == LARGE_READ


def test_resting_loses_nothing() -> None:
    frame = masked(0x81, b"x" * 3000)
    for binary in (False, True):
        cutter = open_cutter(binary=binary)
        heard_bytes = b""
        for chunk in chunks(frame, [1, 1, 3, 1000, 7]):
            cutter.rest()
            for piece in put(cutter, chunk):
                assert isinstance(piece, Passing)
                heard_bytes += piece.data
        assert heard_bytes == frame


def test_pieces_are_bounded_in_frames_and_bytes() -> None:
    budget = Budget(message_bytes=1 << 20, small_frames=1000, small_frames_per_s=0)
    tiny = put(open_cutter(budget, rest=masked(0x8A, b"") * 100), b"")
    assert [len(piece.data) // 6 for piece in tiny if isinstance(piece, Passing)] == [
        PIECE_FRAMES,
        PIECE_FRAMES,
        PIECE_FRAMES,
        100 - 3 * PIECE_FRAMES,
    ]
    large = put(open_cutter(budget), masked(0x81, b"x" * 200_000))
    assert all(isinstance(piece, Passing) and len(piece.data) <= PIECE_BYTES for piece in large)


# ── budgets ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", [0x81, 0x82, 0x01])
def test_cutter_refuses_a_message_by_its_declared_length(first: int) -> None:
    for budget, binary in ((STRANGER, False), (DEVICE, True)):
        frame = masked(first, b"x" * (budget.message_bytes + 1))
        (excess,) = put(open_cutter(budget, binary=binary), frame[:14])
        assert isinstance(excess, Excess)
        assert excess.code == 1009


@pytest.mark.parametrize("first", [0x81, 0x82])
def test_cutter_accepts_the_largest_message(first: int) -> None:
    pieces = put(open_cutter(), masked(first, b"x" * DEVICE.message_bytes))
    assert not any(isinstance(piece, Excess) for piece in pieces)


def test_cutter_adds_fragments_up() -> None:
    cutter = open_cutter(STRANGER, binary=False)
    assert isinstance(put(cutter, masked(0x01, b"x" * 4000))[0], Passing)
    (excess,) = put(cutter, masked(0x80, b"x" * 97))
    assert isinstance(excess, Excess)
    assert excess.code == 1009


def test_cutter_counts_each_message_anew() -> None:
    cutter = open_cutter(STRANGER, binary=False)
    pieces = put(cutter, masked(0x81, b"x" * 4000) * 3)
    assert not any(isinstance(piece, Excess) for piece in pieces)


@pytest.mark.parametrize(
    "frame",
    [masked(0x00, b""), masked(0x8A, b""), masked(0x89, b"?"), masked(0x81, b"{}")],
    ids=["empty fragments", "pongs", "pings", "messages"],
)
def test_cutter_ends_a_flood_of_small_frames(frame: bytes) -> None:
    cutter = open_cutter(STRANGER, binary=False)
    pieces = put(cutter, frame * (STRANGER.small_frames + 1))
    passed = sum(len(piece.data) for piece in pieces if isinstance(piece, Passing))
    assert isinstance(pieces[-1], Excess)
    assert pieces[-1].code == 1008
    assert passed <= len(frame) * STRANGER.small_frames


def test_cutter_lets_small_frames_come_at_their_rate_for_ever() -> None:
    cutter = open_cutter(STRANGER, binary=False)
    for number in range(1000):
        (piece,) = put(cutter, masked(0x8A, b""), now=number / STRANGER.small_frames_per_s)
        assert isinstance(piece, Passing)


def test_cutter_does_not_count_large_frames_or_pictures() -> None:
    budget = Budget(message_bytes=1 << 20, small_frames=1, small_frames_per_s=0)
    many = masked(0x81, b"x" * 512) * 50 + masked(0x82, b"tiny picture") * 50
    assert not any(isinstance(piece, Excess) for piece in put(open_cutter(budget), many))


# ── what we write ────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.text().map(str.encode), max_size=3), SIZES)
def test_text_frame_is_one_message_for_a_client(parts: list[bytes], size: int) -> None:
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(text_frame(*parts, memoryview(b"x" * size)))
    frames = list(protocol.received_frames())
    assert "".join(str(frame.payload) for frame in frames) == b"".join(parts).decode() + "x" * size
    assert frames[-1].message_finished


@given(st.integers(3000, 4999), st.text())
def test_close_frame_has_its_code_and_as_much_of_the_reason_as_fits(code: int, reason: str) -> None:
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(close_frame(code, reason))
    (frame,) = protocol.received_frames()
    assert isinstance(frame.payload, tuple)
    assert frame.payload[0] == code
    heard_reason = str(frame.payload[1] or "")
    assert reason.startswith(heard_reason)
    assert len(heard_reason.encode()) >= min(len(reason.encode()), 120)


@given(st.binary(max_size=500), st.binary(min_size=4, max_size=4))
def test_fast_and_slow_masking_agree(data: bytes, key: bytes) -> None:
    assert bytes(unmask(memoryview(data), key)) == stdlib_unmask(data, key)
    assert stdlib_unmask(stdlib_unmask(data, key), key) == data
