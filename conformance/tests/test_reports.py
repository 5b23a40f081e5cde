"""One stream of events feeds all reports: they agree on every count, and hold together whatever a gateway said."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from rich.console import Console

from plexwire_conformance.cases import CASES
from plexwire_conformance.recording.recorder import Kind, Way, WireRecorder
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.junit import JunitReport
from plexwire_conformance.report.markdown import MarkdownReport
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict, worst
from plexwire_conformance.run.runner import (
    CaseFinished,
    Listener,
    RunEvent,
    RunFinished,
    RunStarted,
)
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.target.target import Endpoint, Keys, Target
from plexwire_spec import Level, Party, clauses

KEY = "plx_0123456789abcdef0123"

# ── runs ─────────────────────────────────────────────────────────────────────────────────────

GATEWAY_CLAUSES = [clause.id for clause in clauses().values() if clause.role is Party.GATEWAY]

#: What has broken a report somewhere.
NASTY = (
    "",
    "]]>",
    "<script>alert('x')</script>",
    "[bold red]markup[/] [/nothing]",
    "a | b ` c ``` d ~~~",
    "::error::not a command",
    "\u2028 \u202e \ufffe \U0001f4f7",
    "{'a': \"b\"} \\ &amp; <!-- -->",
    "x" * 3000,
)


def texts() -> SearchStrategy[str]:
    """Return whatever passes the runner: any character but control characters and lone surrogates."""
    printable = st.characters(codec="utf-8", exclude_categories=["Cc"])
    return st.sampled_from(NASTY) | st.text(printable, max_size=40)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    recorder = WireRecorder("viewer", (KEY,))
    # Things happen at one time as well, where time is virtual or a clock is coarse.
    times = draw(st.lists(st.sampled_from((0.0, 0.1, 0.3, 5.0)) | st.floats(0, 20), min_size=1))
    for at in sorted(times):
        recorder.text(at, Way.RECEIVED, draw(texts()) + KEY)
    recorder.event(max(times), Way.RECEIVED, Kind.CLOSE, draw(texts()), code=4001)
    return Finding(
        clause=draw(st.sampled_from(GATEWAY_CLAUSES)),
        expected=draw(texts()),
        actual=draw(texts()),
        margin_ms=12.5,
        timeline=tuple(recorder.entries),
    )


def results() -> SearchStrategy[list[CaseResult]]:
    """Return how some cases came out, the control before them."""

    def of(case_id: str) -> SearchStrategy[CaseResult]:
        def build(found: list[Finding], base: Verdict, reason: str) -> CaseResult:
            return CaseResult(
                case=case_id,
                title=CASES[case_id].title if case_id in CASES else CONTROL.title,
                clauses=CASES[case_id].clauses if case_id in CASES else CONTROL.clauses,
                verdict=worst((base, *(finding.verdict for finding in found))),
                findings=tuple(found),
                reason="" if base is Verdict.PASS else f"because {reason}",
                seconds=1.25,
            )

        bases = st.sampled_from((Verdict.PASS, Verdict.PASS, Verdict.ERROR, Verdict.UNTESTABLE))
        return st.builds(build, st.lists(findings(), max_size=2), bases, texts())

    some = st.lists(st.sampled_from(sorted(CASES)), max_size=6, unique=True)
    return some.flatmap(lambda ids: st.tuples(*map(of, (CONTROL.id, *ids)))).map(list)


async def _dial(narrow: bool) -> trio.abc.Stream:
    raise OSError


ENDPOINT = Endpoint(url="ws://gateway.test", host_header="gateway.test", path="", dial=_dial)
TARGET = Target(viewers=ENDPOINT, devices=ENDPOINT, keys=Keys(api_key=KEY))


def told(outcome: list[CaseResult]) -> list[RunEvent]:
    cases = tuple(CASES.get(result.case, CONTROL) for result in outcome)
    return [
        RunStarted(target=TARGET, tolerances=Tolerances(), cases=cases, unix_ms=1_750_000_000_000),
        *(CaseFinished(result=result) for result in outcome),
        RunFinished(results=tuple(outcome), seconds=12.5),
    ]


def reported(outcome: list[CaseResult], listen: Callable[[io.StringIO], Listener]) -> str:
    out = io.StringIO()
    listener = listen(out)
    for event in told(outcome):
        listener(event)
    out.getvalue().encode()
    return out.getvalue()


def terminal(out: io.StringIO) -> Listener:
    console = Console(file=out, width=120, force_terminal=False)
    return TerminalReport(console, Console(file=io.StringIO())).listen


# ── what each says how often ─────────────────────────────────────────────────────────────────


def in_ndjson(text: str) -> Counter[str]:
    footer = json.loads(text.splitlines()[-1])
    assert footer["type"] == "footer"
    return Counter(footer["cases"])


def in_junit(text: str) -> Counter[str]:
    """Count what JUnit knows: it has no word for warnings and remarks."""
    root = ElementTree.fromstring(text)
    assert root.attrib.keys() == {"tests", "failures", "errors", "time"}
    said = {name: int(root.attrib[name]) for name in ("tests", "failures", "errors")}
    assert said["tests"] == len(root.findall(".//testcase"))
    suites = root.findall("testsuite")
    skipped = sum(int(suite.attrib["skipped"]) for suite in suites)
    for name in said:
        assert said[name] == sum(int(suite.attrib[name]) for suite in suites)
    return Counter(fail=said["failures"], error=said["errors"], untestable=skipped)


def in_terminal(text: str) -> Counter[str]:
    (line,) = re.findall(r"^.*  \d+ cases?, \d+ clauses?, .*$", text, re.MULTILINE)
    return Counter({verdict: int(n) for n, verdict in re.findall(r"(\d+) ([a-z]+)(?= ·|  )", line)})


def in_markdown(text: str) -> Counter[str]:
    rows = re.findall(r"^\| \S+ ([a-z]+) \| (\d+) \|$", text, re.MULTILINE)
    return Counter({verdict: int(count) for verdict, count in rows})


def in_html(text: str) -> Counter[str]:
    tiles = re.findall(
        r'<li class="[a-z ]+">(?:<a [^>]+>)?<b>(\d+)</b> ([a-z]+)(?:</a>)?</li>', text
    )
    return Counter({verdict: int(count) for count, verdict in tiles})


@settings(deadline=None, max_examples=30)
@given(results())
@example([])
def test_reports_are_told_of_the_same_run_and_agree_on_every_count(
    outcome: list[CaseResult],
) -> None:
    counted = Counter(str(result.verdict) for result in outcome)
    assert +in_ndjson(reported(outcome, lambda out: NdjsonReport(out).listen)) == counted
    assert +in_terminal(reported(outcome, terminal)) == counted
    assert +in_markdown(reported(outcome, lambda out: MarkdownReport(out).listen)) == counted
    assert +in_html(reported(outcome, lambda out: HtmlReport(out).listen)) == counted
    known = Counter({v: n for v, n in counted.items() if v in ("fail", "error", "untestable")})
    assert +in_junit(reported(outcome, lambda out: JunitReport(out).listen)) == known
    assert Summary.of(outcome).cases == {verdict: counted[verdict] for verdict in Verdict}


# ── NDJSON ───────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=15)
@given(results())
def test_ndjson_has_a_header_a_line_for_every_case_and_a_footer(outcome: list[CaseResult]) -> None:
    text = reported(outcome, lambda out: NdjsonReport(out).listen)
    header, *lines, footer = map(json.loads, text.split("\n")[:-1])
    assert (header["type"], header["url"]) == ("header", "ws://gateway.test")
    assert header["cases"] == [result.case for result in outcome]
    for line, result in zip(lines, outcome, strict=True):
        assert line["type"] == "result"
        assert (line["case"], line["verdict"]) == (result.case, result.verdict)
        assert line["clauses"] == list(result.clauses)
        assert [(f["clause"], f["expected"], f["actual"]) for f in line["findings"]] == [
            (f.clause, f.expected, f.actual) for f in result.findings
        ]
    assert (footer["type"], footer["exit_code"]) == ("footer", Summary.of(outcome).exit_code)
    assert footer["clauses"].keys() == Summary.of(outcome).clauses.keys()


def test_ndjson_is_written_line_by_line_so_that_a_killed_run_leaves_what_it_had() -> None:
    out = io.StringIO()
    report = NdjsonReport(out)
    result = CaseResult(case="auth.late", title="x", clauses=(), verdict=Verdict.PASS)
    for number, event in enumerate(told([result]), 1):
        report.listen(event)
        assert out.getvalue().count("\n") == number


# ── whatever is in them ──────────────────────────────────────────────────────────────────────


class _Tags(HTMLParser):
    """Counts elements, and notes those that were closed in the wrong place."""

    VOID = ("meta", "link", "br", "input", "hr", "img")

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def tags(text: str) -> _Tags:
    parser = _Tags()
    parser.feed(text)
    parser.close()
    return parser


@settings(deadline=None, max_examples=15)
@given(results())
def test_html_and_junit_stay_well_formed_whatever_a_gateway_said(
    outcome: list[CaseResult],
) -> None:
    plain = tags(reported([], lambda out: HtmlReport(out).listen))
    page = tags(reported(outcome, lambda out: HtmlReport(out).listen))
    assert (page.open, page.wrong, page.scripts) == ([], [], plain.scripts)
    root = ElementTree.fromstring(reported(outcome, lambda out: JunitReport(out).listen))
    failing = {result.case for result in outcome if result.verdict is Verdict.FAIL}
    assert len(root.findall(".//testcase/failure")) == len(failing)


@pytest.mark.parametrize("text", [*NASTY, "\x00", "\x1b[31m", "\ud800", "\ufffe", "\r\n", "\x9b2J"])
def test_junit_is_xml_even_where_the_text_is_not(text: str) -> None:
    finding = Finding(clause="PW-AUTH-2", expected=text, actual=text)
    result = CaseResult(
        case="auth.late",
        title=text,
        clauses=("PW-AUTH-2",),
        verdict=Verdict.FAIL,
        findings=(finding,),
        reason=text,
    )
    root = ElementTree.fromstring(reported([result], lambda out: JunitReport(out).listen))
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.attrib["type"] == "PW-AUTH-2"


@settings(deadline=None, max_examples=15)
@given(results())
def test_no_report_shows_a_key_or_steers_a_terminal(outcome: list[CaseResult]) -> None:
    for listen in (
        lambda out: NdjsonReport(out).listen,
        lambda out: JunitReport(out).listen,
        lambda out: MarkdownReport(out).listen,
        lambda out: HtmlReport(out).listen,
        terminal,
    ):
        text = reported(outcome, listen)
        assert KEY not in text
        assert not [c for c in text if ord(c) < 32 and c not in "\n\t"]


# ── exit codes ───────────────────────────────────────────────────────────────────────────────

PASS, INFO, WARN, FAIL = Verdict.PASS, Verdict.INFO, Verdict.WARN, Verdict.FAIL
ERROR, UNTESTABLE = Verdict.ERROR, Verdict.UNTESTABLE


@pytest.mark.parametrize(
    ("control", "verdicts", "exit_code", "word"),
    [
        (PASS, (PASS,), 0, "Conformant"),
        (PASS, (PASS, INFO, WARN, UNTESTABLE), 0, "Conformant"),
        (PASS, (INFO,), 0, "Conformant"),
        (PASS, (WARN,), 0, "Conformant"),
        (PASS, (PASS, FAIL), 1, "Not conformant: 1 documented promise broken"),
        (PASS, (FAIL, ERROR, UNTESTABLE), 1, "Not conformant"),
        (FAIL, (UNTESTABLE, UNTESTABLE), 1, "Not conformant"),
        (PASS, (PASS, ERROR), 2, "Could not judge"),
        (ERROR, (UNTESTABLE,), 2, "Could not judge"),
        (PASS, (UNTESTABLE, UNTESTABLE), 3, "Nothing could be tested"),
        (UNTESTABLE, (UNTESTABLE,), 3, "Nothing could be tested"),
        (PASS, (), 3, "Nothing could be tested"),
    ],
)
def test_summary_has_an_exit_code_and_a_sentence_for_every_outcome(
    control: Verdict, verdicts: tuple[Verdict, ...], exit_code: int, word: str
) -> None:
    clause_of = {FAIL: Level.MUST, WARN: Level.SHOULD, INFO: Level.OPEN}

    def result(case: str, verdict: Verdict) -> CaseResult:
        found = [
            Finding(clause=name, expected="this", actual="that")
            for name in GATEWAY_CLAUSES
            if clauses()[name].level is clause_of.get(verdict)
        ]
        return CaseResult(
            case=case, title="x", clauses=(), verdict=verdict, findings=tuple(found[:1])
        )

    cases = [result(f"auth.{number}", verdict) for number, verdict in enumerate(verdicts)]
    summary = Summary.of([result(CONTROL.id, control), *cases])
    assert summary.exit_code == exit_code
    assert summary.conclusion.startswith(word)
