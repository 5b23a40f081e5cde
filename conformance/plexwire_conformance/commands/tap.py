"""`plexwire tap`: between real peers and a gateway, judging both."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
import trio
from rich.console import Console

from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.live_commands import (
    FOR_OPTION,
    conclude,
    say,
    telling_judge,
    until_ended,
)
from plexwire_conformance.commands.options import FILE, fail, place_to_listen, run_trio
from plexwire_conformance.passive.live_judge import LiveJudge
from plexwire_conformance.passive.tap import Tap
from plexwire_conformance.recording.transcript import Transcript, TranscriptFile
from plexwire_conformance.report.summary import plural
from plexwire_conformance.target.description import TargetDescription
from plexwire_conformance.target.streams import url_of
from plexwire_conformance.target.target import BadTarget, Endpoint, Keys


@click.command(cls=JudgingCommand)
@click.option(
    "--upstream", required=True, metavar="URL", help="Base URL of the gateway, ws:// or wss://."
)
@click.option("--device-upstream", metavar="URL", help="Base URL for devices, if it is another.")
@click.option(
    "--listen",
    default="127.0.0.1:8702",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the peers connect instead, by ws://.",
)
@click.option("--ca", type=FILE, help="Certificate authority (PEM) to trust for wss://.")
@click.option(
    "--transcripts",
    type=FILE,
    help="Write every conversation when it has ended, without keys, as NDJSON for plexwire judge.",
)
@FOR_OPTION
def tap(
    upstream: str,
    device_upstream: str | None,
    listen: str,
    ca: Path | None,
    transcripts: Path | None,
    seconds: float | None,
) -> None:
    """Stand between real viewers and devices and their gateway, and judge both sides while they talk.

    \b
    Let the peers connect to the tap instead of the gateway:
        plexwire tap --upstream wss://gateway.example.com
        plexwire watch ws://127.0.0.1:8702 --source-id robot-01 --camera front

    Every byte is relayed as it came, but for the request of the handshake: its Host is the gateway's, its path begins with
    that of URL, and it offers no extensions, since compressed messages can't be read.

    A finding is printed when it is seen first. What needs a stimulus or a deadline is judged by plexwire conform alone;
    what is judged here is what must hold in every conversation, of the gateway, of viewers and of devices.

    \b
    Exit codes: 0 nothing found · 1 a MUST was broken · 2 could not judge
    """
    out, progress = Console(), Console(stderr=True)

    judge = telling_judge(out)
    try:
        description = TargetDescription(url=upstream, device_url=device_upstream, ca=ca)
        # The tap has no key of its own: it relays those of others.
        target = description.target(os.environ, Keys(api_key=""))
        assert target is not None
        place = place_to_listen(listen)
        with ExitStack() as stack:
            write = None
            if transcripts is not None:
                file = stack.enter_context(transcripts.open("w", encoding="utf-8", newline="\n"))
                written = TranscriptFile(file)
                written.begin(target.viewers.url)
                stack.callback(written.end)

                def write(transcript: Transcript) -> None:
                    written.add(transcript)
                    file.flush()

            run_trio(_run, target.viewers, target.devices, judge, place, write, seconds, progress)
    except BadTarget as error:
        fail(str(error), COULD_NOT_JUDGE)
    except OSError as error:
        fail(error.strerror or str(error), COULD_NOT_JUDGE)
    heard = f"{plural(judge.conversations, 'conversation')}, {plural(judge.frames, 'frame')}"
    if not judge.conversations:
        fail("nobody connected", COULD_NOT_JUDGE)
    conclude(out, heard, judge.broken)


async def _run(
    viewers: Endpoint,
    devices: Endpoint,
    judge: LiveJudge,
    place: tuple[str, int],
    write: Callable[[Transcript], None] | None,
    seconds: float | None,
    progress: Console,
) -> None:
    host, port = place
    listeners = await trio.open_tcp_listeners(port, host=host)
    began = trio.current_time()
    relay = Tap(
        viewers=viewers,
        devices=devices,
        judge=judge,
        clock=lambda: trio.current_time() - began,
        transcribe=write,
        trouble=partial(say, progress),
    )
    invitation = f"connect to {url_of(listeners[0])}, and be relayed to {viewers.url}"
    await until_ended(
        seconds, partial(relay.run, listeners), ready=partial(say, progress, invitation)
    )
