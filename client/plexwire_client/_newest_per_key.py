"""Where what waits for the other side of a task waits: one slot a key, the newest wins, so nothing ever piles up."""

from typing import Generic, TypeVar

import trio

K = TypeVar("K")
V = TypeVar("V")


class NewestPerKey(Generic[K, V]):
    """One slot a key; `replaced` counts values that a newer one replaced before anybody took them.

    A replaced value keeps its place in the line, so the key that waits longest is next.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._slots: dict[K, V] = {}
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, key: K, value: V) -> bool:
        """Leave *value*, and return whether it replaced one that nobody had taken."""
        replaces = key in self._slots
        self.replaced += replaces
        self._slots[key] = value
        self.wake()
        return replaces

    def take(self) -> V | None:
        """Return the value that waits longest, or None when none waits."""
        if not self._slots:
            return None
        return self._slots.pop(next(iter(self._slots)))

    def clear(self) -> int:
        """Forget what waits, and return how much it was."""
        forgotten = len(self._slots)
        self._slots.clear()
        return forgotten

    def wake(self) -> None:
        """Wake everybody in `changed`, with or without a new value."""
        self._filled.set()

    async def changed(self) -> None:
        """Wait for the next `put` or `wake`; look before you wait, as what exists wakes nobody."""
        if self._filled.is_set():
            self._filled = trio.Event()
        await self._filled.wait()
