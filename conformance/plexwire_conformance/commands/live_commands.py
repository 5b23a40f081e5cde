"""What the commands have in common that judge what others say: until when, and how they tell what they find."""

import math
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import click
import trio
from rich.console import Console

from plexwire_conformance.passive.live_judge import LiveJudge
from plexwire_conformance.report.all_reports import ENDING_SIGNALS
from plexwire_conformance.report.summary import plural
from plexwire_conformance.report.terminal import show_finding
from plexwire_conformance.run.findings import Finding

FOR_OPTION: Final = click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End by itself after so long.",
)


def telling_judge(out: Console) -> LiveJudge:
    """Return a judge that prints each finding to *out* when it is seen first."""

    def found(finding: Finding, name: str) -> None:
        out.print(show_finding(finding, f"seen at {name}"))

    return LiveJudge(found)


def say(console: Console, text: str) -> None:
    """Print *text*, whatever it holds, in one line."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


async def until_ended(
    seconds: float | None,
    *tasks: Callable[[], Awaitable[None]],
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run *tasks* until a signal ends them, or so many *seconds* have passed; *ready* is called once signals are heeded."""
    with trio.move_on_after(math.inf if seconds is None else seconds):
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(*ENDING_SIGNALS) as signals:
                for task in tasks:
                    nursery.start_soon(task)
                ready()
                await anext(signals)
                nursery.cancel_scope.cancel()


def conclude(console: Console, judged: str, broken: int) -> NoReturn:
    """Say in the last line how many promises were *broken* in what was *judged*, and leave with the exit code of that."""
    words = f"{plural(broken, 'documented promise')} broken" if broken else "nothing broken"
    style = "bold red" if broken else "bold green"
    console.print(f"\n{judged}: {words}.", style=style, highlight=False)
    raise SystemExit(1 if broken else 0)
