"""Build the wheel and the sdist into `dist/`, and try the wheel in clean environments, away from the checkout.

The base install must hold attrs and nothing else, and the core must import. With the extra `conformance`, the suite
must judge the reference gateway.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = Path(sys.executable).with_name("uv")
BASE: Final = {"attrs", "plexwire"}


def run(*command: str | Path, away: Path) -> str:
    """Run *command* in the folder *away*, as outside of CI and of the checkout; return what it printed."""
    print("$", *command, flush=True)
    # In CI the suite judges no gateway that was not named, and here it judges the reference gateway.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONPATH")
    }
    done = subprocess.run(command, cwd=away, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(done.stdout)
        sys.exit(f"exit code {done.returncode}")
    return done.stdout


def install(environment: Path, requirement: str, *, away: Path) -> Path:
    """Install *requirement* into a new *environment*; return the folder of its commands."""
    run(UV, "venv", "--quiet", "--python", sys.executable, environment, away=away)
    run(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        environment / "bin/python",
        requirement,
        away=away,
    )
    return environment / "bin"


def main() -> None:
    """Build, install, try."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="plexwire-wheel-") as folder:
        away = Path(folder)
        run(UV, "build", "--quiet", "--out-dir", ROOT / "dist", ROOT, away=away)
        [wheel] = (ROOT / "dist").glob("*.whl")

        base = install(away / "base", str(wheel), away=away)
        listed = run(UV, "pip", "freeze", "--quiet", "--python", base / "python", away=away)
        installed = {line.partition("==")[0].partition(" @")[0] for line in listed.splitlines()}
        if installed != BASE:
            sys.exit(f"The base install holds {sorted(installed)}, not {sorted(BASE)}")
        print(
            run(
                base / "python",
                "-c",
                "import plexwire_protocol as p; print(p.__version__)",
                away=away,
            )
        )

        suite = install(away / "suite", f"{wheel}[conformance]", away=away)
        print(run(suite / "plexwire", "conform", "--quiet", "--only", "init", away=away))
    print(*sorted(path.name for path in (ROOT / "dist").glob("plexwire-*")))


if __name__ == "__main__":
    main()
