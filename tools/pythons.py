"""Run the core's and the adapter's tests on every Python that pyproject.toml lists and this machine has.

Each Python gets its own environment under `.venv/pythons`, with the versions of constraints.txt. A Python that the
machine does not have is reported and fails nothing; the exit code is 1 if the tests of any other fail.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = Path(sys.executable).with_name("uv")
PYENV: Final = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"


def listed() -> list[str]:
    """Return the versions in the classifiers, such as `3.11`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = (
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text)
        for text in project["classifiers"]
    )
    return [match[1] for match in named if match]


def find(version: str) -> Path | None:
    """Return an interpreter of *version*, from the path or from pyenv, that starts and can make environments."""
    on_path = shutil.which(f"python{version}")
    candidates = [Path(on_path)] if on_path else []
    for candidate in (*candidates, *sorted(PYENV.glob(f"{version}.*/bin/python{version}"))):
        # What pyenv puts on the path exists for versions that are not active, too; it then exits with 127.
        started = subprocess.run([candidate, "-c", "import ssl, venv"], capture_output=True)
        if started.returncode == 0:
            return candidate
    return None


def passes(version: str, python: Path) -> bool:
    """Run the tests in a new environment of *python*."""
    environment = ROOT / ".venv" / "pythons" / version
    inside = environment / "bin" / "python"
    pip = (UV, "pip", "install", "--quiet", "--python", inside)
    commands: tuple[tuple[str | Path, ...], ...] = (
        (UV, "venv", "--quiet", "--clear", "--python", python, environment),
        (*pip, "--constraint", "constraints.txt", "--editable", ".[all,test]"),
        (inside, "-m", "pytest", "--quiet", "-n", "2", "protocol/tests", "adapter/tests"),
    )
    return all(subprocess.run(command, cwd=ROOT).returncode == 0 for command in commands)


def main() -> int:
    """Try each version and print a line for it."""
    outcomes = {}
    for version in listed():
        python = find(version)
        print(f"Python {version}: {python or 'missing'}", flush=True)
        outcomes[version] = "missing" if python is None else None
        if python is not None:
            outcomes[version] = "passed" if passes(version, python) else "FAILED"
    print(", ".join(f"{version} {outcome}" for version, outcome in outcomes.items()))
    return int("FAILED" in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
