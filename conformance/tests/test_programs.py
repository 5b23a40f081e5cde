"""Real viewers and devices on trial, each a process of its own: what the suite says of ours, of the SDK, and of the guide's way.

Some are judged at once, as a case mostly waits.
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
import trio

from plexwire_conformance.cases.programs import cases_for
from plexwire_conformance.program.program import CommandProgram, Invitation
from plexwire_conformance.program.runner import ProgramRunner
from plexwire_conformance.run.checks import checks
from plexwire_conformance.run.events import RunFinished
from plexwire_conformance.run.findings import Verdict
from plexwire_spec import Party

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
PROGRAMS: Final = Path(__file__).with_name("programs")
CHROMIUM: Final = shutil.which("chromium") is not None and find_spec("playwright") is not None
PAGES: Final = ROOT / "server" / "tests" / "pages"

PLACE: Final = ("{url}", "{source_id}", "{camera_id}")
OPTIONS: Final = ("{url}", "--source-id", "{source_id}", "--camera", "{camera_id}")
#: More frames than any case sends.
MANY: Final = "100000"

VIEWERS: Final = {
    "watch": ("-m", "plexwire_conformance.cli", "watch", *OPTIONS, "--reconnect"),
    "asyncio": (str(EXAMPLES / "asyncio_viewer.py"), *PLACE),
    "threads": (str(EXAMPLES / "threads_viewer.py"), *PLACE, MANY),
    "twisted": (str(EXAMPLES / "twisted_viewer.py"), *PLACE, MANY),
    "wsproto": (str(EXAMPLES / "wsproto_viewer.py"), *PLACE, MANY),
    "plain": (str(EXAMPLES / "plain_viewer.py"), *PLACE, MANY),
    "guide": (str(PROGRAMS / "browser_viewer.py"), "guide"),
    "module": (str(PROGRAMS / "browser_viewer.py"), "module"),
    "page": (str(PROGRAMS / "browser_viewer.py"), "page"),
}
IN_A_BROWSER: Final = {"guide", "module", "page"}
DEVICES: Final = {
    "publish": ("-m", "plexwire_conformance.cli", "publish", *OPTIONS, "--reconnect"),
    "sdk": (str(PROGRAMS / "sdk_camera.py"),),
    "sdk, thermal": (str(PROGRAMS / "sdk_camera.py"), "thermal"),
}

#: What waits for long is judged of our own commands only; `selftest` shows that each case finds what it is for.
LONG_S: Final = 6.0
#: What is judged of each example: each start of an interpreter costs the machine half a second.
OF_EXAMPLES: Final = ("viewer.auth", "viewer.pings", "viewer.unknown", "viewer.timeout")
EXAMPLE_VIEWERS: Final = {"asyncio", "threads", "twisted", "wsproto", "plain"}
#: Programs that are judged at once; other tests wait for gateways to answer in time beside them.
AT_ONCE: Final = 3
#: Programs for which a browser is started are judged by the cases that tell browsers from libraries.
OF_BROWSERS: Final = ("viewer.unknown", "viewer.timeout", "viewer.no-init")

#: The page that says what is found, and how it names the programs.
PAGE: Final = ROOT / "docs" / "programs.md"
ROWS: Final = {
    "watch": "`plexwire watch --reconnect`",
    "asyncio": "`examples/asyncio_viewer.py`",
    "threads": "`examples/threads_viewer.py`",
    "twisted": "`examples/twisted_viewer.py`",
    "wsproto": "`examples/wsproto_viewer.py`",
    "plain": "`examples/plain_viewer.py`",
    "guide": "the guide's way in Chromium: no wait for `init`, no second connection",
    "module": "the browser module, `/page/viewer.js`, in Chromium",
    "page": "the viewer page at `/`, in Chromium",
    "publish": "`plexwire publish --reconnect`",
    "sdk": "the device SDK 0.7.1",
    "sdk, thermal": "the device SDK 0.7.1, a thermal camera with a dead pixel",
}


def said_of(name: str) -> set[str]:
    """Return the checks that the page names for a program."""
    rows = (line.split(" | ") for line in PAGE.read_text("utf-8").splitlines())
    (cell,) = [row[1] for row in rows if row[0] == f"| {ROWS[name]}"]
    return {word for word in cell.split("`") if word in checks()}


def names() -> list[str]:
    return [name for name in (*VIEWERS, *DEVICES) if CHROMIUM or name not in IN_A_BROWSER]


def cases_of(name: str, role: Party) -> list[str]:
    if name in IN_A_BROWSER:
        return list(OF_BROWSERS)
    if name in EXAMPLE_VIEWERS:
        return list(OF_EXAMPLES)
    if name == "sdk, thermal":
        return ["device.frames"]
    whole = name in ("watch", "publish")
    return [c.id for c in cases_for(role).values() if c.takes <= (20.0 if whole else LONG_S)]


@pytest.fixture(scope="module")
def judged() -> dict[str, RunFinished]:
    """The run of each program."""
    if not CHROMIUM and "CI" in os.environ:
        pytest.fail("Chromium or playwright is missing, and CI is set", pytrace=False)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(PAGES), os.environ.get("PYTHONPATH", "")))
    )
    runs: dict[str, RunFinished] = {}

    async def judge(name: str, room: trio.CapacityLimiter) -> None:
        async with room:
            await judge_now(name)

    async def judge_now(name: str) -> None:
        role = Party.VIEWER if name in VIEWERS else Party.DEVICE
        command = (sys.executable, *(VIEWERS | DEVICES)[name])
        runner = ProgramRunner(
            program=CommandProgram(role, command, at_once=2),
            invitation=Invitation(api_key="plx_0123456789abcdef"),
            unix_ms=1_750_000_000_000,
            patience=60.0,
        )
        every = cases_for(role)
        cases = [every[case_id] for case_id in cases_of(name, role)]
        runs[name] = await runner.run(cases, lambda event: None)

    async def judge_all() -> None:
        room = trio.CapacityLimiter(AT_ONCE)
        with trio.fail_after(400):
            async with trio.open_nursery() as nursery:
                for name in names():
                    nursery.start_soon(judge, name, room)

    trio.run(judge_all)
    return runs


@pytest.mark.parametrize("name", [*VIEWERS, *DEVICES])
def test_program_is_accused_of_what_the_page_says_and_of_nothing_else(
    judged: dict[str, RunFinished], name: str
) -> None:
    if name not in judged:
        pytest.skip("there is no Chromium")
    found = {finding.check for result in judged[name].results for finding in result.findings}
    assert found == said_of(name)


@pytest.mark.parametrize("name", [*VIEWERS, *DEVICES])
def test_program_is_judged_by_every_case_that_was_played(
    judged: dict[str, RunFinished], name: str
) -> None:
    if name not in judged:
        pytest.skip("there is no Chromium")
    silent = {r.case: r.reason for r in judged[name].results if r.verdict is Verdict.ERROR}
    assert silent == {}
