"""A run that went wrong: a gateway that repeats what it is told, all reports of it, and a reader of pages."""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from html.parser import HTMLParser
from typing import Protocol

import trio
import trio.testing
from attrs import evolve
from rich.console import Console
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from plexwire_conformance.cases import CASES
from plexwire_conformance.report.github import GithubReport
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.junit import JunitReport
from plexwire_conformance.report.markdown import MarkdownReport
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.report.transcripts import TranscriptsReport
from plexwire_conformance.run.events import CaseFinished, RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.scripts import write_token
from plexwire_conformance.target.streams import memory_connection
from plexwire_conformance.target.target import Endpoint, Keys, Target

# ── a run that went wrong ────────────────────────────────────────────────────────────────────

KEYS = Keys(
    api_key="plx_0123456789abcdef0123",
    device_key="a device's own key",
    foreign_key="Zm9yZWlnbiBrZXk=",
    no_access_key="plx_no-access-at-all",
    revoked_key="plx_revoked-long-ago",
)


GONE = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    LocalProtocolError,
    RemoteProtocolError,
)


async def tells_all(stream: trio.abc.HalfCloseableStream) -> None:
    """Say back whatever a peer says, its key included: in messages, close reasons and the body of a refusal."""
    ws = WSConnection(ConnectionType.SERVER)
    while data := await stream.receive_some():
        ws.receive_data(bytes(data))
        for event in ws.events():
            match event:
                case Request(target=target) if "device" in target:
                    body = f"no entry with {KEYS.secrets}".encode()
                    refusal = RejectConnection(status_code=403, has_body=True)
                    await stream.send_all(ws.send(refusal) + ws.send(RejectData(data=body)))
                    return
                case Request():
                    await stream.send_all(ws.send(AcceptConnection()))
                case TextMessage(data=text):
                    told = {"type": "init", "online_sources": [], "said": text}
                    await stream.send_all(ws.send(TextMessage(data=json.dumps(told))))
                    if len(text) > 60:
                        reason = f"you said {text}"[:100]
                        await stream.send_all(ws.send(CloseConnection(code=4001, reason=reason)))
                case Ping():
                    await stream.send_all(ws.send(event.response()))
                case CloseConnection():
                    await stream.send_all(ws.send(event.response()))
                    return
                case _:
                    pass


def run_on_a_gossip() -> list[RunEvent]:
    """Judge the gateway above by all cases, in virtual time."""
    events: list[RunEvent] = []

    async def go() -> None:
        async with trio.open_nursery() as nursery:

            async def serve(stream: trio.abc.HalfCloseableStream) -> None:
                async with stream:
                    with suppress(*GONE):
                        await tells_all(stream)

            async def dial(narrow: bool) -> trio.abc.Stream:
                ours, theirs = memory_connection()
                nursery.start_soon(serve, theirs)
                await trio.lowlevel.checkpoint()
                return ours

            endpoint = Endpoint(url="ws://gossip.test", host_header="x", path="", dial=dial)
            target = Target(viewers=endpoint, devices=endpoint, keys=KEYS)
            plain = [case for case in CASES.values() if not case.scripted]
            runner = Runner(target, Settings(nonce="90551b", unix_ms=1_750_000_000_000))
            await runner.run(plain, events.append)
            nursery.cancel_scope.cancel()

    trio.run(go, clock=trio.testing.MockClock(autojump_threshold=0))
    return events


TOKEN = write_token("scripts.relay", (("watch", 0, 0, ("front", "rear")),) * 9 + (("leave", 0),))


def with_a_script(events: Sequence[RunEvent]) -> list[RunEvent]:
    """Return *events* with one more result, which can be played again."""
    finding = Finding(
        check="PW-FRAME-6/repeated",
        observed={"frame": 3, "camera": "front"},
        replay=TOKEN,
        steps=("a viewer watches “front”", "it leaves"),
        shown=(2, 3),
        margin_ms=12.0,
    )
    result = CaseResult(
        case="scripts.relay",
        title=CASES["scripts.relay"].title,
        clauses=CASES["scripts.relay"].clauses,
        verdict=Verdict.FAIL,
        findings=(finding,),
        judged=("PW-FRAME-6",),
    )
    first, *before, last = events
    assert isinstance(first, RunStarted)
    assert isinstance(last, RunFinished)
    first = evolve(first, cases=(*first.cases, CASES["scripts.relay"]))
    return [
        first,
        *before,
        CaseFinished(result=result),
        evolve(last, results=(*last.results, result)),
    ]


EVENTS = with_a_script(run_on_a_gossip())
FINISHED = EVENTS[-1]
assert isinstance(FINISHED, RunFinished)
SUMMARY = Summary.of(FINISHED)


class Listens(Protocol):
    def listen(self, event: RunEvent) -> None: ...


def told(make: Callable[[io.StringIO], Listens], events: Sequence[RunEvent] = EVENTS) -> str:
    out = io.StringIO()
    report = make(out)
    for event in events:
        report.listen(event)
    return out.getvalue()


def terminal(out: io.StringIO) -> TerminalReport:
    return TerminalReport(Console(file=out, width=80), Console(file=io.StringIO()))


def github(out: io.StringIO) -> GithubReport:
    return GithubReport(out, "t0ken")


REPORTS: dict[str, Callable[[io.StringIO], Listens]] = {
    "terminal": terminal,
    "ndjson": NdjsonReport,
    "junit": JunitReport,
    "markdown": MarkdownReport,
    "html": HtmlReport,
    "github": github,
    "transcripts": TranscriptsReport,
}
TEXTS = {name: told(make) for name, make in REPORTS.items()}
PAGE = TEXTS["html"]


class Page(HTMLParser):
    """What a page links to, and what it could load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        members = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= members.keys()
        if "id" in members:
            self.ids.append(members["id"])
        if tag == "a":
            self.links.append(members["href"])
        elif "href" in members or "src" in members or "action" in members:
            self.loads.append(members.get("href") or members.get("src") or members["action"])
        self.handlers += [name for name in members if name.startswith("on") or name == "style"]
        if members.get("http-equiv") == "Content-Security-Policy":
            self.policy = members["content"]


READ = Page(PAGE)
