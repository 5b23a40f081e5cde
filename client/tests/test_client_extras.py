"""What `import plexwire_client` loads, and what is said where an extra is not installed."""

import subprocess
import sys

import pytest

PATIENCE_S = 30.0

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
{program}
"""
#: What a device of JPEGs does: no step of it may need an extra besides `client`.
DEVICE = """
import plexwire_client
from plexwire_client._jpeg import as_it_is
from plexwire_client.pictures import frame_to_image
assert as_it_is(b"\\xff\\xd8\\xff\\xd9") is not None
"""


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_client_loads_only_itself_adapter_core_and_trio_when_imported() -> None:
    program = """
import sys, trio, trio_websocket
before = set(sys.modules)
import plexwire_client
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
print(*sorted(name for name in sys.modules if name.startswith("plexwire_client.")))
"""
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    packages, modules = (line.split() for line in done.stdout.splitlines())
    # The core uses pybase64 where it is installed, and does without.
    ours = set(packages) - sys.stdlib_module_names - {"pybase64"}
    assert ours == {"plexwire_client", "plexwire_protocol", "plexwire_trio"}
    assert [name.removeprefix("plexwire_client.") for name in modules] == [
        *("_backoff", "_client", "_device", "_errors", "_jpeg", "_newest_per_key", "_viewer"),
    ]


@pytest.mark.parametrize("module", ["PIL", "numpy", "rich", "click", "markdown_it"])
def test_client_does_without_what_other_extras_bring(module: str) -> None:
    done = run_python(WITHOUT.format(module=module, program=DEVICE))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["trio", "trio_websocket"])
def test_client_names_its_extra_when_trio_is_missing(module: str) -> None:
    done = run_python(WITHOUT.format(module=module, program="import plexwire_client"))
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"ModuleNotFoundError: plexwire_client needs {module}: pip install 'plexwire[client]'"
    )


def test_pictures_name_their_extra_when_pillow_is_missing() -> None:
    program = """
import trio
from plexwire_client.pictures import frame_to_image
from plexwire_protocol import VideoFrame
trio.run(frame_to_image, VideoFrame(source_id="s", camera_id="c", jpeg=b"\\xff\\xd8", width=1, height=1, timestamp=1))
"""
    done = run_python(WITHOUT.format(module="PIL", program=program))
    assert "Decoding a frame needs Pillow: pip install 'plexwire[images]'" in done.stderr
