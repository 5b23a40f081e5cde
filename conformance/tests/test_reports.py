"""One stream of events feeds all reports: they agree on every count, and hold together whatever a gateway said."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from string import Formatter
from typing import Any
from xml.etree import ElementTree

import pytest
import trio
from attrs import evolve
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
from plexwire_conformance.report.sentences import expected_sentence, observed_sentence
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.terminal import TerminalReport
from plexwire_conformance.run.checks import checks
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.events import (
    CaseFinished,
    Listener,
    RunEvent,
    RunFinished,
    RunStarted,
)
from plexwire_conformance.run.findings import (
    UNJUDGED,
    CaseResult,
    Finding,
    Trouble,
    Verdict,
    worst,
)
from plexwire_conformance.run.outcomes import observations
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.target.target import Endpoint, Keys, Target

KEY = "plx_0123456789abcdef0123"

# ── runs ─────────────────────────────────────────────────────────────────────────────────────

#: What is in the way of blocked cases here.
LIKELY = "PW-DEV-2/not-authenticated"

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
    check = draw(st.sampled_from(list(checks().values())))
    return Finding(
        check=check.id,
        expected=draw(members(check.expected)),
        observed=draw(members(check.observed)),
        margin_ms=12.5,
        path=draw(texts()),
        steps=tuple(draw(st.lists(texts(), max_size=2))),
        timeline=tuple(recorder.entries),
    )


def members(sentence: str) -> SearchStrategy[dict[str, Any]]:
    """Return the values that *sentence* has a place for, with what has broken a report somewhere in them."""
    closed = st.builds(
        lambda who, why: {"how": "close-frame", "connection": who, "code": 4001, "reason": why},
        texts(),
        texts(),
    )
    refused = texts().map(lambda said: {"problem": said, "status": 403, "body": said})
    lists = st.lists(texts(), max_size=2)
    outcomes = st.dictionaries(texts(), texts(), max_size=2)
    kinds = {"s": st.floats(0, 99), "list": lists, "position": st.none() | st.integers(0, 99)}
    fields = [(name, spec or "") for _, name, spec, _ in Formatter().parse(sentence) if name]
    anything = texts() | closed | refused | outcomes | st.none()
    return st.fixed_dictionaries({name: kinds.get(spec, anything) for name, spec in fields})


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
                judged=(CASES.get(case_id, CONTROL)).clauses,
                reason="" if base is Verdict.PASS else f"because {reason}",
                blocked_by=LIKELY if base is Verdict.BLOCKED else "",
                trouble=Trouble.UNCLEAR if base is Verdict.ERROR else Trouble.NONE,
                seconds=1.25,
            )

        bases = st.sampled_from((Verdict.PASS, Verdict.PASS, *UNJUDGED))
        return st.builds(build, st.lists(findings(), max_size=2), bases, texts())

    some = st.lists(st.sampled_from(sorted(CASES)), max_size=6, unique=True)
    cases = some.flatmap(lambda ids: st.tuples(*map(of, (CONTROL.id, *ids)))).map(list)
    seen = st.lists(findings().filter(lambda finding: finding.is_breach), max_size=3)
    return st.builds(lambda judged, found: [*judged, *observations(found)], cases, seen)


async def _dial(narrow: bool) -> trio.abc.Stream:
    raise OSError


ENDPOINT = Endpoint(url="ws://gateway.test", host_header="gateway.test", path="", dial=_dial)
TARGET = Target(viewers=ENDPOINT, devices=ENDPOINT, keys=Keys(api_key=KEY))


def told(outcome: list[CaseResult]) -> list[RunEvent]:
    cases = tuple(CASES.get(r.case, CONTROL) for r in outcome if not r.is_observation)
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
    """Count what JUnit knows: it has no word for warnings and remarks, and one for all that was not judged."""
    root = ElementTree.fromstring(text)
    assert root.attrib.keys() == {"tests", "failures", "errors", "time"}
    said = {name: int(root.attrib[name]) for name in ("tests", "failures", "errors")}
    assert said["tests"] == len(root.findall(".//testcase"))
    suites = root.findall("testsuite")
    skipped = sum(int(suite.attrib["skipped"]) for suite in suites)
    for name in said:
        assert said[name] == sum(int(suite.attrib[name]) for suite in suites)
    return Counter(fail=said["failures"], error=said["errors"], skipped=skipped)


def in_terminal(text: str) -> Counter[str]:
    (line,) = re.findall(r"^.*  \d+ cases?, \d+ clauses?, .*$", text, re.MULTILINE)
    return Counter({verdict: int(n) for n, verdict in re.findall(r"(\d+) ([a-z]+)(?= ·|  )", line)})


def in_markdown(text: str) -> Counter[str]:
    rows = re.findall(r"^\| \S+ ([a-z]+) \| (\d*) \| \d* \|$", text, re.MULTILINE)
    return Counter({verdict: int(count or 0) for verdict, count in rows})


def in_html(text: str) -> Counter[str]:
    tiles = re.findall(r'<li class="[a-z ]+">(?:<a [^>]+>)?<b>(\d+)</b> ([a-z]+)\b', text)
    return Counter({verdict: int(count) for count, verdict in tiles})


@settings(deadline=None, max_examples=30)
@given(results())
@example([])
def test_reports_are_told_of_the_same_run_and_agree_on_every_count(
    outcome: list[CaseResult],
) -> None:
    counted = Counter(str(result.verdict) for result in outcome if not result.is_observation)
    assert +in_ndjson(reported(outcome, lambda out: NdjsonReport(out).listen)) == counted
    assert +in_terminal(reported(outcome, terminal)) == counted
    assert +in_markdown(reported(outcome, lambda out: MarkdownReport(out).listen)) == counted
    assert +in_html(reported(outcome, lambda out: HtmlReport(out).listen)) == counted
    everything = Counter(str(result.verdict) for result in outcome)
    known = Counter({v: n for v, n in everything.items() if v in ("fail", "error")})
    known["skipped"] = everything["untestable"] + everything["blocked"]
    assert in_junit(reported(outcome, lambda out: JunitReport(out).listen)) == known
    assert Summary(tuple(outcome)).cases == {verdict: counted[verdict] for verdict in Verdict}


# ── NDJSON ───────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=15)
@given(results())
def test_ndjson_has_a_header_a_line_for_every_case_and_a_footer(outcome: list[CaseResult]) -> None:
    text = reported(outcome, lambda out: NdjsonReport(out).listen)
    header, *lines, footer = map(json.loads, text.split("\n")[:-1])
    assert (header["type"], header["url"]) == ("header", "ws://gateway.test")
    assert header["cases"] == [result.case for result in outcome if not result.is_observation]
    for line, result in zip(lines, outcome, strict=True):
        assert line["type"] == "result"
        assert (line["case"], line["verdict"]) == (result.case, result.verdict)
        assert line["clauses"] == list(result.clauses)
        assert line["judged"] == list(result.judged)
        assert (line["blocked_by"], line["trouble"]) == (result.blocked_by, result.trouble)
        told = [(f["check"], f["clause"], f["path"]) for f in line["findings"]]
        assert told == [(f.check, f.clause, f.path) for f in result.findings]
        assert [f["sentences"] for f in line["findings"]] == [
            {"expected": expected_sentence(f), "observed": observed_sentence(f)}
            for f in result.findings
        ]
    summary = Summary(tuple(outcome))
    assert (footer["type"], footer["exit_code"]) == ("footer", summary.exit_code)
    assert footer["clauses"] == summary.clauses


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
    finding = Finding(
        check="PW-AUTH-2/valid-auth-refused",
        expected={"stimulus": text, "within": 1.5},
        observed={"ending": text},
    )
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
    assert failure.attrib["type"] == "PW-AUTH-2/valid-auth-refused"


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
ERROR, BLOCKED, UNTESTABLE = Verdict.ERROR, Verdict.BLOCKED, Verdict.UNTESTABLE

#: One check of each level, and so of each verdict.
CHECK_OF = {
    FAIL: "PW-AUTH-2/valid-auth-refused",
    WARN: "PW-AUTH-11/unknown-member-refused",
    INFO: "PW-AUTH-12/binary-auth",
}


def case_result(case: str, verdict: Verdict, trouble: Trouble | None = None) -> CaseResult:
    found = [Finding(check=CHECK_OF[verdict])] if verdict in CHECK_OF else []
    if trouble is None:
        trouble = Trouble.UNCLEAR if verdict is ERROR else Trouble.NONE
    return CaseResult(
        case=case,
        title="x",
        clauses=("PW-AUTH-3",),
        verdict=verdict,
        findings=tuple(found),
        judged=() if verdict in UNJUDGED else ("PW-AUTH-3",),
        blocked_by=LIKELY if verdict is BLOCKED else "",
        trouble=trouble,
        reason="because" if verdict in UNJUDGED else "",
    )


def summary_of(*verdicts: Verdict, control: Verdict = PASS, **more: Any) -> Summary:
    cases = [case_result(f"auth.{number}", verdict) for number, verdict in enumerate(verdicts)]
    return Summary((case_result(CONTROL.id, control), *cases), **more)


@pytest.mark.parametrize(
    ("control", "verdicts", "exit_code", "words"),
    [
        (PASS, (PASS,), 0, "Conformant: no documented promise was broken."),
        (PASS, (PASS, INFO, WARN), 0, "Conformant: "),
        (PASS, (PASS, UNTESTABLE), 0, "Conformant as far as judged (1 of 2 cases): "),
        (PASS, (PASS, *(UNTESTABLE,) * 9), 0, "Conformant as far as judged (1 of 10 cases): "),
        (PASS, (INFO,), 0, "Conformant: "),
        (PASS, (WARN,), 0, "Conformant: "),
        (PASS, (PASS, FAIL), 1, "Not conformant: 1 documented promise broken"),
        (PASS, (FAIL, ERROR, BLOCKED, UNTESTABLE), 1, "Not conformant"),
        (FAIL, (BLOCKED, BLOCKED), 1, "Not conformant"),
        (PASS, (*(PASS,) * 9, ERROR), 0, "Conformant as far as judged (9 of 10 cases): "),
        (PASS, (*(PASS,) * 8, ERROR), 2, "Could not judge: only 8 of 9 cases came to a verdict."),
        (PASS, (*(PASS,) * 9, BLOCKED), 0, "Conformant as far as judged (9 of 10 cases): "),
        (PASS, (*(PASS,) * 8, BLOCKED), 2, "Could not judge: only 8 of 9 cases"),
        (PASS, (PASS, ERROR), 2, "Could not judge"),
        (ERROR, (ERROR,), 2, "Could not judge"),
        (PASS, (UNTESTABLE, UNTESTABLE), 3, "Nothing could be tested"),
        (UNTESTABLE, (UNTESTABLE,), 3, "Nothing could be tested"),
        (PASS, (), 3, "Nothing could be tested"),
    ],
)
def test_summary_has_an_exit_code_and_a_sentence_for_every_outcome(
    control: Verdict, verdicts: tuple[Verdict, ...], exit_code: int, words: str
) -> None:
    summary = summary_of(*verdicts, control=control)
    assert summary.exit_code == exit_code
    assert summary.conclusion.startswith(words)


@pytest.mark.parametrize("verdicts", [(PASS,) * 20, (PASS, FAIL), (UNTESTABLE,)])
def test_gateway_has_gone_and_the_first_sentence_says_since_when(
    verdicts: tuple[Verdict, ...],
) -> None:
    summary = summary_of(*verdicts, gone="connection refused", gone_at=5.1)
    assert summary.exit_code == 2
    assert summary.conclusion == (
        "Could not judge: the gateway has not answered since 5.1 s into the run (connection refused). "
        "Is it running?"
    )


@pytest.mark.parametrize(
    ("trouble", "exit_code"),
    [
        (Trouble.SUITE, 2),
        (Trouble.GONE, 2),
        (Trouble.INTERRUPTED, 2),
        (Trouble.NETWORK, 0),
        (Trouble.UNCLEAR, 0),
    ],
)
def test_one_of_many_cases_is_lost_and_why_decides_whether_the_run_has_a_say(
    trouble: Trouble, exit_code: int
) -> None:
    lost = case_result("dev.lost", ERROR, trouble)
    others = [case_result(f"auth.{number}", PASS) for number in range(20)]
    summary = Summary((case_result(CONTROL.id, PASS), *others, lost))
    assert summary.exit_code == exit_code


def test_network_loses_connections_and_the_first_sentence_says_so() -> None:
    lossy = "9 of 80 streams ended without a close frame"
    summary = summary_of(PASS, ERROR, ERROR, lossy=lossy)
    assert summary.exit_code == 2
    assert summary.conclusion == f"Could not judge: the network loses connections ({lossy})."


def test_observation_counts_as_a_broken_promise_and_not_as_a_case() -> None:
    (seen,) = observations([Finding(check="PW-INIT-4/no-list")])
    summary = Summary((case_result(CONTROL.id, PASS), case_result("auth.a", PASS), seen))
    assert (summary.exit_code, summary.broken) == (1, 1)
    assert sum(summary.cases.values()) == 2
    assert summary.share == 1.0


# ── what a clause comes to ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verdict", sorted(UNJUDGED))
def test_clause_passes_only_if_a_case_judged_it(verdict: Verdict) -> None:
    silent = case_result("auth.silent", verdict)
    assert Summary((silent,)).clauses == {"PW-AUTH-3": verdict}
    judged = case_result("auth.judged", PASS)
    assert Summary((silent, judged)).clauses == {"PW-AUTH-3": PASS}


def test_clause_that_a_case_found_nothing_about_before_it_stopped_is_not_judged() -> None:
    stopped = evolve(case_result("auth.a", FAIL), judged=("PW-AUTH-2",))
    assert Summary((stopped,)).clauses == {"PW-AUTH-2": FAIL, "PW-AUTH-3": BLOCKED}


def test_finding_that_blocks_the_most_cases_is_the_one_to_begin_with() -> None:
    blocking = evolve(case_result("a", FAIL), findings=(Finding(check=LIKELY),))
    often = [case_result(f"auth.{number}", FAIL) for number in range(3)]
    blocked = case_result("b", BLOCKED)
    summary = Summary((*often, blocking, blocked))
    first, second = summary.accusations
    assert (first.check, first.blocks) == (LIKELY, 1)
    assert (second.check, len(second.sightings)) == (CHECK_OF[FAIL], 3)
    assert summary.advice.startswith(f"Begin with {LIKELY}: ")
    assert "It keeps 1 case from being judged." in summary.advice
