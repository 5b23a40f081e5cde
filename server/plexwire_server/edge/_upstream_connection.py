"""One connection of an edge to its upstream: a viewer's stream there, from dialling to the close."""

from collections.abc import Callable
from math import inf
from typing import Final

import trio

from plexwire_protocol import (
    Auth,
    Close,
    CloseCode,
    Event,
    GatewayDeviated,
    Init,
    MessageReceived,
    MessageRefused,
    State,
    StreamAddress,
    ViewerSession,
)
from plexwire_server._limits import Limits
from plexwire_server.edge._upstream import Upstream
from plexwire_trio import (
    ConnectError,
    Connection,
    ConnectionLost,
    open_websocket,
)

#: Seconds between two pings to the upstream, and until one without an answer means that it is gone.
_PING_INTERVAL_S: Final = 10.0
_PONG_TIMEOUT_S: Final = 10.0


class _VerbatimSession(ViewerSession):
    """Keeps the text of the message at hand, for it to be relayed as it came; empty if it deviates from the protocol."""

    text = ""

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        events = super()._receive(data, now=now)
        deviates = any(isinstance(event, GatewayDeviated) for event in events)
        self.text = data if isinstance(data, str) and not deviates else ""
        return events


class UpstreamConnection:
    """A connection to *upstream*, for the cameras of *address*; `run` is its whole life.

    *welcome* is called once, with the `init` of the upstream, or an empty one if the upstream lets us in without one
    that can be read.  *handle* is called with every other event and the text that it came in.  Neither must wait.
    `welcomed` is whether the upstream let us in, `problem` what kept it from that, for operators.
    """

    def __init__(
        self,
        upstream: Upstream,
        limits: Limits,
        address: StreamAddress,
        auth: Auth,
        welcome: Callable[[Init], None],
        handle: Callable[[Event, str], None],
    ) -> None:
        self.welcomed = False
        self.problem = ""
        self._upstream = upstream
        self._limits = limits
        self._address = address
        self._auth = auth
        self._welcome = welcome
        self._handle = handle
        self._answer_deadline = trio.CancelScope()
        self._connection: Connection[_VerbatimSession] | None = None

    async def run(self) -> Close:
        """Dial, authenticate, receive, and return how it ended: code 1006 where there was no `init` in time, or no way.

        Raises nothing for what the upstream does.
        """
        close = Close(CloseCode.ABNORMAL)
        within = self._limits.key_check_s
        with trio.CancelScope(deadline=trio.current_time() + within) as self._answer_deadline:
            try:
                async with open_websocket(
                    self._upstream.url,
                    self._address.target(),
                    ssl_context=self._upstream.ssl_context,
                    timeout_s=within,
                    opener=self._upstream.opener,
                ) as ws:
                    session = _VerbatimSession(
                        source_id=self._address.source_id, now=trio.current_time()
                    )
                    session.send(self._auth, now=trio.current_time())
                    self._connection = Connection(
                        session,
                        ws,
                        close_grace=self._limits.close_grace_s,
                        ping_interval=_PING_INTERVAL_S,
                        pong_timeout=_PONG_TIMEOUT_S,
                    )
                    close = await self._connection.run(self._received)
            except ConnectError as error:
                self.problem = str(error)
            except ConnectionLost:
                pass  # told by the code 1006
        if self._answer_deadline.cancelled_caught:
            step = "auth" if self._connection is not None else "handshake"
            self.problem = f"No answer to the {step} within {within:g} s."
        elif close.code == CloseCode.ABNORMAL and not (self.welcomed or self.problem):
            self.problem = "It hung up before it answered the auth."
        return close

    def close(self) -> None:
        """End the stream properly; `run` returns soon."""
        if self._connection is not None:
            self._connection.session.close(now=trio.current_time())
            self._connection.flush_soon()

    def _received(self, event: Event) -> None:
        if self._connection is None:
            return
        session = self._connection.session
        if not self.welcomed and session.state is State.STREAMING and _is_whole(event):
            self.welcomed = True
            self._answer_deadline.deadline = inf
            match event:
                case MessageReceived(message=Init() as init):
                    self._welcome(init)
                    return
                case _:
                    self._welcome(Init(online_sources=()))
        self._handle(event, session.text)


def _is_whole(event: Event) -> bool:
    """Whether *event* is the last of a message, and not a remark about it."""
    return isinstance(event, MessageReceived | MessageRefused)
