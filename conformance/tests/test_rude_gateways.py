"""Every case against gateways that are not merely wrong: the judge errs on none, keeps its word, and keeps its keys."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import pytest
import trio
import trio.testing
from attrs import asdict, define, field
from rich.console import Console
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from plexwire_conformance.cases import CASES
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.junit import JunitReport
from plexwire_conformance.report.markdown import MarkdownReport
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.report.transcripts import TranscriptsReport
from plexwire_conformance.run.events import CaseFinished, Listener, RunEvent, RunFinished
from plexwire_conformance.run.findings import Trouble, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.streams import MemoryStream, memory_connection
from plexwire_conformance.target.target import Endpoint, Keys, Target
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_spec import clauses

Answer: TypeAlias = Callable[[Event], list[Event | bytes]]

PLAIN = [case for case in CASES.values() if not case.scripted]
MAY_OPEN = 12
#: The connections of the online camera and of the control: a gateway that is rude to them is judged no further.
FIRST = 4

#: None of them looks like a key of the protocol, and each is spelled in its own way in JSON, URLs and logs.
KEYS = Keys(
    api_key='home"key/with\\odd=0123456789',
    device_key="home-dëvice-key-0123456789",
    foreign_key="foreign_key_0123456789",
    no_access_key="no_access_key 0123456789",
    revoked_key="revoked%key%0123456789",
)

INIT = '{"type": "init", "online_sources": []}'
AUTHENTICATED = '{"type": "authenticated", "source_id": "x", "server_time_ms": 1750000000000}'

# ── what they do ─────────────────────────────────────────────────────────────────────────────


def _polite(event: Event) -> list[Event | bytes]:
    match event:
        case Ping():
            return [event.response()]
        case TextMessage() if "device_auth" in event.data:
            return [TextMessage(data=AUTHENTICATED)]
        case TextMessage():
            return [TextMessage(data=INIT)]
        case CloseConnection():
            return [event.response()]
        case _:
            return []


def never_closes(event: Event) -> list[Event | bytes]:
    return [] if isinstance(event, CloseConnection) else _polite(event)


def falls_silent(event: Event) -> list[Event | bytes]:
    return []


def echoes(event: Event) -> list[Event | bytes]:
    match event:
        case TextMessage():
            key = event.data
            return [
                TextMessage(data=key),
                BytesMessage(data=key.encode()),
                TextMessage(data=json.dumps([key])),
                TextMessage(data=json.dumps({"type": "error", "detail": key, key: key})),
                Ping(payload=key.encode()[:125]),
                Pong(payload=key.encode()[-125:]),
            ]
        case BytesMessage():
            return [BytesMessage(data=event.data)]
        case CloseConnection():
            return [event.response()]
        case _:
            return []


def echoes_in_a_close(event: Event) -> list[Event | bytes]:
    if isinstance(event, TextMessage):
        return [
            CloseConnection(code=4999, reason=event.data.encode()[:123].decode("utf-8", "ignore"))
        ]
    return _polite(event)


ODD = (
    '{"type": "init", "online_sources": {"source_id": "x"}}',
    '{"type": "\\ud800", "a": "\\u001b[2J"}',
    "\x1b[2J\x07",
    '{"type": "x", "a": ' + "[" * 20 + "]" * 20 + "}",
    '{"type": "x", "a": ' + "9" * 5000 + "}",
    '{"type": "video_frame", "frame": {"sha256": "0"}}',
    '{"type": "video_frame", "camera_id": ["front"], "frame": "\\ud800"}',
    '{"type": "video_frame", "width": 1e999, "height": -0.0, "timestamp": true}',
    '{"type": "gateway_reconnecting", "attempt": []}',
    '{"type": "error", "code": {}}',
    '{"type": "telemetry_ack", "seq": {}}',
    '{"type": "authenticated", "source_id": [], "server_time_ms": "now"}',
    '{"type": "init", "online_sources": [{"source_id": [], "cameras": [{}]}]}',
    '{"type": "init", "online_sources": [{"source_id": "x", "cameras": [[], 1]}]}',
)


def says_odd_things(event: Event) -> list[Event | bytes]:
    if isinstance(event, TextMessage) and "api_key" in event.data:
        return [*_polite(event), *(TextMessage(data=text) for text in ODD)]
    return _polite(event)


def sends_garbage_frames(event: Event) -> list[Event | bytes]:
    return [encode_frame(0x3, b"\x00garbage", mask=None)] if isinstance(event, TextMessage) else []


def sends_masked_frames(event: Event) -> list[Event | bytes]:
    return [encode_frame(Opcode.TEXT, INIT.encode())] if isinstance(event, TextMessage) else []


def sends_text_that_is_no_text(event: Event) -> list[Event | bytes]:
    wrong = encode_frame(Opcode.TEXT, b"\xff\xfe", mask=None)
    return [*_polite(event), wrong] if isinstance(event, TextMessage) else _polite(event)


class HangsUp(Exception):
    """The gateway drops the connection here."""


def hangs_up_on_the_first_word(event: Event) -> list[Event | bytes]:
    if isinstance(event, TextMessage | BytesMessage):
        raise HangsUp
    return []


def hangs_up_on_devices(event: Event) -> list[Event | bytes]:
    if isinstance(event, TextMessage) and "device_auth" in event.data:
        raise HangsUp
    return _polite(event)


RUDE: tuple[Answer, ...] = (
    never_closes,
    falls_silent,
    echoes,
    echoes_in_a_close,
    says_odd_things,
    sends_garbage_frames,
    sends_masked_frames,
    sends_text_that_is_no_text,
    hangs_up_on_the_first_word,
    hangs_up_on_devices,
)

# ── how they are judged ──────────────────────────────────────────────────────────────────────


async def _serve(stream: MemoryStream, answer: Answer) -> None:
    ws = WSConnection(ConnectionType.SERVER)
    async with stream:
        # A gateway that is sent what is no WebSocket drops the connection.
        with suppress(trio.BrokenResourceError, ProtocolError, HangsUp):
            while data := await stream.receive_some():
                ws.receive_data(bytes(data))
                for event in ws.events():
                    said = [AcceptConnection()] if isinstance(event, Request) else answer(event)
                    for what in said:
                        await stream.send_all(what if isinstance(what, bytes) else ws.send(what))


def _on_terminal(out: io.StringIO) -> Listener:
    return TerminalReport(Console(file=out), Console(file=out)).listen


REPORTS: tuple[Callable[[io.StringIO], Listener], ...] = (
    lambda out: HtmlReport(out).listen,
    lambda out: JunitReport(out).listen,
    lambda out: MarkdownReport(out).listen,
    lambda out: NdjsonReport(out).listen,
    lambda out: TranscriptsReport(out).listen,
    _on_terminal,
)


@define(eq=False)
class Judged:
    told: list[RunEvent] = field(factory=list[RunEvent])
    artefacts: list[io.StringIO] = field(factory=list[io.StringIO])
    dialled: list[MemoryStream] = field(factory=list[MemoryStream])
    most: int = 0

    @property
    def open(self) -> int:
        return sum(not stream._outgoing.sender_closed for stream in self.dialled)

    def report(self, made: Callable[[io.StringIO], Listener]) -> Listener:
        self.artefacts.append(io.StringIO())
        return made(self.artefacts[-1])

    async def judge(self, answer: Answer) -> RunFinished:
        async with trio.open_nursery() as nursery:

            async def dial(narrow: bool) -> trio.abc.Stream:
                ours, theirs = memory_connection()
                polite = len(self.dialled) < FIRST
                nursery.start_soon(_serve, theirs, _polite if polite else answer)
                await trio.lowlevel.checkpoint()
                self.dialled.append(ours)
                self.most = max(self.most, self.open)
                return ours

            endpoint = Endpoint(url="memory:", host_header="gateway.test", path="", dial=dial)
            target = Target(viewers=endpoint, devices=endpoint, keys=KEYS)
            made = Settings(nonce="rude", unix_ms=1_750_000_000_000, max_connections=MAY_OPEN)
            listeners = [self.told.append, *map(self.report, REPORTS)]

            def listen(event: RunEvent) -> None:
                for listener in listeners:
                    listener(event)

            finished = await Runner(target, made).run(PLAIN, listen)
            assert self.open == 0
            nursery.cancel_scope.cancel()
        return finished


def _leaks(text: str, key: str) -> bool:
    # Whole, or but for its last character, as cases send it.
    spelled = (key, json.dumps(key)[1:-1], repr(key)[1:-1], key.encode().hex())
    return any(spelling in text for spelling in (*spelled, key[:-1]))


@pytest.mark.parametrize("answer", RUDE)
def test_judge_meets_a_rude_gateway_and_neither_errs_nor_leaks_nor_opens_too_much(
    answer: Callable[[Event], list[Event | bytes]],
) -> None:
    judged = Judged()

    async def main() -> RunFinished:
        return await judged.judge(answer)

    finished = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert [(r.case, r.reason) for r in finished.results if r.trouble is Trouble.SUITE] == []
    assert any(result.verdict is Verdict.FAIL for result in finished.results)
    assert judged.most <= MAY_OPEN
    told = "\n".join(f"{asdict(event)}" for event in judged.told if isinstance(event, CaseFinished))
    for text in (told, *(artefact.getvalue() for artefact in judged.artefacts)):
        assert text
        assert not [key for key in KEYS.secrets if _leaks(text, key)]
        text.encode()
    assert {f.clause for r in finished.results for f in r.findings} <= set(clauses())
    assert "plx_•••" in told
