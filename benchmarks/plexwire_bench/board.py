"""What the two processes of the load generator tell each other, in shared memory and two pipes."""

import os
import select
from mmap import mmap
from typing import Final

_COUNTERS: Final = ("stop", "ready", "sent", "delivered", "devices_cpu")
_FIRST_SEND: Final = 8
_SENDS: Final = 1 << 16


class _Counter:
    """One number of the board."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, board: "Board", owner: type) -> float:
        return board.numbers[self._place]

    def __set__(self, board: "Board", value: float) -> None:
        board.numbers[self._place] = value


class Board:
    """Made before the fork; each counter has one writer."""

    stop = _Counter(0)
    ready = _Counter(1)
    sent = _Counter(2)
    delivered = _Counter(3)
    devices_cpu = _Counter(4)

    def __init__(self) -> None:
        memory = mmap(-1, 8 * (_FIRST_SEND + _SENDS))
        self.numbers: memoryview[float] = memoryview(memory).cast("B").cast("d")
        self._begin = os.pipe()
        self._credit = os.pipe()
        os.set_blocking(self._credit[1], False)

    def go(self) -> None:
        """Let the devices begin."""
        os.write(self._begin[1], b"!")

    def wait_for_go(self) -> None:
        """Wait until the viewers are there."""
        os.read(self._begin[0], 1)

    def give_credit(self) -> None:
        """Wake a device that waits for its viewers."""
        os.write(self._credit[1], b".")

    def wait_for_credit(self, timeout: float) -> bool:
        """Wait for the viewers; False after *timeout* seconds without one that has read a picture."""
        if not select.select([self._credit[0]], [], [], timeout)[0]:
            return False
        os.read(self._credit[0], 4096)
        return True

    def note_send(self, number: int, at: float) -> None:
        """Keep when picture *number* was handed to the kernel."""
        self.numbers[_FIRST_SEND + number % _SENDS] = at

    def sent_at(self, number: int) -> float:
        """Return when picture *number* was handed to the kernel."""
        return self.numbers[_FIRST_SEND + number % _SENDS]
