"""`plexwire conform` where streams, signals or files are not as usual: the verdict and the reports stay whole."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plexwire_conformance.report.stored_runs import read_run

#: Seconds that no command here takes.
TIMEOUT_S = 60.0
PROGRAM = (sys.executable, "-c", "from plexwire_conformance.cli import main; main()")
COULD_NOT_JUDGE = 2
WITHOUT_READER = "import os, sys; from plexwire_conformance.cli import main; main()"
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name != "CI" and not name.startswith("PLEXWIRE_")
}


def conform(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Judge in a process of its own."""
    return subprocess.run(
        [*PROGRAM, "conform", *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The keys, and the URL, of a gateway that runs while the tests last."""
    path = tmp_path_factory.mktemp("gateway") / "keys.env"
    with subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", "--write-keys", str(path), "--log-format", "json"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as gateway:
        assert gateway.stdout is not None
        gateway.stdout.readline()
        yield path
        gateway.terminate()


def url_in(keys: Path) -> str:
    """The URL that `plexwire serve` wrote there."""
    (url,) = re.findall(r"PLEXWIRE_URL=(\S+)", keys.read_text())
    return str(url)


# ── which gateway ────────────────────────────────────────────────────────────────────────────


def test_conform_without_a_url_names_the_reference_gateway_in_every_report(tmp_path: Path) -> None:
    kinds = {kind: tmp_path / kind for kind in ("report", "html", "junit", "markdown")}
    files = [word for kind, path in kinds.items() for word in (f"--{kind}", str(path))]
    done = conform("--only", "init.at-once", *files, COLUMNS="200")
    named = "the reference gateway (no URL was given)"
    assert done.returncode == 0, done.stderr
    for path in kinds.values():
        assert named in path.read_text(), path
    assert named in done.stdout.decode().splitlines()[-1]
    assert named in done.stderr.decode().splitlines()[0]


@pytest.mark.parametrize("arguments", [("--github",), ("--only", "init")])
def test_conform_in_ci_without_a_url_judges_nothing(arguments: tuple[str, ...]) -> None:
    environment = {} if "--github" in arguments else {"CI": "true"}
    done = conform(*arguments, **environment)
    assert done.returncode == COULD_NOT_JUDGE
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("Error: no URL was given")
    assert done.stdout == b""


def test_conform_gets_an_empty_url_and_asks_for_the_variable() -> None:
    done = conform("")
    assert done.returncode == COULD_NOT_JUDGE
    assert b"the URL is empty" in done.stderr


def test_replay_in_ci_without_a_url_plays_nothing() -> None:
    done = subprocess.run(
        [*PROGRAM, "replay", "init.at-once"],
        env={**ENVIRONMENT, "CI": "1"},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == COULD_NOT_JUDGE
    assert b"no URL was given" in done.stderr


def test_conform_reads_the_url_that_serve_wrote_and_says_where_it_is_from(keys_file: Path) -> None:
    url = url_in(keys_file)
    done = conform("--keys-file", str(keys_file), "--only", "init.at-once", CI="1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().startswith(f"judging {url} (PLEXWIRE_URL in {keys_file}) by 2")
    held = dict(line.split("=", 1) for line in keys_file.read_text().splitlines() if "=" in line)
    done = conform("--only", "init.at-once", CI="1", **held)
    assert done.stderr.decode().startswith(f"judging {url} (PLEXWIRE_URL) by 2")


# ── streams ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "encoding", ["ascii", "cp1252", "cp437", "cp850", "cp1251", "cp936", "cp949"]
)
def test_conform_writes_to_a_terminal_of_any_encoding(encoding: str, keys_file: Path) -> None:
    done = conform(
        *("--keys-file", str(keys_file), "--github", "--only", "init"), PYTHONIOENCODING=encoding
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode(encoding)
    assert "Conformant" in said
    assert "::notice title=plexwire conform ws" in said


def test_conform_loses_its_reader_and_leaves_with_its_verdict(keys_file: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, "conform", "--keys-file", str(keys_file), "--github", "--only", "auth.in-time"],
        env=ENVIRONMENT,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT_S,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_conform_has_no_output_and_leaves_with_its_verdict(closed: str, keys_file: Path) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'"$@" {closed}',
            "sh",
            *PROGRAM,
            "conform",
            "--only",
            "auth.in-time",
            "--keys-file",
            str(keys_file),
            "--github",
        ],
        env=ENVIRONMENT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_conform_can_not_print_and_completes_its_files(keys_file: Path, tmp_path: Path) -> None:
    report = tmp_path / "run.ndjson"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [
                *PROGRAM,
                "conform",
                "--only",
                "auth.in-time",
                "--report",
                str(report),
                "--keys-file",
                str(keys_file),
            ],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == COULD_NOT_JUDGE
    assert b"No space left on device" in done.stderr.splitlines()[-1]
    assert b"Traceback" not in done.stderr
    assert read_run(report).summary.exit_code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a working folder can't be removed there")
def test_conform_stands_in_a_removed_folder(keys_file: Path, tmp_path: Path) -> None:
    program = f"import os, sys; os.rmdir(os.getcwd()); {WITHOUT_READER}"

    def run(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
        folder = tmp_path / "gone"
        folder.mkdir()
        return subprocess.run(
            [sys.executable, "-c", program, "conform", *arguments],
            env=ENVIRONMENT,
            cwd=folder,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    done = run("--keys-file", str(keys_file), "--only", "init.at-once")
    assert done.returncode == COULD_NOT_JUDGE
    assert done.stderr == b"Error: the working folder was removed; change to another one\n"


# ── signals and crashes ──────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_conform_is_ended_by_a_signal_and_completes_every_file(
    name: str, keys_file: Path, tmp_path: Path
) -> None:
    kinds = {kind: tmp_path / kind for kind in ("report", "html", "junit", "markdown")}
    files = [word for kind, path in kinds.items() for word in (f"--{kind}", str(path))]
    with subprocess.Popen(
        [*PROGRAM, "conform", "--keys-file", str(keys_file), "--only", "auth", *files],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        while b"cases done" not in (line := process.stderr.readline()):
            assert line, "it ended too soon"
            if b"deadlines" in line:
                break
        process.send_signal(getattr(signal, name))
        said = process.stderr.read()
        code = process.wait(TIMEOUT_S)
    assert code == 128 + getattr(signal, name)
    assert said.splitlines()[-1].startswith(b"Error: interrupted; what was not judged")
    verdicts = {result.case: result.verdict for result in read_run(kinds["report"]).results}
    assert verdicts["control"] == "pass"
    assert verdicts["auth.never"] == "error"
    assert kinds["html"].read_text().rstrip().endswith("</html>")
    assert ElementTree.parse(kinds["junit"]).getroot().tag == "testsuites"
    assert "auth.never" in kinds["markdown"].read_text()
    assert {path.name for path in tmp_path.iterdir()} == set(kinds)


CRASHING = """
from plexwire_conformance.report.markdown import MarkdownReport

def crash(self, event):
    raise RuntimeError("the pen broke")

MarkdownReport.listen = crash
from plexwire_conformance.cli import main
main()
"""


def test_conform_crashes_in_one_report_and_completes_the_others(
    keys_file: Path, tmp_path: Path
) -> None:
    report, markdown = tmp_path / "run.ndjson", tmp_path / "run.md"
    markdown.write_text("of the last run")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CRASHING,
            "conform",
            "--only",
            "init.at-once",
            "--keys-file",
            str(keys_file),
            "--report",
            str(report),
            "--markdown",
            str(markdown),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == COULD_NOT_JUDGE
    assert done.stderr.splitlines()[-1].endswith(b"not a verdict: RuntimeError: the pen broke")
    assert read_run(report).summary.exit_code == 0
    assert markdown.read_text() == "of the last run"


CRASHING_RUN = """
import trio
from plexwire_conformance.run.runner import Runner

async def crash(self, *arguments):
    await trio.sleep(0)
    raise RuntimeError("the judge fell asleep")

Runner._run_all = crash
from plexwire_conformance.cli import main
main()
"""


def test_conform_crashes_itself_and_completes_every_file(keys_file: Path, tmp_path: Path) -> None:
    report = tmp_path / "run.ndjson"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CRASHING_RUN,
            "conform",
            "--only",
            "init.at-once",
            "--keys-file",
            str(keys_file),
            "--report",
            str(report),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == COULD_NOT_JUDGE
    assert b"not a verdict" in done.stderr.splitlines()[-1]
    footer = json.loads(report.read_text().splitlines()[-1])
    assert (footer["type"], footer["exit_code"]) == ("footer", COULD_NOT_JUDGE)


# ── less than usual ──────────────────────────────────────────────────────────────────────────


def test_conform_is_quiet_and_prints_findings_only(keys_file: Path) -> None:
    done = conform("-q", "--keys-file", str(keys_file), "--only", "init")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_version_is_printed_without_any_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CLICK, "--version"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("plexwire, version ")


@pytest.mark.parametrize(
    "program", [("conform", "--only", "init.at-once"), ("selftest", "init.never")]
)
def test_suite_judges_where_python_drops_docstrings(program: tuple[str, ...]) -> None:
    done = subprocess.run(
        [*PROGRAM, *program],
        env={**ENVIRONMENT, "PYTHONOPTIMIZE": "2"},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_pytest_judges_where_python_drops_docstrings(keys_file: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            f"--plexwire-url={url_in(keys_file)}",
            f"--plexwire-keys-file={keys_file}",
            "plexwire::init.at-once",
        ],
        env={**ENVIRONMENT, "PYTHONOPTIMIZE": "2"},
        cwd=tmp_path,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


WITHOUT_CLICK = """
import sys
sys.modules["click"] = None
from plexwire_conformance.cli import main
main()
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "\r"), ("", "\n"), (" ", " \t"), ("", "\N{NO-BREAK SPACE}"), ('"', '"\r')],
)
def test_conform_gets_a_key_with_invisible_ends_and_leaves_them_out(
    before: str, after: str, keys_file: Path
) -> None:
    held = dict(line.split("=", 1) for line in keys_file.read_text().splitlines() if "=" in line)
    held = {"PLEXWIRE_URL": held["PLEXWIRE_URL"], "PLEXWIRE_API_KEY": held["PLEXWIRE_API_KEY"]}
    done = conform(
        *("--only", "auth.in-time"),
        **{**held, "PLEXWIRE_API_KEY": f"{before}{held['PLEXWIRE_API_KEY']}{after}"},
    )
    assert done.returncode == 0, done.stderr
    assert (b"is in quotes" in done.stderr) == ('"' in before)
