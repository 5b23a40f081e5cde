"""What is handed to CI services: the action runs, and the manual says what the programs do."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml
from attrs import asdict

from plexwire_conformance import pytest_plugin
from plexwire_conformance.cases import CASES
from plexwire_conformance.commands.config_file import find_config
from plexwire_conformance.commands.conform import conform
from plexwire_conformance.pytest_plugin import peers
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.run.known_failures import read_known
from plexwire_conformance.target.target import VARIABLES
from plexwire_server import Gateway, KeyStore, serve

ROOT: Final = Path(__file__).parents[2]
MANUAL: Final = (ROOT / "docs" / "ci.md").read_text("utf-8")
ACTION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
JUDGE: Final[dict[str, Any]] = ACTION["runs"]["steps"][-1]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)


def run_action(folder: Path, **environment: str) -> tuple[int, str, str, dict[str, str]]:
    """Run the last step, and return its exit code, output, summary and outputs."""
    bin_ = folder / "plexwire" / "venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "plexwire").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m plexwire_conformance.cli "$@"\n'
    )
    (bin_ / "plexwire").chmod(0o755)
    inputs = dict.fromkeys(JUDGE["env"], "")
    files = {name: str(folder / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", JUDGE["run"]],
        env=os.environ | inputs | files | {"RUNNER_TEMP": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    summary = folder / "GITHUB_STEP_SUMMARY"
    outputs = (folder / "GITHUB_OUTPUT").read_text("utf-8").splitlines()
    return (
        done.returncode,
        done.stdout + done.stderr,
        summary.read_text("utf-8") if summary.exists() else "",
        dict(line.split("=", 1) for line in outputs),
    )


def test_action_judges_a_gateway_reports_and_summary_are_written(tmp_path: Path) -> None:
    store, keys = KeyStore.throw_away()
    with TrioThread() as thread:

        async def begin() -> int:
            return int((await thread.nursery.start(serve, Gateway(store)))[0][1])

        code, said, summary, outputs = run_action(
            tmp_path,
            IN_URL=f"ws://127.0.0.1:{thread.call(begin)}",
            IN_ONLY="conn.ping* init.at-once",
            IN_SKIP="conn.ping-device",
            PLEXWIRE_API_KEY=keys.api_key,
        )
    reports = tmp_path / "plexwire" / "reports"
    assert code == 0, said
    assert outputs == {"exit-code": "0", "reports": str(reports)}
    names = {path.name for path in reports.iterdir()}
    assert names == {"run.ndjson", "junit.xml", "summary.md", "report.html"}
    assert "Conformant" in summary
    assert "::notice " in said
    assert "conn.ping " in said
    assert "conn.ping-device" not in said
    assert keys.api_key not in said + summary


def test_action_can_not_judge_job_fails_with_the_code_of_the_suite(tmp_path: Path) -> None:
    odd = "$(touch owned) --help"
    code, said, summary, outputs = run_action(tmp_path, IN_URL=odd, PLEXWIRE_API_KEY="plx_some_key")
    assert (code, summary, outputs["exit-code"]) == (2, "", "2")
    assert f"Error: {odd!r} is no URL" in said
    assert not (tmp_path / "owned").exists()


def test_action_has_every_input_in_its_script_and_in_the_manual() -> None:
    for name in ACTION["inputs"]:
        assert f"`{name}`" in MANUAL
    passed = {value for step in ACTION["runs"]["steps"] for value in step.get("env", {}).values()}
    passed |= {
        value
        for step in ACTION["runs"]["steps"]
        for value in map(str, step.get("with", {}).values())
    }
    assert {f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]} <= passed
    assert all("${{" not in step.get("run", "") for step in ACTION["runs"]["steps"])


def test_manual_names_options_that_exist() -> None:
    known = {name for parameter in conform.params for name in parameter.opts}
    assert isinstance(conform, click.Command)
    parser = pytest.Parser(_ispytest=True)
    pytest_plugin.pytest_addoption(parser)
    group = parser.getgroup("plexwire")
    known |= {name for option in group.options for name in option.names()}
    foreign = {"--checks", "--junitxml", "--lf", "--deselect", "--quiet", "--write-keys"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", MANUAL)) | set(
        re.findall(r"(?<![\w-])--[a-z][a-z-]*", JUDGE["run"])
    )
    assert named - foreign <= known
    assert set(VARIABLES.values()) <= set(re.findall(r"PLEXWIRE_[A-Z_]+", MANUAL))


def test_manual_shows_files_that_are_read(tmp_path: Path) -> None:
    targets, known = blocks("toml")
    for name in ("lab.env", "lab-ca.pem", "judge.pem", "judge.key"):
        (tmp_path / name).touch()
    (tmp_path / "plexwire.toml").write_text(targets, "utf-8")
    config = find_config(tmp_path)
    assert config is not None
    assert config.description("staging").key_variables["api_key"] == "STAGING_KEY"
    said = config.description("lab")
    silent = {name for name, value in asdict(said).items() if value in (None, (), {})}
    assert silent == {"key_variables", "expected_failures"}
    assert read_known(known, "known.toml", CASES)[0].issue == "GW-212"
    assert set(tomllib.loads(targets)["targets"]["lab"]) <= set(re.findall(r"`([a-z_]+)`", MANUAL))


def test_manual_shows_workflows_that_use_the_action_as_it_is() -> None:
    github, gitlab = map(yaml.safe_load, blocks("yaml"))
    step = github["jobs"]["conformance"]["steps"][1]
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert set(step["env"]) <= set(VARIABLES.values())
    assert (
        gitlab["conformance"]["artifacts"]["reports"]["junit"] in gitlab["conformance"]["script"][1]
    )


def test_manual_shows_python_that_the_fixtures_understand() -> None:
    for source in blocks("python"):
        compile(source, "docs/ci.md", "exec")
        for name in re.findall(r"plexwire_\w+", source):
            assert hasattr(pytest_plugin, name)
    for name in ("publish", "close_code", "wait_closed", "close"):
        assert hasattr(peers.SyncPublisher, name)
    assert hasattr(peers.SyncViewer, "next_frame")
