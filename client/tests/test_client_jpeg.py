"""The size of a JPEG and the cutting of a stream of them, against Pillow and against any bytes."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from plexwire_client import jpeg_size
from plexwire_client._jpeg_splitter import JpegSplitter

#: Segments that may stand before the frame header, one of them with a start and an end of a JPEG in its payload.
SEGMENTS = st.sampled_from((
    b"",
    b"\xff\xfe\x00\x02",
    b"\xff\xe1\x00\x0a\xff\xd8\xff\xd9\xff\xc0\x00\x00",
    b"\xff\xff\xff\xe2\x00\x04ab",
))  # fmt: skip


def jpeg(
    width: int, height: int, *, mode: str = "RGB", progressive: bool = False, extra: bytes = b""
) -> bytes:
    out = BytesIO()
    image = Image.effect_noise((width, height), 50).convert(mode)
    image.save(out, "JPEG", progressive=progressive, comment=b"\xff\xd9 not the end")
    data = out.getvalue()
    return data[:2] + extra + data[2:]


jpegs = st.builds(
    jpeg,
    st.integers(1, 300),
    st.integers(1, 300),
    mode=st.sampled_from(("L", "RGB", "CMYK")),
    progressive=st.booleans(),
    extra=SEGMENTS,
)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.booleans(), SEGMENTS)
def test_client_reads_size_of_any_jpeg(
    width: int, height: int, progressive: bool, extra: bytes
) -> None:
    assert jpeg_size(jpeg(width, height, progressive=progressive, extra=extra)) == (width, height)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_client_reads_size_or_nothing_of_any_bytes(data: bytes) -> None:
    for candidate in (data, b"\xff\xd8" + data, b"\xff\xd8\xff\xc0" + data):
        size = jpeg_size(candidate)
        assert size is None or min(size) >= 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\x00\x02\xff\xc0\x00\x11\x08\x00\x10\x00\x10",
        b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00",
        b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x00\x00\x10",
        b"\x89PNG\r\n\x1a\n\xff\xc0\x00\x11\x08\x00\x10\x00\x10",
    ],
)
def test_client_reads_no_size_where_there_is_none(data: bytes) -> None:
    assert jpeg_size(data) is None


@settings(deadline=None, max_examples=40)
@given(
    st.lists(jpegs, max_size=4), st.lists(st.integers(1, 5000), min_size=1), st.binary(max_size=9)
)
def test_client_cuts_stream_into_its_jpegs_however_it_is_chunked(
    pictures: list[bytes], sizes: list[int], junk: bytes
) -> None:
    junk = junk.replace(b"\xff", b"")
    stream = junk + junk.join(pictures)
    splitter = JpegSplitter(limit=1_000_000)
    found = []
    at = 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        found += splitter.feed(stream[at : at + size])
        at += size
    assert found == pictures


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60).map(lambda data: b"\xff\xd8" + data)))
def test_client_cuts_any_bytes_and_keeps_no_more_than_its_limit(chunks: list[bytes]) -> None:
    splitter = JpegSplitter(limit=100)
    for chunk in chunks:
        for picture in splitter.feed(chunk):
            assert picture.startswith(b"\xff\xd8")
            assert picture.endswith(b"\xff\xd9")
        assert len(splitter._pending) <= 100
