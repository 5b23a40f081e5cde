"""Runs and transcripts on disk: read back as they were or refused in one sentence, and judged again."""

import json
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from told_runs import FAULTY, REFERENCE, Told, call, store

from plexwire_conformance.commands.judge import judge_transcripts
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.recording.transcript import Transcript, read_transcripts
from plexwire_conformance.report.stored_runs import parse_run
from plexwire_conformance.run.events import CaseFinished
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.monitor import monitor


def bare(result: CaseResult) -> CaseResult:
    """Return *result* as a file keeps it: times to the microsecond, no bodies of messages, nothing for the runner only."""
    return evolve(
        result,
        seconds=round(result.seconds, 3),
        hinges_on=(),
        findings=tuple(
            evolve(
                finding,
                expected=json.loads(json.dumps(finding.expected)),
                observed=json.loads(json.dumps(finding.observed)),
                after_loss=False,
                at=None if finding.at is None else round(finding.at, 6),
                timeline=tuple(
                    evolve(entry, at=round(entry.at, 6), body=None) for entry in finding.timeline
                ),
            )
            for finding in result.findings
        ),
    )


# ── read back ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("told", [FAULTY, REFERENCE], ids=["faulty", "reference"])
def test_stored_run_is_read_back_as_it_was(told: Told) -> None:
    stored = parse_run(told.run, "run")
    assert stored.results == tuple(map(bare, told.finished.results))
    assert stored.seconds == round(told.finished.seconds, 3)
    assert (stored.about.url, f"{stored.about.began:%Y-%m-%d}") == ("memory:", "2025-06-15")


def test_stored_run_of_a_faulty_gateway_has_what_this_module_relies_on() -> None:
    broken = {finding.clause for result in FAULTY.finished.results for finding in result.findings}
    assert {"PW-AUTH-4", "PW-FRAME-3"} <= broken
    assert parse_run(REFERENCE.run, "run").summary.exit_code == 0


def validate(schema_name: str, text: str) -> None:
    schema = json.loads(
        files("plexwire_conformance.report").joinpath(schema_name).read_text("utf-8")
    )
    Draft202012Validator.check_schema(schema)
    for line in text.splitlines():
        kind = json.loads(line)["type"]
        Draft202012Validator({**schema, "oneOf": [{"$ref": f"#/$defs/{kind}"}]}).validate(
            json.loads(line)
        )


@pytest.mark.parametrize("told", [FAULTY, REFERENCE], ids=["faulty", "reference"])
def test_schemas_fit_every_line_that_is_written(told: Told) -> None:
    validate("run.schema.json", told.run)
    validate("transcripts.schema.json", told.transcripts)


# ── refused ──────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_file_that_is_cut_anywhere_is_refused(data: st.DataObject) -> None:
    for text, read in ((FAULTY.run, parse_run), (FAULTY.transcripts, read_transcripts)):
        # The last newline is no loss.
        cut = data.draw(st.integers(0, len(text) - 2))
        with pytest.raises(BadFile):
            read(text[:cut], "cut")


def changed(text: str, place: int, **members: object) -> str:
    lines = [json.loads(line) for line in text.splitlines()]
    lines[place] |= members
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def footer(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


RUN, SAID = FAULTY.run, FAULTY.transcripts
LINES = RUN.splitlines(keepends=True)
COUNTS = footer(RUN)["cases"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is empty: nothing was written to it"),
        ("\n\n", "it is empty: nothing was written to it"),
        ("{\n", "it, line 1 can't be read: it is no JSON"),
        ("[]\n", "it, line 1 is no JSON object"),
        ('{"a": 1}\n', "it does not begin with a header: no file of plexwire conform"),
        (LINES[-1], "it does not begin with a header: no file of plexwire conform"),
        (
            SAID,
            "it holds transcripts, not the verdicts of a run, which plexwire conform --report writes",
        ),
        (
            changed(RUN, 0, format=3, plexwire="9.0"),
            "it has format 3, this plexwire reads 2: use the version that wrote it (9.0)",
        ),
        (
            changed(RUN, 0, format=1, plexwire="0.1.0"),
            "it has format 1, this plexwire reads 2: use the version that wrote it (0.1.0)",
        ),
        ("".join(LINES[:-1]), "it is truncated: it has no footer, so its run was not over"),
        (LINES[0], "it is truncated: it has no footer, so its run was not over"),
        (RUN[:-20], f"it, line {len(LINES)} can't be read: it is truncated"),
        (RUN + LINES[-1], f"it, line {len(LINES)} is no result: the file was altered"),
        ("".join((*LINES[:2], *LINES[3:])), "it is damaged: it has no result of "),
        ("".join((*LINES[:2], *LINES[1:])), "it is damaged: it has 2 results of control"),
        (
            changed(RUN, -1, cases={**COUNTS, "fail": COUNTS["fail"] + 1}),
            f"it is damaged: its footer counts {COUNTS['fail'] + 1} fail, its lines are {COUNTS['fail']}",
        ),
        (changed(RUN, -1, cases=7), f"it, line {len(LINES)}: 'cases' must be an object"),
        (changed(RUN, 0, began="yesterday"), "it, line 1: 'began' must be a date and a time"),
        (changed(RUN, 0, began="2030-01-01"), "it, line 1: 'began' must say in which time zone"),
        (changed(RUN, 0, url=None), "it, line 1: 'url' must be a string"),
        (changed(RUN, 0, cases=["control"]), "it is damaged: its header does not name"),
        (changed(RUN, 1, verdict="good"), "it, line 2: 'verdict' must be one of fail, error"),
        (changed(RUN, 1, verdict="fail"), "it, line 2: its verdict is fail, and its findings say"),
        (
            changed(RUN, 1, clauses=["PW-NEW-1"]),
            "it, line 2 cites PW-NEW-1, which this version does not know; use plexwire ",
        ),
        (
            changed(RUN, 1, judged=["PW-NEW-1"]),
            "it, line 2 cites PW-NEW-1, which this version does not know; use plexwire ",
        ),
        (changed(RUN, 1, trouble="sorrow"), "it, line 2: 'trouble' must be one of "),
        (changed(RUN, 1, seconds=float("nan")), "it, line 2: 'seconds' must be a number"),
        (changed(RUN, 1, seconds=10**400), "it, line 2: 'seconds' must be a number"),
    ],
    ids=count(),  # the texts hold moments, which differ from process to process
)
def test_file_that_is_no_whole_run_is_refused_with_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadFile) as caught:
        parse_run(text, "it")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_file_whose_clause_had_another_level_names_the_version_to_read_it_with() -> None:
    place, line = next(
        (n, json.loads(text))
        for n, text in enumerate(LINES)
        if '"clause":"PW-AUTH-4","level"' in text
    )
    line["findings"][0]["level"] = "SHOULD"
    with pytest.raises(BadFile, match="PW-AUTH-4 was SHOULD then and is MUST now; use plexwire"):
        parse_run(changed(RUN, place, **line), "it")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    match value:
        case dict():
            for name, inner in value.items():
                yield from places(inner, (*path, name))
        case list():
            for number, inner in enumerate(value[:3]):
                yield from places(inner, (*path, number))
        case _:
            pass


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(("run", "transcripts")), st.data())
def test_file_with_anything_in_any_place_is_read_or_refused_and_nothing_else(
    which: str, data: st.DataObject
) -> None:
    lines = [json.loads(line) for line in (RUN if which == "run" else SAID).splitlines()[:3]]
    number = data.draw(st.integers(0, 2))
    path = data.draw(st.sampled_from(list(places(lines[number]))[1:]))
    inner = lines[number]
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = data.draw(JUNK)
    last = footer(RUN) if which == "run" else {"type": "footer", "transcripts": 2}
    text = "".join(f"{json.dumps(line)}\n" for line in (*lines, last))
    with suppress(BadFile):
        if which == "run":
            parse_run(text, "it")
        else:
            judge_transcripts(read_transcripts(text, "it"))


# ── judged again ─────────────────────────────────────────────────────────────────────────────


def live(told: Told) -> list[Transcript]:
    return [
        transcript
        for event in told.events
        if isinstance(event, CaseFinished)
        for transcript in event.transcripts
    ]


@pytest.mark.parametrize("told", [FAULTY, REFERENCE], ids=["faulty", "reference"])
def test_transcripts_are_judged_offline_as_the_monitor_judged_them_live(told: Told) -> None:
    stored = read_transcripts(told.transcripts, "it")
    originals = live(told)
    assert [t.name for t in stored] == [t.name for t in originals]
    assert "scripts.relay, script 1" in [t.name for t in stored]
    for result, original in zip(judge_transcripts(stored), originals, strict=True):
        seen = [f for f in monitor(original.conversations) if f.clause not in original.excused]
        assert [(f.check, f.expected, f.observed, f.path) for f in result.findings] == [
            (f.check, f.expected, f.observed, f.path) for f in seen
        ]


def test_transcripts_keep_quiet_about_what_their_case_is_to_blame_for() -> None:
    (accused, *_) = [t for t in live(FAULTY) if monitor(t.conversations)]
    clauses = {finding.clause for finding in monitor(accused.conversations)}
    (result,) = judge_transcripts([evolve(accused, excused=tuple(clauses))])
    assert result.verdict is Verdict.PASS


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return store(tmp_path)


@pytest.mark.parametrize(
    ("name", "exit_code", "words"),
    [
        ("reference.said", 0, "conversations: nothing broken."),
        ("faulty.said", 1, "1 documented promise broken."),
        ("cut.said", 2, "it is truncated"),
        ("reference.ndjson", 2, "not transcripts, which plexwire conform --transcripts writes"),
        ("absent", 2, "can't read"),
    ],
)
def test_judge_is_given_a_file_and_says_what_it_holds(
    stored: Path, name: str, exit_code: int, words: str
) -> None:
    code, said = call("judge", stored / name)
    assert code == exit_code
    assert words in " ".join(said.split())
