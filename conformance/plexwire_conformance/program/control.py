"""The control of a run of programs: before anything is judged, the program connects at the right address."""

from functools import partial
from typing import Final

from plexwire_conformance.program.case import ProgramCase
from plexwire_conformance.program.served import Served, ServedDevice, ServedViewer
from plexwire_conformance.program.stage import Play, ProgramStage
from plexwire_conformance.run.control import CONTROL, CouldNotJudge
from plexwire_conformance.run.exception_groups import first_of
from plexwire_conformance.run.stage import Inconclusive
from plexwire_conformance.wire.peer import ClosingKind
from plexwire_spec import Party

#: Seconds, and frames, through which a program has to stay before anything unusual is done to it.
_ORDINARY_S: Final = 1.2
_FRAMES: Final = 30

_ADVICE: Final = "Does it connect to the URL in PLEXWIRE_URL, or in {url} of the command?"


async def _control(stage: ProgramStage, role: Party) -> None:
    try:
        async with stage.play() as play:
            served = await play.connected()
            path, wanted = served.peer.request.path, _path(stage, role)
            if path != wanted:
                raise CouldNotJudge(
                    f"the {role} asked for {path}, where {wanted} was expected. Give it the URL, the source and the "
                    "camera of the run: they are in its environment, and --help says what may stand in the command"
                )
            await _stay(play, served, role)
    except* Inconclusive as group:
        raise CouldNotJudge(f"{first_of(group)}. {_ADVICE}") from None
    except* OSError as group:
        raise CouldNotJudge(f"can't start {stage.program.called}: {first_of(group)}") from None


async def _stay(play: Play, served: Served, role: Party) -> None:
    """Check that the program stays while everything is as usual: else nothing that it leaves for means anything.

    Raises:
        CouldNotJudge: it leaves.
    """
    if served.first is None:
        return
    if isinstance(served, ServedViewer):
        await served.say(served.init())
        await served.show(_FRAMES)
    elif isinstance(served, ServedDevice):
        await served.say(served.authenticated())
    await served.leaves(_ORDINARY_S)
    if play.returned_at() is not None and served.peer.ending is None:
        raise CouldNotJudge(
            f"the {role} makes several connections at once, and which of them is to be judged is not clear. Let it make one: "
            "for one source and one camera"
        )
    # What breaks RFC 6455 is judged, and keeps nobody from judging the rest.
    if served.peer.ending is not None and served.peer.ending.kind is not ClosingKind.GARBAGE:
        shown = f" of {_FRAMES} ordinary frames" if role is Party.VIEWER else ""
        raise CouldNotJudge(
            f"the {role} left within {_ORDINARY_S:g} s{shown} ({served.peer.ending}). Let it run on until it is ended: "
            "without an end after so many frames or seconds"
        )


def _path(stage: ProgramStage, role: Party) -> str:
    if role is Party.DEVICE:
        return "/ws/device"
    return f"/v1/sources/{stage.invitation.source_id}/video/stream"


def control_of(role: Party) -> ProgramCase:
    """Return the control for programs of *role*."""
    return ProgramCase(
        id=CONTROL.id,
        title=f"The {role} connects at the address of its role.",
        clauses=(),
        role=role,
        body=partial(_control, role=role),
    )
