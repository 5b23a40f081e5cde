"""`plexwire conform`."""

import os
from functools import partial

import click
import trio
from attrs import evolve

from plexwire_conformance.cases import CASES, Case
from plexwire_conformance.cases.profiles import DEFAULT, PROFILES, part_of
from plexwire_conformance.cases.selection import NothingSelected, select
from plexwire_conformance.commands.config_file import resolve
from plexwire_conformance.commands.judging_command import (
    COULD_NOT_JUDGE,
    JudgingCommand,
)
from plexwire_conformance.commands.options import (
    NOTHING,
    check_place,
    fail,
    faulty,
    given_or_reference,
    make_settings,
    place_of,
    target_options,
)
from plexwire_conformance.commands.reporting import Outputs, judge_and_report, output_options
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.report.all_reports import Reports, heed_interrupt
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.description import (
    LEAST_CONNECTIONS,
    MAX_CONNECTIONS,
    MOST_CONNECTIONS,
    MOST_STREAMS,
    TargetDescription,
)
from plexwire_conformance.target.target import BadTarget, Target


@click.command(cls=JudgingCommand)
@click.argument("place", metavar="[URL|NAME]", required=False)
@target_options
@click.option(
    "--fault",
    metavar="ID",
    callback=faulty,
    help="Judge the reference gateway with this fault; see plexwire selftest --list.",
)
@click.option(
    "--only", multiple=True, metavar="WORD", help="Cases to run, by id, area, pattern or clause."
)
@click.option("--skip", multiple=True, metavar="WORD", help="Cases not to run, likewise.")
@click.option("--list", "listing", is_flag=True, help="List the cases and their clauses, run none.")
@output_options
@click.option(
    "--max-connections",
    type=click.IntRange(LEAST_CONNECTIONS, MOST_CONNECTIONS),
    help=f"Most sockets open at the same time.  [default: {MAX_CONNECTIONS}]",
)
@click.option(
    "--streams",
    type=click.IntRange(1, MOST_STREAMS),
    metavar="N",
    help="How many streams of one key the gateway allows at once: then so many end in each manner, and every seat has to "
    "be free again.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds that one case may take beyond its own waits.",
)
@click.option(
    "--profile",
    "profile_name",
    type=click.Choice(tuple(PROFILES)),
    default=DEFAULT,
    show_default=True,
    help="How much to judge. "
    + " ".join(
        f"{each.name} (about {each.seconds} s): {each.judges}." for each in PROFILES.values()
    ),
)
def conform(
    place: str | None,
    description: TargetDescription,
    fault: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    listing: bool,
    outputs: Outputs,
    max_connections: int | None,
    streams: int | None,
    budget: float,
    profile_name: str,
) -> None:
    """Judge the gateway at URL, clause by clause; without a URL, the reference gateway itself.

    \b
    See how it looks, with nothing to set up:
        plexwire conform --html report.html
    See how a failing report looks:
        plexwire conform --fault auth.policy-violation --html report.html
    A gateway, its report for people, and the run for later:
        plexwire conform wss://staging.example.com --html report.html --report run.ndjson
    One area, or one case:
        plexwire conform wss://staging.example.com --only auth --only flow.stalled-viewer

    URL is the base, such as wss://gateway.example.com: what comes before /v1/sources/… . NAME is that of a
    target in plexwire.toml, or in [tool.plexwire] of pyproject.toml; options override what is set there.

    Without URL, PLEXWIRE_URL in the environment or in --keys-file names the gateway, as plexwire serve --write-keys
    writes it. In CI ($CI is set, or --github) one of them is needed: the reference gateway is not judged there.

    Keys come from the environment or from --keys-file, never from the command line:

    \b
        PLEXWIRE_API_KEY         a key that may watch (needed)
        PLEXWIRE_DEVICE_KEY      a key that may publish, if it is another
        PLEXWIRE_FOREIGN_KEY     a key of a second organisation
        PLEXWIRE_NO_ACCESS_KEY   a key whose plan has no API access
        PLEXWIRE_REVOKED_KEY     a revoked key
        PLEXWIRE_OTHER_KEY       a second key of the same organisation
        PLEXWIRE_READ_KEY        a key whose scopes allow reading only

    Without the last five a few cases are untestable. If no key may publish, --live names a camera that runs there:
    it is watched, and nothing is published.

    \b
    Exit codes: 0 conformant · 1 violations · 2 could not judge
                3 nothing selected, or nothing testable
                130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP

    With --expected-failures, 0 means that exactly the listed failures are there, and 1 that something differs: a
    new failure, an entry whose failure no longer shows, or an entry whose date has passed.
    """
    said = evolve(
        description,
        only=only,
        skip=skip,
        max_connections=max_connections,
        streams=streams,
        expected_failures=outputs.expected_failures,
    )
    try:
        place, whence = (
            (place, "")
            if listing or fault
            else place_of(place, description.keys_file, os.environ, is_ci=outputs.github)
        )
        description = resolve(place, said)
        profile = PROFILES[profile_name]
        cases = select(description.only, description.skip, profile)
    except NothingSelected as error:
        fail(str(error), NOTHING)
    except (BadFile, BadTarget) as error:
        fail(str(error), COULD_NOT_JUDGE)
    if listing:
        for case in cases or [CONTROL]:
            click.echo(f"{case.id:32} {' '.join(case.clauses)}\n    {case.title}")
        return
    settings = make_settings(
        max_connections=description.max_connections or MAX_CONNECTIONS,
        case_budget=budget,
        thorough=profile.thorough,
        part=part_of(cases, description.only, description.skip, profile),
    )
    try:
        check_place(place, fault)
        target = None if fault else description.target(os.environ)
    except (BadTarget, BadFile) as error:
        fail(str(error), COULD_NOT_JUDGE)
    outputs = evolve(outputs, expected_failures=description.expected_failures)
    judge_and_report(
        outputs,
        partial(_run, target, fault, cases, settings),
        case_ids=(CONTROL.id, *CASES),
        unix_ms=settings.unix_ms,
        whence=whence,
    )


async def _run(
    target: Target | None,
    fault: str,
    cases: list[Case],
    settings: Settings,
    reports: Reports,
) -> None:
    # A reference gateway outlives the judge, which then closes its connections as at any other gateway.
    async with given_or_reference(target, fault) as given, trio.open_nursery() as nursery:
        await nursery.start(heed_interrupt, reports, nursery.cancel_scope)
        await Runner(given, settings).run(cases, reports.listen)
        nursery.cancel_scope.cancel()
