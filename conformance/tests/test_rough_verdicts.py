"""A sound gateway is accused of nothing through anything rough on the way to it, and a gateway that is gone is not judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import pytest
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GATEWAYS: Final = Path(__file__).with_name("gateways")
KEYS: Final = {
    "PLEXWIRE_API_KEY": "plx_independent_home",
    "PLEXWIRE_FOREIGN_KEY": "plx_independent_foreign",
    "PLEXWIRE_NO_ACCESS_KEY": "plx_independent_no_access",
    "PLEXWIRE_REVOKED_KEY": "plx_independent_revoked",
}
#: Seconds that a run may take on a busy machine.
LONGEST_S: Final = 150


@frozen
class Run:
    """What came of one run of `plexwire conform`."""

    exit_code: int
    said: str
    footer: Mapping[str, Any] = field(factory=dict)

    @property
    def accusations(self) -> list[str]:
        """The clauses that are said to be broken."""
        return [clause for clause, verdict in self.footer["clauses"].items() if verdict == "fail"]

    @property
    def judged(self) -> int:
        """The number of cases that ended with a verdict."""
        cases = self.footer["cases"]
        return sum(cases[verdict] for verdict in ("pass", "info", "warn", "fail"))


def _start(stack: ExitStack, program: str, *arguments: str) -> str:
    """Start a program of `gateways/` until *stack* closes, and return its port."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, str(GATEWAYS / f"{program}.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    stack.callback(process.kill)
    out: IO[str] | None = process.stdout
    assert out is not None
    return out.readline().strip()


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """The port of a gateway that shares no code with ours and is sound."""
    with ExitStack() as stack:
        yield _start(stack, "on_aiohttp", "--choices", "decided")


def conform(port: str, folder: Path, *options: str) -> Run:
    """Judge what listens at *port*."""
    report = folder / "run.ndjson"
    command = [sys.executable, "-m", "plexwire_conformance.cli", "conform", "--quiet", *options]
    finished = subprocess.run(
        [*command, f"ws://127.0.0.1:{port}", "--report", str(report)],
        env={**os.environ, **KEYS},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    lines = report.read_text("utf-8").splitlines() if report.exists() else []
    return Run(
        finished.returncode,
        finished.stdout + finished.stderr,
        json.loads(lines[-1]) if lines else {},
    )


def through(gateway: str, folder: Path, *roughness: str, options: tuple[str, ...] = ()) -> Run:
    """Judge *gateway* through a rough target."""
    kind, *rest = roughness
    with ExitStack() as stack:
        port = _start(stack, "rough_targets", kind, gateway, *rest)
        return conform(port, folder, *options)


def test_proxy_refuses_above_30_connections_and_the_whole_run_is_judged(
    gateway: str, tmp_path: Path
) -> None:
    run = through(gateway, tmp_path, "limit", "--status", "429", "--at-once", "30")
    assert run.accusations == [], run.said
    assert run.exit_code == 0, run.said
    assert run.judged > 100


def test_proxy_refuses_above_10_connections_and_the_frames_are_judged(
    gateway: str, tmp_path: Path
) -> None:
    run = through(
        *(gateway, tmp_path, "limit", "--status", "503", "--at-once", "10"),
        options=("--only", "frames", "--only", "init"),
    )
    assert run.accusations == [], run.said
    assert run.exit_code == 0, run.said


def test_proxy_refuses_everything_after_5_connections_and_nothing_is_concluded(
    gateway: str, tmp_path: Path
) -> None:
    run = through(
        *(gateway, tmp_path, "limit", "--status", "403", "--in-all", "5"),
        options=("--only", "frames", "--only", "init"),
    )
    assert run.footer.get("clauses", {}) == {} or run.accusations == [], run.said
    assert run.exit_code == 2, run.said


@pytest.mark.parametrize("share", ["0.1", "0.3"])
def test_network_resets_connections_and_the_gateway_is_not_blamed(
    gateway: str, tmp_path: Path, share: str
) -> None:
    run = through(gateway, tmp_path, "reset", "--share", share)
    assert run.accusations == [], run.said
    assert run.exit_code in (0, 2), run.said


def test_gateway_dies_in_the_middle_and_is_said_to_be_gone(gateway: str, tmp_path: Path) -> None:
    run = through(gateway, tmp_path, "die", "--after", "3")
    assert run.accusations == [], run.said
    assert run.exit_code == 2, run.said
    assert "has not answered since" in run.said, run.said


def test_gateway_takes_long_to_check_keys_and_is_not_blamed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        port = _start(stack, "slow_keys")
        run = conform(port, tmp_path, "--max-connections", "200")
    assert run.accusations == [], run.said
    assert run.exit_code == 0, run.said
