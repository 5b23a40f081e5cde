"""Runs the runner in virtual time, against gateways of a few lines each."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import trio
import trio.testing
from attrs import define, evolve, field
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)

from plexwire_conformance.cases import Case, Need
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.events import RunEvent, RunFinished
from plexwire_conformance.run.findings import CaseResult
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.target.streams import memory_connection
from plexwire_conformance.target.target import Endpoint, Keys, Target

Handler: TypeAlias = Callable[[trio.abc.HalfCloseableStream], Awaitable[None]]

INIT = '{"type": "init", "online_sources": []}'
KEYS = Keys(api_key="plx_0123456789abcdef")
#: What every run opens besides its cases: the online camera, the control's viewers one after the other, and a device whose
#: last frame shows a gateway that they have left.
ONLINE_CAMERA, CONTROL_VIEWERS, FAREWELL = 1, 3, 1

# ── gateways of a few lines ──────────────────────────────────────────────────────────────────


async def polite(stream: trio.abc.HalfCloseableStream, answer: Event | None = None) -> None:
    """Answer whatever a viewer says by an init, or by *answer*."""
    ws = WSConnection(ConnectionType.SERVER)
    while data := await stream.receive_some():
        ws.receive_data(bytes(data))
        for event in ws.events():
            match event:
                case Request():
                    await stream.send_all(ws.send(AcceptConnection()))
                case TextMessage():
                    await stream.send_all(ws.send(answer or TextMessage(data=INIT)))
                case Ping():
                    await stream.send_all(ws.send(event.response()))
                case CloseConnection():
                    if ws.state is ConnectionState.REMOTE_CLOSING:
                        await stream.send_all(ws.send(event.response()))
                    return
                case _:
                    pass


async def never_answers(stream: trio.abc.HalfCloseableStream) -> None:
    while await stream.receive_some():
        pass


async def closes_at_once(stream: trio.abc.HalfCloseableStream) -> None:
    await stream.aclose()


def answers(data: bytes) -> Handler:
    async def handler(stream: trio.abc.HalfCloseableStream) -> None:
        await stream.receive_some()
        await stream.send_all(data)
        await never_answers(stream)

    return handler


async def bad_key(stream: trio.abc.HalfCloseableStream) -> None:
    await polite(stream, CloseConnection(code=4001))


async def no_access(stream: trio.abc.HalfCloseableStream) -> None:
    await polite(stream, CloseConnection(code=4002))


@define(eq=False)
class Counted(trio.abc.HalfCloseableStream):
    """Our end of a connection, counted while it is open."""

    _stream: trio.abc.HalfCloseableStream
    _dialled: "Dialled"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self._dialled.open.discard(self)
        await self._stream.aclose()


@define(eq=False)
class Dialled:
    """Every connection that was opened: how many are open now, and how many were at most."""

    open: set[Counted] = field(factory=set[Counted], init=False)
    total: int = field(default=0, init=False)
    most: int = field(default=0, init=False)

    def add(self, stream: trio.abc.HalfCloseableStream) -> Counted:
        counted = Counted(stream, self)
        self.open.add(counted)
        self.total += 1
        self.most = max(self.most, len(self.open))
        return counted


@asynccontextmanager
async def serving(
    handler: Handler, dialled: Dialled, keys: Keys = KEYS
) -> AsyncGenerator[Target, None]:
    async with trio.open_nursery() as nursery:

        async def handle(stream: trio.abc.HalfCloseableStream) -> None:
            async with stream:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await handler(stream)

        async def dial(narrow: bool) -> trio.abc.Stream:
            ours, theirs = memory_connection()
            nursery.start_soon(handle, theirs)
            await trio.lowlevel.checkpoint()
            return dialled.add(ours)

        endpoint = Endpoint(url="memory:", host_header="gateway.test", path="", dial=dial)
        yield Target(viewers=endpoint, devices=endpoint, keys=keys)
        nursery.cancel_scope.cancel()


def a_case(
    body: Callable[[Stage, Trial], Awaitable[None]],
    case_id: str = "test.case",
    *,
    needs: frozenset[Need] = frozenset(),
    takes: float = 0.0,
    connections: int = 1,
) -> Case:
    return evolve(
        CONTROL,
        id=case_id,
        clauses=("PW-AUTH-2", "PW-INIT-1", "PW-ADDR-8"),
        body=body,
        needs=needs,
        takes=takes,
        connections=connections,
        least=connections,
    )


@define
class Ran:
    """A run that is over: what it told, how long it took in virtual seconds, and what it had opened."""

    events: list[RunEvent]
    seconds: float
    dialled: Dialled

    @property
    def results(self) -> dict[str, CaseResult]:
        finished = self.events[-1]
        assert isinstance(finished, RunFinished)
        return {result.case: result for result in finished.results}


async def ran(
    cases: Sequence[Case],
    handler: Handler = polite,
    *,
    keys: Keys = KEYS,
    max_connections: int = 64,
    case_budget: float = 30.0,
) -> Ran:
    began = trio.current_time()
    told: list[RunEvent] = []
    dialled = Dialled()
    made = Settings(
        nonce="n",
        unix_ms=1_750_000_000_000,
        max_connections=max_connections,
        case_budget=case_budget,
    )
    async with serving(handler, dialled, keys) as target:
        await Runner(target, made).run(cases, told.append)
        assert not dialled.open
    return Ran(told, trio.current_time() - began, dialled)
