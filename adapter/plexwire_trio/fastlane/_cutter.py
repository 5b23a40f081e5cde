"""Cuts what a client sends into frames, takes whole binary messages out, and holds the peer to its budget.  Sans-IO.

Everything else goes on to the WebSocket library as it came: the request, control frames, text, fragments, and all that
breaks RFC 6455, which the library knows how to answer.
"""

import re
from typing import Final, TypeAlias

from attrs import frozen

from plexwire_trio.fastlane._budget import SMALL_BYTES, Budget, Excess, Meter
from plexwire_trio.fastlane._framing import BINARY, CONTROL, FINAL, Unmask

#: Bytes read at a time from a peer that sends no pictures, and from one that does.
SMALL_READ: Final = 4096
LARGE_READ: Final = 1 << 18

#: Bytes and frames in one piece.  The library takes some 20 µs for a frame, and everybody else waits meanwhile.
PIECE_BYTES: Final = 1 << 16
PIECE_FRAMES: Final = 32

_WHOLE_BINARY: Final = FINAL | BINARY
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_NO_BYTES: Final = memoryview(bytearray())
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")


@frozen
class Binary:
    """The payload of a whole binary message, unmasked."""

    payload: bytes


@frozen
class Passing:
    """Bytes for the WebSocket library."""

    data: bytes


Piece: TypeAlias = Binary | Passing | Excess


class Cutter:
    """The bytes that one client sends, from its HTTP request on, or *upgraded*, from what follows it.

    *already* are bytes that were read before.
    Your duties: read into `room`, report with `filled` how much that was, then call `take` until it returns None.  Call
    `rest` before a wait.  Close the connection after an `Excess`.  With `binary` whole binary messages are taken out, and reads are large;
    `budget` is what the peer may cost.  Both may be changed at any time.
    """

    def __init__(
        self, budget: Budget, *, unmask: Unmask, already: bytes = b"", upgraded: bool = False
    ) -> None:
        self.binary = False
        #: Bytes that a binary message which has begun is still short of.
        self.missing = 0
        self._meter = Meter(budget)
        self._unmask = unmask
        self._view = memoryview(bytearray(already))
        self._start = 0
        self._end = len(already)
        self._in_request = not upgraded
        self._tail_of_request = b""
        self._passing = 0  # bytes of the frame at hand that are still to be passed on
        self._fragmented = False
        self._message = 0  # bytes of the message whose fragments are coming

    @property
    def budget(self) -> Budget:
        """What the peer may cost."""
        return self._meter.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._meter.budget = budget

    @property
    def read_bytes(self) -> int:
        """How much to read at a time."""
        return LARGE_READ if self.binary else SMALL_READ

    def room(self, least: int = 1) -> memoryview:
        """Return where to read to, at least *least* bytes; valid until the next call of any method."""
        if self._start == self._end:
            self._start = self._end = 0
        more = max(self.missing, least)
        if self._end + more > len(self._view) or len(self._view) < self.read_bytes:
            kept = bytes(self._view[self._start : self._end])
            size = max(self.read_bytes, len(kept) + more)
            if size > len(self._view):
                self._view = memoryview(bytearray(size))
            self._view[: len(kept)] = kept
            self._start, self._end = 0, len(kept)
        return self._view[self._end :]

    def rest(self) -> None:
        """Hold no memory while nothing comes, unless pictures will."""
        if self._start == self._end and not self.binary:
            self._view = _NO_BYTES
            self._start = self._end = 0

    def filled(self, size: int) -> None:
        """Take note that *size* bytes were read into `room`."""
        self._end += size

    def take(self, now: float, most: int = PIECE_BYTES) -> Piece | None:
        """Return the next piece, with at most *most* bytes to pass on, or None if more has to be read first.

        *now* is in seconds, on a clock that does not go back.
        """
        self.missing = 0
        if self._in_request:
            return self._take_request(most)
        start = at = self._start
        end = min(self._end, start + most)
        frames = 0
        while True:
            step = min(self._passing, end - at)
            at += step
            self._passing -= step
            if self._passing or at == end or frames == PIECE_FRAMES:
                break
            header = self._read_header(at)
            if header is None:
                break
            first, masked, head, size = header
            if first == _WHOLE_BINARY and masked and self.binary and not self._fragmented:
                if at > start:
                    break
                return self._take_binary(head, size)
            excess = self._judge(first, size, now)
            if excess is not None:
                return excess
            self._passing = head + size
            frames += 1
        if at == start:
            return None
        self._start = at
        return Passing(bytes(self._view[start:at]))

    def _read_header(self, at: int) -> tuple[int, bool, int, int] | None:
        """Return first byte, whether there is a mask, bytes of the header, and bytes of the payload."""
        view, there = self._view, self._end - at
        if there < 2:
            return None
        first, second = view[at], view[at + 1]
        size = second & _LENGTH
        head = 2 if size < 126 else 4 if size == 126 else 10
        masked = second >= _MASKED
        if there < head + 4 * masked:
            return None
        if head > 2:
            size = int.from_bytes(view[at + 2 : at + head], "big")
        return first, masked, head + 4 * masked, size

    def _judge(self, first: int, size: int, now: float) -> Excess | None:
        if size < SMALL_BYTES:
            excess = self._meter.small_frame(now)
            if excess is not None:
                return excess
        if first & CONTROL:
            return None
        self._message += size
        excess = self._meter.message(self._message)
        self._fragmented = first < FINAL
        if not self._fragmented:
            self._message = 0
        return excess

    def _take_binary(self, head: int, size: int) -> Binary | Excess | None:
        excess = self._meter.message(size)
        if excess is not None:
            return excess
        begin, end = self._start + head, self._start + head + size
        if end > self._end:
            self.missing = end - self._end
            return None
        payload = self._unmask(self._view[begin:end], bytes(self._view[begin - 4 : begin]))
        self._start = end
        return Binary(payload)

    def _take_request(self, most: int) -> Passing | None:
        data = bytes(self._view[self._start : min(self._end, self._start + most)])
        if not data:
            return None
        seen = self._tail_of_request + data
        found = _BLANK_LINE.search(seen)
        if found is not None:
            self._in_request = False
            data = data[: found.end() - len(self._tail_of_request)]
        else:
            self._tail_of_request = seen[-2:]
        self._start += len(data)
        return Passing(data)
