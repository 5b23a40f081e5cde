"""The forms in which devices send frames, and their limits."""

import json

from plexwire_conformance.recording.recorder import Entry
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame, binary_frame

#: The largest JPEG that a device sends unchanged, and what the limit of a message is, in bytes.
_LARGEST_JPEG = 750_000
_LIMIT = 1_048_576


async def _text_seen(
    stage: Stage, viewer: RawViewer, device: RawDevice, tries: int = 3, **options: object
) -> tuple[SentFrame, Entry | None]:
    for _ in range(tries):
        sent = await device.publish_text("front", **options)  # type: ignore[arg-type]
        entry = await viewer.sees(sent, stage.tolerances.frame)
        if entry is not None or device.peer.ending is not None:
            break
    return sent, entry


async def _must_see_text(stage: Stage, viewer: RawViewer, device: RawDevice) -> None:
    """See an ordinary text frame through.

    Raises:
        Inconclusive: none came.
    """
    _, entry = await _text_seen(stage, viewer, device)
    if entry is None:
        raise Inconclusive("no text frame is relayed at all")


@case("media.text-frame", "PW-TXT-1", needs=(Need.PUBLISHER,))
async def media_text_frame(stage: Stage, trial: Trial) -> None:
    """A text frame is relayed, whether it names its source or not."""
    device, viewer = await stage.open_stream(stage.source())
    for names_source in (True, False):
        _, entry = await _text_seen(stage, viewer, device, names_source=names_source)
        if entry is None:
            what = "with" if names_source else "without"
            actual = f"none of three came (device {device.peer.state})"
            trial.find("PW-TXT-1", f"a text frame {what} source_id is relayed", actual)
            return


@case("media.zero-size", "PW-BIN-3", needs=(Need.PUBLISHER,))
async def media_zero_size(stage: Stage, trial: Trial) -> None:
    """A frame of 0 by 0 pixels is relayed like any other."""
    device, viewer = await stage.open_stream(stage.source())
    for _ in range(3):
        sent = await device.publish("front", width=0, height=0)
        if await viewer.sees(sent, stage.tolerances.frame) is not None:
            return
    trial.find("PW-BIN-3", "a frame of 0 x 0 is relayed", "none of three came")


@case("media.foreign-source-field", "PW-BIN-2", needs=(Need.PUBLISHER,), connections=4)
async def media_foreign_source_field(stage: Stage, trial: Trial) -> None:
    """A frame that names another source belongs to the device that sent it."""
    victim = stage.source("victim")
    device, viewer = await stage.open_stream(stage.source())
    await stage.open_source(victim, name="device of the named source")
    other = await stage.open_viewer(victim, name="viewer of the named source")
    own = await stage.must_see(viewer, device)
    if await other.peer.until(own.is_in, stage.tolerances.silence) is not None:
        raise Inconclusive("frames reach viewers of other sources whatever they name")
    for _ in range(3):
        sent = await device.publish("front", source_field=victim)
        came = await viewer.sees(sent, stage.tolerances.frame) is not None
        if came or device.peer.ending is not None:
            break
    stray = await other.peer.until(sent.is_in, stage.tolerances.silence)
    if stray is not None:
        trial.find(
            "PW-BIN-2", "the frame stays with its device", "the named source's viewer got it"
        )
    elif not came:
        actual = f"none of three came (device {device.peer.state})"
        trial.find("PW-BIN-2", "the field does not matter", actual)


@case("media.thermal", "PW-THERM-1", needs=(Need.PUBLISHER,))
async def media_thermal(stage: Stage, trial: Trial) -> None:
    """The members of a thermal frame are relayed as they came."""
    device, viewer = await stage.open_stream(stage.source())
    thermal = {
        "video_type": "thermal",
        "sensor_width": 3,
        "sensor_height": 2,
        "temp_min": -12.5,
        "temp_max": 98.75,
        "temps": [-12.5, 0, 1.25, 20.0, 36.6, 98.75],
    }
    await _must_see_text(stage, viewer, device)
    _, entry = await _text_seen(stage, viewer, device, extra=thermal)
    if entry is None:
        trial.find("PW-THERM-1", "a thermal frame is relayed", "none of three came")
        return
    body = entry.body or {}
    for name, value in thermal.items():
        if body.get(name) != value:
            actual = f"{name}: {json.dumps(body[name])}" if name in body else f"no {name}"
            trial.find("PW-THERM-1", f"{name}: {json.dumps(value)}", actual)


@case("media.thermal-nan", "PW-THERM-2", needs=(Need.PUBLISHER,))
async def media_thermal_nan(stage: Stage, trial: Trial) -> None:
    """What becomes of a thermal frame with NaN in it."""
    device, viewer = await stage.open_stream(stage.source())
    trial.excuse("PW-FRAME-1")  # What comes out may be as little JSON as what went in.
    nan = {"video_type": "thermal", "temp_min": float("nan"), "temps": [1.0, float("nan")]}
    sent = await device.publish_text("front", extra=nan)
    entry = await viewer.peer.until(
        lambda e: e.body is None or sent.is_in(e), stage.tolerances.frame
    )
    if entry is not None and entry.body is None:
        trial.chose("PW-THERM-2", "relayed as it came, which is not JSON")
    elif entry is None:
        state = await device.peer.state_after(stage.tolerances.silence)
        trial.chose("PW-THERM-2", f"not relayed (device {state})")
    else:
        temps = (entry.body or {}).get("temps", "left out")
        trial.chose("PW-THERM-2", f"relayed, with temps {json.dumps(temps)}")
    if device.peer.ending is None:
        await stage.must_see(viewer, device)


@case("media.largest-binary", "PW-LIM-1", needs=(Need.PUBLISHER,))
async def media_largest_binary(stage: Stage, trial: Trial) -> None:
    """A JPEG of 750 000 bytes is relayed in the binary form."""
    device, viewer = await stage.open_stream(stage.source())
    for _ in range(3):
        sent = await device.publish("front", size=_LARGEST_JPEG)
        if await viewer.sees(sent, stage.tolerances.frame + 1) is not None:
            return
        if device.peer.ending is not None:
            break
    actual = f"it did not come (device {device.peer.state})"
    trial.find("PW-LIM-1", "a JPEG of 750000 bytes is relayed", actual)


@case("media.largest-text", "PW-LIM-2", needs=(Need.PUBLISHER,))
async def media_largest_text(stage: Stage, trial: Trial) -> None:
    """A JPEG of 750 000 bytes, a million characters of base64, is relayed in the text form."""
    device, viewer = await stage.open_stream(stage.source())
    await _must_see_text(stage, viewer, device)
    _, entry = await _text_seen(stage, viewer, device, size=_LARGEST_JPEG)
    if entry is None:
        actual = f"it did not come (device {device.peer.state})"
        trial.find("PW-LIM-2", "a text frame with a JPEG of 750000 bytes is relayed", actual)


@case(
    "media.oversize",
    "PW-LIM-3",
    "PW-LIM-4",
    "PW-ROB-1",
    needs=(Need.PUBLISHER,),
    connections=4,
)
async def media_oversize(stage: Stage, trial: Trial) -> None:
    """A message of 2 MiB is not relayed, and harms nobody else."""
    device, viewer = await stage.open_stream(stage.source())
    bystander, watching = await stage.open_stream(stage.source("bystander"))
    sent = device.make("front", size=2 * _LIMIT)
    device.sent.append(sent)
    await device.peer.send(binary_frame(sent, device.source_id))
    if await viewer.sees(sent, stage.tolerances.frame) is not None:
        trial.find("PW-LIM-3", f"nothing over {_LIMIT} bytes is relayed", "2 MiB were")
    ending = await device.peer.until_ended(stage.tolerances.silence)
    trial.chose("PW-LIM-4", f"the device that exceeds the limit: {ending}")
    for harmed, by in ((watching, bystander),):
        if await stage.see(harmed, by) is None:
            trial.find("PW-ROB-1", "other streams go on", harmed.peer.state)
    # What becomes of its viewers once a device was thrown out is for the gateway to say.  [PW-FRAME-13]
    if device.peer.ending is None and viewer.peer.ending is not None:
        trial.find("PW-ROB-1", "the camera's viewers stay", viewer.peer.state)
