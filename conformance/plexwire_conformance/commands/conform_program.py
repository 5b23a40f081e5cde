"""`plexwire conform-viewer` and `plexwire conform-device`: the other two sides of the protocol on trial."""

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import evolve, frozen

from plexwire_conformance.cases.profiles import DEFAULT, PROFILES, Profile, part_of
from plexwire_conformance.cases.programs import ProgramCase, cases_for
from plexwire_conformance.cases.selection import NothingSelected, select_of
from plexwire_conformance.commands.judging_command import COULD_NOT_JUDGE, JudgingCommand
from plexwire_conformance.commands.options import FILE, NOTHING, fail, place_to_listen
from plexwire_conformance.commands.reporting import Outputs, judge_and_report, output_options
from plexwire_conformance.program.program import (
    CommandProgram,
    Invitation,
    Program,
    throw_away_key,
    visiting,
)
from plexwire_conformance.program.runner import ProgramRunner
from plexwire_conformance.program.stage import CONNECTS_S
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.all_reports import Reports, heed_interrupt
from plexwire_conformance.report.stored_runs import read_run
from plexwire_conformance.run.control import CONTROL, CouldNotJudge
from plexwire_conformance.run.events import Part
from plexwire_conformance.run.findings import Verdict
from plexwire_conformance.target.target import BadTarget
from plexwire_spec import Party, clauses

#: Seconds that a case of each profile waits by design at most.
_LONGEST: Final = {"quick": 4.0, "default": 20.0, "thorough": None}
_PROFILES: Final = {
    name: evolve(PROFILES[name], longest=longest) for name, longest in _LONGEST.items()
}
#: The verdicts of cases that are worth another look.
_FAILED: Final = (Verdict.FAIL, Verdict.WARN, Verdict.ERROR)
#: Seconds that somebody has to start a program by hand.
_BY_HAND_S: Final = 300.0


@frozen(kw_only=True)
class _Wish:
    """What the options of both commands ask for."""

    command: tuple[str, ...]
    only: tuple[str, ...]
    skip: tuple[str, ...]
    failed_in: Path | None
    listing: bool
    profile: Profile
    jobs: int
    patience: float | None
    listen: str
    source_id: str
    camera: str


def _program_options(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def bundled(*, outputs: Outputs, profile_name: str, **options: Any) -> None:
        command(_Wish(profile=_PROFILES[profile_name], **options), outputs)

    for option in reversed(_OPTIONS):
        bundled = option(bundled)
    return bundled


_OPTIONS: Final = (
    click.argument("command", nargs=-1, metavar="-- COMMAND..."),
    click.option(
        "--only", multiple=True, metavar="WORD", help="Cases to run, by id, pattern or clause."
    ),
    click.option("--skip", multiple=True, metavar="WORD", help="Cases not to run, likewise."),
    click.option(
        "--failed-in", type=FILE, help="Run only the cases that failed in the stored run FILE."
    ),
    click.option(
        "--list", "listing", is_flag=True, help="List the cases and their clauses, run none."
    ),
    click.option(
        "--profile",
        "profile_name",
        type=click.Choice(tuple(_PROFILES)),
        default=DEFAULT,
        show_default=True,
        help="How much to judge: the cases that wait at most "
        f"{_LONGEST['quick']:g} s (quick) or {_LONGEST['default']:g} s (default), or all of them (thorough).",
    ),
    click.option(
        "--jobs",
        "-j",
        type=click.IntRange(1, 16),
        default=4,
        show_default=True,
        help="Starts of COMMAND that run at once.",
    ),
    click.option(
        "--patience",
        type=click.FloatRange(min=1),
        metavar="SECONDS",
        help=f"How long COMMAND may take to connect.  [default: {CONNECTS_S:g}; without COMMAND {_BY_HAND_S:g}]",
    ),
    click.option(
        "--listen",
        default="127.0.0.1:8701",
        show_default=True,
        metavar="HOST:PORT",
        help="Without COMMAND: where to wait for the program.",
    ),
    click.option(
        "--source-id",
        default="robot-01",
        show_default=True,
        metavar="ID",
        help="The source of the run.",
    ),
    click.option(
        "--camera", default="front", show_default=True, metavar="ID", help="The camera of the run."
    ),
    output_options,
)


@click.command("conform-viewer", cls=JudgingCommand)
@_program_options
def conform_viewer(wish: _Wish, outputs: Outputs) -> None:
    """Judge a viewer: the program that COMMAND starts, against a gateway that is right in one case and unusual in the next.

    \b
    A viewer of your own, in CI:
        plexwire conform-viewer --html viewer.html -- python my_viewer.py
    One that takes its place as arguments:
        plexwire conform-viewer -- plexwire watch {url} --source-id {source_id} --camera {camera_id}
    A page in a browser, or anything else that you start by hand:
        plexwire conform-viewer

    The suite starts COMMAND for every case. COMMAND connects at once, and watches until it is ended. It finds its place in the
    environment; in its arguments, the names in braces stand for the same:

    \b
        {url}         PLEXWIRE_URL         the gateway's base URL, of this start
        {stream_url}  PLEXWIRE_STREAM_URL  the whole address of the stream
        {key}         PLEXWIRE_API_KEY     a key, made up for the run
        {source_id}   PLEXWIRE_SOURCE_ID   the source to watch
        {camera_id}   PLEXWIRE_CAMERA_ID   the camera to watch

    Without COMMAND the address is printed, and each connection is judged by the next case: let the program come back by
    itself, or start it again when it is waited for.

    The suite sees what goes over the wire: whether the viewer stays, answers, leaves and comes back. It does not see what the
    viewer draws.

    \b
    Exit codes: 0 conformant · 1 violations · 2 could not judge
                3 nothing selected, or nothing testable
                130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP
    """
    _conform(Party.VIEWER, wish, outputs)


@click.command("conform-device", cls=JudgingCommand)
@_program_options
def conform_device(wish: _Wish, outputs: Outputs) -> None:
    """Judge a device: the program that COMMAND starts, against a gateway that is right in one case and unusual in the next.

    \b
    A robot's program, in CI:
        plexwire conform-device --html device.html -- python my_robot.py
    One that takes its place as arguments:
        plexwire conform-device -- plexwire publish {url} --source-id {source_id} --camera {camera_id}
    A device on another machine, started by hand:
        plexwire conform-device --listen 0.0.0.0:8701

    The suite starts COMMAND for every case. COMMAND connects at once, and sends pictures until it is ended. It finds its place
    in the environment; in its arguments, the names in braces stand for the same:

    \b
        {url}        PLEXWIRE_URL, PLEXUS_GATEWAY_WS_URL  the gateway's base URL, of this start
        {key}        PLEXWIRE_API_KEY, PLEXUS_API_KEY     a key, made up for the run
        {source_id}  PLEXWIRE_SOURCE_ID                   the source to publish as
        {camera_id}  PLEXWIRE_CAMERA_ID                   the camera to publish

    Without COMMAND the address is printed, and each connection is judged by the next case: let the device come back by
    itself, or start it again when it is waited for.

    \b
    Exit codes: 0 conformant · 1 violations · 2 could not judge
                3 nothing selected, or nothing testable
                130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP
    """
    _conform(Party.DEVICE, wish, outputs)


def _conform(role: Party, wish: _Wish, outputs: Outputs) -> None:
    every = cases_for(role)
    try:
        only = [*wish.only, *_failed_in(wish.failed_in, role)]
        cases = select_of(every, only, wish.skip, wish.profile)
    except NothingSelected as error:
        fail(str(error), NOTHING)
    except BadFile as error:
        fail(str(error), COULD_NOT_JUDGE)
    if wish.listing:
        for case in cases:
            click.echo(f"{case.id:24} {' '.join(case.clauses)}\n    {case.title}")
        return
    try:
        place = place_to_listen(wish.listen)
    except BadTarget as error:
        fail(str(error), COULD_NOT_JUDGE)
    part = part_of(cases, wish.only, wish.skip, wish.profile, every)
    unix_ms = time.time_ns() // 1_000_000

    async def judge(reports: Reports) -> None:
        await _run(role, wish, place, cases, part, unix_ms, reports)

    judge_and_report(outputs, judge, case_ids=(CONTROL.id, *every), unix_ms=unix_ms)


def _failed_in(file: Path | None, role: Party) -> list[str]:
    """Return the cases of a stored run in which something failed or was not followed, or could not be judged for an error.

    Raises:
        BadFile: it is no stored run, or the run judged another role.
        NothingSelected: nothing failed in it.
    """
    if file is None:
        return []
    run = read_run(file)
    failed = [r for r in run.results if r.verdict in _FAILED and r.case != CONTROL.id]
    words = [r.clauses[0] if r.is_observation else r.case for r in failed]
    if any(word not in clauses() and word not in cases_for(role) for word in words):
        raise BadFile(f"{run.name} is no run of a {role}")
    if not words:
        raise NothingSelected(f"nothing failed in {run.name}")
    return words


async def _run(
    role: Party,
    wish: _Wish,
    place: tuple[str, int],
    cases: list[ProgramCase],
    part: Part,
    unix_ms: int,
    reports: Reports,
) -> None:
    invitation = Invitation(
        api_key=throw_away_key(), source_id=wish.source_id, camera_id=wish.camera
    )

    async def judge(program: Program, **options: Any) -> None:
        runner = ProgramRunner(
            program=program, invitation=invitation, unix_ms=unix_ms, part=part, **options
        )
        await runner.run(cases, reports.listen)

    async with trio.open_nursery() as nursery:
        await nursery.start(heed_interrupt, reports, nursery.cancel_scope)
        if wish.command:
            program = CommandProgram(role, wish.command, wish.jobs)
            await judge(program, patience=wish.patience or CONNECTS_S)
        else:
            host, port = place
            try:
                async with visiting(role, host, port, invitation, _say_waiting) as visitor:
                    _say_where(visitor.invitation, role)
                    await judge(visitor, patience=wish.patience or _BY_HAND_S, plays=1)
            except OSError as error:
                raise CouldNotJudge(f"can't listen at {wish.listen}: {error.strerror}") from None
        nursery.cancel_scope.cancel()


def _say_where(invitation: Invitation, role: Party) -> None:
    """Print where the program is to connect, and as whom: the one place where the key of the run is shown."""
    address = invitation.stream_url if role is Party.VIEWER else f"{invitation.url}/ws/device"
    click.echo(f"Connect the {role} to  {address}", err=True)
    click.echo(f"with the key          {invitation.api_key}", err=True)
    if role is Party.DEVICE:
        click.echo(f"as the source         {invitation.source_id}", err=True)


def _say_waiting() -> None:
    click.echo("waiting for the next connection", err=True)
