"""The forms in which devices send frames, and their limits."""

import json
from typing import Any

import trio

from plexwire_conformance.recording.recorder import Entry
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Stage
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


async def _must_see_text(stage: Stage, trial: Trial, viewer: RawViewer, device: RawDevice) -> None:
    """See an ordinary text frame through.

    Raises:
        Inconclusive: none came.
    """
    _, entry = await _text_seen(stage, viewer, device)
    if entry is None:
        trial.inconclusive("no text frame is relayed at all", "PW-TXT-1")


@case(
    "media.text-frame",
    "A text frame is relayed, whether it names its source or not.",
    "PW-TXT-1",
    needs=(Need.PUBLISHER,),
)
async def media_text_frame(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for names_source in (True, False):
        _, entry = await _text_seen(stage, viewer, device, names_source=names_source)
        if entry is None:
            trial.find_and_stop(
                "PW-TXT-1/not-relayed",
                {"with_source": "with" if names_source else "without"},
                _dropped(device),
            )


def _dropped(device: RawDevice) -> dict[str, Any]:
    return {"tries": TRIES, "ending": device.peer.outcome()}


@case(
    "media.zero-size",
    "A frame of 0 by 0 pixels is relayed like any other.",
    "PW-BIN-3",
    needs=(Need.PUBLISHER,),
)
async def media_zero_size(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for _ in range(3):
        sent = await device.publish("front", width=0, height=0)
        if await viewer.sees(sent, stage.tolerances.frame) is not None:
            return
    trial.find("PW-BIN-3/not-relayed", observed=_dropped(device))


@case(
    "media.foreign-source-field",
    "A frame that names another source belongs to the device that sent it.",
    "PW-BIN-2",
    needs=(Need.PUBLISHER,),
    connections=4,
)
async def media_foreign_source_field(stage: Stage, trial: Trial) -> None:
    victim = stage.source("victim")
    device, viewer = await stage.open_stream(stage.source())
    await stage.open_source(victim, name="device of the named source")
    other = await stage.open_viewer(victim, name="viewer of the named source")
    # A gateway may need a moment until it knows which frames go to a new viewer.
    await trio.sleep(stage.tolerances.silence)
    own = await stage.must_see(viewer, device)
    if await other.peer.until(own.is_in, stage.tolerances.silence) is not None:
        trial.inconclusive("frames reach viewers of other sources whatever they name", "PW-ISO-2")
    for _ in range(3):
        sent = await device.publish("front", source_field=victim)
        came = await viewer.sees(sent, stage.tolerances.frame) is not None
        if came or device.peer.ending is not None:
            break
    stray = await other.peer.until(sent.is_in, stage.tolerances.silence)
    if stray is not None:
        trial.find("PW-BIN-2/to-named-source")
    elif not came:
        trial.find("PW-BIN-2/not-relayed", observed=_dropped(device))


@case(
    "media.thermal",
    "The members of a thermal frame are relayed as they came.",
    "PW-THERM-1",
    needs=(Need.PUBLISHER,),
)
async def media_thermal(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    thermal = {
        "video_type": "thermal",
        "sensor_width": 3,
        "sensor_height": 2,
        "temp_min": -12.5,
        "temp_max": 98.75,
        "temps": [-12.5, 0, 1.25, 20.0, 36.6, 98.75],
    }
    await _must_see_text(stage, trial, viewer, device)
    _, entry = await _text_seen(stage, viewer, device, extra=thermal)
    if entry is None:
        trial.find_and_stop("PW-THERM-1/not-relayed", {}, _dropped(device))
    body = entry.body or {}
    for name, value in thermal.items():
        if name not in body:
            trial.find("PW-THERM-1/member-lost", {"sent": value}, path=name)
        elif body[name] != value:
            observed = {"got": body[name]}
            trial.find("PW-THERM-1/member-altered", {"sent": value}, observed, path=name)


@case(
    "media.thermal-nan",
    "What becomes of a thermal frame with NaN in it.",
    "PW-THERM-2",
    needs=(Need.PUBLISHER,),
)
async def media_thermal_nan(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    trial.excuse("PW-FRAME-1")  # What comes out may be as little JSON as what went in.
    nan = {"video_type": "thermal", "temp_min": float("nan"), "temps": [1.0, float("nan")]}
    sent = await device.publish_text("front", extra=nan)
    entry = await viewer.peer.until(
        lambda e: e.body is None or sent.is_in(e), stage.tolerances.frame
    )
    if entry is not None and entry.body is None:
        trial.chose("PW-THERM-2/nan", outcome="relayed as it came, which is not JSON")
    elif entry is None:
        state = await device.peer.state_after(stage.tolerances.silence)
        trial.chose("PW-THERM-2/nan", outcome=f"not relayed (the device: {state})")
    else:
        temps = (entry.body or {}).get("temps", "missing")
        trial.chose("PW-THERM-2/nan", outcome=f"relayed, with temps {json.dumps(temps)}")
    if device.peer.ending is None:
        await stage.must_see(viewer, device)


@case(
    "media.largest-binary",
    "A JPEG of 750 000 bytes is relayed in the binary form.",
    "PW-LIM-1",
    needs=(Need.PUBLISHER,),
)
async def media_largest_binary(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for _ in range(3):
        sent = await device.publish("front", size=_LARGEST_JPEG)
        if await viewer.sees(sent, stage.tolerances.frame + 1) is not None:
            return
        if device.peer.ending is not None:
            break
    trial.find("PW-LIM-1/not-relayed", {"bytes": _LARGEST_JPEG}, _dropped(device))


@case(
    "media.largest-text",
    "A JPEG of 750 000 bytes, a million characters of base64, is relayed in the text form.",
    "PW-LIM-2",
    needs=(Need.PUBLISHER,),
)
async def media_largest_text(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    await _must_see_text(stage, trial, viewer, device)
    _, entry = await _text_seen(stage, viewer, device, size=_LARGEST_JPEG)
    if entry is None:
        trial.find("PW-LIM-2/not-relayed", {"bytes": _LARGEST_JPEG}, _dropped(device))


@case(
    "media.oversize",
    "A message of 2 MiB is not relayed, and harms nobody else.",
    "PW-LIM-3",
    "PW-LIM-4",
    "PW-ROB-1",
    needs=(Need.PUBLISHER,),
    connections=4,
)
async def media_oversize(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    bystander, watching = await stage.open_stream(stage.source("bystander"))
    sent = device.make("front", size=2 * _LIMIT)
    device.sent.append(sent)
    await device.peer.send(binary_frame(sent, device.source_id))
    if await viewer.sees(sent, stage.tolerances.frame) is not None:
        trial.find("PW-LIM-3/relayed", {"limit": _LIMIT}, {"bytes": 2 * _LIMIT})
    ending = await device.peer.until_ended(stage.tolerances.silence)
    trial.chose("PW-LIM-4/oversize", outcome=str(ending))
    stimulus = {"stimulus": f"a device's message of {2 * _LIMIT} bytes"}
    if await stage.see(watching, bystander) is None:
        observed = {"tries": TRIES, "ending": watching.peer.outcome()}
        trial.find("PW-ROB-1/other-stream-disturbed", stimulus, observed)
    # What becomes of its viewers once a device was refused is for the gateway to say.  [PW-FRAME-13]
    if device.peer.ending is None and await stage.see(viewer, device) is None:
        observed = {"tries": TRIES, "ending": viewer.peer.outcome()}
        trial.find("PW-ROB-1/own-viewer-disturbed", stimulus, observed)


@case(
    "media.foreign-source-text",
    "A text frame that names another source reaches viewers under the name of its device's source.",
    "PW-FRAME-8",
    needs=(Need.PUBLISHER,),
)
async def media_foreign_source_text(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    await _must_see_text(stage, trial, viewer, device)
    for _ in range(TRIES):
        sent = await device.publish_text("front", named=stage.source("other"))
        entry = await viewer.sees(sent, stage.tolerances.frame)
        if entry is not None or device.peer.ending is not None:
            break
    # A gateway may refuse such a frame; what it says of one that it relays, the monitor judges.
    if entry is None:
        trial.skip("PW-FRAME-8")


#: The JPEG of a frame that is larger than devices send, in a message of at most a million bytes.
_LARGE_JPEG = 900_000
#: Seconds in which a gateway that lost its upstream over it is back.
_BACK = 3.0


@case(
    "media.large-binary",
    "What becomes of a binary frame that is larger than those of devices, and of its viewers.",
    "PW-LIM-11",
    "PW-RECON-4",
    needs=(Need.PUBLISHER,),
    takes=3.0,
)
async def media_large_binary(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    await stage.until_read(viewer)
    sent = await device.publish("front", size=_LARGE_JPEG)
    seen = await viewer.sees(sent, stage.tolerances.frame) is not None
    state = await device.peer.state_after(stage.tolerances.silence)
    outcome = "relayed" if seen else f"dropped (the device: {state})"
    trial.chose("PW-LIM-11/large-binary", bytes=_LARGE_JPEG, outcome=outcome)
    if any(entry.type == "gateway_reconnecting" for entry in viewer.messages()):
        await viewer.peer.until(lambda entry: entry.type == "init", _BACK)
    else:
        trial.skip("PW-RECON-4")
