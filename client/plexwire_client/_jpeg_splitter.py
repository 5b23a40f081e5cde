"""Where one JPEG of a stream ends and the next begins.  Pure: nothing is decoded.

ffmpeg's `image2pipe` writes JPEGs without their lengths, and Pillow reads only whole pictures.
"""

from plexwire_client._jpeg import BARE, END, MARKER
from plexwire_protocol import JPEG_START


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
            marker_at = self._pending.find(MARKER, self._at)
            if marker_at < 0:
                # A segment may reach beyond what is here; what is behind it is looked at when it comes.
                self._at = max(self._at, len(self._pending))
                return None
            self._at = marker_at
            marker, *length = self._pending[marker_at + 1 : marker_at + 4] or (None,)
            if marker is None:
                return None
            if marker == END:
                return marker_at + 2
            if marker == MARKER:
                self._at += 1
            elif marker in BARE:
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
