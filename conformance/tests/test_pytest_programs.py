"""The pytest plugin with a viewer or a device to judge, in sessions of its own."""

import shlex
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest

from plexwire_conformance import pytest_plugin
from plexwire_conformance.cases.programs import VIEWER_CASES
from plexwire_conformance.program.monitor import MONITORED
from plexwire_conformance.pytest_plugin import items, runs
from plexwire_spec import Party

pytest_plugins = ("pytester",)

#: What the plugin imports late, since pytester forgets whatever its sessions import.
LATE: Final = (items, runs)
EXAMPLES: Final = Path(__file__).parents[2] / "examples"
PLAIN: Final = shlex.join(
    [
        sys.executable,
        str(EXAMPLES / "plain_viewer.py"),
        "{url}",
        "{source_id}",
        "{camera_id}",
        "999",
    ]
)
INSTALLED: Final = any(e.value == pytest_plugin.__name__ for e in entry_points(group="pytest11"))


def play(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    plugins = () if INSTALLED else (pytest_plugin,)
    return pytester.runpytest_inprocess(*arguments, plugins=plugins)


def test_plugin_judges_a_viewer_each_case_is_an_item(pytester: pytest.Pytester) -> None:
    result = play(
        pytester,
        f"--plexwire-viewer={PLAIN}",
        *("-v", "-W", "default", "-k", "viewer.auth or viewer.timeout"),
    )
    assert result.ret is pytest.ExitCode.OK
    watched = len(MONITORED[Party.VIEWER])
    result.stdout.fnmatch_lines(
        [
            f"plexwire: *plain_viewer.py* {len(VIEWER_CASES)} cases, the control, and {watched} clauses *",
            "plexwire::viewer.auth PASSED*",
            "plexwire::viewer.timeout PASSED*",
            "*PW-VIEW-2/stayed-away warn: Expected: The viewer connects again within 6 s of a close 4008.*",
        ]
    )


def test_plugin_finds_a_breach_and_says_how_to_see_it_again(pytester: pytest.Pytester) -> None:
    code = (
        "import os, time, trio_websocket, trio\n"
        "async def main():\n"
        "    url = os.environ['PLEXWIRE_STREAM_URL'] + '&key=' + os.environ['PLEXWIRE_API_KEY']\n"
        "    async with trio_websocket.open_websocket_url(url) as ws:\n"
        '        await ws.send_message(\'{"type": "auth", "api_key": "one of its own"}\')\n'
        "        while True:\n"
        "            await ws.get_message()\n"
        "trio.run(main)\n"
    )
    viewer = pytester.path / "leaky.py"
    viewer.write_text(code, "utf-8")
    command = shlex.join([sys.executable, str(viewer)])
    result = play(pytester, f"--plexwire-viewer={command}", "plexwire::viewer.auth")
    assert result.ret is pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "PW-ADDR-14/key-in-url fail: Expected: The address of the handshake holds no key.*",
            f"  again     plexwire conform-viewer --only viewer.auth -- {command}",
        ]
    )
    result.stdout.no_fnmatch_line("*plx_[0-9a-f]*")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plexwire-viewer=a", "--plexwire-device=b"), "*plexwire judges one at a time*"),
        (("--plexwire-viewer=a", "--plexwire-url=ws://x"), "*plexwire judges one at a time*"),
        (("--plexwire-device=",), "*no command: give --plexwire-device the command*"),
        (("--plexwire-viewer=a", "plexwire::no.such"), "*matches no case*"),
    ],
)
def test_plugin_is_given_what_it_cannot_judge_and_says_so(
    pytester: pytest.Pytester, arguments: tuple[str, ...], words: str
) -> None:
    result = play(pytester, *arguments)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
