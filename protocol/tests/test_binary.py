"""The binary form of a device's frame, down to the byte."""

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_protocol import (
    LocalProtocolError,
    MalformedMessage,
    Refusal,
    Role,
    VideoFrame,
    decode,
    decode_device_frame,
    encode_device_frame,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import MAX_ID_BYTES, MAX_JPEG_BYTES, MAX_MESSAGE_BYTES

FRAME = VideoFrame(
    source_id="robot-01",
    camera_id="Küche",
    jpeg=b"\xff\xd8\xff\xe0picture\xff\xd9",
    width=640,
    height=480,
    timestamp=-2,
)
BYTES = (
    b"\x01"
    b"\x08robot-01"
    b"\x06K\xc3\xbcche"
    b"\x00\x00\x02\x80\x00\x00\x01\xe0\xff\xff\xff\xff\xff\xff\xff\xfe"
    b"\xff\xd8\xff\xe0picture\xff\xd9"
)
HEADER_SIZE = BYTES.index(FRAME.jpeg)


def refused(data: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        decode_device_frame(data)
    return caught.value


@given(wire.video_frames(extra=False))
@example(evolve(FRAME, source_id="x" * MAX_ID_BYTES, camera_id="€" * 85))
@example(evolve(FRAME, jpeg=b"\xff\xd8" + bytes(MAX_JPEG_BYTES - 2)))
def test_binary_form_gives_back_every_frame(frame: VideoFrame) -> None:
    """PW-BIN-1, PW-LIM-1."""
    data = encode_device_frame(frame)

    assert decode_device_frame(data) == frame
    assert decode(data, sender=Role.DEVICE) == frame
    assert len(data) < len(frame.jpeg) + 2 * MAX_ID_BYTES + 20 < MAX_MESSAGE_BYTES


def test_binary_form_has_this_layout() -> None:
    """PW-BIN-1."""
    assert encode_device_frame(FRAME) == BYTES
    assert decode_device_frame(BYTES) == FRAME


@given(st.binary())
def test_decoding_returns_a_frame_or_refuses_whatever_comes(data: bytes) -> None:
    """PW-BIN-4."""
    try:
        frame = decode_device_frame(b"\x01" + data)
    except MalformedMessage:
        return
    assert len(encode_device_frame(frame)) <= 1 + len(data)


@given(wire.video_frames(extra=False), st.data())
def test_frame_cut_off_anywhere_before_its_picture_is_refused(
    frame: VideoFrame, data: st.DataObject
) -> None:
    """PW-BIN-4."""
    whole = encode_device_frame(frame)
    header = len(whole) - len(frame.jpeg)
    cut = data.draw(st.integers(0, header + 1))

    expected = Refusal.TRUNCATED if cut < header else Refusal.NOT_JPEG
    assert refused(whole[:cut]).refusal is expected


@given(st.text("aä€😀", min_size=MAX_ID_BYTES // 4).filter(lambda text: len(text.encode()) > 255))
def test_id_cut_in_the_middle_of_a_character_loses_that_character(text: str) -> None:
    """PW-BIN-6: the SDK cuts bytes."""
    cut = text.encode()[:MAX_ID_BYTES]
    field = bytes((len(cut),)) + cut
    data = b"\x01" + field + field + bytes(16) + FRAME.jpeg

    frame = decode_device_frame(data)

    assert frame.camera_id == frame.source_id == cut.decode(errors="ignore")
    assert text.startswith(frame.camera_id)


def test_source_id_too_long_for_its_field_is_cut() -> None:
    """PW-BIN-2: the gateway goes by the authenticated source, so nothing is lost."""
    frame = evolve(FRAME, source_id="s" * (MAX_ID_BYTES + 1))

    assert decode_device_frame(encode_device_frame(frame)) == evolve(
        frame, source_id="s" * MAX_ID_BYTES
    )


def test_frame_without_ids_and_sizes_is_a_frame() -> None:
    """PW-BIN-3, PW-BIN-5."""
    frame = decode_device_frame(b"\x01\x00\x00" + bytes(16) + b"\xff\xd8")

    assert frame == VideoFrame(camera_id="", jpeg=b"\xff\xd8", width=0, height=0, timestamp=0)


def test_frame_with_extra_members_has_no_binary_form() -> None:
    with pytest.raises(LocalProtocolError, match="PW-BIN-1"):
        encode_device_frame(evolve(FRAME, extra={"video_type": "thermal"}))


@pytest.mark.parametrize(
    ("data", "where", "refusal"),
    [
        (b"", "version", Refusal.TRUNCATED),
        (b"\x00", "version", Refusal.UNKNOWN_VERSION),
        (b"\x02" + BYTES[1:], "version", Refusal.UNKNOWN_VERSION),
        (b"\x01", "length of source_id", Refusal.TRUNCATED),
        (b"\x01\x02a", "source_id", Refusal.TRUNCATED),
        (b"\x01\x02ab", "length of camera_id", Refusal.TRUNCATED),
        (b"\x01\x00\xffa", "camera_id", Refusal.TRUNCATED),
        (b"\x01\x00\x00" + bytes(15), "width, height, timestamp", Refusal.TRUNCATED),
        (b"\x01\x00\x00" + bytes(16), "jpeg", Refusal.NOT_JPEG),
        (BYTES[:HEADER_SIZE] + b"\xff", "jpeg", Refusal.NOT_JPEG),
        (BYTES[:HEADER_SIZE] + b"\x89PNG", "jpeg", Refusal.NOT_JPEG),
        (b"\x01\x01\xc3\x00", "source_id", Refusal.NOT_UNICODE),
        (b"\x01\x00\x03\xed\xa0\x80", "camera_id", Refusal.NOT_UNICODE),
        (b"\x01\x00\xff" + b"\xff" * 255, "camera_id", Refusal.NOT_UNICODE),
    ],
)
def test_frame_that_is_wrong_is_refused_by_field(data: bytes, where: str, refusal: Refusal) -> None:
    """PW-BIN-4."""
    error = refused(data)

    assert (error.where, error.refusal) == (where, refusal)
