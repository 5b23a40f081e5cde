"""Releases of the real device SDK: what they do today is what the table in the documents says.

The tool that makes the table plays it once for all releases, but for what takes long; see `make sdk`.  The release that the
tests are installed with is always played.  The oldest and the newest are where their environments are there, or under CI,
where they are built.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TOOL: Final = ROOT / "tools" / "sdk" / "matrix.py"
PAGE: Final = ROOT / "docs" / "devices.md"

INSTALLED: Final = "0.7.1"
OTHERS: Final = ("0.5.2", "0.16.0")
#: Rows that tests leave out: they take half a minute, or need GStreamer.
SLOW: Final = 3
UNDER_CI: Final = "CI" in os.environ

Cells = Mapping[str, str]


def table() -> dict[str, dict[str, str]]:
    """Return the cells of the page's table, by release and by row."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    (_, *releases), _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return {
        release: {row: cells[column] for row, *cells in rows}
        for column, release in enumerate(releases)
    }


def is_there(release: str) -> bool:
    built = ROOT / ".venv" / "sdk" / release / "built"
    return release == INSTALLED or UNDER_CI or built.exists()


@pytest.fixture(scope="module")
def played() -> dict[str, Cells]:
    """What the releases do, by release and by row."""
    if which("ffmpeg") is None and not UNDER_CI:
        pytest.skip("ffmpeg is not installed")
    releases = [release for release in (INSTALLED, *OTHERS) if is_there(release)]
    chosen = [word for release in releases for word in ("--release", release)]
    options = ("--quick", "--here", "--json", "--jobs", "3")
    command = [sys.executable, str(TOOL), *options, *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.stdout, done.stderr
    cells: dict[str, Cells] = json.loads(done.stdout)
    return cells


@pytest.mark.parametrize("release", [INSTALLED, *OTHERS])
def test_sdk_does_what_the_table_says_whatever_its_release(
    played: dict[str, Cells], release: str
) -> None:
    if not is_there(release):
        pytest.skip(f"there is no environment for {release}: make sdk builds it")
    said = table()[release]
    assert played[release] == {row: said.get(row) for row in played[release]}
    assert len(played[release]) == len(said) - SLOW


def test_table_tells_of_every_release_and_of_no_failure() -> None:
    said = table()
    assert list(said) == ["0.5.2", "0.7.1", "0.9.1", "0.11.6", "0.12.1", "0.16.0"]
    for release, cells in said.items():
        assert [row for row, cell in cells.items() if not cell or "**" in cell] == [], release


@pytest.mark.usefixtures("played")
def test_newest_sdk_is_accused_of_nothing(tmp_path: Path) -> None:
    """By the cases for devices that do not wait for long; the release that is installed is judged beside other programs."""
    newest = OTHERS[-1]
    if not is_there(newest):
        pytest.skip(f"there is no environment for {newest}: make sdk builds it")
    python = ROOT / ".venv" / "sdk" / newest / "bin" / "python"
    camera = Path(__file__).with_name("programs") / "sdk_camera.py"
    report = tmp_path / "run.ndjson"
    command = [sys.executable, "-m", "plexwire_conformance.cli", "conform-device"]
    options = ["--profile", "quick", "--patience", "60", "--report", str(report)]
    done = subprocess.run(
        [*command, *options, "--", str(python), str(camera)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in report.read_text("utf-8").splitlines()[1:-1]]
    assert {result["verdict"] for result in results} == {"pass"}
