"""One client in a Trio loop of its own, on a thread of its own: the base of `plexwire_client.blocking`."""

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Generic, TypeVar

import trio

from plexwire_trio import helper_tasks

C = TypeVar("C")
R = TypeVar("R")

#: Seconds of one wait, after which the next begins.  Python handles Ctrl-C only between two waits if the signal arrives
#: just before a wait begins, and on Windows always.
_WAIT_S: Final = 0.2


class CallEnded(Exception):
    """The client was left before the call had a result."""


class _NotDrained(Exception):
    """Leaves the client as a body does that failed: without waiting for what is on its way."""


class ClientThread(Generic[C]):
    """Runs Trio in a daemon thread and holds one client open there, until `stop`.

    Every wait of the calling thread ends with Ctrl-C.  What the client raises reaches the caller with its type; what
    ends the loop is in `failure`, and each unfinished call raises it.

    Raises:
        Exception: what entering the context manager that *open_client* returns raises.

    """

    def __init__(self, open_client: Callable[[], AbstractAsyncContextManager[C]]) -> None:
        self.failure: BaseException | None = None
        self._open_client = open_client
        self._token: Future[trio.lowlevel.TrioToken] = Future()
        self._entered: Future[C] = Future()
        self._ended: Future[None] = Future()
        self._calls: set[Future[Any]] = set()
        self._calls_lock = threading.Lock()
        self._call_tasks: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._leaving = trio.Event()
        self._drain = True
        self._thread = threading.Thread(target=self._run, name="plexwire client", daemon=True)
        self._abandoned = False
        self._process_id = os.getpid()
        try:
            self._thread.start()
            self.client = _result(self._entered)
        except BaseException:  # also Ctrl-C while the thread starts
            self._abandoned = True
            if self._thread.ident is not None:
                self._post(self._scope.cancel)
                self._join()
            raise

    @property
    def is_running(self) -> bool:
        """Whether calls can still be made; False in a process that was forked from the one of the thread."""
        return self._process_id == os.getpid() and not self._ended.done()

    def call(self, function: Callable[[], Awaitable[R]]) -> R:
        """Run *function* in the loop and wait for what it returns or raises.

        Ctrl-C in the calling thread cancels it.

        Raises:
            CallEnded: the client was left before there was a result.

        """
        result: Future[R] = Future()
        scope = trio.CancelScope()
        with self._calls_lock:
            if not self.is_running:
                raise self.failure or CallEnded
            self._calls.add(result)
        self._post(self._start, function, scope, result)
        try:
            return _result(result)
        finally:
            if not result.done():
                self._post(scope.cancel)
            with self._calls_lock:
                self._calls.discard(result)

    def leave_soon(self, *, drain: bool) -> None:
        """Leave the client and end the loop, without waiting for it."""
        self._drain = drain and self._drain
        self._post(self._leaving.set)

    def stop(self, *, drain: bool) -> None:
        """Leave the client, end the loop and wait for the thread's end: at most eight seconds.

        With *drain*, leaving waits up to two seconds for the pictures that are on their way.
        """
        self.leave_soon(drain=drain)
        try:
            self._join()
        except BaseException:  # Ctrl-C: the thread ends all the same, only sooner
            self._post(self._scope.cancel)
            self._join()
            raise

    def _join(self) -> None:
        if self._process_id == os.getpid():
            _result(self._ended)
            self._thread.join()

    def _post(self, function: Callable[..., object], *arguments: object) -> None:
        if not self.is_running:
            return
        with suppress(trio.RunFinishedError, CallEnded):
            _result(self._token).run_sync_soon(function, *arguments)

    # ── in the thread ────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            self.failure = _only_one(error)
        end = self.failure or CallEnded()
        with self._calls_lock:
            self._ended.set_result(None)
            unfinished = [call for call in self._calls if not call.done()]
        if not self._token.done():
            self._token.set_exception(CallEnded())
        for each in (self._entered, *unfinished):
            if not each.done():
                each.set_exception(end)

    async def _main(self) -> None:
        with self._scope:
            async with helper_tasks() as self._call_tasks:
                self._token.set_result(trio.lowlevel.current_trio_token())
                if self._abandoned:
                    return
                with suppress(_NotDrained):
                    async with self._open_client() as client:
                        self._entered.set_result(client)
                        await self._leaving.wait()
                        if not self._drain:
                            raise _NotDrained

    def _start(
        self, function: Callable[[], Awaitable[R]], scope: trio.CancelScope, result: "Future[R]"
    ) -> None:
        assert self._call_tasks is not None
        with suppress(RuntimeError):  # the loop is about to end, and then so does the call
            self._call_tasks.start_soon(_run_call, function, scope, result)


async def _run_call(
    function: Callable[[], Awaitable[R]], scope: trio.CancelScope, result: "Future[R]"
) -> None:
    try:
        with scope:
            result.set_result(await function())
    except Exception as error:
        result.set_exception(error)


def _result(future: "Future[R]") -> R:
    while not wait((future,), _WAIT_S).done:
        pass
    return future.result()


def _only_one(error: BaseException) -> BaseException:
    """Return what is in groups of one, as `except` clauses name its type."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
