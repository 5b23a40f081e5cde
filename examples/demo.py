"""`make demo`: the main job on real input, in under two minutes.

It starts the reference gateway, lets the real device SDK publish a moving test pattern, shows a few lines of
`plexwire watch`, then judges that very gateway and ends with the verdict table.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PLEXWIRE = [sys.executable, "-m", "plexwire_conformance.cli"]
SOURCE_ID = "robot-01"
WATCHED_FRAMES = 60


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n\033[1m── {text}\033[0m" if sys.stdout.isatty() else f"\n── {text}", flush=True)


@contextmanager
def running(
    *command: str, env: dict[str, str], log: Path, until_stdin_closes: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program while the context lasts, what it says going to *log*; then end it, politely first."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=said, stderr=said
        )
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if not until_stdin_closes:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def read_environment(path: Path, process: "subprocess.Popen[bytes]") -> dict[str, str]:
    """Return the NAME=value lines that the gateway writes to *path*, once it listens."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        values = dict(line.split("=", 1) for line in lines)
        if "PLEXWIRE_URL" in values:
            return values
        time.sleep(0.05)
    raise SystemExit("The gateway did not start; try it alone: plexwire serve")


def main() -> int:
    """Run the demo; return the exit code of the judge."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keys_file = folder / "keys.env"

        say("The reference gateway")
        gateway = stack.enter_context(
            running(
                *PLEXWIRE,
                "serve",
                "--port",
                "0",
                "--write-keys",
                str(keys_file),
                env=dict(os.environ),
                log=folder / "gateway.log",
            )
        )
        given = read_environment(keys_file, gateway)
        url = given["PLEXWIRE_URL"]
        print(f"listening at {url}, with throw-away keys")
        env = {**os.environ, **given}

        say("The device SDK plexus-python 0.7.1 publishes two cameras")
        sdk = str(Path(__file__).with_name("sdk_device.py"))
        stack.enter_context(
            running(
                sys.executable,
                sdk,
                url,
                SOURCE_ID,
                "front",
                "rear",
                env=env,
                log=folder / "device.log",
                until_stdin_closes=True,
            )
        )

        say("plexwire watch")
        watch = [*PLEXWIRE, "watch", url, "--source-id", SOURCE_ID]
        cameras = ["--camera", "front", "--camera", "rear"]
        subprocess.run([*watch, *cameras, "--frames", str(WATCHED_FRAMES)], env=env, check=True)

        say("plexwire conform")
        print(f"judging {url}", flush=True)
        code = subprocess.run([*PLEXWIRE, "conform", url], env=env, check=False).returncode
        ended = len((folder / "gateway.log").read_text("utf-8").splitlines())
        print(f"\nThe gateway is ended; it logged {ended} lines.")
        return code


if __name__ == "__main__":
    sys.exit(main())
