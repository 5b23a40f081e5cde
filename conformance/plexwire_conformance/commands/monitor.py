"""`plexwire monitor`: production, watched for hours by one polite viewer."""

import os
import random
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import start_http_server
from rich.console import Console

from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.live_commands import (
    FOR_OPTION,
    conclude,
    say,
    telling_judge,
    until_ended,
)
from plexwire_conformance.commands.options import (
    FILE,
    fail,
    place_of,
    place_to_listen,
    run_trio,
)
from plexwire_conformance.passive.production import KeyRefused, Minute, Production
from plexwire_conformance.passive.production_metrics import ProductionMetrics
from plexwire_conformance.report.summary import plural
from plexwire_conformance.run.exception_groups import first_of
from plexwire_conformance.target.description import TargetDescription, check_proxy
from plexwire_conformance.target.target import BadTarget

#: Seconds between two lines.
_LINE_S: Final = 60.0


@click.command(cls=JudgingCommand)
@click.argument("url", required=False)
@click.option("--source-id", required=True, metavar="ID", help="The source to watch.")
@click.option("--camera", multiple=True, required=True, metavar="ID", help="A camera; repeatable.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there, at /metrics.")
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    default=_LINE_S,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two lines.",
)
@FOR_OPTION
@click.option("--keys-file", type=FILE, help="File with the key, in lines of NAME=value.")
@click.option("--ca", type=FILE, help="Certificate authority (PEM) to trust for wss://.")
@click.option(
    "--proxy",
    metavar="URL",
    help="HTTP proxy to go through, by CONNECT; 'none' for none.  [default: as HTTPS_PROXY and NO_PROXY say]",
)
def monitor(
    url: str | None,
    source_id: str,
    camera: tuple[str, ...],
    metrics: str | None,
    every: float,
    seconds: float | None,
    keys_file: Path | None,
    ca: Path | None,
    proxy: str | None,
) -> None:
    """Watch cameras that run anyway at URL, for hours: judge what comes, and say once a minute how it comes.

    \b
    Until Ctrl-C, with metrics for Prometheus:
        plexwire monitor wss://gateway.example.com --source-id robot-01 --camera front --metrics :9101
    For an hour, in a nightly job:
        plexwire monitor wss://gateway.example.com --source-id robot-01 --camera front --for 3600

    It is one viewer on one connection, which publishes nothing. The key is the one in PLEXWIRE_API_KEY, or in --keys-file. It comes back
    after every end, with pauses that grow, but not after a refusal of its key.

    A gap is a silence of a camera that is five times as long as usual, and a second at least. Latency is the time from a
    frame's timestamp to its arrival: it is as true as the clocks of the device and of this machine.

    \b
    Exit codes: 0 nothing found · 1 a MUST was broken · 2 could not judge: no init came, or the key was refused
    """
    out, progress = Console(), Console(stderr=True)

    try:
        url, _ = place_of(url, keys_file, os.environ, is_ci=True)
        if proxy is not None:
            check_proxy(proxy)
        description = TargetDescription(url=url, keys_file=keys_file, ca=ca, proxy=proxy)
        target = description.target(os.environ)
        assert target is not None
        place = None if metrics is None else place_to_listen(metrics)
    except BadTarget as error:
        fail(str(error), COULD_NOT_JUDGE)
    judge = telling_judge(out)
    watched = Production(
        target, source_id, camera, judge, random.random, trouble=partial(say, progress)
    )
    if place is not None:
        registry = CollectorRegistry()
        registry.register(ProductionMetrics(watched))
        try:
            start_http_server(place[1], place[0] or "0.0.0.0", registry)
        except OSError as error:
            fail(f"can't listen at {metrics}: {error.strerror}", COULD_NOT_JUDGE)
    try:
        run_trio(_run, watched, every, seconds, out)
    except* KeyRefused as group:
        fail(str(first_of(group)), COULD_NOT_JUDGE)
    if not watched.inits:
        fail("no init came, so there was nothing to judge", COULD_NOT_JUDGE)
    closes = ", ".join(f"{count} × {what}" for what, count in watched.closes.items())
    words = [plural(watched.frames, "frame"), plural(watched.gaps, "gap")]
    words += [f"ends: {closes}"] if closes else []
    conclude(out, ", ".join(words), judge.broken)


async def _run(watched: Production, every: float, seconds: float | None, out: Console) -> None:
    async def tell() -> None:
        while True:
            await trio.sleep(every)
            say(out, _line(watched.minute(every), watched))

    await until_ended(seconds, watched.run, tell)


def _line(minute: Minute, watched: Production) -> str:
    """Return what came in *minute*, in one line."""
    parts = [
        f"{datetime.now(UTC):%H:%M:%SZ}",
        f"{minute.frames / minute.seconds:.1f} frames/s",
        f"{minute.bytes / minute.seconds / 1e6:.2f} MB/s",
        f"{plural(minute.gaps, 'gap')} (longest silence {minute.longest_gap:.2f} s)",
    ]
    if minute.latency_p50 is not None and minute.latency_p95 is not None:
        late = f"latency p50 {minute.latency_p50 * 1000:.0f} ms, p95 {minute.latency_p95 * 1000:.0f} ms"
        parts.append(late)
    if minute.reconnects:
        parts.append(plural(minute.reconnects, "new connection"))
    if not watched.is_connected:
        parts.append("not connected")
    parts.append(plural(len(watched.judge.findings), "finding"))
    return " · ".join(parts)
