"""A JPEG that goes out as it is, and its size, read from the header.

Pure, and total: any bytes give an answer.  Nothing is decoded, so that a device of JPEGs needs no Pillow.
"""

from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import frozen

from plexwire_protocol import JPEG_START
from plexwire_protocol.limits import MAX_JPEG_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

#: What a device can send: JPEG, PNG, BMP or WebP as bytes or as the array that OpenCV's `imencode` returns; an array
#: (height, width) or (height, width, channels) of uint8, uint16 or bool with the colours in OpenCV's order, blue first;
#: or an image of Pillow's.
Picture: TypeAlias = (
    "bytes | bytearray | memoryview | npt.NDArray[np.uint8 | np.uint16 | np.bool_] | Image"
)

MARKER: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
END: Final = 0xD9
#: Markers without a length behind them: stuffing, TEM, RST0 to RST7, SOI.
BARE: Final = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
#: The frame headers, which hold the size: C0 to CF but for DHT (C4), JPG (C8) and DAC (CC).
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: JPEG quality unless asked otherwise, from 1 to 95.
DEFAULT_QUALITY: Final = 85
#: How JPEG, PNG and WebP files begin.  BMP's `BM` is too short to tell a file from grey pixels.
_FILE_STARTS: Final = (JPEG_START, b"\x89PNG\r\n\x1a\n", b"RIFF")
#: A frame header up to its width: length, precision, height, width.
_SIZE_BYTES: Final = 7


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels from the header of a JPEG, or None where it can't be read."""
    if not data.startswith(JPEG_START):
        return None
    at = len(JPEG_START)
    while (at := _next_marker(data, at)) < len(data):
        marker = data[at]
        at += 1
        if marker in BARE:
            continue
        if marker in (_START_OF_SCAN, END):
            return None
        if marker in _FRAME_HEADERS:
            header = data[at : at + _SIZE_BYTES]
            height, width = int.from_bytes(header[3:5]), int.from_bytes(header[5:7])
            return (width, height) if len(header) == _SIZE_BYTES and width and height else None
        at += max(2, int.from_bytes(data[at : at + 2]))
    return None


def _next_marker(data: bytes, at: int) -> int:
    """Return where the marker's own byte stands behind its FF, from *at* on; at the earliest the end of *data*."""
    at = data.find(MARKER, at)
    if at < 0:
        return len(data)
    while at < len(data) and data[at] == MARKER:
        at += 1
    return at


@frozen
class Jpeg:
    """A picture that can be sent; its size is 0 x 0 where it can't be read.  `reencoded`: it was too large as it was."""

    data: bytes
    width: int
    height: int
    reencoded: bool = False


def as_it_is(picture: Picture, *, limit: int = MAX_JPEG_BYTES) -> Jpeg | None:
    """Return *picture* if it is a JPEG of at most *limit* bytes, untouched, and None if it has to be encoded."""
    data = encoded_bytes(picture)
    if data is None or not data.startswith(JPEG_START) or len(data) > limit:
        return None
    width, height = jpeg_size(data) or (0, 0)
    return Jpeg(data, width, height)


def encoded_bytes(picture: Picture) -> bytes | None:
    """Return the bytes of a *picture* that is encoded already, and None if it is pixels.

    OpenCV's `imencode` returns such bytes as uint8, (n,), (n, 1) or (1, n) by its version: no picture of one row or one
    column begins like a file.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    shape = tuple(getattr(picture, "shape", ()))
    if str(getattr(picture, "dtype", "")) != "uint8" or not 1 <= len(shape) <= 2:
        return None
    if len(shape) == 2 and 1 not in shape:
        return None
    data: bytes = picture.tobytes()
    return data if len(shape) == 1 or data.startswith(_FILE_STARTS) else None
