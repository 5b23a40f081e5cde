"""What a device sends: heartbeats, frames, and how many of them to a gateway that does not read."""

from typing import Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.stage import ProgramStage
from plexwire_conformance.recording.recorder import Kind

#: Seconds between two heartbeats, and by how many one may be late.  [PW-DEV-13]
_HEARTBEAT_S: Final = 30.0
_LATE_S: Final = 3.0
#: Seconds in which a device that has a camera sends a picture.
_PICTURE_S: Final = 8.0
#: Seconds for which nothing is read, and the bytes that may be under way then: both kernels' buffers, with room.
_STALL_S: Final = 14.0
_UNDER_WAY: Final = 8 * 1024 * 1024
#: Seconds in which the device's pace is measured.
_PACE_S: Final = 2.0


@program_case(
    "device.heartbeat",
    "A device sends a `heartbeat` every 30 seconds.",
    "PW-DEV-13",
    takes=_HEARTBEAT_S + _LATE_S,
)
async def _heartbeat(stage: ProgramStage) -> None:
    async with stage.play() as play:
        device = await play.device()
        within = _HEARTBEAT_S + _LATE_S
        began = stage.now()
        heard = await device.peer.until(lambda entry: entry.type == "heartbeat", within)
        if heard is None:
            if device.peer.ending is not None:
                stage.inconclusive(f"the device left after {stage.now() - began:.0f} s")
            stage.find("PW-DEV-13/no-heartbeat", {"every": _HEARTBEAT_S}, {"waited": within})


@program_case(
    "device.frames",
    "A device sends frames that a gateway can read, within the limits.",
    "PW-DEV-26",
    "PW-DEV-27",
    "PW-DEV-25",
    "PW-LIM-5",
    takes=_PICTURE_S,
)
async def _frames(stage: ProgramStage) -> None:
    async with stage.play() as play:
        device = await play.device()
        first = await device.peer.until(
            lambda entry: entry.type == "video_frame" or entry.kind is Kind.BINARY, _PICTURE_S
        )
        if first is None:
            stage.untestable(
                f"the device sent no picture within {_PICTURE_S:g} s; run one that does"
            )
        await device.leaves(_PACE_S)


@program_case(
    "device.stalled-gateway",
    "A device drops frames that the link cannot take.",
    "PW-DEV-16",
    takes=_PACE_S + _STALL_S + 2,
)
async def _stalled_gateway(stage: ProgramStage) -> None:
    async with stage.play(narrow=True) as play:
        device = await play.device()
        await device.peer.until(lambda entry: entry.type == "video_frame", _PICTURE_S)
        began = stage.now()
        await device.leaves(_PACE_S)
        pace = sum(entry.size for entry in device.messages(began)) / _PACE_S
        if pace * _STALL_S < 2 * _UNDER_WAY:
            needed = 2 * _UNDER_WAY / _STALL_S / 1e6
            stage.untestable(
                f"the device sends {pace / 1e6:.1f} MB/s; it takes {needed:.1f} MB/s to fill the buffers between, "
                "such as 100 kB × 15 fps"
            )
        device.peer.stall()
        await device.leaves(_STALL_S)
        device.peer.resume()
        since = stage.now()
        await device.leaves(1.5)
        kept = sum(entry.size for entry in device.messages(since)) - pace * 1.5
        if kept > _UNDER_WAY:
            observed = {"kept": round(kept / 1e6, 1), "seconds": _STALL_S}
            stage.find("PW-DEV-16/queued", {"limit": round(_UNDER_WAY / 1e6, 1)}, observed)
