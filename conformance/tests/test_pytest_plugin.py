"""The pytest plugin, in sessions of its own: cases as items, and fixtures for a gateway on aiohttp."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, TypeAlias
from xml.etree import ElementTree

import pytest
import trio
from plugin_bench import closed_port, start

from plexwire_conformance import pytest_plugin
from plexwire_conformance.cases import CASES
from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.pytest_plugin import ROOT, items, peers, runs, verdicts
from plexwire_conformance.pytest_plugin.runs import OBSERVATIONS
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.run import case as case_register
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.target.target import VARIABLES, Keys

pytest_plugins = ("pytester",)

MODULE: Final = pytest_plugin.__name__
# All that the plugin imports late, since pytester forgets whatever its sessions import.
LATE: Final = (items, peers, runs, verdicts)
INSTALLED: Final = any(entry.value == MODULE for entry in entry_points(group="pytest11"))

Play: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture(scope="module")
def thread() -> Iterator[TrioThread]:
    with TrioThread() as thread:
        yield thread


@pytest.fixture(scope="module")
def reference(thread: TrioThread) -> tuple[str, Keys]:
    return start(thread, FaultyGateway())


@pytest.fixture
def play(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run pytest with the plugin, against a URL with these keys."""

    def run(gateway: tuple[str, Keys] | None, *arguments: str) -> pytest.RunResult:
        for variable in VARIABLES.values():
            monkeypatch.delenv(variable, raising=False)
        url: tuple[str, ...] = ()
        if gateway is not None:
            url = (f"--plexwire-url={gateway[0]}",)
            for name, variable in VARIABLES.items():
                if value := getattr(gateway[1], name):
                    monkeypatch.setenv(variable, value)
        # Where it is installed, pytest finds it by itself.
        plugins = () if INSTALLED else (pytest_plugin,)
        return pytester.runpytest_inprocess(*url, *arguments, plugins=plugins)

    return run


# ── cases as items ───────────────────────────────────────────────────────────────────────────


def test_plugin_judges_a_sound_gateway_cases_pass_in_overlap_with_their_own_durations(
    play: Play, pytester: pytest.Pytester, reference: tuple[str, Keys]
) -> None:
    result = play(reference, "-v", "-k", "PW-TIME-2 or conn.ping", "--junitxml=junit.xml")
    watched = len(OBSERVATIONS)
    assert result.ret is pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            f"plexwire: {reference[0]}, {len(CASES)} cases, the control, and {watched} clauses watched *",
            f"*collected {len(CASES) + 1 + watched} items *",
            f"{ROOT}::conn.ping PASSED*",
            f"{ROOT}::time.closes *",
        ]
    )
    suite = ElementTree.parse(pytester.path / "junit.xml").getroot()[0]
    times = {case.attrib["name"]: float(case.attrib["time"]) for case in suite}
    assert {"conn.ping", "time.closes", "time.closes-a-busy-stream"} <= set(times)
    assert {case.attrib["classname"] for case in suite} == {ROOT}
    waited = [time for name, time in times.items() if name.startswith("time.")]
    assert min(waited) > 0.9
    assert float(suite.attrib["time"]) < sum(times.values())


def test_plugin_finds_a_breach_failure_tells_the_finding_without_a_traceback(
    play: Play, thread: TrioThread
) -> None:
    gateway = start(thread, FAULTS["conn.empty-pong"].build())
    result = play(gateway, "-k", "control or conn.ping or conn.close-answered")
    assert result.parseoutcomes() == {"failed": 2, "passed": 3, "deselected": ANY}
    result.stdout.fnmatch_lines(
        [
            "*_ plexwire conn.ping _*",
            "PW-CONN-1/other-payload fail: Expected: *",
            "conn.ping: *",
            "MUST PW-CONN-1/other-payload *",
            "  expected  *",
            "  observed  *",
            f"  again     plexwire replay conn.ping --url {gateway[0]}",
            "  *.* s  viewer*→  GET /v1/sources/*",
            "  *.* s  viewer*←  pong*",
            f"FAILED {ROOT}::conn.ping - *PW-CONN-1/other-payload fail: *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin/items*")
    assert gateway[1].api_key not in result.stdout.str()


class _Any:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY: Final = _Any()


def test_plugin_finds_a_should_unkept_item_passes_with_a_warning_of_its_own(
    play: Play, thread: TrioThread
) -> None:
    gateway = start(thread, FAULTS["addr.unknown-parameter-refused"].build())
    result = play(gateway, "-Wdefault", "-k", "addr.unknown-parameter")
    assert result.parseoutcomes() == {"passed": 1, "warnings": 1, "deselected": ANY}
    result.stdout.fnmatch_lines(["*ConformanceWarning: PW-ADDR-10/handshake-refused warn: *"])
    strict = play(gateway, "-k", "addr.unknown-parameter", f"-Werror::{MODULE}.ConformanceWarning")
    assert strict.parseoutcomes() == {"failed": 1, "deselected": ANY}
    strict.stdout.fnmatch_lines(["SHOULD PW-ADDR-10/handshake-refused *"])
    strict.stdout.no_fnmatch_line("*Traceback*")
    strict.stdout.no_fnmatch_line("*another exception*")


def test_plugin_lacks_a_key_case_is_skipped_with_what_to_provide(
    play: Play, reference: tuple[str, Keys]
) -> None:
    poor = (reference[0], Keys(api_key=reference[1].api_key))
    result = play(poor, "-rs", "-k", "iso.organisations or iso.foreign-device or control")
    assert result.parseoutcomes() == {"passed": 1, "skipped": 2, "deselected": ANY}
    result.stdout.fnmatch_lines(
        ["SKIPPED [[]2[]] plexwire: provide a key of a second organisation*"]
    )


def test_plugin_can_test_nothing_session_is_not_green(
    play: Play, reference: tuple[str, Keys]
) -> None:
    poor = (reference[0], Keys(api_key=reference[1].api_key))
    result = play(poor, "-k", "iso.organisations")
    assert result.ret is pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["*plexwire: nothing could be tested*"])


def test_plugin_meets_an_error_of_the_suite_item_is_an_error(
    play: Play, reference: tuple[str, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(stage: Stage, trial: Trial) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a slip")

    monkeypatch.setattr(case_register, "_cases", dict(case_register.CASES))
    case_register.case("zz.slip", "The suite has no errors.", "PW-AUTH-2")(body)
    monkeypatch.setitem(case_register.CASES, "zz.slip", case_register._cases["zz.slip"])
    result = play(reference, "-k", "zz.slip")
    assert result.parseoutcomes() == {"errors": 1, "deselected": ANY}
    result.stdout.fnmatch_lines(["*an error of the suite: RuntimeError: a slip"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_plugin_can_not_judge_session_ends_with_one_usage_error(
    play: Play, reference: tuple[str, Keys]
) -> None:
    nobody = play((closed_port(), reference[1]), "-k", "auth")
    assert nobody.ret is pytest.ExitCode.USAGE_ERROR
    nobody.stdout.fnmatch_lines(["*could not judge: ws://*: no connection: *. Is the gateway up?*"])
    assert nobody.stdout.str().count("could not judge") == 1
    stranger = play((reference[0], Keys(api_key="plx_unknown_to_everybody")), "-k", "auth")
    assert stranger.ret is pytest.ExitCode.USAGE_ERROR
    stranger.stdout.fnmatch_lines(["*does not accept the key in PLEXWIRE_API_KEY*"])
    stranger.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("url", "arguments", "message"),
    [
        ("http://x", (), "plexwire: 'http://x' must begin with ws:// or wss://; *"),
        ("ws://x", ("--plexwire-keys-file=none",), "plexwire: The keys file none can't be read: *"),
        ("ws://x", (f"{ROOT}::nix",), "plexwire: 'nix' matches no case*"),
        (None, (f"{ROOT}::auth.never",), f"{ROOT}::auth.never needs a gateway: *"),
        (None, ("--plexwire-target=staging",), "plexwire: 'staging' is no URL, and no target*"),
    ],
)
def test_plugin_is_called_wrongly_usage_error_says_why(
    play: Play, url: str | None, arguments: tuple[str, ...], message: str
) -> None:
    gateway = None if url is None else (url, Keys(api_key="plx_some_key"))
    result = play(gateway, *arguments)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_plugin_has_no_key_usage_error_says_where_one_belongs(play: Play) -> None:
    result = play(("ws://127.0.0.1:9", Keys(api_key="")))
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: plexwire: no key: set PLEXWIRE_API_KEY*"])


def test_plugin_has_nothing_selected_gateway_is_left_alone(
    play: Play, pytester: pytest.Pytester, reference: tuple[str, Keys]
) -> None:
    pytester.makepyfile("def test_own(): pass")
    nobody = (closed_port(), reference[1])
    assert play(nobody, "-k", "nix").ret is pytest.ExitCode.NO_TESTS_COLLECTED
    assert play(nobody, "-k", "test_own").parseoutcomes() == {"passed": 1, "deselected": ANY}
    listed = play(nobody, "--collect-only", "-k", "auth.never or test_own")
    listed.stdout.fnmatch_lines(["*<Cases plexwire>", "*<CaseItem auth.never>"])


def test_plugin_meets_other_tests_and_trio_mode_both_run(
    play: Play, pytester: pytest.Pytester, reference: tuple[str, Keys]
) -> None:
    pytester.makeini(
        "[pytest]\ntrio_mode = true\nfilterwarnings = error\naddopts = --strict-markers"
    )
    pytester.makepyfile("async def test_own(): pass")
    result = play(reference, "-k", "conn.ping or test_own")
    assert result.parseoutcomes() == {"passed": 3, "deselected": ANY}


def test_plugin_is_given_node_ids_those_cases_alone_run(
    play: Play, pytester: pytest.Pytester, reference: tuple[str, Keys]
) -> None:
    pytester.makepyfile(test_own="def test_own(): pass")
    one = play(reference, f"{ROOT}::conn.ping", "-v")
    assert one.parseoutcomes() == {"passed": 2 + len(OBSERVATIONS)}
    one.stdout.fnmatch_lines([f"{ROOT}::control PASSED*", f"{ROOT}::conn.ping PASSED*"])
    both = play(reference, f"{ROOT}::conn.ping", "test_own.py")
    assert both.parseoutcomes() == {"passed": 3 + len(OBSERVATIONS)}


def test_plugin_stops_at_the_first_failure_when_asked(play: Play, thread: TrioThread) -> None:
    gateway = start(thread, FAULTS["conn.wrong-accept"].build())
    result = play(gateway, "-x", "-k", "conn.ping or control or init.at-once")
    assert result.parseoutcomes() == {"failed": 1, "deselected": ANY}
    result.stdout.fnmatch_lines(
        ["MUST PW-CONN-6/bad-handshake-answer *", "*stopping after 1 failures*"]
    )


def test_plugin_deselects_a_control_that_fails_first_item_tells_of_it(
    play: Play, thread: TrioThread
) -> None:
    gateway = start(thread, FAULTS["conn.wrong-accept"].build())
    result = play(gateway, "-k", "conn.ping")
    assert result.parseoutcomes() == {"failed": 1, "skipped": 1, "deselected": ANY}
    result.stdout.fnmatch_lines(
        ["control: A viewer connects, *", "MUST PW-CONN-6/bad-handshake-answer *"]
    )


def test_plugin_is_interrupted_run_ends_at_once(pytester: pytest.Pytester) -> None:
    keys = pytester.path / "keys.env"
    keys.write_text("PLEXWIRE_API_KEY=plx_some_key\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        # It listens and never answers, so the control waits.
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", *(() if INSTALLED else ("-p", MODULE))),
                *(f"--plexwire-url={url}", f"--plexwire-keys-file={keys}", "-k", "auth"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            connection, _ = listener.accept()
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=20)
            connection.close()
        finally:
            process.kill()
            process.wait()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert "Traceback" not in output


def test_plugin_is_not_used_nothing_heavy_is_imported(tmp_path: Path) -> None:
    script = (
        f"import sys, pytest; code = pytest.main(['--co', '-q', '-p', '{MODULE}', '-p', 'no:trio',"
        " '-p', 'no:hypothesispytest', '-p', 'no:cacheprovider']);"
        "print([m for m in ('trio', 'hypothesis', 'rich', 'click', 'attrs', 'wsproto', 'plexwire_spec',"
        " 'plexwire_client', 'plexwire_protocol') if m in sys.modules])"
    )
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "[]"


# ── named targets ────────────────────────────────────────────────────────────────────────────


def test_plugin_is_given_a_named_target_file_says_how_and_what_is_known(
    play: Play,
    pytester: pytest.Pytester,
    thread: TrioThread,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, keys = start(thread, FAULTS["conn.empty-pong"].build())
    pytester.path.joinpath("plexwire.toml").write_text(
        f'[targets.staging]\nurl = "{url}"\napi_key_env = "STAGING_KEY"\n'
        'only = ["conn.ping", "conn.close-answered"]\nexpected_failures = "known.toml"\n'
    )
    known = pytester.path / "known.toml"
    known.write_text(
        '[[failure]]\ncase = "conn.ping"\ncheck = "PW-CONN-1/other-payload"\n'
        'reason = "the balancer answers"\nissue = "GW-7"\nexpires = 2999-12-31\n'
    )
    monkeypatch.setenv("STAGING_KEY", keys.api_key)
    result = play(None, "--plexwire-target=staging", "-rx")
    assert result.parseoutcomes() == {"passed": 2 + len(OBSERVATIONS), "xfailed": 1}
    result.stdout.fnmatch_lines(
        ["XFAIL *conn.ping - *PW-CONN-1/other-payload: the balancer answers GW-7"]
    )
    text = known.read_text()
    known.write_text(
        text
        + text.replace("conn.ping", "conn.close-answered").replace(
            "PW-CONN-1/other-payload", "PW-CONN-3/close-not-answered"
        )
    )
    stale = play(None, "--plexwire-target=staging")
    passed = 1 + len(OBSERVATIONS)
    assert stale.parseoutcomes() == {"passed": passed, "xfailed": 1, "failed": 1}
    stale.stdout.fnmatch_lines(["PW-CONN-3/close-not-answered: it no longer fails; *"])


# ── fixtures, on a gateway that shares no code with ours ─────────────────────────────────────

AIOHTTP: Final = Path(__file__).parent / "gateways" / "on_aiohttp.py"

CONFTEST: Final = f"""
import subprocess, sys
import pytest

@pytest.fixture(scope="session")
def plexwire_url():
    process = subprocess.Popen(
        [sys.executable, {str(AIOHTTP)!r}],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        yield f"ws://127.0.0.1:{{process.stdout.readline().strip()}}"
    finally:
        process.communicate()

@pytest.fixture(scope="session")
def plexwire_keys():
    return {{"api_key": "plx_independent_home", "foreign_key": "plx_independent_foreign"}}
"""

TESTS: Final = """
import asyncio
import pytest
from plexwire_client import ConnectionLost, Refused

def test_frames_arrive(plexwire_publisher, plexwire_viewer):
    publisher = plexwire_publisher("robot-01")
    publisher.publish("front")
    viewer = plexwire_viewer("robot-01", "front", "back")
    other = plexwire_viewer("robot-01", "back")
    first = publisher.publish("front")
    assert viewer.next_frame(timeout=5) == first
    assert [source.source_id for source in viewer.init.online_sources] == ["robot-01"]
    back = publisher.publish("back", extra={"thermal": [1, 2]})
    assert viewer.next_frame(camera_id="back") == back
    assert other.next_frame() == back
    with pytest.raises(TimeoutError, match="got no frame of front within 0.1 s"):
        viewer.next_frame(timeout=0.1, camera_id="front")
    assert viewer.close_code is None

def test_stream_ends_in_time(plexwire_viewer):
    viewer = plexwire_viewer("robot-01", timeout=1)
    with pytest.raises(TimeoutError, match="is still open"):
        viewer.wait_closed(0.1)
    assert viewer.wait_closed(5) == 4008 == viewer.close_code
    with pytest.raises(ConnectionLost):
        viewer.next_frame()

def test_key_is_refused(plexwire_publisher, plexwire_viewer):
    with pytest.raises(Refused) as viewer:
        plexwire_viewer("robot-01", api_key="plx_unknown")
    assert viewer.value.close.code == 4001
    with pytest.raises(Refused) as device:
        plexwire_publisher("robot-01", api_key="plx_unknown")
    assert device.value.close.code == 4001

def test_asyncio(plexwire_publisher, plexwire_viewer):
    async def main():
        publisher = await asyncio.to_thread(plexwire_publisher, "robot-02")
        publisher.publish("front")
        viewer = await asyncio.to_thread(plexwire_viewer, "robot-02", "front")
        waiting = asyncio.create_task(asyncio.to_thread(viewer.next_frame))
        sent = await asyncio.to_thread(publisher.publish, "front")
        assert await waiting == sent

    asyncio.run(main())

def test_conformant(plexwire_verdicts):
    verdicts = plexwire_verdicts.only("conn", "init.at-once").skip("conn.not-utf8")
    verdicts.assert_conformant()
    assert "conn.ping" in [result.case for result in verdicts.results]
"""


def test_fixtures_serve_somebody_elses_gateway(play: Play, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    result = play(None, "-Werror")
    assert result.parseoutcomes() == {"passed": 5}


def test_fixtures_judge_a_faulty_gateway_test_fails_with_the_findings(
    play: Play, pytester: pytest.Pytester, thread: TrioThread
) -> None:
    url, keys = start(thread, FAULTS["conn.empty-pong"].build())
    pytester.makeconftest(
        "import pytest\n"
        f"@pytest.fixture(scope='session')\ndef plexwire_url(): return {url!r}\n"
        f"@pytest.fixture(scope='session')\ndef plexwire_keys(): return {keys.api_key!r}\n"
    )
    pytester.makepyfile(
        "def test_it(plexwire_verdicts): plexwire_verdicts.only('conn.ping').assert_conformant()"
    )
    result = play(None)
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(
        ["Not conformant: 1 documented promise broken.", "MUST PW-CONN-1/other-payload *"]
    )
    assert keys.api_key not in re.sub(r"conftest.*", "", result.stdout.str())


def test_fixtures_are_given_no_gateway_failure_says_what_to_override(
    play: Play, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_it(plexwire_viewer): pass")
    result = play(None)
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(["*which gateway? Override the fixture plexwire_url *"])


def test_fixtures_are_given_a_gateway_that_is_away_error_says_so(
    play: Play, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        "import pytest\n"
        f"@pytest.fixture(scope='session')\ndef plexwire_url(): return {closed_port()!r}\n"
        "@pytest.fixture(scope='session')\ndef plexwire_keys(): return 'a key'\n"
    )
    pytester.makepyfile(
        "import pytest\n"
        "from plexwire_client import HostUnreachable\n"
        "def test_peers(plexwire_viewer, plexwire_publisher):\n"
        "    for opener in (plexwire_viewer, plexwire_publisher):\n"
        "        with pytest.raises(HostUnreachable, match='Is the gateway up?'): opener('robot-01')\n"
        "def test_verdicts(plexwire_verdicts): plexwire_verdicts.assert_conformant()\n"
    )
    result = play(None)
    assert result.parseoutcomes() == {"failed": 1, "passed": 1}
    result.stdout.fnmatch_lines(["could not judge: ws://*: no connection: *"])
