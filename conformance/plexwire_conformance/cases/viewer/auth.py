"""What a viewer says first, and how long it waits for the answer."""

from typing import Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.endurance import gives_up
from plexwire_conformance.program.monitor import introduces
from plexwire_conformance.program.served import ServedViewer
from plexwire_conformance.program.stage import FIRST_MESSAGE_S, ProgramStage
from plexwire_spec import Party

#: Seconds that a viewer waits for its `init`.  [PW-VIEW-4]
_INIT_S: Final = 10.0
#: Seconds by which it may be late.
_LATE_S: Final = 3.0


@program_case(
    "viewer.auth",
    "The first message is `auth`, in time, and the key stands nowhere else.",
    "PW-AUTH-1",
    "PW-ADDR-14",
    "PW-CONN-15",
)
async def _auth(stage: ProgramStage) -> None:
    async with stage.play() as play:
        served = await play.connected()
        assert isinstance(served, ServedViewer)
        first = served.first
        if first is None:
            stage.find(
                "PW-AUTH-1/late", {"within": FIRST_MESSAGE_S}, {"ending": served.peer.outcome()}
            )
        elif not introduces(Party.VIEWER, first):
            stage.find("PW-AUTH-1/other-message", {}, {"message": first.text})
        elif not isinstance((first.body or {}).get("api_key"), str):
            stage.find("PW-AUTH-1/no-key", {}, {"message": first.text})
        # What it sends then is watched as well.
        await served.say(served.init())
        await served.show(3)
        await served.leaves()


@program_case(
    "viewer.no-init",
    "A viewer gives up when no `init` comes.",
    "PW-VIEW-4",
    takes=_INIT_S + _LATE_S,
)
async def _no_init(stage: ProgramStage) -> None:
    await gives_up(stage, "PW-VIEW-4/kept-waiting", _INIT_S, late_s=_LATE_S)
