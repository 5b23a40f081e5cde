"""Try releases of the real device SDK against the reference gateway: `python tools/sdk/matrix.py`.

Each release gets an environment of its own under `.venv/sdk`, on its first run.  Without options all releases go
through all trials, and the table in `docs/devices.md` is written anew; `make sdk` does that.  The exit code is 0 where
everything was as it should be, 1 where it was not, and 2 where something is missing.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from shutil import which
from typing import NoReturn

import click
import trio

import table
from cameras import RTSP_PACKAGES, has_rtsp
from environments import RELEASES, build, is_here, python_of
from judging import Raised, Unlike
from pictures import Pictures, make_pictures
from stage import Stage, open_stage
from trials import Trial, all_trials

#: How a cell begins that tells of something that ought to be otherwise.
FAILED = "**"


@click.command()
@click.option(
    "--release",
    "releases",
    type=click.Choice(RELEASES),
    multiple=True,
    default=RELEASES,
    help="Only this one; repeatable, and the table stays as it is.",
)
@click.option(
    "--trial",
    "names",
    type=click.Choice(list(all_trials())),
    metavar="NAME",
    multiple=True,
    help="Only this one; repeatable, as above.",
)
@click.option("--quick", is_flag=True, help="Leave out what takes long or needs GStreamer.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Releases at once."
)
@click.option("--here", is_flag=True, help="Use this Python where it holds the very release.")
@click.option("--json", "as_json", is_flag=True, help="Print the cells as JSON, write nothing.")
def main(
    releases: tuple[str, ...],
    names: tuple[str, ...],
    quick: bool,
    jobs: int,
    here: bool,
    as_json: bool,
) -> None:
    """Try releases of the real device SDK against the reference gateway."""
    chosen = [
        trial
        for trial in all_trials().values()
        if (not names or trial.name in names) and not (quick and trial.slow)
    ]
    _require(chosen)
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_pictures(Path(folder) / "pictures")
        try:
            cells = trio.run(_try_all, releases, chosen, pictures, Path(folder), jobs, here)
        except* KeyboardInterrupt:
            _give_up("Interrupted; the table stays as it is.", status=130)
        except* subprocess.CalledProcessError:
            _give_up("An environment can't be built; above is what pip said.")
    if as_json:
        rows = {
            release: {all_trials()[name].row: cell for name, cell in of.items()}
            for release, of in cells.items()
        }
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif set(cells) == set(RELEASES) and len(chosen) == len(all_trials()):
        table.write(cells)
        _say(f"{table.PAGE.name} is written anew")
    failed = [cell for row in cells.values() for cell in row.values() if cell.startswith(FAILED)]
    sys.exit(bool(failed))


def _require(chosen: Iterable[Trial]) -> None:
    if which("ffmpeg") is None:
        _give_up("ffmpeg is not installed: apt-get install ffmpeg")
    if any(trial.name == "rtsp" for trial in chosen) and not has_rtsp():
        _give_up(
            f"GStreamer's RTSP server is not installed: apt-get install {RTSP_PACKAGES};"
            " or leave it out with --quick"
        )


def _give_up(why: str, *, status: int = 2) -> NoReturn:
    _say(why)
    sys.exit(status)


async def _try_all(
    releases: Iterable[str],
    chosen: list[Trial],
    pictures: Pictures,
    folder: Path,
    jobs: int,
    here: bool,
) -> dict[str, dict[str, str]]:
    cells: dict[str, dict[str, str]] = {release: {} for release in releases}
    limiter = trio.CapacityLimiter(jobs)

    async def try_one(release: str) -> None:
        async with limiter:
            python = await _environment(release, here)
            async with open_stage(python, folder / release) as stage:

                async def note(trial: Trial) -> None:
                    cells[release][trial.name] = await _try(stage, release, trial, pictures)

                async with trio.open_nursery() as beside:
                    for trial in chosen:
                        if trial.apart:
                            beside.start_soon(note, trial)
                    for trial in chosen:
                        if not trial.apart:
                            await note(trial)
                for what, figure in stage.measured.items():
                    _say(f"{release}: {what}: {figure:.3g}")

    async with trio.open_nursery() as nursery:
        for release in cells:
            nursery.start_soon(try_one, release)
    return cells


async def _environment(release: str, here: bool) -> Path:
    """Return the Python to run *release* under, which may have to be set up first."""
    if here and is_here(release):
        return Path(sys.executable)
    started = trio.current_time()
    await trio.to_thread.run_sync(build, release)
    _say(f"{release}: its environment is there after {trio.current_time() - started:.1f} s")
    return python_of(release)


async def _try(stage: Stage, release: str, trial: Trial, pictures: Pictures) -> str:
    started = trio.current_time()
    try:
        cell = await trial.play(stage, pictures)
    except Exception as error:  # a trial that breaks spoils no other
        cell = _cell_of(error, trial)
    _say(f"{release}: {trial.name}: {cell}  ({trio.current_time() - started:.1f} s)")
    return cell


def _cell_of(error: Exception, trial: Trial) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    match error:
        case Raised() if error.kind in trial.raises:
            return trial.raises[error.kind]
        case Raised() | Unlike():
            return f"{FAILED}{error}{FAILED}"
        case _:
            return f"{FAILED}{type(error).__name__}: {error}{FAILED}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
