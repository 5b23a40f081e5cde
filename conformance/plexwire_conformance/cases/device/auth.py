"""What a device says first, and how it takes the answer."""

from typing import Any, Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.endurance import gives_up
from plexwire_conformance.program.monitor import FIRST_MESSAGES, introduces
from plexwire_conformance.program.served import ServedDevice
from plexwire_conformance.program.stage import FIRST_MESSAGE_S, ProgramStage
from plexwire_conformance.recording.recorder import Entry, Kind
from plexwire_spec import Party

#: Seconds in which a device has its answer, or gives up.  [PW-DEV-14]
_ANSWER_S: Final = 10.0
_LATE_S: Final = 3.0
#: Seconds after which an answer is slow, and still in time.
_SLOW_S: Final = 7.0
#: Seconds in which a device shows that it is authenticated.
_SENDS_S: Final = 3.0


@program_case(
    "device.auth",
    "The first message is a text `device_auth` with `api_key` and `source_id`, and the key stands nowhere else.",
    "PW-DEV-1",
    "PW-ADDR-20",
    "PW-CONN-16",
)
async def _auth(stage: ProgramStage) -> None:
    async with stage.play() as play:
        served = await play.connected()
        assert isinstance(served, ServedDevice)
        first = served.first
        if first is None:
            observed = {"ending": served.peer.outcome()}
            stage.find("PW-DEV-1/late", {"within": FIRST_MESSAGE_S}, observed)
        elif not introduces(Party.DEVICE, first):
            stage.find("PW-DEV-1/other-message", {}, {"message": first.text})
        elif lacking := _lacking(first):
            stage.find("PW-DEV-1/member-missing", {"member": lacking}, {"message": first.text})
        # What it sends then is watched as well.
        await served.say(served.authenticated())
        await served.leaves()


def _lacking(first: Entry) -> str:
    body: Any = first.body or {}
    names = ("api_key", "source_id")
    return next((name for name in names if not isinstance(body.get(name), str)), "")


@program_case(
    "device.slow-answer",
    "A device waits for `authenticated`, and sends nothing else before.",
    "PW-DEV-14",
    "PW-DEV-18",
    takes=_SLOW_S + 1,
)
async def _slow_answer(stage: ProgramStage) -> None:
    async with stage.play() as play:
        served = await play.waiting()
        began = stage.now()
        early = await served.peer.until(lambda e: e.kind in (Kind.TEXT, Kind.BINARY), _SLOW_S)
        if early is not None:
            stage.find("PW-DEV-18/too-early", {}, {"message": early.text})
        elif served.peer.ending is not None:
            observed = {"ending": served.peer.outcome(since=began)}
            stage.find("PW-DEV-14/gave-up-early", {"within": _ANSWER_S}, observed)


@program_case(
    "device.no-answer",
    "A device gives up when its `device_auth` is not answered.",
    "PW-DEV-14",
    takes=_ANSWER_S + _LATE_S,
)
async def _no_answer(stage: ProgramStage) -> None:
    await gives_up(stage, "PW-DEV-14/kept-waiting", _ANSWER_S, late_s=_LATE_S)


@program_case(
    "device.other-answer",
    "A device takes any first answer but `authenticated` as a refusal.",
    "PW-DEV-14",
    takes=_SENDS_S,
)
async def _other_answer(stage: ProgramStage) -> None:
    async with stage.play() as play:
        served = await play.waiting()
        began = stage.now()
        await served.say({"type": "welcome", "source_id": served.source_id})
        await served.leaves(_SENDS_S)
        sent = [
            each
            for each in served.messages(began)
            if each is not served.first and each.type != FIRST_MESSAGES[Party.DEVICE]
        ]
        if sent:
            stage.find("PW-DEV-14/took-another-answer", {}, {"message": sent[0].text})
