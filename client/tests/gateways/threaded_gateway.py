"""The reference gateway on a thread of its own, for tests of programs that are not written with Trio."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

from plexwire_protocol import Role
from plexwire_server import ConnectionReport, Gateway, KeyStore, serve

#: Seconds that a step gets on a busy machine.
PATIENCE_S = 20.0


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does and reports to nobody."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


class ThreadedGateway:
    """A gateway at `url`; `closes` counts the codes of the connections that ended."""

    def __init__(self) -> None:
        store, self.keys = KeyStore.throw_away()
        self._store = store
        self._port = 0
        self._ended = threading.Condition()
        self.closes: list[int | None] = []
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    def start(self) -> None:
        self.gateway = Gateway(self._store, on_end=self._note)
        started = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main, started))
        self._thread.start()
        assert started.wait(PATIENCE_S)

    def stop(self) -> None:
        """Close all connections as a gateway does that restarts, and stop listening."""
        trio.from_thread.run(self.gateway.drain, trio_token=self._token)
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def wait_for_closes(self, count: int) -> list[int | None]:
        with self._ended:
            assert self._ended.wait_for(lambda: len(self.closes) >= count, PATIENCE_S)
            return sorted(self.closes, key=str)

    def wait_for_viewers(self, count: int) -> None:
        until(lambda: self.gateway.open_streams(Role.VIEWER) >= count)

    def _note(self, report: ConnectionReport) -> None:
        with self._ended:
            self.closes.append(None if report.close is None else report.close.code)
            self._ended.notify_all()

    async def _main(self, started: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            [(_, self._port)] = await nursery.start(partial(serve, self.gateway, port=self._port))
            started.set()


@contextmanager
def threaded_gateway() -> Iterator[ThreadedGateway]:
    gateway = ThreadedGateway()
    try:
        yield gateway
    finally:
        gateway.stop()
