"""`plexwire conform-viewer` and `conform-device` as commands: what they say, write, and leave behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from plexwire_conformance.cases.programs import DEVICE_CASES, VIEWER_CASES
from plexwire_conformance.cli import main

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
PLACE: Final = ("{url}", "{source_id}", "{camera_id}")
PLAIN: Final = (sys.executable, str(EXAMPLES / "plain_viewer.py"), *PLACE, "100000")
CLI: Final = (sys.executable, "-m", "plexwire_conformance.cli")


def conform(role: str, *words: str) -> Result:
    return CliRunner().invoke(main, [f"conform-{role}", *words])


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_cases_are_listed_with_their_clauses() -> None:
    for role, cases in (("viewer", VIEWER_CASES), ("device", DEVICE_CASES)):
        done = conform(role, "--list", "--profile", "thorough")
        assert done.exit_code == 0
        assert [line.split()[0] for line in done.stdout.splitlines()[::2]] == list(cases)


def test_help_of_both_names_every_placeholder_and_variable() -> None:
    for role in ("viewer", "device"):
        text = conform(role, "--help").stdout
        for word in ("{url}", "{key}", "PLEXWIRE_URL", "PLEXWIRE_API_KEY", "PLEXWIRE_SOURCE_ID"):
            assert word in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("no-such-program-anywhere",), "can't start no-such-program-anywhere"),
        (python("raise SystemExit('no camera')"), "ended with exit code 1 before it connected"),
        (python("raise SystemExit('no camera')"), "no camera"),
        (python("import time; time.sleep(60)"), "did not connect to ws://127.0.0.1:"),
        (
            (*PLAIN[:3], "another-source", "{camera_id}"),
            "asked for /v1/sources/another-source/video/stream, where /v1/sources/robot-01/video/stream was expected",
        ),
        ((*PLAIN[:-1], "3"), "left within 1.2 s of 30 ordinary frames"),
    ],
)
def test_program_that_cannot_be_judged_is_told_why(command: tuple[str, ...], words: str) -> None:
    done = conform("viewer", "--patience", "3", "--only", "viewer.auth", "--", *command)
    assert done.exit_code == 2
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.output


@pytest.mark.parametrize("words", [("--only", "viewer.nothing"), ("--only", "PW-DEV-1")])
def test_word_that_names_no_case_is_told(words: tuple[str, ...]) -> None:
    done = conform("viewer", *words, "--", *PLAIN)
    assert done.exit_code == 3
    assert "matches no case" in done.stderr


def test_place_to_listen_at_that_is_none_is_told() -> None:
    done = conform("viewer", "--listen", "8701")
    assert done.exit_code == 2
    assert "write it as HOST:PORT" in done.stderr


def test_run_writes_every_report_and_no_key(tmp_path: Path) -> None:
    names = ("run.ndjson", "run.html", "run.xml", "run.md", "said.ndjson")
    options = ("--report", "--html", "--junit", "--markdown", "--transcripts")
    files = [tmp_path / name for name in names]
    words = [word for pair in zip(options, map(str, files), strict=True) for word in pair]
    only = ("--only", "viewer.auth", "--only", "viewer.timeout")
    done = conform("viewer", *only, *words, "--", *PLAIN)
    assert done.exit_code == 0, done.output
    assert "WARN PW-VIEW-2/stayed-away" in done.stdout
    assert "its last line “closed with 4008" in " ".join(done.stdout.split())
    assert "plexwire conform-viewer --only viewer.timeout -- " in done.stdout
    for file in files:
        text = file.read_text("utf-8")
        assert re.search(r"plx_[0-9a-f]{8}", text) is None
        assert "timeout" in text
    header = json.loads(files[0].read_text("utf-8").splitlines()[0])
    assert header["url"].endswith("100000")
    # What stands in the report of a page is about viewers, and about nobody else.
    page = files[1].read_text("utf-8")
    assert "PW-VIEW-1" in page
    assert "PW-INIT-1" not in page


def test_what_failed_in_a_stored_run_is_played_again_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run.ndjson"
    only = ("--only", "viewer.auth", "--only", "viewer.timeout")
    assert conform("viewer", *only, "--report", str(run), "--", *PLAIN).exit_code == 0
    listed = conform("viewer", "--failed-in", str(run), "--list")
    assert listed.stdout.split()[0] == "viewer.timeout"
    assert len(listed.stdout.splitlines()) == 2
    again = conform("viewer", "--failed-in", str(run), "--", *PLAIN)
    assert "1 warn" in again.stdout
    wrong = conform("device", "--failed-in", str(run), "--list")
    assert (wrong.exit_code, "is no run of a device" in wrong.stderr) == (2, True)
    replayed = CliRunner(env={"PLEXWIRE_API_KEY": "plx_any"}).invoke(
        main, ["replay", "viewer.timeout", "--url", "ws://127.0.0.1:1"]
    )
    assert "plexwire conform-viewer --only viewer.timeout -- COMMAND" in replayed.stderr
    none = conform("viewer", "--failed-in", str(tmp_path / "missing"), "--list")
    assert none.exit_code == 2


def test_known_failures_make_the_same_run_pass_and_another_one_fail(tmp_path: Path) -> None:
    code = """
import os, socket, time
from urllib.parse import urlsplit
place = urlsplit(os.environ["PLEXWIRE_STREAM_URL"])
while True:
    with socket.create_connection((place.hostname, place.port)) as s:
        s.sendall(f"GET {place.path}?{place.query}&key={os.environ['PLEXWIRE_API_KEY']} HTTP/1.1\\r\\nHost: x\\r\\n"
                  "Upgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n"
                  "Sec-WebSocket-Version: 13\\r\\n\\r\\n".encode())
        s.recv(65536)
        auth = b'{"type": "auth", "api_key": "no key of the run"}'
        s.sendall(bytes((0x81, 0x80 | len(auth), 0, 0, 0, 0)) + auth)
        while s.recv(65536):
            pass
    time.sleep(60)
"""
    known = tmp_path / "known.toml"
    words = ("--only", "PW-ADDR-14", "--expected-failures", str(known))
    first = conform("viewer", *words, "--update-expected", "--", *python(code))
    assert first.exit_code == 0, first.output
    assert "PW-ADDR-14/key-in-url" in known.read_text("utf-8")
    assert conform("viewer", *words, "--", *python(code)).exit_code == 0
    assert conform("viewer", *words, "--", *PLAIN).exit_code == 1


def test_without_a_command_whatever_connects_is_judged() -> None:
    words = ("--listen", "127.0.0.1:0", "--only", "viewer.auth", "--only", "viewer.pings")
    with subprocess.Popen(
        [*CLI, "conform-viewer", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as judge:
        assert judge.stderr is not None
        url = _after(judge.stderr.readline(), "Connect the viewer to")
        key = _after(judge.stderr.readline(), "with the key")
        base, _, _ = url.partition("/v1/sources/")
        end = time.monotonic() + 60
        while judge.poll() is None and time.monotonic() < end:
            subprocess.run(
                [*PLAIN[:2], base, "robot-01", "front", "100000"],
                env={**os.environ, "PLEXWIRE_API_KEY": key},
                capture_output=True,
                check=False,
                timeout=60,
            )
        said, errors = judge.communicate(timeout=60)
        assert judge.returncode == 0, said + errors
        assert "waiting for the next connection" in errors
        assert "2 pass" in said or "3 pass" in said


def _after(line: str, words: str) -> str:
    assert words in line
    return line.partition(words)[2].strip()


def test_interrupted_run_ends_the_program_and_keeps_what_was_judged(tmp_path: Path) -> None:
    mark = tmp_path / "running"
    code = f"""
import os, subprocess, sys
open({str(mark)!r}, "a").write(f"{{os.getpid()}}\\n")
os.execv(sys.executable, {[*PLAIN[:2]]!r} + [os.environ["PLEXWIRE_URL"], "robot-01", "front", "100000"])
"""
    report = tmp_path / "run.ndjson"
    words = ("--only", "viewer.no-init", "--report", str(report))
    with subprocess.Popen(
        [*CLI, "conform-viewer", *words, "--", *python(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as judge:
        end = time.monotonic() + 60
        while not (mark.exists() and len(mark.read_text("utf-8").split()) > 1):
            assert time.monotonic() < end
            time.sleep(0.05)
        judge.send_signal(signal.SIGINT)
        said, errors = judge.communicate(timeout=30)
        assert judge.returncode == 130, said + errors
        assert "interrupted" in errors
    assert '"interrupted"' in report.read_text("utf-8")
    for pid in map(int, mark.read_text("utf-8").split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("said", ["b''", "b'GET / HTTP/1.1\\r\\n\\r\\n'", "b'\\x16\\x03\\x01'"])
def test_connections_that_ask_for_nothing_disturb_no_run(said: str) -> None:
    code = f"""
import os, runpy, socket, sys
from urllib.parse import urlsplit
place = urlsplit(os.environ["PLEXWIRE_URL"])
others = [socket.create_connection((place.hostname, place.port)) for _ in range(3)]
for other in others:
    other.sendall({said})
sys.argv = ["plain", os.environ["PLEXWIRE_URL"], "robot-01", "front", "100000"]
runpy.run_path({PLAIN[1]!r}, run_name="__main__")
"""
    done = conform("viewer", "--only", "viewer.auth", "--", *python(code))
    assert done.exit_code == 0, done.output
    assert "2 pass" in done.stdout


def test_what_was_said_by_a_device_is_judged_again_offline(tmp_path: Path) -> None:
    code = """
import json, os, time
from websockets.sync.client import connect
with connect(os.environ["PLEXWIRE_URL"] + "/ws/device") as ws:
    key, source = os.environ["PLEXWIRE_API_KEY"], os.environ["PLEXWIRE_SOURCE_ID"]
    ws.send(json.dumps({"type": "device_auth", "api_key": key, "source_id": source}))
    ws.recv()
    ws.send(json.dumps({"type": "telemetry", "points": [float("nan")]}))
    for message in ws:
        pass
"""
    said = tmp_path / "said.ndjson"
    words = ("--only", "device.auth", "--transcripts", str(said))
    done = conform("device", *words, "--", *python(code))
    assert "PW-DEV-27/not-json" in done.stdout
    again = CliRunner().invoke(main, ["judge", str(said)])
    assert "PW-DEV-27/not-json" in again.stdout
    assert again.exit_code == 0  # it is a SHOULD
