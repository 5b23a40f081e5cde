"""One Trio loop in a thread of its own, for tests that are no Trio themselves."""

import threading
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar, TypeVarTuple

import trio

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class TrioThread:
    """Runs Trio in the background while the context lasts, from the first call on."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None and self._token is not None and self._nursery is not None:
            scope = self._nursery.cancel_scope
            trio.from_thread.run_sync(scope.cancel, trio_token=self._token)
            self._thread.join()

    @property
    def nursery(self) -> trio.Nursery:
        """Where tasks may be started, out of what `call` runs."""
        if self._nursery is None:
            raise RuntimeError("the thread has not started")
        return self._nursery

    def call(self, function: Callable[[*Ts], Awaitable[R]], *arguments: *Ts) -> R:
        """Run an async function in the loop, and wait for what it returns or raises."""
        __tracebackhide__ = True
        return trio.from_thread.run(function, *arguments, trio_token=self._started())

    def _started(self) -> trio.lowlevel.TrioToken:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=trio.run, args=(self._main,), name="plexwire", daemon=True
                )
                self._thread.start()
        self._ready.wait()
        if self._token is None:
            raise RuntimeError("the thread did not start")
        return self._token

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()
            await trio.sleep_forever()
