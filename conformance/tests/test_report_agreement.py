"""What all reports of one run have in common, the annotations for GitHub, and code in Markdown."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from xml.etree import ElementTree

import pytest
from gossip_run import EVENTS, FINISHED, KEYS, PAGE, REPORTS, SUMMARY, TEXTS, TOKEN
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from plexwire_conformance.report.github import GithubReport, annotations, command
from plexwire_conformance.report.markdown import code, fence
from plexwire_conformance.report.summary import unjudged
from plexwire_conformance.run.events import CaseFinished, RunFinished
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import updated

# ── what all of them say alike ───────────────────────────────────────────────────────────────


def test_gossip_is_a_gateway_that_gives_the_reports_something_to_say() -> None:
    assert SUMMARY.exit_code == 1
    assert len(SUMMARY.accusations) > 5
    assert Verdict.UNTESTABLE in {result.verdict for result in SUMMARY.results}
    assert "plx_•••" in TEXTS["ndjson"]


@pytest.mark.parametrize("name", [*REPORTS, "expected"])
def test_no_artefact_of_a_run_holds_a_key_in_any_spelling(name: str) -> None:
    assert isinstance(FINISHED, RunFinished)
    written = updated("", "known.toml", FINISHED.results, date(2026, 5, 1))
    texts = TEXTS | {"expected": written}
    text = texts[name]
    for key in KEYS.secrets:
        spelled = (key, key[:-1], json.dumps(key)[1:-1], str(escape(key)))
        assert not [spelling for spelling in spelled if spelling in text]


def test_reports_are_told_each_result_exactly_once() -> None:
    told_of = [event.result for event in EVENTS if isinstance(event, CaseFinished)]
    assert len(told_of) == len(SUMMARY.results)
    assert all(result in told_of for result in SUMMARY.results)


ACCUSED = {
    "terminal": r"^(?:FAIL|WARN) (PW-\S+)",
    "markdown": r"^\S+ \*\*(PW-\S+)\*\*",
    "html": r'<article class="finding [\w ]+" id="finding-(PW-[^"]+)"',
    "github": r"^::(?:error|warning) title=(PW-\S+)",
}


@pytest.mark.parametrize("name", ACCUSED)
def test_reports_accuse_the_gateway_under_the_same_checks_each_once(name: str) -> None:
    found = re.findall(ACCUSED[name], TEXTS[name], re.MULTILINE)
    assert found == [accusation.check for accusation in SUMMARY.accusations]


def test_annotations_are_one_a_check_one_an_error_and_one_for_the_whole() -> None:
    kinds = Counter(re.findall(r"^::(\w+) title=", TEXTS["github"], re.MULTILINE))
    verdicts = Counter(accusation.finding.verdict for accusation in SUMMARY.accusations)
    errors = len([1 for verdict, _ in unjudged(SUMMARY.results) if verdict is Verdict.ERROR])
    assert kinds["error"] == 1 + verdicts[Verdict.FAIL] + errors
    assert kinds["warning"] == verdicts[Verdict.WARN]


@pytest.mark.parametrize("name", ["terminal", "junit", "markdown", "html", "github"])
def test_reports_show_how_a_script_or_a_case_is_played_again_in_one_piece(name: str) -> None:
    cases = {result.case for result in SUMMARY.judged_by if result.verdict is Verdict.FAIL}
    seen = {accusation.case.case for accusation in SUMMARY.accusations}
    for what in (TOKEN, *(cases & seen - {"scripts.relay"})):
        assert f"plexwire replay {what} --url ws://gossip.test" in TEXTS[name]


# ── all reports count alike ──────────────────────────────────────────────────────────────────


def counts_of_terminal() -> tuple[dict[str, int], dict[str, int]]:
    line = next(x for x in TEXTS["terminal"].splitlines() if " cases, " in x and " clauses, " in x)
    text = " ".join(TEXTS["terminal"][TEXTS["terminal"].index(line) - 160 :].split())
    (cases, observed) = re.search(  # type: ignore[union-attr]
        r"((?:\d+ \w+ · )*\d+ \w+)(?: and ([\d\w, ]+) observed)? \d+ cases,", text
    ).groups()
    return counted(cases), counted(observed or "")


def counted(text: str) -> dict[str, int]:
    return {verdict: int(count) for count, verdict in re.findall(r"(\d+) (\w+)", text)}


def counts_of_markdown() -> tuple[dict[str, int], dict[str, int]]:
    rows = re.findall(r"^\| \S+ (\w+) \| (\d+) \| (\d*) \|$", TEXTS["markdown"], re.MULTILINE)
    return {v: int(n) for v, n, _ in rows if int(n)}, {v: int(n) for v, _, n in rows if n}


def counts_of_html() -> tuple[dict[str, int], dict[str, int]]:
    tiles = re.findall(
        r'<li class="(\w+)">.*?<b>(\d+)</b> \w+(?: <small>\+ (\d+) observed</small>)?', PAGE
    )
    return {v: int(n) for v, n, _ in tiles if int(n)}, {v: int(n) for v, _, n in tiles if n}


def counts_of_ndjson() -> tuple[dict[str, int], dict[str, int]]:
    lines = [json.loads(line) for line in TEXTS["ndjson"].splitlines()]
    results = [line for line in lines if line["type"] == "result"]
    cases = [r for r in results if not r["case"].startswith("observed.")]
    # Under a check that a case found too, the case counts.
    found = {f["check"] for r in cases for f in r["findings"]}
    observed = {
        f["check"]: f["verdict"]
        for r in results
        if r not in cases
        for f in r["findings"]
        if f["check"] not in found and f["verdict"] in ("fail", "warn")
    }
    footer = {verdict: n for verdict, n in lines[-1]["cases"].items() if n}
    assert footer == Counter(r["verdict"] for r in cases)
    return footer, Counter(observed.values())


@pytest.mark.parametrize(
    "count", [counts_of_terminal, counts_of_markdown, counts_of_html, counts_of_ndjson]
)
def test_reports_count_cases_and_observations_alike(
    count: Callable[[], tuple[dict[str, int], dict[str, int]]],
) -> None:
    cases = {verdict.value: n for verdict, n in SUMMARY.cases.items() if n}
    observed = {verdict.value: n for verdict, n in SUMMARY.observed.items() if n}
    assert count() == (cases, observed)


def test_junit_has_every_case_and_observation_once_and_fails_what_failed() -> None:
    root = ElementTree.fromstring(TEXTS["junit"])
    names = [f"{case.get('classname')}.{case.get('name')}" for case in root.iter("testcase")]
    results = {result.case: result.verdict for result in SUMMARY.results}
    areas = {f"plexwire.{case}" if "." in case else f"plexwire.{case}.{case}" for case in results}
    assert sorted(names) == sorted(areas)
    verdicts = Counter(results.values())
    assert len(list(root.iter("failure"))) == verdicts[Verdict.FAIL]
    assert len(list(root.iter("error"))) == verdicts[Verdict.ERROR]


def test_tiles_agree_with_what_the_page_shows_under_each_verdict() -> None:
    cases, observed = counts_of_html()
    shown = Counter(re.findall(r'<details class="case (\w+)" id="case-', PAGE))
    assert shown == cases
    articles = re.findall(r'<article class="finding (\w+)".*?</article>', PAGE, re.DOTALL)
    assert len(articles) == len(SUMMARY.accusations)
    seen = re.findall(
        r'<article class="finding (\w+)"(?:(?!</article>).)*?<dt>Found by</dt><dd>observation',
        PAGE,
        re.DOTALL,
    )
    assert Counter(seen) == observed


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
    ending = {"how": "close-frame", "connection": "a\n::set-env::", "reason": "b\r::error::"}
    finding = Finding(
        check="PW-AUTH-2/valid-auth-refused",
        expected={"stimulus": "c\n::set-env::", "within": 1.0},
        observed={"ending": ending},
    )
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
