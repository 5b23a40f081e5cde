"""The suite accuses nobody wrongly: gateways that share no code with ours, near and far, whatever they chose.

Each gateway in `gateways/` was written from the specification's text alone.  One run of `plexwire conform` is made of
each, in overlap; the tests below read what came out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import field, frozen

from plexwire_spec import Level, clauses

GATEWAYS: Final = Path(__file__).with_name("gateways")
KEYS: Final = {
    "PLEXWIRE_API_KEY": "plx_independent_home",
    "PLEXWIRE_FOREIGN_KEY": "plx_independent_foreign",
    "PLEXWIRE_NO_ACCESS_KEY": "plx_independent_no_access",
    "PLEXWIRE_REVOKED_KEY": "plx_independent_revoked",
}

#: Runs at once, and seconds that one may take: most of that is waiting.
#: Each run keeps a judge and a gateway busy, on machines of two cores.
AT_ONCE: Final = 2
LONGEST: Final = 150
#: How many connections the gateway with little room is given, and has room for.
ALLOWED, ROOM = 16, 20


#: Cases that need keys which these gateways do not have.
NOT_GIVEN: Final = {
    "keys.other": "PLEXWIRE_OTHER_KEY",
    "keys.read-only-device": "PLEXWIRE_READ_KEY",
}


@frozen(kw_only=True)
class Run:
    """One run: which gateway, how it chooses, over which link, and with which options of ours."""

    gateway: str
    choices: str
    link: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()
    #: Cases that can't be judged there, with a word of why; none else may be.
    untestable: Mapping[str, str] = field(factory=lambda: dict(NOT_GIVEN))


_FAR: Final = ("--max-connections", "200")

#: The runs, those that take longest first, each with what it proves beyond the others.
RUNS: Final = {
    # 150 ms ± 100 ms each way, in segments of 700 bytes, refusing whatever may be refused.
    "picky-and-far": Run(
        gateway="on_aiohttp", choices="picky", link=("--segment", "700"), options=_FAR
    ),
    # The same way, to a gateway that spells everything oddly: fragments, escapes, fractions, white space, and pings into
    # every pause.
    "odd-and-far": Run(
        gateway="on_websockets", choices="odd", link=("--segment", "1400"), options=_FAR
    ),
    # Keys take 0.4 s and devices 1.8 s to be checked, and everything is let in that may be.
    "lenient": Run(gateway="on_aiohttp", choices="lenient", options=_FAR),
    # Whatever may be refused or closed is, and streams end by themselves.
    "picky": Run(gateway="on_aiohttp", choices="picky"),
    # What is mere advice is not followed: that is said, and conforms.
    "against-advice": Run(gateway="on_aiohttp", choices="against-advice"),
    # As the specification decided: the text alone suffices to build it.
    "decided": Run(gateway="on_aiohttp", choices="decided"),
    # As short as it gets, on another library.
    "plain": Run(gateway="on_websockets", choices="plain"),
    # Room for few connections, and the suite was told so.
    "crowded": Run(
        gateway="on_aiohttp",
        choices="crowded",
        options=(
            *("--max-connections", str(ALLOWED)),
            *("--only", "frames", "--only", "iso", "--only", "init", "--only", "rob"),
        ),
    ),
}

#: The advice that one of them does not follow, all of it decisions of the specification alone.
ADVICE: Final = {"PW-ADDR-10", "PW-ADDR-13", "PW-ISO-6"}


@frozen(kw_only=True)
class Outcome:
    """What came out of one run."""

    exit_code: int
    said: str
    results: tuple[Mapping[str, Any], ...]
    #: What the gateway wrote at its end, and what it complained of.
    last_words: str
    complaints: str

    def accusations(self) -> list[str]:
        """Return what the gateway is accused of, or the suite failed at, for people."""
        return [
            f"{result['case']} {result['verdict']} {result.get('reason', '')} {result['findings']}"
            for result in self.results
            if result["verdict"] in ("fail", "warn", "error")
        ]

    def clauses_at(self, verdict: str) -> set[str]:
        """Return the clauses with a finding in results of this verdict, the dialect left out."""
        return {
            finding["clause"]
            for result in self.results
            for finding in result["findings"]
            if result["verdict"] == verdict and clauses()[finding["clause"]].level is not Level.OPEN
        }

    def chosen(self) -> dict[str, str]:
        """Return what the gateway chose, by clause."""
        return {
            finding["clause"]: finding["sentences"]["observed"]
            for result in self.results
            for finding in result["findings"]
            if clauses()[finding["clause"]].level is Level.OPEN
        }


def _start(stack: ExitStack, program: str, *arguments: str, errors: Path) -> tuple[Any, str]:
    """Start one of the programs; return its process and the port that it prints first."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, str(GATEWAYS / f"{program}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(errors.open("w")),
            text=True,
        )
    )
    stack.callback(process.kill)
    if process.stdout is None:
        raise AssertionError("no standard output, though a pipe was asked for")
    return process, process.stdout.readline().strip()


def judge(run: Run, folder: Path) -> Outcome:
    """Run `plexwire conform` against the gateway of *run*."""
    report, complaints = folder / "report.ndjson", folder / "gateway.txt"
    with ExitStack() as stack:
        gateway, port = _start(stack, run.gateway, "--choices", run.choices, errors=complaints)
        if run.link is not None:
            _, port = _start(stack, "slow_link", port, *run.link, errors=folder / "link.txt")
        command = [sys.executable, "-m", "plexwire_conformance.cli", "conform", "--quiet"]
        finished = subprocess.run(
            [*command, f"ws://127.0.0.1:{port}", "--report", str(report), *run.options],
            env={**os.environ, **KEYS},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        gateway.stdin.close()
        last_words = gateway.stdout.read()
        gateway.wait(10)
    lines = report.read_text("utf-8").splitlines() if report.exists() else []
    return Outcome(
        exit_code=finished.returncode,
        said=finished.stdout + finished.stderr,
        results=tuple(line for line in map(json.loads, lines) if "case" in line),
        last_words=last_words,
        complaints=complaints.read_text("utf-8"),
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Outcome]]]:
    """All runs, in overlap; each is waited for by whoever asks first."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(judge, run, tmp_path_factory.mktemp(name))
            for name, run in RUNS.items()
        }


@pytest.mark.parametrize("name", [name for name in RUNS if name != "against-advice"])
def test_suite_judges_a_sound_gateway_and_accuses_it_of_nothing(
    name: str, outcomes: Mapping[str, Future[Outcome]]
) -> None:
    outcome = outcomes[name].result()
    assert outcome.accusations() == [], outcome.said[-3000:]
    assert outcome.exit_code == 0, outcome.said[-3000:]
    assert len(outcome.results) > 20


def test_suite_judges_a_gateway_that_takes_no_advice_and_says_so_and_calls_it_conformant(
    outcomes: Mapping[str, Future[Outcome]],
) -> None:
    outcome = outcomes["against-advice"].result()
    assert outcome.clauses_at("warn") == ADVICE
    assert outcome.clauses_at("fail") == outcome.clauses_at("error") == set()
    assert outcome.exit_code == 0, outcome.said[-3000:]


@pytest.mark.parametrize("name", RUNS)
def test_suite_leaves_nothing_unjudged_but_what_is_explained(
    name: str, outcomes: Mapping[str, Future[Outcome]]
) -> None:
    unjudged = {
        result["case"]: result["reason"]
        for result in outcomes[name].result().results
        if result["verdict"] == "untestable"
    }
    explained = RUNS[name].untestable
    unexplained = {
        case: reason for case, reason in unjudged.items() if explained.get(case, "\0") not in reason
    }
    assert unexplained == {}


@pytest.mark.parametrize("name", RUNS)
def test_gateway_was_sound_itself_and_had_no_trouble(
    name: str, outcomes: Mapping[str, Future[Outcome]]
) -> None:
    assert outcomes[name].result().complaints == ""


def test_suite_was_allowed_few_connections_and_opened_no_more(
    outcomes: Mapping[str, Future[Outcome]],
) -> None:
    most = json.loads(outcomes["crowded"].result().last_words)["connections"]
    assert ALLOWED // 2 < most <= ALLOWED


#: OPEN clauses on which a case reports, and on which nobody here chooses otherwise: test_open_choices has gateways that do
#: for the first two, and the published system does for the others.
_WITHOUT_ALTERNATIVE: Final = {"PW-AUTH-19", "PW-FLOW-5", "PW-DEV-24", "PW-LIM-11"}


def test_gateways_choose_otherwise_wherever_a_clause_is_open(
    outcomes: Mapping[str, Future[Outcome]],
) -> None:
    chosen = [outcomes[name].result().chosen() for name in RUNS if name != "crowded"]
    reported = set.union(*map(set, chosen))
    alike = {name for name in reported if len({one.get(name) for one in chosen}) == 1}
    assert alike == _WITHOUT_ALTERNATIVE
