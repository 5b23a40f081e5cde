"""How a device comes back: after a loss, after a gateway that goes away, and after a refusal."""

from typing import Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.pauses import SLACK_S, do_grow, do_vary, pauses
from plexwire_conformance.program.stage import ProgramStage

#: The first pause in seconds, and how much of a pause chance adds or takes.  [PW-DEV-15]
_FIRST_S: Final = 1.0
_VARIED: Final = 0.25
#: The shortest first pause, and how long the next pauses may be; an interpreter may have to start again.
_SHORTEST_S: Final = _FIRST_S * (1 - _VARIED) - SLACK_S
_WITHIN: Final = tuple(_FIRST_S * 2**n * (1 + _VARIED) + 2 for n in range(3))
#: Closes that speak of the gateway, and not of the device: it goes away, it failed, it asks to try again later.
_CLOSES: Final = (1001, 1011, 1013)


@program_case(
    "device.loss",
    "A device that lost its gateway comes back, after pauses that grow and vary.",
    "PW-DEV-15",
    takes=sum(_WITHIN),
)
async def _loss(stage: ProgramStage) -> None:
    async with stage.play() as play:
        device = await play.device()
        await device.leaves(0.5)
        await device.peer.vanish()
        found = await pauses(play, _WITHIN)
        shown = [round(pause, 2) for pause in found]
        if not found:
            observed = {"waited": _WITHIN[0], "words": play.started.last_words()}
            stage.find("PW-DEV-15/stayed-away", {"stimulus": "a loss of TCP"}, observed)
        elif found[0] < _SHORTEST_S:
            stage.find("PW-DEV-15/no-pause", {"pause": _FIRST_S}, {"pauses": shown})
        elif not do_grow(found):
            stage.find("PW-DEV-15/steady", {}, {"pauses": shown})
        elif not do_vary(found):
            stage.find("PW-DEV-15/not-varied", {}, {"pauses": shown})


@program_case(
    "device.going-away",
    "A device comes back to a gateway that went away, failed, or asked for patience.",
    "PW-DEV-15",
    takes=len(_CLOSES) * _WITHIN[0],
)
async def _going_away(stage: ProgramStage) -> None:
    for code in _CLOSES:
        async with stage.play() as play:
            device = await play.device()
            await device.leaves(0.5)
            await device.peer.close(code)
            if await play.arrival(_WITHIN[0]) is None:
                observed = {"waited": _WITHIN[0], "words": play.started.last_words()}
                stage.find("PW-DEV-15/stayed-away", {"stimulus": f"a close {code}"}, observed)
                return


@program_case(
    "device.refused",
    "A device that was refused gives up, or pauses longer each time.",
    "PW-DEV-23",
    takes=sum(_WITHIN),
)
async def _refused(stage: ProgramStage) -> None:
    found: list[float] = []
    async with stage.play() as play:
        device = await play.waiting()
        for within in _WITHIN:
            began = stage.now()
            await device.say({"type": "error", "code": "UNAUTHORIZED", "detail": "unknown key"})
            await device.peer.close(4001)
            if (peer := await play.arrival(within)) is None:
                break
            found.append(peer.opened_at - began)
            device = await play.admit(peer)
        shown = [round(pause, 2) for pause in found]
        if found and (found[0] < _SHORTEST_S or not do_grow(found)):
            stage.find("PW-DEV-23/hammering", {}, {"pauses": shown})
