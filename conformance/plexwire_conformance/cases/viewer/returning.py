"""When a viewer comes back, and when it does not."""

from typing import Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.pauses import do_grow, pauses
from plexwire_conformance.program.stage import ProgramStage

#: Seconds in which a viewer whose time is up has come back, and after which one with a bad key does not any more.
_BACK_S: Final = 6.0
_AWAY_S: Final = 4.0
#: Seconds that each of three attempts may take.
_WITHIN: Final = (6.0, 6.0, 12.0)
#: A pause that is none, in seconds.
_NONE_S: Final = 0.1

_UNAUTHORIZED: Final = 4001
_NO_ACCESS: Final = 4002
_TIMEOUT: Final = 4008


@program_case("viewer.timeout", "A viewer comes back after 4008.", "PW-VIEW-2", takes=_BACK_S)
async def _timeout(stage: ProgramStage) -> None:
    async with stage.play() as play:
        viewer = await play.viewer()
        await viewer.show(3)
        await viewer.peer.close(_TIMEOUT)
        if await play.arrival(_BACK_S) is None:
            observed = {"waited": _BACK_S, "words": play.started.last_words()}
            stage.find("PW-VIEW-2/stayed-away", {"within": _BACK_S}, observed)


@program_case(
    "viewer.refused",
    "A viewer does not come back with a key that was refused.",
    "PW-VIEW-2",
    takes=2 * _AWAY_S,
)
async def _refused(stage: ProgramStage) -> None:
    for code in (_UNAUTHORIZED, _NO_ACCESS):
        async with stage.play() as play:
            viewer = await play.waiting()
            await viewer.peer.close(code)
            began = stage.now()
            if (peer := await play.arrival(_AWAY_S)) is not None:
                await peer.refuse(503)
                after = round(peer.opened_at - began, 3)
                stage.find("PW-VIEW-2/came-back", {"code": code}, {"after": after})
                return


@program_case(
    "viewer.reasons",
    "A viewer goes by the close code, not by the reason.",
    "PW-VIEW-7",
    takes=_AWAY_S,
)
async def _reasons(stage: ProgramStage) -> None:
    async with stage.play() as play:
        viewer = await play.waiting()
        await viewer.peer.close(_UNAUTHORIZED, "timeout: reconnect to continue (4008)")
        if (peer := await play.arrival(_AWAY_S)) is not None:
            await peer.refuse(503)
            refused = await _comes_back_anyway(stage)
            if not refused:
                stage.find("PW-VIEW-7/believed-the-reason", {}, {"code": _UNAUTHORIZED})


async def _comes_back_anyway(stage: ProgramStage) -> bool:
    """Whether the viewer comes back after a 4001 without any reason as well: then it went by no reason."""
    async with stage.play() as play:
        viewer = await play.waiting()
        await viewer.peer.close(_UNAUTHORIZED)
        peer = await play.arrival(_AWAY_S)
        if peer is not None:
            await peer.refuse(503)
        return peer is not None


@program_case(
    "viewer.pauses",
    "A viewer that comes back after a loss pauses, and longer each time.",
    "PW-VIEW-8",
    takes=sum(_WITHIN),
)
async def _pauses(stage: ProgramStage) -> None:
    async with stage.play() as play:
        viewer = await play.viewer()
        await viewer.show(3)
        await viewer.peer.vanish()
        found = await pauses(play, _WITHIN)
        if not found:
            stage.untestable(
                "the viewer does not come back after a loss, so there is no pause to judge"
            )
        shown = [round(pause, 2) for pause in found]
        if any(pause < _NONE_S for pause in found):
            stage.find("PW-VIEW-8/no-pause", {}, {"pauses": shown})
        elif not do_grow(found):
            stage.find("PW-VIEW-8/steady", {}, {"pauses": shown})
