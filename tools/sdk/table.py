"""The table in `docs/devices.md`: what came of the trials, a row each, a column a release."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from environments import RELEASES
from trials import all_trials

#: What came of each trial, by release and the trial's name.
Cells: TypeAlias = Mapping[str, Mapping[str, str]]

PAGE: Final = Path(__file__).parents[2] / "docs" / "devices.md"

_BLOCK: Final = re.compile(r"(?<=<!-- generated: sdk -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def write(cells: Cells) -> None:
    """Write the table into the page anew."""
    text = PAGE.read_text("utf-8")
    PAGE.write_text(_BLOCK.sub(lambda _: f"\n{render(cells)}\n\n", text), "utf-8")


def render(cells: Cells) -> str:
    """Return the table of all releases that have cells."""
    releases = [release for release in RELEASES if release in cells]
    rows = [
        [trial.row, *(cells[release].get(trial.name, "") for release in releases)]
        for trial in all_trials().values()
    ]
    return "\n".join(
        map(_line, [["plexus-python", *releases], ["---"] * (len(releases) + 1), *rows])
    )


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
