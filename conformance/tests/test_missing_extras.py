"""The command line where an extra is not installed: one line that says which, and how to get it."""

import os
import subprocess
import sys

import pytest

#: Seconds that no command here takes.
TIMEOUT_S = 40.0
ENVIRONMENT = {**os.environ, "PLEXWIRE_API_KEY": "plx_0123456789abcdef0123"}
ENVIRONMENT.pop("CI", None)
COULD_NOT_JUDGE = 2

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from plexwire_conformance.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments", "exit_code", "problem"),
    [
        (
            "rich",
            ("conform", "ws://x"),
            COULD_NOT_JUDGE,
            "`plexwire conform` needs rich, which is not",
        ),
        (
            "hypothesis",
            ("conform", "ws://x"),
            COULD_NOT_JUDGE,
            "pip install 'plexwire[conformance]'",
        ),
        ("prometheus_client", ("conform",), COULD_NOT_JUDGE, "pip install 'plexwire[server]'"),
        ("trio_websocket", ("serve",), COULD_NOT_JUDGE, "pip install 'plexwire[server]'"),
        ("rich", ("watch", "ws://x"), COULD_NOT_JUDGE, "pip install 'plexwire[tools]'"),
        ("trio", ("publish", "ws://x"), COULD_NOT_JUDGE, "pip install 'plexwire[tools]'"),
        ("click", ("conform", "ws://x"), COULD_NOT_JUDGE, "The command line needs an extra: pip"),
    ],
)
def test_command_lacks_an_extra_and_says_how_to_install_it(
    module: str, arguments: tuple[str, ...], exit_code: int, problem: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module), *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == exit_code
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_command_asks_for_help_without_any_extra_but_click_and_gets_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module="trio"), "--help"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    assert "conform" in done.stdout


@pytest.mark.parametrize(
    ("module", "marked", "suggested"),
    [
        ("hypothesis", "[needs plexwire[conformance]]", {"serve", "publish", "watch"}),
        ("markdown_it", "[needs plexwire[tools]]", {"serve", "conform"}),
        ("nothing", "", {"serve", "publish", "watch", "conform"}),
    ],
)
def test_help_marks_what_is_not_installed_and_suggests_only_what_is(
    module: str, marked: str, suggested: set[str]
) -> None:
    program = (
        "import importlib.util as util\n"
        f"real = util.find_spec\nutil.find_spec = lambda name: None if name == {module!r} else real(name)\n"
        "from plexwire_conformance.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        env={**ENVIRONMENT, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("[needs" in done.stdout) == bool(marked)
    assert marked in " ".join(done.stdout.split())
    steps = [line.split() for line in done.stdout.splitlines() if line.startswith("  plexwire ")]
    assert {step[1] for step in steps} == suggested
