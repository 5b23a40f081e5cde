"""What lines and commands say, alike in every report."""

import json
from datetime import UTC, datetime

import pytest
from attrs import evolve

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.report.github import annotations
from plexwire_conformance.report.markdown import render
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.summary import Summary
from plexwire_conformance.report.wording import replay_command, say, say_late
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.tolerances import Tolerances

# ── a line of a timeline ─────────────────────────────────────────────────────────────────────


def entry(text: str) -> Entry:
    return Entry(at=0.0, peer="viewer", way=Way.RECEIVED, kind=Kind.TEXT, text=text)


FRAME = {
    "type": "video_frame",
    "source_id": "robot-01",
    "camera_id": 'front \u2014 "left"',
    "frame": "<218 bytes 22fa3136>",
    "width": 640,
    "height": 480,
    "timestamp": 1750000000380,
}


def test_line_of_a_frame_begins_with_what_tells_it_from_others() -> None:
    assert say(entry(json.dumps(FRAME, ensure_ascii=False))) == (
        'video_frame "front \u2014 \\"left\\"" 1750000000380 640×480 <218 bytes 22fa3136> of "robot-01"'
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"width": True},
        {"timestamp": 1.5},
        {"camera_id": None},
        {"frame": "/9j/"},
        {"video_type": "thermal"},
        {"type": "video_frames"},
    ],
)
def test_line_of_a_frame_that_is_odd_shows_it_as_it_came(odd: dict[str, object]) -> None:
    text = json.dumps({**FRAME, **odd})
    assert say(entry(text), whole=True) == text
    torn = json.dumps(FRAME)[:-1]
    assert say(entry(torn), whole=True) == torn


# ── the command that plays it again ──────────────────────────────────────────────────────────

ABOUT = About(
    url="ws://gateway.test",
    device_url="ws://gateway.test",
    began=datetime(2025, 6, 15, tzinfo=UTC),
    tolerances=Tolerances(),
    cases=(),
)


def test_command_to_play_again_names_the_whole_target() -> None:
    assert ABOUT.place == "--url ws://gateway.test"
    watching = evolve(ABOUT, live="robot-01/left front").place
    assert watching == "--url ws://gateway.test --live 'robot-01/left front'"
    other = evolve(ABOUT, device_url="ws://devices.test:81", source_id="team 7").place
    assert other == "--url ws://gateway.test --device-url ws://devices.test:81 --source-id 'team 7'"
    finding = Finding(check="PW-AUTH-3/not-closed")
    command = replay_command(finding, "auth.never", other)
    assert command == f"plexwire replay auth.never {other}"
    # No case answers for what the monitor saw.
    observed = replay_command(Finding(check="PW-INIT-4/no-list"), "observed.PW-INIT-4", other)
    assert observed == f"plexwire replay PW-INIT-4 {other}"


# ── the sentence on top ──────────────────────────────────────────────────────────────────────


def result(case: str, verdict: Verdict, reason: str = "", *findings: Finding) -> CaseResult:
    return CaseResult(
        case=case, title="", clauses=(), verdict=verdict, findings=findings, reason=reason
    )


LATE = Finding(
    check="PW-INIT-2/init-late", expected={"within": 1.5}, observed={"after": 4.0}, margin_ms=2500
)
STRICT = Finding(
    check="PW-AUTH-11/unknown-member-refused",
    observed={"ending": {"how": "tcp-reset", "connection": "viewer", "after": None}},
)


@pytest.mark.parametrize(
    ("results", "advice"),
    [
        ((result("auth.never", Verdict.PASS),), ""),
        (
            (
                result("auth.extra", Verdict.WARN, "", STRICT),
                result("init.late", Verdict.FAIL, "", LATE),
            ),
            "Begin with PW-INIT-2/init-late: The gateway sent init 4 s after the auth. "
            "Expected: The gateway sends init within 1.5 s of the auth.",
        ),
        (
            (
                result("auth.extra", Verdict.WARN, "", STRICT),
                result("a", Verdict.UNTESTABLE, "provide a key"),
                result("b", Verdict.UNTESTABLE, "provide a key"),
                result("c", Verdict.UNTESTABLE, "provide a device"),
                result("d", Verdict.ERROR, "no network"),
            ),
            "Not followed: PW-AUTH-11/unknown-member-refused: "
            "The gateway reset the TCP connection of the viewer. "
            "Expected: The gateway accepts a valid auth that has members it does not know. "
            "1 case ended without a verdict: no network. "
            "3 cases lack an input: provide a key, and 1 other reason.",
        ),
    ],
)
def test_advice_says_what_is_wrong_first_and_what_was_not_judged_and_why(
    results: tuple[CaseResult, ...], advice: str
) -> None:
    assert Summary(results).advice == advice


def test_annotations_say_an_error_of_many_cases_once() -> None:
    results = tuple(result(f"auth.{n}", Verdict.ERROR, "no network") for n in range(9))
    _, *lines = annotations(RunFinished(results=results, seconds=1.0), "ws://x")
    (line,) = lines
    assert line.startswith("::error title=auth.0%2C auth.1")
    assert line.endswith(" and 3 more::no network")


@pytest.mark.parametrize(("late", "told"), [(0.0, False), (0.9, False), (4.61, True)])
def test_report_tells_of_a_judge_that_was_late_and_of_no_other(late: float, told: bool) -> None:
    words = "the suite's own scheduling delay was 4.6 s in all"
    assert (words in say_late(late)) is told
    assert (words in render(ABOUT, RunFinished(results=(), seconds=20.0, late=late))) is told
