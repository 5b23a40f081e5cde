"""The runner, in virtual time, against gateways of a few lines each: no verdict is lost, nothing hangs, nothing stays open."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_bench import (
    CONTROL_VIEWERS,
    FAREWELL,
    KEYS,
    ONLINE_CAMERA,
    Dialled,
    Handler,
    a_case,
    answers,
    bad_key,
    closes_at_once,
    never_answers,
    no_access,
    ran,
    serving,
)

from plexwire_conformance.cases import Case, Need
from plexwire_conformance.commands.selftest import examine
from plexwire_conformance.faults import FAULTS
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.events import CaseFinished, RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import Trouble, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.run.stage import Inconclusive, Stage, Untestable
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.target.target import Endpoint, Target
from plexwire_conformance.wire.peer import HandshakeFailed, NoConnection

# ── cases of a few lines ─────────────────────────────────────────────────────────────────────


async def passes(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer(stage.source())


async def hangs(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer(stage.source())
    await trio.sleep_forever()


async def raises(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer(stage.source())
    raise RuntimeError("boom")


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────


async def test_runner_tells_of_its_beginning_of_every_case_and_of_its_end_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cases = [a_case(passes, f"test.{number}") for number in range(3)]
    run = await ran(cases)
    kinds = [type(event) for event in run.events]
    assert kinds == [RunStarted, *[CaseFinished] * 4, RunFinished]
    started, finished = run.events[0], run.events[-1]
    assert isinstance(started, RunStarted)
    assert isinstance(finished, RunFinished)
    assert [case.id for case in started.cases] == ["control", "test.0", "test.1", "test.2"]
    assert list(run.results) == ["control", "test.0", "test.1", "test.2"]
    assert {result.verdict for result in finished.results} == {Verdict.PASS}
    told = [event.result for event in run.events if isinstance(event, CaseFinished)]
    assert sorted(told, key=lambda r: r.case) == sorted(finished.results, key=lambda r: r.case)


async def test_runner_has_a_case_that_raises_and_calls_it_an_error_of_the_suite(
    autojump_clock: trio.testing.MockClock,
) -> None:
    run = await ran([a_case(raises, "test.raises"), a_case(passes, "test.passes")])
    result = run.results["test.raises"]
    assert (result.verdict, result.trouble, result.reason) == (
        Verdict.ERROR,
        Trouble.SUITE,
        "an error of the suite: RuntimeError: boom",
    )
    assert result.judged == ()
    assert run.results["test.passes"].verdict is Verdict.PASS


async def test_runner_has_a_case_that_hangs_and_ends_it_within_its_budget(
    autojump_clock: trio.testing.MockClock,
) -> None:
    run = await ran(
        [a_case(hangs, "test.hangs", takes=4), a_case(passes, "test.passes")], case_budget=7
    )
    result = run.results["test.hangs"]
    assert (result.verdict, result.reason) == (Verdict.ERROR, "the case did not end within 11 s")
    assert run.results["test.passes"].verdict is Verdict.PASS
    assert 11 <= run.seconds < 14


GIVES_UP: dict[str, tuple[Exception, Verdict, Trouble]] = {
    "something did not happen": (Inconclusive("no init"), Verdict.ERROR, Trouble.UNCLEAR),
    "a handshake failed": (HandshakeFailed("HTTP 500"), Verdict.ERROR, Trouble.UNCLEAR),
    "there is no room": (NoConnection("no room"), Verdict.ERROR, Trouble.NETWORK),
    "an input is missing": (Untestable("no camera runs"), Verdict.UNTESTABLE, Trouble.NONE),
}


@pytest.mark.parametrize(("error", "verdict", "trouble"), GIVES_UP.values(), ids=list(GIVES_UP))
async def test_runner_has_a_case_that_gives_up_and_says_why(
    error: Exception, verdict: Verdict, trouble: Trouble, autojump_clock: trio.testing.MockClock
) -> None:
    async def gives_up(stage: Stage, trial: Trial) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    result = (await ran([a_case(gives_up)])).results["test.case"]
    assert (result.verdict, result.trouble, result.reason) == (verdict, trouble, str(error))
    assert (result.judged, result.blocked_by) == ((), "")


REFUSED = {"stimulus": "a valid auth", "within": 1.5}
LEFT_OPEN = {"ending": {"how": "open", "connection": "viewer", "after": 1.5}}


async def test_runner_has_a_case_that_found_a_breach_before_it_gave_up_and_calls_it_a_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def finds(stage: Stage, trial: Trial) -> None:
        trial.find("PW-AUTH-2/valid-auth-refused", REFUSED, LEFT_OPEN)
        trial.find("PW-AUTH-2/valid-auth-refused", REFUSED, {"ending": "once more"})
        trial.chose("PW-ADDR-8/empty-camera", outcome="selects nothing")
        await trio.lowlevel.checkpoint()
        raise Inconclusive("and then it was over")

    result = (await ran([a_case(finds)])).results["test.case"]
    assert result.verdict is Verdict.FAIL
    assert result.reason == "and then it was over"
    assert [(finding.check, finding.observed) for finding in result.findings] == [
        ("PW-AUTH-2/valid-auth-refused", LEFT_OPEN),
        ("PW-ADDR-8/empty-camera", {"outcome": "selects nothing"}),
    ]
    assert set(result.judged) == {"PW-AUTH-2", "PW-ADDR-8"}


async def test_runner_has_a_case_that_stops_early_and_counts_only_what_it_judged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def stops(stage: Stage, trial: Trial) -> None:
        await trio.lowlevel.checkpoint()
        trial.find_and_stop("PW-AUTH-2/valid-auth-refused", REFUSED, LEFT_OPEN)

    result = (await ran([a_case(stops)])).results["test.case"]
    assert (result.verdict, result.trouble) == (Verdict.FAIL, Trouble.NONE)
    assert result.judged == ("PW-AUTH-2",)


@pytest.mark.parametrize("check", ["PW-AUTH-3/not-closed", "PW-AUTH-2/no-such-check"])
async def test_case_answers_for_checks_of_its_own_clauses_only(
    check: str, autojump_clock: trio.testing.MockClock
) -> None:
    async def oversteps(stage: Stage, trial: Trial) -> None:
        await trio.lowlevel.checkpoint()
        trial.find(check)

    result = (await ran([a_case(oversteps)])).results["test.case"]
    assert (result.verdict, result.trouble) == (Verdict.ERROR, Trouble.SUITE)
    assert result.reason.endswith(f"can't answer for {check}")
    assert not result.findings


async def test_case_is_blocked_by_the_finding_that_explains_why_it_gave_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def finds(stage: Stage, trial: Trial) -> None:
        await trio.sleep(3)
        trial.find("PW-AUTH-2/valid-auth-refused", REFUSED, LEFT_OPEN)

    async def gives_up(stage: Stage, trial: Trial) -> None:
        await trio.lowlevel.checkpoint()
        trial.inconclusive("no init", "PW-INIT-2", "PW-AUTH-2")

    async def gives_up_elsewhere(stage: Stage, trial: Trial) -> None:
        await trio.lowlevel.checkpoint()
        trial.inconclusive("no pong", "PW-CONN-1")

    cases = [
        a_case(gives_up, "test.blocked"),
        a_case(gives_up_elsewhere, "test.unclear"),
        a_case(finds, "test.finds", takes=3),
    ]
    run = await ran(cases)
    blocked, unclear = run.results["test.blocked"], run.results["test.unclear"]
    assert (blocked.verdict, blocked.trouble) == (Verdict.BLOCKED, Trouble.NONE)
    assert (blocked.blocked_by, blocked.reason) == ("PW-AUTH-2/valid-auth-refused", "no init")
    assert (unclear.verdict, unclear.trouble) == (Verdict.ERROR, Trouble.UNCLEAR)
    assert not unclear.blocked_by
    told = [event.result for event in run.events if isinstance(event, CaseFinished)]
    assert sorted(told, key=lambda r: r.case) == sorted(run.results.values(), key=lambda r: r.case)


async def test_case_with_a_finding_under_the_clause_in_its_way_is_not_blocked_by_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def finds(stage: Stage, trial: Trial) -> None:
        trial.find("PW-AUTH-2/valid-auth-refused", REFUSED, LEFT_OPEN)
        await trio.lowlevel.checkpoint()
        trial.inconclusive("no init", "PW-AUTH-2")

    result = (await ran([a_case(finds)])).results["test.case"]
    assert (result.verdict, result.blocked_by) == (Verdict.FAIL, "")


async def _speaks_twice(stage: Stage, trial: Trial) -> None:
    """Have `polite` answer two auths, by two inits."""
    viewer = await stage.open_viewer(stage.source())
    await viewer.authenticate("plx_0123456789abcdef")
    await viewer.await_init(1)


async def test_case_finds_what_the_monitor_saw_under_its_clauses_unless_it_is_excused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def excuses(stage: Stage, trial: Trial) -> None:
        trial.excuse("PW-INIT-1")
        await _speaks_twice(stage, trial)

    run = await ran([a_case(_speaks_twice, "test.two"), a_case(excuses, "test.excused")])
    (finding,) = run.results["test.two"].findings
    assert finding.check == "PW-INIT-1/second-init"
    assert run.results["test.two"].verdict is Verdict.FAIL
    assert run.results["test.excused"].verdict is Verdict.PASS
    assert not [case for case in run.results if case.startswith("observed.")]


async def test_observation_is_reported_once_per_clause_and_changes_no_verdict(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def elsewhere(name: str) -> Case:
        return evolve(a_case(_speaks_twice, name), clauses=("PW-AUTH-2",))

    run = await ran([elsewhere("test.one"), elsewhere("test.two"), elsewhere("test.three")])
    assert list(run.results) == [
        "control",
        "test.one",
        "test.two",
        "test.three",
        "observed.PW-INIT-1",
    ]
    for name in ("test.one", "test.two", "test.three"):
        assert (run.results[name].verdict, run.results[name].findings) == (Verdict.PASS, ())
    observed = run.results["observed.PW-INIT-1"]
    assert (observed.verdict, observed.judged) == (Verdict.FAIL, ("PW-INIT-1",))
    (finding,) = observed.findings
    assert (finding.check, finding.connections) == ("PW-INIT-1/second-init", 3)
    told = [event.result for event in run.events if isinstance(event, CaseFinished)]
    assert [result for result in told if result.is_observation] == [observed]


async def test_runner_lacks_keys_and_says_which_to_provide_and_opens_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    needs = frozenset({Need.FOREIGN_KEY, Need.REVOKED_KEY, Need.PUBLISHER})
    result = (await ran([a_case(raises, needs=needs)])).results["test.case"]
    assert result.verdict is Verdict.UNTESTABLE
    assert result.reason == (
        "provide a key of a second organisation: PLEXWIRE_FOREIGN_KEY "
        "and a revoked key: PLEXWIRE_REVOKED_KEY"
    )


# ── the control ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("handler", "checks", "tries"),
    [
        (closes_at_once, ["PW-ADDR-1/handshake-unanswered"], 4),
        (never_answers, ["PW-ADDR-1/handshake-unanswered"], 1),
        (
            answers(b"SSH-2.0-OpenSSH_9.2\r\n"),
            ["PW-ADDR-1/handshake-unanswered", "PW-CONN-6/bad-frame"],
            1,
        ),
        (
            answers(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            ["PW-CONN-6/bad-handshake-answer"],
            1,
        ),
    ],
)
async def test_control_finds_no_websocket_and_everything_else_is_blocked(
    handler: Handler, checks: list[str], tries: int, autojump_clock: trio.testing.MockClock
) -> None:
    run = await ran([a_case(passes, "test.one"), a_case(raises, "test.two")], handler)
    control = run.results["control"]
    assert control.verdict is Verdict.FAIL
    assert [finding.check for finding in control.findings] == checks
    for name in ("test.one", "test.two"):
        result = run.results[name]
        assert (result.verdict, result.trouble) == (Verdict.BLOCKED, Trouble.NONE)
        assert result.blocked_by in {finding.check for finding in control.findings}
        assert result.judged == ()
    assert run.seconds < 11
    # The online camera and the control; a handshake that is lost is tried again.
    assert run.dialled.total == 2 * tries
    assert isinstance(run.events[0], RunStarted)


@pytest.mark.parametrize(
    "fault",
    ["init.twice", "init.by-source", "init.cameras-as-objects", "init.cameras-with-camera-id"],
)
def test_control_finds_a_breach_that_keeps_nobody_out_and_everything_is_judged(fault: str) -> None:
    outcome = examine(fault)
    assert outcome.good
    assert "init.at-once" in outcome.found_by
    assert f"observed.{FAULTS[fault].clause}" in outcome.found_by


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (answers(b"HTTP/1.1 404 Not Found\r\n\r\nno such page"), "HTTP 404"),
        (answers(b"HTTP/1.1 200 OK\r\n\r\n"), "HTTP 200"),
        (bad_key, "does not accept the key in PLEXWIRE_API_KEY"),
        (no_access, "grants no API access to the key in PLEXWIRE_API_KEY"),
    ],
)
async def test_control_finds_nothing_to_judge_and_says_why(
    handler: Handler, problem: str, autojump_clock: trio.testing.MockClock
) -> None:
    dialled = Dialled()
    told: list[RunEvent] = []
    began = trio.current_time()
    async with serving(handler, dialled) as target:
        with pytest.raises(CouldNotJudge, match=problem):
            await Runner(target, Settings(nonce="n", unix_ms=0)).run([], told.append)
    assert trio.current_time() - began < 0.5
    assert not dialled.open
    assert not told


async def test_control_finds_that_nothing_listens_and_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def refuse(narrow: bool) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(111, "Connection refused")

    endpoint = Endpoint(url="ws://nobody", host_header="nobody", path="", dial=refuse)
    target = Target(viewers=endpoint, devices=endpoint, keys=KEYS)
    with pytest.raises(CouldNotJudge, match=r"ws://nobody: no connection: .*Is the gateway up\?"):
        await Runner(target, Settings(nonce="n", unix_ms=0)).run([], lambda _: None)


# ── capacity and order ───────────────────────────────────────────────────────────────────────


def opens(count: int, seconds: float) -> Callable[[Stage, Trial], Awaitable[None]]:
    async def body(stage: Stage, trial: Trial) -> None:
        for _ in range(count):
            await stage.connect_viewer(stage.source())
        await trio.sleep(seconds)

    return body


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from((0.0, 0.5, 3.0)), st.booleans())),
    st.integers(8 + ONLINE_CAMERA, 12),
)
def test_runner_never_opens_more_than_it_may_and_runs_every_case(
    wanted: list[tuple[int, float, bool]], most: int
) -> None:
    def body(count: int, seconds: float, fails: bool) -> Callable[[Stage, Trial], Awaitable[None]]:
        async def run_then_fail(stage: Stage, trial: Trial) -> None:
            await opens(count, seconds)(stage, trial)
            if fails:
                raise RuntimeError("boom")

        return run_then_fail

    cases = [
        a_case(body(*about), f"test.{number}", takes=about[1], connections=about[0])
        for number, about in enumerate(wanted)
    ]

    clock = trio.testing.MockClock(autojump_threshold=0)
    run = trio.run(partial(ran, cases, max_connections=most), clock=clock)
    assert run.dialled.most <= most
    assert list(run.results) == ["control", *(case.id for case in cases)]
    cases_opened = sum(count for count, _, _ in wanted)
    assert run.dialled.total == ONLINE_CAMERA + CONTROL_VIEWERS + FAREWELL + cases_opened
    for case, (_, _, fails) in zip(cases, wanted, strict=True):
        assert run.results[case.id].verdict is (Verdict.ERROR if fails else Verdict.PASS)


async def test_runner_gives_a_case_fewer_connections_than_it_likes_where_those_will_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    had = []

    async def body(stage: Stage, trial: Trial) -> None:
        had.append(stage.connections)

    thrifty = evolve(a_case(body, "test.thrifty", connections=20), least=5)
    run = await ran([thrifty], max_connections=10)
    assert run.results["test.thrifty"].verdict is Verdict.PASS
    assert had == [9]


async def test_runner_has_a_case_that_needs_more_than_it_may_open_and_calls_it_untestable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cases = [a_case(passes, "test.many", connections=8), a_case(passes, "test.one")]
    with trio.fail_after(60):
        run = await ran(cases, max_connections=8)
    result = run.results["test.many"]
    assert result.verdict is Verdict.UNTESTABLE
    assert result.reason == "allow the run 9 connections at once"
    assert run.results["test.one"].verdict is Verdict.PASS


async def test_runner_starts_the_longest_cases_first_and_gives_results_in_the_order_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    started: list[str] = []

    async def note(stage: Stage, trial: Trial) -> None:
        started.append(stage.case_id)
        await trio.sleep(1)

    takes = {"test.a": 0.0, "test.b": 10.0, "test.c": 3.0, "test.d": 10.0, "test.e": 0.0}
    cases = [a_case(note, name, takes=seconds) for name, seconds in takes.items()]
    run = await ran(cases, max_connections=1 + ONLINE_CAMERA)
    assert started == ["test.b", "test.d", "test.c", "test.a", "test.e"]
    assert list(run.results) == ["control", *takes]


async def test_runner_overlaps_all_waits(autojump_clock: trio.testing.MockClock) -> None:
    cases = [a_case(opens(1, 10.0), f"test.{number}", takes=10.0) for number in range(20)]
    run = await ran(cases)
    assert 10 <= run.seconds < 11
