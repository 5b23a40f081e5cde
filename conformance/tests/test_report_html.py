"""The page for people: whole, linked, and nothing that anybody wrote becomes markup in it."""

import base64
import hashlib
import re
from collections import Counter
from datetime import date

import pytest
from attrs import evolve
from gossip_run import (
    EVENTS,
    FINISHED,
    PAGE,
    READ,
    SUMMARY,
    TEXTS,
    Page,
    told,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_conformance.cases import CASES
from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.report.comparison import render_matrix
from plexwire_conformance.report.html_page import environment, prose
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.html_sections import unseen_clauses
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.stored_runs import parse_run
from plexwire_conformance.run.events import RunFinished, RunStarted
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import KnownFailure, read_known, reckon, updated
from plexwire_conformance.target.target import Target

# ── the page ─────────────────────────────────────────────────────────────────────────────────


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
    assert {f"finding-{accusation.check}" for accusation in SUMMARY.accusations} <= set(READ.ids)
    assert {f"case-{result.case}" for result in SUMMARY.judged_by} <= set(READ.ids)


def test_page_begins_with_the_verdict_the_target_the_moment_and_the_tolerances() -> None:
    (top,) = re.findall(r"<header.*?</header>", PAGE, re.DOTALL)
    started = EVENTS[0]
    assert isinstance(started, RunStarted)
    for words in (SUMMARY.conclusion, "ws://gossip.test", "2025-06-15 15:06:40 UTC"):
        assert words in top
    assert str(started.tolerances) in top


def test_page_shows_what_was_said_in_a_case_that_passed_as_well() -> None:
    passed = next(r.case for r in SUMMARY.results if r.verdict is Verdict.PASS)
    (case,) = re.findall(
        rf'<details class="case pass" id="case-{passed}".*?</table>', PAGE, re.DOTALL
    )
    assert "HTTP 101" in case


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('<b a="1">&\'', "&lt;b a=&#34;1&#34;&gt;&amp;&#39;"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
        ("a\u202eb\u2066c", "a⟨U+202E⟩b⟨U+2066⟩c"),
        ("\ud800", "?"),
        ("\0", "\ufffd"),
    ],
)
def test_page_holds_text_that_can_become_nothing_else(text: str, shown: str) -> None:
    assert environment().from_string("{{ text }}").render(text=text) == shown


def test_page_marks_the_code_in_sentences_of_the_specification() -> None:
    assert prose("`a<b>` and `c`") == "<code>a&lt;b&gt;</code> and <code>c</code>"


def test_page_of_a_finding_that_was_expected_says_who_knew_it() -> None:
    assert isinstance(FINISHED, RunFinished)
    text = updated("", "known.toml", FINISHED.results, date(2026, 5, 1))
    entries = read_known(text, "known.toml", CASES)
    entries = (evolve(entries[0], reason="we <know>", issue="GW-7"), *entries[2:])
    event = evolve(FINISHED, reckoning=reckon(FINISHED.results, entries, date(2026, 5, 1)))
    text = told(HtmlReport, [*EVENTS[:-1], event])
    assert "Not as expected: 1 new; " in text
    assert "we &lt;know&gt; GW-7" in text
    assert Page(text).links


# ── hostile text ─────────────────────────────────────────────────────────────────────────────

#: Text that would be noticed if any of it became markup.
PAYLOADS = (
    "<zz-evil zz-evil=1>",
    "'><zz-evil>",
    '"><zz-evil zz-evil=1>',
    '" zz-evil="1',
    "' zz-evil='1",
    " zz-evil=1 ",
    "</script><zz-evil>",
    "</style><zz-evil>",
    "</title><zz-evil>",
    "<!--<zz-evil>",
    "`<zz-evil>`",
    "javascript:zz-evil",
    "{{ cycler.__init__ }}{% include 'page.js' %}",
    "&lt;zz-evil&gt;",
    "\u202e\u2066\u200f\u061c",
    "\0\ud800",
    "PW-INIT-4/cameras-not-strings",
)
hostile = st.lists(st.sampled_from(PAYLOADS) | st.text(max_size=5), min_size=1, max_size=4).map(
    "".join
)
REARRANGES = re.compile("[\0\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def run_of_hostile_text(text: str) -> tuple[RunStarted, RunFinished]:
    """Return a run with *text* wherever a gateway, a file or the command line can put text."""
    started = EVENTS[0]
    assert isinstance(started, RunStarted)
    assert isinstance(started.target, Target)
    endpoint = evolve(started.target.viewers, url=text)
    target = evolve(started.target, viewers=endpoint, called=text, chosen_by=(text,))
    body = {"type": text, "online_sources": [{text: text}], "frame": text}
    timeline = tuple(
        Entry(at=n / 10, peer=text, way=way, kind=kind, text=text, code=4001, body=body)
        for n, (way, kind) in enumerate((way, kind) for way in Way for kind in Kind)
    )
    ending = {"how": "close-frame", "connection": text, "reason": text, "code": text}
    breach = Finding(
        check="PW-AUTH-6/wrong-close-code",
        expected={"stimulus": text, "code": text, "within": 1.0},
        observed={"ending": ending},
        path=text,
        replay=text,
        steps=(text, text),
        shown=(1, 2),
        margin_ms=1.0,
        at=9.0,
        timeline=timeline,
    )
    member = Finding(
        check="PW-INIT-4/no-list",
        observed={"value": text},
        path="online_sources",
        timeline=timeline,
    )
    chosen = Finding(check="PW-ADDR-8/empty-camera", observed={"outcome": text})
    base = CaseResult(case="auth.late", title=text, clauses=("PW-AUTH-6",), verdict=Verdict.FAIL)
    results = (
        evolve(base, findings=(breach, chosen), judged=("PW-AUTH-6",)),
        evolve(base, case="auth.never", findings=(breach,)),
        evolve(base, case="observed.PW-INIT-4", findings=(member,)),
        evolve(base, case="dev.acks", verdict=Verdict.ERROR, reason=text),
        evolve(base, case="init.at-once", verdict=Verdict.BLOCKED, blocked_by=breach.check),
    )
    accepted = KnownFailure(check=member.check, reason=text, issue=text, expires=date(2026, 6, 1))
    linked = evolve(accepted, check=breach.check, issue=f"https://{text}", expires=date.min)
    run = RunFinished(
        results=results,
        seconds=1.0,
        gone=text,
        lossy=text,
        reckoning=reckon(results, (accepted, linked), date(2026, 5, 1)),
    )
    return evolve(started, target=target), run


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_page_lets_no_hostile_text_become_markup(text: str) -> None:
    started, finished = run_of_hostile_text(text)
    page = told(HtmlReport, [started, finished])
    read = Page(page)
    harmless = Page(told(HtmlReport, run_of_hostile_text("harmless")))
    assert not read.tags - harmless.tags - READ.tags
    assert not read.attributes - harmless.attributes - READ.attributes
    assert (page.count("<script>"), page.count("<style>")) == (1, 1)
    assert read.policy == READ.policy
    assert all(link.startswith(("#", "https://")) for link in read.links)
    assert {link for link in read.links if link.startswith("#")} <= {f"#{i}" for i in read.ids}
    assert REARRANGES.search(page) is None
    page.encode()


@settings(deadline=None, max_examples=30)
@given(hostile)
def test_comparison_lets_no_hostile_text_become_markup(text: str) -> None:
    run = parse_run(TEXTS["ndjson"], "run.ndjson")
    started, finished = run_of_hostile_text(text)
    about = evolve(run.about, url=About.of(started).url)
    other = evolve(run, name=text, about=about, results=finished.results, gone=text)
    page = render_matrix([run, other])
    read = Page(page)
    harmless = evolve(other, name="harmless", gone="")
    allowed = Page(render_matrix([run, harmless]))
    assert not read.tags - allowed.tags
    assert not read.attributes - allowed.attributes
    assert all(link.startswith("#") for link in read.links)
    assert REARRANGES.search(page) is None


def test_templates_quote_every_attribute_and_trust_no_text() -> None:
    loader = environment().loader
    assert loader is not None
    names = [name for name in loader.list_templates() if name.endswith(".html")]
    assert len(names) == 5
    for name in names:
        source = loader.get_source(environment(), name)[0]
        assert not re.findall(r"=\s*\{\{|\|\s*safe\b|autoescape|\son\w+=", source), name


def test_page_names_each_clause_that_no_test_can_judge_with_its_reason() -> None:
    (section,) = re.findall(r'<section id="unseen".*?</section>', PAGE, re.DOTALL)
    unseen = unseen_clauses(SUMMARY)
    assert unseen
    for clause in unseen:
        assert f'href="#{clause.id}"' in section
        assert clause.id not in SUMMARY.clauses
