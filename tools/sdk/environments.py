"""An environment a release of the SDK, each with what its own `[video]` extra asks for."""

import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

#: The releases that are tried: the first with binary frames, the guide's, and what came since.
RELEASES: Final = ("0.5.2", "0.7.1", "0.9.1", "0.11.6", "0.12.1", "0.16.0")

_ROOT: Final = Path(__file__).parents[2]
_PACKAGE: Final = "plexus-python"


def python_of(release: str) -> Path:
    """Return where the Python of the environment for *release* is, built or not."""
    return _ROOT / ".venv" / "sdk" / release / "bin" / "python"


def is_built(release: str) -> bool:
    """Whether the environment for *release* is there, whole."""
    return _mark(release).exists()


def is_here(release: str) -> bool:
    """Whether the running Python holds *release* itself, with its `[video]` extra."""
    try:
        return version(_PACKAGE) == release and bool(version("opencv-python-headless"))
    except PackageNotFoundError:
        return False


def build(release: str) -> None:
    """Build the environment for *release*, unless it is there.

    Raises:
        subprocess.CalledProcessError: it can't be built; what pip said went to standard error.

    """
    if is_built(release):
        return
    folder = python_of(release).parents[1]
    venv = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)]
    subprocess.run(venv, check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(_constraints())
        constraints.flush()
        pip = [sys.executable, "-m", "pip", "--python", str(python_of(release)), "install"]
        quiet = ["--quiet", "--disable-pip-version-check", "--constraint", constraints.name]
        subprocess.run([*pip, *quiet, f"{_PACKAGE}[video]=={release}"], check=True)
    _mark(release).touch()


def _mark(release: str) -> Path:
    return python_of(release).parents[1] / "built"


def _constraints() -> str:
    lines = (_ROOT / "constraints.txt").read_text("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_PACKAGE))
