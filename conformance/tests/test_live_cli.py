"""`--live`: how it is given, and one run of the real programs, with a key that may only watch."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance import pytest_plugin
from plexwire_conformance.cli import main
from plexwire_conformance.commands.config_file import resolve
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.target.description import TargetDescription
from plexwire_conformance.target.target import BadTarget, Camera, Keys

URL: Final = "ws://127.0.0.1:1"
MODULE: Final = (sys.executable, "-m", "plexwire_conformance.cli")
#: Where the package is installed, pytest finds the plugin by itself.
PLUGIN: Final = (
    ()
    if any(entry.value == pytest_plugin.__name__ for entry in entry_points(group="pytest11"))
    else ("-p", pytest_plugin.__name__)
)
#: Seconds that no program here takes, on a busy machine.
PATIENCE_S: Final = 60.0

ids = st.text(st.characters(codec="utf-8"), min_size=1)

# ── how it is given ──────────────────────────────────────────────────────────────────────────


@given(ids.filter(lambda text: "/" not in text), ids)
def test_camera_is_named_its_ids_are_taken_as_they_are(source_id: str, camera_id: str) -> None:
    camera = Camera(source_id, camera_id)
    assert Camera.parse(f"{source_id}/{camera_id}") == camera
    assert Camera.parse(str(camera)) == camera


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (
            "robot-01",
            "'robot-01' names no camera: a live camera goes as SOURCE_ID/CAMERA_ID, robot-01/front",
        ),
        ("", "'' names no camera: a live camera goes as SOURCE_ID/CAMERA_ID, robot-01/front"),
        ("/front", "'/front' has no source id in front of the slash"),
        (
            "robot-01/",
            "'robot-01/' has no camera id behind the slash; a camera that viewers get without asking for one "
            "goes as robot-01/default",
        ),
        ("robot-01/\udcff", "'robot-01/\\udcff' is not UTF-8"),
    ],
)
def test_camera_is_named_wrongly_and_it_is_said_how_to(
    live: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BadTarget) as caught:
        TargetDescription(url=URL, live=live).target({}, Keys(api_key="plx_some_key"))
    assert str(caught.value) == problem
    said = CliRunner().invoke(
        main, ["conform", URL, "--live", live], env={"PLEXWIRE_API_KEY": "plx_some_key"}
    )
    assert (said.exit_code, said.stderr) == (2, f"Error: {problem}\n")
    if live.isascii():
        (tmp_path / "plexwire.toml").write_text(f'[targets.lab]\nurl = "{URL}"\nlive = "{live}"\n')
        with pytest.raises(BadFile) as refused:
            resolve("lab", TargetDescription(), tmp_path)
        why = problem if live else "must be a string"
        assert str(refused.value).startswith("plexwire.toml, targets.lab.live")
        assert str(refused.value).endswith(why)


def test_camera_is_named_without_a_url_and_that_is_said() -> None:
    said = CliRunner().invoke(main, ["conform", "--live", "robot-01/front"])
    assert said.exit_code == 2
    assert said.stderr == "Error: --device-url, --keys-file, --live and --streams go with a URL\n"


def test_option_stands_above_the_file(tmp_path: Path) -> None:
    (tmp_path / "plexwire.toml").write_text(
        f'[targets.lab]\nurl = "{URL}"\nlive = "robot-01/front"\n'
    )
    assert resolve("lab", TargetDescription(), tmp_path).live == "robot-01/front"
    assert resolve("lab", TargetDescription(live="robot-02/a/b"), tmp_path).live == "robot-02/a/b"


@pytest.mark.parametrize(
    ("live", "device_key", "publishing", "is_watched"),
    [
        (None, "", "plx_api", False),
        (None, "plx_device", "plx_device", False),
        ("robot-01/front", "", "", True),
        ("robot-01/front", "plx_device", "plx_device", False),
    ],
)
def test_target_has_a_camera_and_publishes_only_with_a_key_that_is_meant_for_it(
    live: str | None, device_key: str, publishing: str, is_watched: bool
) -> None:
    target = TargetDescription(url=URL, live=live).target(
        {}, Keys(api_key="plx_api", device_key=device_key)
    )
    assert target is not None
    assert target.publishing == publishing
    assert (target.watched is not None) == is_watched


# ── the programs themselves ──────────────────────────────────────────────────────────────────


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Serve with real keys and publish with one of them; give the URL, and the key that may only watch."""
    keys = tmp_path / "keys.toml"
    drawn = {
        scope: plexwire("keys", "add", "--file", str(keys), "--organisation", "home", "--name", scope,
                        "--scope", scope).stdout.strip()
        for scope in ("read", "write")
    }  # fmt: skip
    with ExitStack() as stack:
        server = start(stack, "serve", "--keys", str(keys), "--port", "0")
        url = next(word for line in server for word in line.split() if word.startswith("ws://"))
        camera = start(
            stack,
            *("publish", url, "--source-id", "robot-01", "--camera", "front/left"),
            *("--pattern", "64x48", "--fps", "30"),
            PLEXWIRE_API_KEY=drawn["write"],
        )
        next(camera)
        yield url, {"PLEXWIRE_API_KEY": drawn["read"]}


def environment(more: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PLEXWIRE_")}
    return {**ours, "PYTHONUNBUFFERED": "1", **more}


def plexwire(*arguments: str, **keys: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MODULE, *arguments],
        env=environment(keys),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )


def start(stack: ExitStack, *arguments: str, **keys: str) -> Iterator[str]:
    """Start a program that runs until the end of *stack*; give the lines that it says."""
    process = stack.enter_context(
        subprocess.Popen(
            [*MODULE, *arguments],
            env=environment(keys),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    stack.callback(process.terminate)
    if process.stdout is None:
        raise AssertionError("no standard output, though a pipe was asked for")
    return iter(process.stdout)


def test_programs_judge_a_gateway_by_a_camera_that_runs_and_a_key_that_may_only_watch(
    gateway: tuple[str, Mapping[str, str]], tmp_path: Path
) -> None:
    url, keys = gateway
    live = ("--live", "robot-01/front/left")
    report = tmp_path / "run.ndjson"
    only = [word for area in ("live", "conn", "dev.authenticated") for word in ("--only", area)]
    commands = {
        "conform": [*MODULE, "conform", url, *live, *only, "--report", str(report)],
        "replay": [*MODULE, "replay", "live.listed", "--url", url, *live],
        "pytest": [
            *(sys.executable, "-m", "pytest", "-rs", *PLUGIN),
            *("--plexwire-url", url, "--plexwire-live", live[1], "-p", "no:cacheprovider"),
            *("--rootdir", str(tmp_path), "-c", os.devnull),
            *("plexwire::live.same-for-all", "plexwire::frames.relayed"),
        ],
    }
    running = {
        name: subprocess.Popen(
            command, env=environment(keys), cwd=tmp_path, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for name, command in commands.items()
    }  # fmt: skip
    said = {name: process.communicate(timeout=PATIENCE_S)[0] for name, process in running.items()}
    codes = {name: process.returncode for name, process in running.items()}
    assert codes == {"conform": 0, "replay": 0, "pytest": 0}, said
    lines = map(json.loads, report.read_text("utf-8").splitlines())
    verdicts = {line["case"]: line["verdict"] for line in lines if "case" in line}
    assert verdicts.pop("dev.authenticated") == "untestable"
    assert verdicts.pop("live.foreign-viewer") == "untestable"
    assert {verdicts[case] for case in verdicts if case.startswith("live.")} == {"pass"}
    assert "PASSES      live.listed" in said["replay"]
    assert "1 skipped" in said["pytest"]
    assert "provide a key that a device may use: PLEXWIRE_DEVICE_KEY" in said["pytest"]
    assert keys["PLEXWIRE_API_KEY"] not in "".join(said.values()) + report.read_text("utf-8")
