"""The tap: it stands between real peers and a gateway, relays every byte at once, and judges what it hears behind them."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final

import trio
from attrs import define, field

from plexwire_conformance.passive.heard import Heard, role_at
from plexwire_conformance.passive.live_judge import Ear, LiveJudge
from plexwire_conformance.recording.recorder import Entry, Way
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.target.dialling import dial
from plexwire_conformance.target.target import Endpoint
from plexwire_conformance.wire.peer import NoConnection
from plexwire_conformance.wire.served_peer import read_head
from plexwire_spec import Party

_CHUNK: Final = 262_144
#: Seconds for the request of a handshake, and for a connection to the gateway.
_PATIENCE_S: Final = 10.0
#: Chunks that may wait to be judged, 64 MiB of them; then those who talk wait too.
_WAITING: Final = 256
#: Seconds for which what was said waits to be judged.
_QUIET_S: Final = 0.005
#: Entries of one connection that its transcript has; of a longer one it has the beginning.
_TRANSCRIBED: Final = 20_000
#: Headers that the tap writes itself, or that would make messages unreadable.
_REPLACED: Final = (b"host:", b"sec-websocket-extensions:")


@define(eq=False)
class Tap:
    """Relays connections to the viewers' or the devices' endpoint, and has `judge` listen.

    `transcribe` is called with each conversation when it has ended, `trouble` with what kept a connection from the gateway.
    """

    viewers: Endpoint
    devices: Endpoint
    judge: LiveJudge
    clock: Callable[[], float]
    transcribe: Callable[[Transcript], None] | None = None
    trouble: Callable[[str], None] = lambda text: None
    _names: "count[int]" = field(factory=lambda: count(1), init=False)
    #: The connections that have not ended.
    _talks: "dict[_Talk, None]" = field(factory=dict["_Talk", None], init=False)

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Serve *listeners* until cancelled; what was heard by then is judged, and written down."""
        sender, receiver = trio.open_memory_channel[_Piece](_WAITING)

        async def serve(stream: trio.SocketStream) -> None:
            await self._serve(stream, sender)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, receiver)
                await trio.serve_listeners(serve, listeners)
        finally:
            with suppress(trio.WouldBlock):
                while True:
                    receiver.receive_nowait().judge()
            for talk in tuple(self._talks):
                talk.finish()

    async def _listen(self, pieces: "trio.MemoryReceiveChannel[_Piece]") -> None:
        # One task for all connections: what was said first is judged first, whoever said it.
        async for piece in pieces:
            if not pieces.statistics().current_buffer_used:
                # The rest of a picture comes within moments, and is to be relayed before any of it is judged.
                await trio.sleep(_QUIET_S)
            try:
                piece.judge()
            except Exception as error:
                # Real peers talk here: an error of ours ends no stream of theirs.
                self.trouble(f"an error of plexwire itself, not a verdict: {error!r}")
            await trio.lowlevel.checkpoint()

    async def _serve(
        self, client: trio.SocketStream, pieces: "trio.MemorySendChannel[_Piece]"
    ) -> None:
        client.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        try:
            with trio.fail_after(_PATIENCE_S):
                head = await read_head(client)
        except (trio.TooSlowError, trio.BrokenResourceError):
            return
        if not head:
            return
        target = head.split(b" ", 2)[1].decode("latin-1") if head.count(b" ") > 1 else ""
        role, _ = role_at(target)
        endpoint = self.devices if role is Party.DEVICE else self.viewers
        try:
            gateway = await dial(endpoint, narrow=False, within=_PATIENCE_S)
        except NoConnection as error:
            self.trouble(f"{endpoint.url}: {error.problem}")
            with suppress(trio.BrokenResourceError):
                await client.send_all(_bad_gateway())
            return
        talk = _Talk(self, Heard(f"{role or 'other'} {next(self._names)}"), pieces)
        self._talks[talk] = None
        async with gateway, trio.open_nursery() as nursery:
            nursery.start_soon(talk.pump, Way.RECEIVED, gateway, client)
            await talk.hear(Way.SENT, head)
            with suppress(trio.BrokenResourceError):
                await gateway.send_all(_rewritten(head, endpoint))
            await talk.pump(Way.SENT, client, gateway)
        await talk.end()


@define(eq=False)
class _Talk:
    """One connection of each side, and what is heard of it."""

    tap: Tap
    heard: Heard
    _pieces: "trio.MemorySendChannel[_Piece]"
    ear: Ear = field(init=False)
    entries: list[Entry] = field(factory=list[Entry], init=False)

    def __attrs_post_init__(self) -> None:
        self.ear = self.tap.judge.listen(self.heard)

    async def pump(self, way: Way, source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
        """Relay what *source* says to *sink*, until it says no more; where one is lost, the other is dropped."""
        try:
            while chunk := await source.receive_some(_CHUNK):
                await self.hear(way, bytes(chunk))
                await sink.send_all(chunk)
            await self.hear(way, b"")
            if isinstance(sink, trio.abc.HalfCloseableStream):
                await sink.send_eof()
            else:
                await sink.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(source)
            await trio.aclose_forcefully(sink)

    async def hear(self, way: Way, data: bytes) -> None:
        """Have *data* judged, after all that was heard before; no bytes are the end of that side."""
        piece = _Piece(self, way, data, self.tap.clock())
        try:
            # Without a checkpoint: it is relayed first, and judged when there is nothing to relay.
            self._pieces.send_nowait(piece)
        except trio.WouldBlock:
            await self._pieces.send(piece)

    async def end(self) -> None:
        """Have the conversation judged as a whole."""
        await self._pieces.send(_Piece(self, None, b"", self.tap.clock()))

    def take(self, entry: Entry) -> None:
        """Judge *entry*, and keep it if a transcript is wanted."""
        if self.tap.transcribe is not None and len(self.entries) < _TRANSCRIBED:
            self.entries.append(entry)
        self.ear.take(entry)

    def finish(self) -> None:
        """Judge the whole, and write it down."""
        del self.tap._talks[self]
        self.ear.end()
        if self.tap.transcribe is not None and self.heard.role is not None:
            conversation = self.heard.recorded(self.entries)
            self.tap.transcribe(Transcript(case=self.heard.name, conversations=(conversation,)))


@define(eq=False)
class _Piece:
    """Bytes that one side said at a moment; without a side, the end of the connection."""

    talk: _Talk
    way: Way | None
    data: bytes
    at: float

    def judge(self) -> None:
        heard = self.talk.heard
        match self.way:
            case None:
                self.talk.finish()
            case _ if not self.data:
                self.talk.take(heard.end(self.way, self.at))
            case Way.SENT:
                for entry in heard.hear_client(self.data, self.at):
                    self.talk.take(entry)
            case Way.RECEIVED:
                for entry in heard.hear_gateway(self.data, self.at):
                    self.talk.take(entry)


def _rewritten(head: bytes, endpoint: Endpoint) -> bytes:
    """Return *head* as the gateway behind *endpoint* is to get it: its host, its base path, and no extensions."""
    lines, end, rest = head.partition(b"\r\n\r\n")
    first, *fields = lines.split(b"\r\n")
    method, _, more = first.partition(b" ")
    kept = [f for f in fields if not f.lower().startswith(_REPLACED)]
    path = endpoint.path.encode()
    request = [method + b" " + path + more, b"Host: " + endpoint.host_header.encode(), *kept]
    return b"\r\n".join(request) + end + rest


def _bad_gateway() -> bytes:
    text = b"plexwire tap: the gateway behind it can't be reached\n"
    head = b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(
        text
    )
    return head + text
