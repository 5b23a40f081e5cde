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
    assert finding.clause == "PW-FRAME-6"
    assert finding.actual.endswith("— after 1 steps: 1. viewer 0 watches front of device 0")
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
    assert outcome.reason.endswith("was not authenticated")


async def test_case_is_played_again_and_judged_by_the_clauses_that_it_broke(
    autojump_clock: trio.testing.MockClock,
) -> None:
    items = [
        Item(case=CASES["auth.never"], broken=frozenset({"PW-AUTH-4"})),
        Item(case=CASES["auth.key-revoked"], broken=frozenset({"PW-AUTH-8"})),
        Item(case=CASES["frames.relayed"], broken=frozenset({"PW-FRAME-9"})),
        Item(case=CONTROL, broken=frozenset({"PW-AUTH-2"})),
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


@pytest.mark.parametrize(
    ("broken", "verdict", "found", "fate"),
    [
        (("PW-AUTH-3",), Verdict.PASS, (), Fate.FIXED),
        (("PW-AUTH-3",), Verdict.FAIL, ("PW-AUTH-3",), Fate.STILL_FAILS),
        (("PW-AUTH-3",), Verdict.FAIL, ("PW-CLOSE-1",), Fate.STILL_FAILS),
        (("PW-AUTH-3",), Verdict.WARN, ("PW-AUTH-11",), Fate.FIXED),
        ((), Verdict.WARN, ("PW-AUTH-11",), Fate.STILL_FAILS),
        (("PW-AUTH-11",), Verdict.WARN, ("PW-AUTH-11",), Fate.STILL_FAILS),
        (("PW-AUTH-3",), Verdict.INFO, ("PW-AUTH-12",), Fate.FIXED),
        (("PW-AUTH-3",), Verdict.ERROR, (), Fate.ERROR),
        (("PW-AUTH-3",), Verdict.UNTESTABLE, (), Fate.ERROR),
    ],
)
def test_outcome_is_fixed_only_where_nothing_is_broken_any_more(
    broken: tuple[str, ...], verdict: Verdict, found: tuple[str, ...], fate: Fate
) -> None:
    item = Item(case=CASES["auth.never"], broken=frozenset(broken))
    findings = tuple(Finding(clause=clause, expected="", actual="that") for clause in found)
    result = CaseResult(
        case="auth.never", title="x", clauses=(), verdict=verdict, findings=findings
    )
    assert outcome_of(item, result).fate is fate


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


def found(clause: str, replay: str = "") -> Finding:
    return Finding(clause=clause, expected="this", actual="that", replay=replay)


def test_stored_run_gives_what_failed_and_what_could_not_be_judged_for_an_error() -> None:
    other = write_token("scripts.relay", (("watch", 1, 0, ("rear",)),))
    run = stored(
        result("control", found("PW-AUTH-2")),
        result("auth.late"),
        result("auth.never", found("PW-AUTH-3"), found("PW-AUTH-4"), found("PW-AUTH-12")),
        result("auth.extra-members", found("PW-AUTH-11")),
        result("dev.acks", verdict=Verdict.ERROR),
        result("dev.origin", verdict=Verdict.UNTESTABLE),
        result("scripts.relay", found("PW-FRAME-6", TOKEN), found("PW-FRAME-5", other)),
    )
    assert [(item.case.id, set(item.broken)) for item in items_of_run(run)] == [
        ("control", {"PW-AUTH-2"}),
        ("auth.never", {"PW-AUTH-3", "PW-AUTH-4"}),
        ("dev.acks", set()),
        ("scripts.relay", {"PW-FRAME-6"}),
        ("scripts.relay-2", {"PW-FRAME-5"}),
    ]


def test_stored_run_has_a_case_that_is_not_known_here_and_says_who_knew_it() -> None:
    run = stored(result("auth.future", found("PW-AUTH-2")))
    with pytest.raises(
        UnknownItem, match=r"it has the case 'auth.future', which plexwire 9.9 knew"
    ):
        items_of_run(run)


def test_word_is_a_case_or_a_token() -> None:
    assert [item.case.id for item in items_of("auth.never")] == ["auth.never"]
    assert [item.case.id for item in items_of(TOKEN)] == ["scripts.relay"]
    with pytest.raises(UnknownItem, match=r"'nonsense' is no file, no case .*, and no token"):
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
