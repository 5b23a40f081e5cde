"""What viewer and device share: a connection that is played, judged when it ends, and played again where asked for."""

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Generic, TypeAlias, TypeVar

import trio
from attrs import frozen
from trio_websocket import WebSocketConnection

from plexwire_client._backoff import Backoff
from plexwire_client._errors import ConnectError, ConnectionLost, Refused
from plexwire_protocol import (
    Close,
    CloseCode,
    Event,
    GatewayDeviated,
    Message,
    MessageReceived,
    MessageRefused,
    PeerViolated,
    PlexwireError,
    Session,
    State,
)
from plexwire_trio import Connection, helper_tasks

S = TypeVar("S", bound=Session)

#: Seconds that leaving waits for what is on its way, and then for the gateway's answer to the close.
CLOSE_GRACE_S: Final = 2.0
#: Seconds between two pings of ours: a network that vanished without a word is noticed within twice that.
PING_INTERVAL_S: Final = 20.0

#: Opens one WebSocket to the gateway; the context manager closes it.
Dial: TypeAlias = Callable[[], AbstractAsyncContextManager[WebSocketConnection]]

_PROPER_ENDS: Final = (CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.TIMEOUT)


@frozen
class Reconnecting:
    """The gateway is away: attempt number `attempt` follows in `delay_s` seconds; `cause` says why, for people."""

    attempt: int
    delay_s: float
    cause: str


@frozen
class StreamEnding:
    """How a conversation ended; `error` is None where it was a proper end."""

    close: Close
    error: PlexwireError | None = None

    @classmethod
    def of(cls, close: Close, *, welcomed: bool, broken: PlexwireError | None) -> "StreamEnding":
        """Judge *close*; *welcomed* is whether the gateway had let us in, *broken* the clause that it broke."""
        if broken is not None:
            return cls(close, broken)
        if not close.may_retry:
            return cls(close, Refused(close))
        if welcomed and close.code in _PROPER_ENDS:
            return cls(close)
        if welcomed or close.code == CloseCode.ABNORMAL:
            return cls(close, ConnectionLost(close))
        return cls(close, Refused(close))


class Client(ABC, Generic[S]):
    """One end that is kept connected; the base of `ViewerClient` and `DeviceClient`, not for use by itself.

    `reconnects` counts how often the gateway let it in again.

    A task of its own plays the connection, so that pings are answered while the application is busy.  It is shielded
    from cancellation, as only leaving the context manager ends it: with a proper close, in bounded time.
    """

    def __init__(self, dial: Dial, *, reconnect: bool) -> None:
        self.reconnects = 0
        self._dial = dial
        self._reconnect = reconnect
        self._playing_scope = trio.CancelScope(shield=True)
        self._connection: Connection[S] | None = None
        self._welcomed_at: float | None = None
        self._broken: PlexwireError | None = None
        self._ending: StreamEnding | None = None
        self._away: Reconnecting | None = None
        self._leaving = False
        self._entered = trio.Event()
        self._over = trio.Event()

    @property
    def closed(self) -> Close | None:
        """How the conversation ended; None while it goes on, or is about to be taken up again."""
        return None if self._ending is None else self._ending.close

    @property
    def away(self) -> Reconnecting | None:
        """Why and for how long the connection is away; None while it is there, or over."""
        return self._away

    # ── what each client decides ─────────────────────────────────────────────────────────────

    @abstractmethod
    def _begin(self, now: float) -> S:
        """Return a new session with its auth in the outbox."""

    @abstractmethod
    def _received(self, message: Message) -> None:
        """Take a message of the gateway."""

    def _deviated(self, deviation: GatewayDeviated) -> None:
        """Take note that the gateway broke a clause, and that the conversation goes on."""

    @abstractmethod
    def _changed(self) -> None:
        """Wake whoever waits: `_away` or `_ending` is set."""

    async def _stream(self, connection: Connection[S]) -> None:
        """Do what there is to do while *connection* is played; cancelled at its end."""

    async def _drained(self) -> None:
        """Return when what the application handed over is sent."""

    def _judge(self, close: Close) -> StreamEnding:
        return StreamEnding.of(close, welcomed=self._welcomed_at is not None, broken=self._broken)

    # ── entering and leaving ─────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _playing(self) -> AsyncGenerator[None, None]:
        """Be connected while in the body; the body's exceptions leave as they are, not in a group."""
        async with helper_tasks() as nursery:
            nursery.start_soon(self._play)
            clean = False
            try:
                await self._entered.wait()
                if self._ending is not None and self._welcomed_at is None:
                    raise self._ending.error or ConnectionLost(self._ending.close)
                yield
                clean = True
            finally:
                await self._leave(drain=clean)

    async def _leave(self, *, drain: bool) -> None:
        self._leaving = True
        with trio.CancelScope(deadline=trio.current_time() + 4 * CLOSE_GRACE_S, shield=True):
            if drain and self._connection is not None:
                with trio.move_on_after(CLOSE_GRACE_S):
                    await self._drained()
            if self._connection is not None:
                self._connection.session.close(now=trio.current_time())
                self._connection.flush_soon()
                await self._over.wait()
        self._playing_scope.cancel()

    # ── playing ──────────────────────────────────────────────────────────────────────────────

    async def _play(self) -> None:
        ending = StreamEnding(Close(CloseCode.NORMAL))
        with self._playing_scope:
            ending = await self._play_on()
        self._ending = ending
        self._away = None
        self._entered.set()
        self._over.set()
        self._changed()

    async def _play_on(self) -> StreamEnding:
        backoff = Backoff()
        while True:
            self._welcomed_at = None
            self._broken = None
            ending = await self._play_once()
            if self._leaving:
                return StreamEnding(ending.close)
            if not (self._reconnect and self._entered.is_set() and ending.close.may_retry):
                return ending
            if self._welcomed_at is None:
                pause = backoff.after_failure(random.random())
            else:
                lasted = trio.current_time() - self._welcomed_at
                pause = backoff.after_stream(ending.close.code, lasted, random.random())
            cause = str(ending.error or ConnectionLost(ending.close))
            self._away = Reconnecting(max(1, backoff.failures), pause, cause)
            self._changed()
            await trio.sleep(pause)

    async def _play_once(self) -> StreamEnding:
        close = Close(CloseCode.ABNORMAL)
        try:
            async with self._dial() as websocket:
                connection = Connection(
                    self._begin(trio.current_time()),
                    websocket,
                    close_grace=CLOSE_GRACE_S,
                    ping_interval=PING_INTERVAL_S,
                )
                self._connection = connection
                async with helper_tasks() as nursery:
                    nursery.start_soon(self._stream, connection)
                    close = await connection.run(self._handle)
        except ConnectError as error:
            return StreamEnding(close, error)
        except ConnectionLost:
            pass  # told by the code 1006
        finally:
            self._connection = None
        return self._judge(close)

    def _handle(self, event: Event) -> None:
        match event:
            case MessageReceived(message):
                self._received(message)
                self._note_welcome()
            case GatewayDeviated():
                self._deviated(event)
            case MessageRefused(error):
                self._deviated(GatewayDeviated(error.clause, error.where, error.problem))
                self._note_welcome()
            case PeerViolated(error):
                self._broken = error
            case _:
                pass

    def _note_welcome(self) -> None:
        """Take note if the gateway has let us in, by whatever it sent last."""
        connection = self._connection
        if (
            self._welcomed_at is None
            and connection is not None
            and connection.session.state is State.STREAMING
        ):
            self.reconnects += self._entered.is_set()
            self._welcomed_at = trio.current_time()
            self._away = None
            self._entered.set()
