"""The little that a client has to know of JPEG: where the size stands, and where one picture ends and the next begins.

Pure, and total: any bytes give an answer.  Nothing is decoded.
"""

from typing import Final

from plexwire_protocol import JPEG_START

_MARKER: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
_END: Final = 0xD9
#: Markers without a length behind them: stuffing, TEM, RST0 to RST7, SOI.
_BARE: Final = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
#: The frame headers, which hold the size: C0 to CF but for DHT (C4), JPG (C8) and DAC (CC).
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
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
        if marker in _BARE:
            continue
        if marker in (_START_OF_SCAN, _END):
            return None
        if marker in _FRAME_HEADERS:
            header = data[at : at + _SIZE_BYTES]
            height, width = int.from_bytes(header[3:5]), int.from_bytes(header[5:7])
            return (width, height) if len(header) == _SIZE_BYTES and width and height else None
        at += max(2, int.from_bytes(data[at : at + 2]))
    return None


def _next_marker(data: bytes, at: int) -> int:
    """Return where the marker's own byte stands behind its FF, from *at* on; at the earliest the end of *data*."""
    at = data.find(_MARKER, at)
    if at < 0:
        return len(data)
    while at < len(data) and data[at] == _MARKER:
        at += 1
    return at


class JpegSplitter:
    """Cuts a stream of JPEGs, as ffmpeg writes it into a pipe, into single ones.

    Bytes before a picture are passed over.  `limit` bounds what is kept of a picture that never ends: beyond it the
    picture is given up.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes and return the pictures that are complete now."""
        self._pending += data
        pictures = []
        while (end := self._find_end()) is not None:
            pictures.append(bytes(self._pending[:end]))
            self._forget(end)
        if len(self._pending) > self._limit:
            self._forget(len(self._pending))
        return pictures

    def _forget(self, end: int) -> None:
        del self._pending[:end]
        self._at = 0

    def _find_end(self) -> int | None:
        if self._at == 0 and not self._begin():
            return None
        while True:
            marker_at = self._pending.find(_MARKER, self._at)
            if marker_at < 0:
                # A segment may reach beyond what is here; what is behind it is looked at when it comes.
                self._at = max(self._at, len(self._pending))
                return None
            self._at = marker_at
            marker, *length = self._pending[marker_at + 1 : marker_at + 4] or (None,)
            if marker is None:
                return None
            if marker == _END:
                return marker_at + 2
            if marker == _MARKER:
                self._at += 1
            elif marker in _BARE:
                self._at += 2
            elif len(length) < 2:
                return None
            else:
                self._at += 2 + max(2, int.from_bytes(length))

    def _begin(self) -> bool:
        start = self._pending.find(JPEG_START)
        if start < 0:
            # The last byte may be the first half of a start.
            del self._pending[: max(0, len(self._pending) - 1)]
            return False
        del self._pending[:start]
        self._at = len(JPEG_START)
        return True
