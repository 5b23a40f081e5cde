"""The page for people, the annotations for GitHub, and what all reports say alike of one run that went wrong."""

import base64
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from typing import Protocol

import pytest
import trio
import trio.testing
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
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
from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.report.github import GithubReport, annotations, command
from plexwire_conformance.report.html_page import h, prose
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.junit import JunitReport
from plexwire_conformance.report.markdown import MarkdownReport, code, fence
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.report.timeline import draw_timeline
from plexwire_conformance.report.timeline_scale import make_scale
from plexwire_conformance.report.transcripts import TranscriptsReport
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import reckon, update, write_expected
from plexwire_conformance.run.runner import (
    CaseFinished,
    RunEvent,
    RunFinished,
    Runner,
    RunStarted,
    Settings,
)
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
        clause="PW-FRAME-6", expected="each frame at most once", actual="again", replay=TOKEN
    )
    result = CaseResult(
        case="scripts.relay",
        title=CASES["scripts.relay"].title,
        clauses=CASES["scripts.relay"].clauses,
        verdict=Verdict.FAIL,
        findings=(finding,),
    )
    *before, last = events
    assert isinstance(last, RunFinished)
    return [*before, CaseFinished(result=result), evolve(last, results=(*last.results, result))]


EVENTS = with_a_script(run_on_a_gossip())
FINISHED = EVENTS[-1]
assert isinstance(FINISHED, RunFinished)
SUMMARY = Summary.of(FINISHED.results)


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

# ── what all of them say alike ───────────────────────────────────────────────────────────────


def test_gossip_is_a_gateway_that_gives_the_reports_something_to_say() -> None:
    assert SUMMARY.exit_code == 1
    assert len(SUMMARY.accusations) > 5
    assert Verdict.UNTESTABLE in {result.verdict for result in SUMMARY.results}
    assert "plx_•••" in TEXTS["ndjson"]


@pytest.mark.parametrize("name", [*REPORTS, "expected"])
def test_no_artefact_of_a_run_holds_a_key_in_any_spelling(name: str) -> None:
    assert isinstance(FINISHED, RunFinished)
    texts = TEXTS | {"expected": write_expected(update(FINISHED.results, (), date(2026, 5, 1)))}
    text = texts[name]
    for key in KEYS.secrets:
        spelled = (key, key[:-1], json.dumps(key)[1:-1], h(key))
        assert not [spelling for spelling in spelled if spelling in text]


ACCUSED = {
    "terminal": r"^(?:FAIL|WARN) (PW-\S+)",
    "markdown": r"^\S+ \*\*(PW-\S+)\*\*",
    "html": r'<article class="finding [\w ]+" id="finding-(PW-[^"]+)"',
    "github": r"^::(?:error|warning) title=(PW-\S+)",
}


@pytest.mark.parametrize("name", ACCUSED)
def test_reports_accuse_the_gateway_under_the_same_clauses_each_once(name: str) -> None:
    found = re.findall(ACCUSED[name], TEXTS[name], re.MULTILINE)
    assert found == [accusation.clause for accusation in SUMMARY.accusations]


def test_annotations_are_one_a_clause_one_an_error_and_one_for_the_whole() -> None:
    kinds = Counter(re.findall(r"^::(\w+) title=", TEXTS["github"], re.MULTILINE))
    verdicts = Counter(accusation.finding.verdict for accusation in SUMMARY.accusations)
    errors = SUMMARY.cases[Verdict.ERROR]
    assert kinds["error"] == 1 + verdicts[Verdict.FAIL] + errors
    assert kinds["warning"] == verdicts[Verdict.WARN]


@pytest.mark.parametrize("name", ["terminal", "junit", "markdown", "html", "github"])
def test_reports_show_how_a_script_or_a_case_is_played_again_in_one_piece(name: str) -> None:
    cases = {result.case for result in SUMMARY.results if result.verdict is Verdict.FAIL}
    seen = {accusation.case.case for accusation in SUMMARY.accusations}
    for what in (TOKEN, *(cases & seen - {"scripts.relay"})):
        assert f"plexwire replay {what} --url ws://gossip.test" in TEXTS[name]


# ── the page ─────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """What a page links to, and what it could load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        members = {name: value or "" for name, value in attrs}
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


def test_page_loads_nothing_and_runs_its_own_script_alone() -> None:
    assert not [address for address in READ.loads if not address.startswith("data:")]
    assert not READ.handlers
    (script,) = re.findall(r"<script>(.*?)</script>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert READ.policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in READ.policy
    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_page_has_an_anchor_for_every_clause_finding_and_case_and_no_link_into_nothing() -> None:
    assert not [name for name, count in Counter(READ.ids).items() if count > 1]
    assert not {link for link in READ.links if link.removeprefix("#") not in set(READ.ids)}
    assert {*SUMMARY.clauses} <= set(READ.ids)
    assert {f"finding-{accusation.clause}" for accusation in SUMMARY.accusations} <= set(READ.ids)
    assert {f"case-{result.case}" for result in SUMMARY.results} <= set(READ.ids)


def test_page_begins_with_the_verdict_the_target_the_moment_and_the_tolerances() -> None:
    (top,) = re.findall(r"<header.*?</header>", PAGE, re.DOTALL)
    started = EVENTS[0]
    assert isinstance(started, RunStarted)
    for words in (SUMMARY.conclusion, "ws://gossip.test", "2025-06-15 15:06:40 UTC"):
        assert words in top
    assert h(started.tolerances) in top


def test_page_shows_what_was_said_in_a_case_that_passed_as_well() -> None:
    passed = next(r.case for r in SUMMARY.results if r.verdict is Verdict.PASS)
    (case,) = re.findall(
        rf'<details class="case pass" id="case-{passed}".*?</table>', PAGE, re.DOTALL
    )
    assert "HTTP 101" in case


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('<b a="1">&\'', "&lt;b a=&quot;1&quot;&gt;&amp;&#x27;"),
        ("a\u202eb\u2066c", "a⟨U+202E⟩b⟨U+2066⟩c"),
        ("\ud800", "?"),
        ("\0", "\ufffd"),
    ],
)
def test_page_holds_text_that_can_become_nothing_else(text: str, shown: str) -> None:
    assert h(text) == shown


def test_page_marks_the_code_in_sentences_of_the_specification() -> None:
    assert prose("`a<b>` and `c`") == "<code>a&lt;b&gt;</code> and <code>c</code>"


def test_page_of_a_finding_that_was_expected_says_who_knew_it() -> None:
    assert isinstance(FINISHED, RunFinished)
    entries = update(FINISHED.results, (), date(2026, 5, 1))
    entries = (evolve(entries[0], reason="we <know>", issue="GW-7"), *entries[2:])
    event = evolve(FINISHED, reckoning=reckon(FINISHED.results, entries, date(2026, 5, 1)))
    text = told(HtmlReport, [*EVENTS[:-1], event])
    assert "Not as expected: 1 new; " in text
    assert "we &lt;know&gt; GW-7" in text
    assert Page(text).links


# ── to scale ─────────────────────────────────────────────────────────────────────────────────

times = st.lists(st.floats(0, 30), min_size=1, max_size=40).map(sorted)


@settings(deadline=None, max_examples=300)
@given(times, st.integers(0, 50))
def test_scale_keeps_the_order_fits_the_width_and_breaks_few_gaps(
    moments: list[float], place: int
) -> None:
    broken_at = place if place < len(moments) - 1 else None
    scale = make_scale(moments, broken_at)
    assert len(scale.places) == len(moments)
    assert all(0 <= x <= 100.001 for x in (*scale.places, *scale.grid))
    assert all(earlier <= later for earlier, later in pairwise(scale.places))
    broken = [wait for wait in scale.waits if wait.broken]
    assert len(broken) <= 6
    assert broken_at is None or broken_at in [wait.after for wait in broken]
    for wait in scale.waits:
        gap = moments[wait.after + 1] - moments[wait.after]
        assert wait.seconds == pytest.approx(gap, abs=1e-9)
        assert (wait.left, wait.right) == (scale.places[wait.after], scale.places[wait.after + 1])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=20))
def test_scale_of_gaps_that_can_all_be_seen_is_true(gaps: list[float]) -> None:
    moments = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    scale = make_scale(moments)
    assert not [wait for wait in scale.waits if wait.broken]
    per_second = (scale.places[-1] - scale.places[0]) / moments[-1]
    for (x1, x2), gap in zip(pairwise(scale.places), gaps, strict=True):
        assert x2 - x1 == pytest.approx(gap * per_second)


def test_scale_of_a_busy_second_and_a_long_wait_breaks_the_wait_alone() -> None:
    moments = [0, 0.01, 0.02, 0.03, 0.04, 0.05, 10.0, 10.01]
    (wait,) = [wait for wait in make_scale(moments).waits if wait.broken]
    assert wait.after == 5
    assert wait.seconds == pytest.approx(9.95)
    assert wait.right - wait.left < 25


def test_scale_of_a_handshake_and_a_deadline_draws_the_deadline() -> None:
    (wait,) = make_scale([0, 0.015, 10.0]).waits
    assert not wait.broken
    assert wait.right - wait.left > 90


def entry(at: float, text: str = "{}", kind: Kind = Kind.TEXT, way: Way = Way.SENT) -> Entry:
    return Entry(at=at, peer="viewer", way=way, kind=kind, text=text)


def test_timeline_names_every_entry_its_silences_and_how_long_it_was_waited() -> None:
    entries = [
        entry(1.0, "GET /v1", Kind.HANDSHAKE),
        entry(1.01, "HTTP 101", Kind.HANDSHAKE, Way.RECEIVED),
        entry(4.0, '{"type": "auth", "api_key": "plx_•••"}'),
        entry(4.9, "70696e67", Kind.PING),
    ]
    text = draw_timeline(entries, "t", judged_at=6.4)
    assert re.findall(r'<tr id="(t-\d)"', text) == ["t-0", "t-1", "t-2", "t-3"]
    assert "2.99 s of silence" in text
    assert "nothing more within 1.50 s" in text
    assert "ping &#x27;ping&#x27;" in text
    assert ">auth</text>" in text
    assert draw_timeline([], "t") == ""


def test_timeline_of_connections_that_all_ended_waits_for_nothing() -> None:
    ended = [entry(1.0), entry(2.0, "", Kind.EOF, Way.RECEIVED)]
    assert "nothing more" not in draw_timeline(ended, "t", judged_at=6.4)
    open_too = [evolve(entry(1.0), peer="device"), *ended]
    assert "nothing more within 4.40 s" in draw_timeline(open_too, "t", judged_at=6.4)


def test_timeline_of_very_many_entries_leaves_out_the_middle_and_says_so() -> None:
    text = draw_timeline([entry(number / 10) for number in range(500)], "t")
    assert len(re.findall(r'<tr id="t-', text)) == 140
    assert text.count("360 left out") == 2


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.builds(
            Entry,
            at=st.floats(0, 20),
            peer=st.sampled_from(("viewer", "device", "<b>")),
            way=st.sampled_from(Way),
            kind=st.sampled_from(Kind),
            text=st.text(max_size=60),
            size=st.just(0),
            code=st.none() | st.just(4001),
        ),
        max_size=30,
    )
)
def test_timeline_of_anything_is_well_formed(entries: list[Entry]) -> None:
    text = draw_timeline(sorted(entries, key=lambda e: e.at), "t", judged_at=21.0)
    assert len(re.findall(r'<tr id="t-\d+"', text)) == len(entries)
    assert "<b>" not in text
    parser = Page(text)
    assert len(parser.links) == len(entries)


# ── GitHub and Markdown ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("title", "message", "written"),
    [
        ("a: b, c", "d: e, f", "::error title=a%3A b%2C c::d: e, f"),
        ("100%", "50%\r\n::warning::x", "::error title=100%25::50%25%0D%0A::warning::x"),
    ],
)
def test_annotation_is_escaped_as_the_runner_of_workflows_reads_it(
    title: str, message: str, written: str
) -> None:
    assert command("error", title, message) == written


def test_annotations_are_each_one_line_whatever_a_gateway_says() -> None:
    finding = Finding(clause="PW-AUTH-2", expected="a\n::set-env::", actual="b\r::error::")
    result = CaseResult(
        case="auth.late", title="x", clauses=(), verdict=Verdict.FAIL, findings=(finding,)
    )
    lines = annotations(RunFinished(results=(result,), seconds=1.0), "ws://x")
    assert all(line.startswith("::error title=") and line.isprintable() for line in lines)


def test_github_report_stops_commands_while_the_run_lasts_and_resumes_them_once() -> None:
    out = io.StringIO()
    with GithubReport(out, "t0ken") as report:
        assert out.getvalue() == "::stop-commands::plexwire-t0ken\n"
        report.listen(RunFinished(results=(), seconds=1.0))
    assert out.getvalue().count("::plexwire-t0ken::\n") == 1
    failed = io.StringIO()
    with suppress(RuntimeError), GithubReport(failed, "t0ken"):
        raise RuntimeError
    assert failed.getvalue().endswith("::plexwire-t0ken::\n")


@given(st.text())
def test_code_in_markdown_is_closed_by_nothing_that_is_in_it(text: str) -> None:
    span, block = code(text), fence(text, "text")
    ticks = re.match("`+", span)
    assert ticks is not None
    assert re.findall(rf"(?<!`){ticks[0]}(?!`)", span) == [ticks[0]] * 2
    assert "\n" not in span
    edge = re.match("`+", block)
    assert edge is not None
    assert not [run for run in re.findall("`+", text) if len(run) >= len(edge[0])]
