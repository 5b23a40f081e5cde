"""What failed once is played again: fixed, still failing, or not to be told."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio.testing
from attrs import evolve
from click.testing import CliRunner

from plexwire_conformance.cases import CASES
from plexwire_conformance.cli import main
from plexwire_conformance.commands.replay import (
    Fate,
    Item,
    Outcome,
    UnknownItem,
    case_of_token,
    items_of,
    items_of_run,
    outcome_of,
    replay_items,
)
from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.stored_runs import StoredRun
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict, worst
from plexwire_conformance.run.outcomes import observations
from plexwire_conformance.run.runner import Settings
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.scripts import write_token
from plexwire_conformance.scripts.properties import BadToken
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_conformance.target.target import Keys

#: A viewer watches a camera and sees a frame: the shortest script that shows that frames come twice.
TOKEN = write_token("scripts.relay", (("watch", 0, 0, ("front",)),))

TWICE = "frames.twice"
SETTINGS = Settings(nonce="2e91a7", unix_ms=1_750_000_000_000)


async def played(
    gateway: FaultyGateway, *items: Item, keys: Keys | None = None
) -> dict[str, Outcome]:
    async with memory_gateway(gateway, gateway.given) as target:
        target = target if keys is None else evolve(target, keys=keys)
        outcomes = await replay_items(target, items, SETTINGS)
    return {outcome.item.case.id: outcome for outcome in outcomes}


# ── scripts and cases ────────────────────────────────────────────────────────────────────────


async def test_script_is_played_on_the_gateway_that_it_broke_and_still_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outcome = (await played(FAULTS[TWICE].build(), Item(case=case_of_token(TOKEN))))[
        "scripts.relay"
    ]
    assert outcome.fate is Fate.STILL_FAILS
    (finding,) = outcome.findings
    assert finding.check == "PW-FRAME-6/repeated"
    assert finding.steps == ("viewer 0 watches front of device 0",)
    assert finding.shown == (4, 4)
    assert finding.replay == TOKEN
    assert finding.timeline


async def test_script_is_played_on_a_gateway_that_keeps_its_promises_and_is_fixed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outcomes = await played(FaultyGateway(), Item(case=case_of_token(TOKEN)))
    assert outcomes["scripts.relay"].fate is Fate.FIXED


@pytest.mark.parametrize("token", [TOKEN, write_token("scripts.address", ())])
async def test_script_is_played_where_devices_get_no_answer_and_nothing_can_be_told(
    token: str, autojump_clock: trio.testing.MockClock
) -> None:
    outcomes = await played(FAULTS["dev.unanswered"].build(), Item(case=case_of_token(token)))
    (outcome,) = outcomes.values()
    assert outcome.fate is Fate.ERROR
    assert "was not authenticated" in outcome.reason


async def test_case_is_played_again_and_judged_by_the_clauses_that_it_broke(
    autojump_clock: trio.testing.MockClock,
) -> None:
    items = [
        Item(case=CASES["auth.never"], broken=frozenset({"PW-AUTH-4/closed-early"})),
        Item(case=CASES["auth.key-revoked"], broken=frozenset({"PW-AUTH-8/not-closed"})),
        Item(case=CASES["frames.relayed"], broken=frozenset({"PW-FRAME-9/too-few"})),
        Item(case=CONTROL, broken=frozenset({"PW-AUTH-2/valid-auth-refused"})),
    ]
    gateway = FAULTS["auth.deadline-too-short"].build()
    given = gateway.given
    outcomes = await played(
        gateway, *items, keys=Keys(api_key=given.api_key, device_key=given.device_key)
    )
    assert {name: outcome.fate for name, outcome in outcomes.items()} == {
        "auth.never": Fate.STILL_FAILS,
        "auth.key-revoked": Fate.ERROR,
        "frames.relayed": Fate.FIXED,
        "control": Fate.FIXED,
    }
    assert outcomes["auth.key-revoked"].reason == "provide a revoked key: PLEXWIRE_REVOKED_KEY"


NEVER_CLOSED = "PW-AUTH-3/not-closed"
STRICT = "PW-AUTH-11/unknown-member-refused"


@pytest.mark.parametrize(
    ("broken", "verdict", "found", "fate"),
    [
        ((NEVER_CLOSED,), Verdict.PASS, (), Fate.FIXED),
        ((NEVER_CLOSED,), Verdict.FAIL, (NEVER_CLOSED,), Fate.STILL_FAILS),
        ((NEVER_CLOSED,), Verdict.FAIL, ("PW-CLOSE-1/no-close-frame",), Fate.STILL_FAILS),
        ((NEVER_CLOSED,), Verdict.WARN, (STRICT,), Fate.FIXED),
        ((), Verdict.WARN, (STRICT,), Fate.STILL_FAILS),
        ((STRICT,), Verdict.WARN, (STRICT,), Fate.STILL_FAILS),
        ((NEVER_CLOSED,), Verdict.INFO, ("PW-AUTH-12/binary-auth",), Fate.FIXED),
        ((NEVER_CLOSED,), Verdict.ERROR, (), Fate.ERROR),
        ((NEVER_CLOSED,), Verdict.UNTESTABLE, (), Fate.ERROR),
    ],
)
def test_outcome_is_fixed_only_where_nothing_is_broken_any_more(
    broken: tuple[str, ...], verdict: Verdict, found: tuple[str, ...], fate: Fate
) -> None:
    item = Item(case=CASES["auth.never"], broken=frozenset(broken))
    findings = tuple(Finding(check=check) for check in found)
    result = CaseResult(
        case="auth.never", title="x", clauses=(), verdict=verdict, findings=findings
    )
    assert outcome_of(item, result).fate is fate


def test_only_what_failed_can_be_fixed_or_fail_still() -> None:
    interrupted = stored(result("auth.never", verdict=Verdict.ERROR))
    items = [*items_of("auth.never"), *items_of("PW-AUTH-3")[:1], *items_of_run(interrupted)]
    passes = CaseResult(case="auth.never", title="x", clauses=(), verdict=Verdict.PASS)
    assert {outcome_of(item, passes).fate for item in items} == {Fate.PASSES}
    fails = evolve(passes, verdict=Verdict.FAIL, findings=(Finding(check=NEVER_CLOSED),))
    assert {outcome_of(item, fails).fate for item in items} == {Fate.FAILS}


# ── what is played ───────────────────────────────────────────────────────────────────────────


def stored(*results: CaseResult) -> StoredRun:
    about = About(
        url="ws://gateway.test",
        device_url="ws://gateway.test",
        began=datetime(2026, 5, 1, tzinfo=UTC),
        tolerances=Tolerances(),
        cases=tuple(result.case for result in results),
        version="9.9",
    )
    return StoredRun(name="it", about=about, results=results, seconds=1.0)


def result(case: str, *findings: Finding, verdict: Verdict | None = None) -> CaseResult:
    said = worst(finding.verdict for finding in findings)
    return CaseResult(case=case, title="x", clauses=(), verdict=verdict or said, findings=findings)


def found(check: str, replay: str = "") -> Finding:
    return Finding(check=check, replay=replay)


def test_stored_run_gives_what_failed_and_what_could_not_be_judged_for_an_error() -> None:
    other = write_token("scripts.relay", (("watch", 1, 0, ("rear",)),))
    run = stored(
        result("control", found("PW-AUTH-2/valid-auth-refused")),
        result("auth.late"),
        result(
            "auth.never",
            found(NEVER_CLOSED),
            found("PW-AUTH-4/closed-early"),
            found("PW-AUTH-12/binary-auth"),
        ),
        result("auth.extra-members", found(STRICT)),
        result("dev.acks", verdict=Verdict.ERROR),
        result("dev.origin", verdict=Verdict.UNTESTABLE),
        result(
            "scripts.relay",
            found("PW-FRAME-6/repeated", TOKEN),
            found("PW-FRAME-5/out-of-order", other),
        ),
        *observations([found("PW-INIT-4/no-list"), found("PW-FRAME-6/repeated")]),
    )
    assert [(item.case.id, set(item.broken)) for item in items_of_run(run)] == [
        ("control", {"PW-AUTH-2/valid-auth-refused"}),
        ("auth.never", {NEVER_CLOSED, "PW-AUTH-4/closed-early"}),
        ("dev.acks", set()),
        ("scripts.relay", {"PW-FRAME-6/repeated"}),
        ("scripts.relay-2", {"PW-FRAME-5/out-of-order"}),
        # What no case found is played by a case that judges the clause.
        ("init.at-once", {"PW-INIT-4/no-list"}),
    ]


async def test_observation_of_a_stored_run_still_fails_while_the_monitor_sees_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    run = stored(result("auth.late"), *observations([found("PW-INIT-4/cameras-not-strings")]))
    (item,) = items_of_run(run)
    broken = await played(FAULTS["init.cameras-with-camera-id"].build(), item)
    assert broken[item.case.id].fate is Fate.STILL_FAILS
    only_control = await played(
        FAULTS["init.cameras-with-camera-id"].build(), evolve(item, case=CONTROL)
    )
    assert only_control["control"].fate is Fate.STILL_FAILS
    assert (await played(FaultyGateway(), item))[item.case.id].fate is Fate.FIXED


def test_stored_run_has_a_case_that_is_not_known_here_and_says_who_knew_it() -> None:
    run = stored(result("auth.future", found("PW-AUTH-2/valid-auth-refused")))
    with pytest.raises(
        UnknownItem, match=r"it has the case 'auth.future', which plexwire 9.9 knew"
    ):
        items_of_run(run)


def test_word_is_a_case_a_clause_or_a_token() -> None:
    assert "init.at-once" in [item.case.id for item in items_of("PW-INIT-4")]
    assert [item.case.id for item in items_of("PW-RECON-1")] == ["control"]
    assert [item.case.id for item in items_of("auth.never")] == ["auth.never"]
    assert [item.case.id for item in items_of(TOKEN)] == ["scripts.relay"]
    with pytest.raises(
        UnknownItem, match=r"'nonsense' is no file, no case .*, no clause, and no token"
    ):
        items_of("nonsense")


@pytest.mark.parametrize(
    "token",
    [
        *(TOKEN[:end] for end in range(len("scripts.relay:"), len(TOKEN))),
        write_token("scripts.relay", "step"),  # type: ignore[arg-type]
        write_token("scripts.relay", ((),)),
        write_token("scripts.relay", ((1, 2),)),
    ],
)
def test_token_that_was_cut_or_holds_no_script_is_refused(token: str) -> None:
    with pytest.raises(BadToken, match="the token is damaged; copy it whole"):
        items_of(token)


# ── the command ──────────────────────────────────────────────────────────────────────────────


def replay(*arguments: str | Path) -> tuple[int, str]:
    shown = [str(argument) for argument in arguments]
    done = CliRunner().invoke(main, ["replay", *shown], env={"PLEXWIRE_API_KEY": None})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_replay_is_given_a_token_and_plays_it_on_the_reference_gateway() -> None:
    exit_code, said = replay(TOKEN)
    assert exit_code == 0
    assert re.search(r"^FIXED +scripts\.relay", said, re.MULTILINE)
    assert "1 fixed." in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nonsense",), "Error: 'nonsense' is no file, no case"),
        ((TOKEN[:-2],), "Error: the token is damaged; copy it whole"),
        (
            ("scripts.none:abc",),
            "Error: 'scripts.none:abc' is no script's token, which would begin with ",
        ),
        ((TOKEN, "--url", "gateway.test"), "Error: "),
        ((TOKEN, "--url", "ws://gateway.test"), "Error: no key: "),
    ],
)
def test_replay_is_called_wrongly_and_says_so_in_one_line(
    arguments: tuple[str, ...], sentence: str
) -> None:
    exit_code, said = replay(*arguments)
    assert exit_code == 2
    (line,) = said.splitlines()
    assert line.startswith(sentence)


def test_replay_is_given_a_file_that_is_no_run_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.ndjson"
    path.write_text("{", encoding="utf-8")
    assert replay(path) == (2, "Error: cut.ndjson, line 1 can't be read: it is no JSON\n")
