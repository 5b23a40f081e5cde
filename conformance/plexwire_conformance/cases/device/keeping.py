"""What a device keeps its connection through."""

from collections.abc import Mapping
from typing import Any, Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.endurance import Strain, endure
from plexwire_conformance.program.served import ServedDevice
from plexwire_conformance.program.stage import Play, ProgramStage

#: Seconds for which the device's pace is watched, before and after it was told something unknown.
_WATCH_S: Final = 2.0
#: Frames in that time from which on a device is one that streams.
_STREAMS: Final = 4


def _saying(what: str, message: Mapping[str, Any]) -> Strain[ServedDevice]:
    async def does(device: ServedDevice) -> None:
        await device.say(message)

    return Strain(what, does)


_UNKNOWN: Final = (
    _saying("a message of an unknown type", {"type": "plexwire_unknown", "value": [1, None]}),
    _saying("a telemetry_ack", {"type": "telemetry_ack", "seq": 1}),
    _saying(
        "a typed_command", {"type": "typed_command", "id": "1", "command": "noop", "params": {}}
    ),
    _saying("a set_throttle", {"type": "set_throttle", "max_fps": 10}),
    _saying("a ready message", {"type": "ready"}),
)


_ERRORS: Final = (
    _saying(
        "an error with an unknown code",
        {"type": "error", "code": "PLEXWIRE_UNKNOWN", "detail": "nothing is wrong"},
    ),
    _saying("an error without a code", {"type": "error", "message": "unknown type"}),
)


@program_case(
    "device.unknown",
    "A device ignores message types and members that it does not know.",
    "PW-DEV-21",
    takes=5.0,
)
async def _unknown(stage: ProgramStage) -> None:
    async def with_more(device: ServedDevice) -> None:
        await device.say(device.authenticated(plexwire_unknown={"a": 1}, org="acme"))

    member = Strain("an authenticated with unknown members", with_more)
    await endure(stage, "PW-DEV-21/left", [member], Play.unanswered_device)
    await endure(stage, "PW-DEV-21/left", _UNKNOWN, Play.device)


@program_case(
    "device.errors",
    "An authenticated device stays after an `error` that no close follows.",
    "PW-DEV-28",
    takes=2.0,
)
async def _errors(stage: ProgramStage) -> None:
    await endure(stage, "PW-DEV-28/left", _ERRORS, Play.device)


@program_case(
    "device.goes-on",
    "A device goes on sending frames after a message that it does not know.",
    "PW-DEV-21",
    takes=2 * _WATCH_S + 1,
)
async def _goes_on(stage: ProgramStage) -> None:
    async with stage.play() as play:
        device = await play.device()
        await device.peer.until(lambda entry: entry.type == "video_frame", _WATCH_S)
        began = stage.now()
        await device.leaves(_WATCH_S)
        before = len(device.frames(began))
        await device.say({"type": "plexwire_unknown"})
        # What was under way when it came.
        await device.leaves(1.0)
        since = stage.now()
        await device.leaves(_WATCH_S)
        after = len(device.frames(since))
        if before >= _STREAMS and not after and device.peer.is_open:
            observed = {"before": before, "after": after, "seconds": _WATCH_S}
            stage.find("PW-DEV-21/fell-silent", {}, observed)
