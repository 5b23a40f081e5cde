"""Compare gateways, interleaved: every round runs each of them once.

Without options it measures our gateway, the peers and the floor.  `--target HOST:PORT` adds a gateway that runs already.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from plexwire_bench import gateways, machine
from plexwire_bench.drawing import draw
from plexwire_bench.gateways import Gateway, NotThere
from plexwire_bench.plans import DEFAULT, FULL, Plan
from plexwire_bench.results import Table, summarise
from plexwire_bench.terminal import table_text

_HERE: Final = Path(__file__).parent.parent


def main() -> None:
    """Run what the command line asks for, print a table per plan, and write JSON and SVG."""
    options = _options()
    if (os.cpu_count() or 1) < 2:
        print("One CPU for gateway and load generator: latencies mean nothing.", file=sys.stderr)
    begin = time.monotonic()
    before = machine.describe()
    tables: list[Table] = []
    record: list[dict[str, Any]] = []
    with ExitStack() as stack:
        running = _start(options, stack)
        for number, plan in enumerate(options.plan, 1):
            until = begin + options.minutes * 60 * number / len(options.plan)
            rounds = [_round(options, plan, running)]
            while len(rounds) < options.rounds and time.monotonic() < until:
                rounds.append(_round(options, plan, running))
            table = summarise(plan, rounds)
            print("\n" + table_text(table), flush=True)
            tables.append(table)
            record += [{"gateway": name, **run} for each in rounds for name, run in each.items()]
    note = (
        f"{before['cpu']}, Linux {before['kernel']}, Python {before['python']}; load average "
        f"{before['load_average']:.1f} before, {os.getloadavg()[0]:.1f} after; "
        f"up to {options.rounds} rounds in {time.monotonic() - begin:.0f} s"
    )
    print(f"\n{note}")
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": before, "note": note, "runs": record}
    (options.out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "bench.svg").write_text(draw(tables, note))
    print(f"Runs and chart: {options.out}/bench.json, {options.out}/bench.svg")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="plexwire_bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--target", metavar="HOST:PORT", help="a gateway that runs on this machine")
    parser.add_argument("--viewer-key", default="plx_bench", help="its key for viewers")
    parser.add_argument("--device-key", default="plx_bench", help="its key for devices")
    parser.add_argument(
        "--only",
        default=",".join(gateways.NAMES),
        help=f"default: {','.join(gateways.NAMES)}; also {','.join(gateways.MORE_NAMES)}",
    )
    parser.add_argument("--plan", help="MODE:JPEG_BYTES:VIEWERS[:DEVICES[:CAMERAS]],… or `full`")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--minutes", type=float, default=3.5, help="no further rounds after these; default: 3.5"
    )
    parser.add_argument("--seconds", type=float, default=0.6, help="per run; default: 0.6")
    parser.add_argument("--out", type=Path, default=_HERE / "results", help="default: %(default)s")
    options = parser.parse_args()
    texts = FULL if options.plan == "full" else (options.plan or ",".join(DEFAULT)).split(",")
    try:
        options.plan = [Plan.parse(text) for text in texts]
    except ValueError as error:
        parser.error(str(error))
    unknown = set(options.only.split(",")) - {*gateways.NAMES, *gateways.MORE_NAMES}
    if unknown:
        parser.error(f"no gateway is named {', '.join(sorted(unknown))}")
    return options


def _start(options: argparse.Namespace, stack: ExitStack) -> list[Gateway]:
    running: list[Gateway] = []
    if options.target:
        mine = gateways.target(options.target, options.viewer_key, options.device_key, cpu=0)
        running.append(stack.enter_context(mine))
    for name in options.only.split(","):
        try:
            running.append(stack.enter_context(gateways.start(name, cpu=0)))
        except NotThere as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
    return running


def _round(
    options: argparse.Namespace, plan: Plan, running: list[Gateway]
) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    for gateway in running:
        if gateway.name == gateways.FLOOR and plan.mode in ("slow", "stall"):
            continue  # it serves its viewers one after the other
        if gateway.name == gateways.FLOOR and plan.devices > 1:
            continue
        seconds = options.seconds * {"paced": 2, "slow": 8}.get(plan.mode, 1)
        command = [sys.executable, "-m", "plexwire_bench.load", gateway.address]
        command += ["--plan", str(plan), "--seconds", str(seconds), "--cpu", "1"]
        command += ["--viewer-key", gateway.viewer_key, "--device-key", gateway.device_key]
        command += ["--tls"] if gateway.tls else []
        command += ["--devices-at", gateway.devices_at] if gateway.devices_at else []
        environment = {**os.environ, "PYTHONPATH": str(_HERE)}
        ran = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60 + seconds,
            check=False,
        )
        if ran.returncode:
            print(f"{gateway.name}, {plan}: {ran.stderr.strip()[-300:]}", file=sys.stderr)
        else:
            results[gateway.name] = json.loads(ran.stdout)
    return results


if __name__ == "__main__":
    main()
