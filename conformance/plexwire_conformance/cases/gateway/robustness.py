"""Peers that misbehave harm nobody else."""

import json

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.framing import Opcode, encode_close, encode_frame
from plexwire_conformance.wire.roles import RawDevice, RawViewer, auth_text, binary_frame


async def unharmed(
    stage: Stage, trial: Trial, check: str, stimulus: str, device: RawDevice, viewer: RawViewer
) -> None:
    """Judge that a stream that was up before the misdeed still is, on the same connections."""
    if await stage.see(viewer, device) is None:
        ended = device if viewer.peer.ending is None else viewer
        observed = {"tries": TRIES, "ending": ended.peer.outcome()}
        trial.find(check, {"stimulus": stimulus}, observed)


def _malformed(device: RawDevice) -> dict[str, str | bytes]:
    """The messages of a device that are wrong in one thing each."""
    sent = device.make("front")
    good = binary_frame(sent, device.source_id)
    names = 3 + len(device.source_id) + len("front")
    return {
        "a truncated header": good[: names + 7],
        "an unknown version": b"\x02" + good[1:],
        "an id that is not UTF-8": good.replace(b"front", b"fr\xff\xfet"),
        "no picture": good[: names + 16],
        "no JPEG": good[: names + 16] + b"GIF89a not a JPEG",
        "an empty message": b"",
        "one byte": b"\x01",
        "lengths past the end": b"\x01\xff" + good[2:60],
        "a text frame without camera": json.dumps({"type": "video_frame", "frame": "/9j/"}),
        "a text frame without picture": json.dumps({"type": "video_frame", "camera_id": "front"}),
        "a text frame with bad base64": json.dumps(
            {
                "type": "video_frame",
                "camera_id": "front",
                "frame": "%%%",
                "width": 1,
                "height": 1,
                "timestamp": 1,
            }
        ),
        "text that is not JSON": "{",
        "JSON that is not an object": "[[]]",
        "JSON nested very deeply": "[" * 20_000,
        "a type that is not a string": '{"type": 7}',
    }


@case(
    "rob.malformed-device-messages",
    "Malformed frames and messages of a device disturb no other stream, nor the viewers of its camera.",
    "PW-ROB-1",
    "PW-BIN-4",
    "PW-TXT-2",
    needs=(Need.PUBLISHER,),
    connections=5,
    takes=2.0,
)
async def rob_malformed_device_messages(stage: Stage, trial: Trial) -> None:
    device, bystander = await stage.open_stream(stage.source("bystander"))
    source = stage.source()
    # A gateway that relays what it was given may not look into it.
    trial.excuse("PW-FRAME-1", "PW-FRAME-2", "PW-FRAME-11")
    states: dict[str, str] = {}
    rude = await stage.open_source(source, name="rude device")
    viewer = await stage.open_viewer(source, name="viewer of the rude device")
    # A gateway may need a moment until it knows which frames go to a new viewer.
    await trio.sleep(stage.tolerances.silence)
    malformed = _malformed(rude)
    for what, payload in malformed.items():
        before = _relayed(viewer)
        await rude.peer.send(payload)
        await stage.until_read(rude)
        # A pong may overtake what becomes of the message.
        await rude.peer.until_ended(stage.tolerances.silence / 4)
        kept = "relayed" if _relayed(viewer) > before else "dropped"
        states[what] = kept if rude.peer.ending is None else str(rude.peer.ending)
        if rude.peer.ending is not None:
            rude = await stage.open_device(source, name="rude device")
    stimulus = "malformed messages of a device"
    check = "PW-ROB-1/other-stream-disturbed"
    await unharmed(stage, trial, check, stimulus, device, bystander)
    # What becomes of its viewers once a device was refused is for the gateway to say.  [PW-FRAME-13]
    await rude.peer.until_ended(stage.tolerances.silence)
    if rude.peer.ending is None and set(states.values()) <= {"dropped", "relayed"}:
        stimulus = "malformed messages of its device"
        await unharmed(stage, trial, "PW-ROB-1/own-viewer-disturbed", stimulus, rude, viewer)
    for check, kind in (("PW-BIN-4/malformed-binary", bytes), ("PW-TXT-2/malformed-text", str)):
        chosen = {what: states[what] for what in states if isinstance(malformed[what], kind)}
        trial.chose(check, outcomes=_by_state(chosen))


def _relayed(viewer: RawViewer) -> int:
    """Return how many messages came that may be frames of the viewer's source, whatever else is wrong with them."""
    unreadable = [entry for entry in viewer.messages() if entry.body is None]
    ours = (None, viewer.source_id)
    return len(unreadable) + sum((f.body or {}).get("source_id") in ours for f in viewer.frames())


def _by_state(states: dict[str, str]) -> dict[str, str]:
    """Return what became of which messages, those that fared alike together."""
    return {
        state: ", ".join(what for what in states if states[what] == state)
        for state in dict.fromkeys(states.values())
    }


@case(
    "rob.rude-viewers",
    "Viewers that break the protocol, or WebSocket itself, disturb no other stream.",
    "PW-ROB-2",
    needs=(Need.PUBLISHER,),
    takes=2.0,
    connections=8,
)
async def rob_rude_viewers(stage: Stage, trial: Trial) -> None:
    device, bystander = await stage.open_stream(stage.source())
    polite = await stage.open_viewer(device.source_id, name="polite viewer")
    await polite.peer.close()
    await polite.peer.until_ended(stage.tolerances.immediate)
    await trio.sleep(stage.tolerances.silence)
    await stage.must_see(bystander, device)
    key = stage.target.keys.api_key
    rudeness: dict[str, bytes] = {
        "a frame without mask": encode_frame(Opcode.TEXT, b"{}", mask=None),
        "a reserved bit": encode_frame(Opcode.TEXT, b"{}", rsv=4),
        "an unknown opcode": encode_frame(0x3, b"{}"),
        "a lone continuation": encode_frame(Opcode.CONTINUATION, b"{}"),
        "an oversize ping": encode_frame(Opcode.PING, b"x" * 126),
        "a frame that claims 2^62 bytes": b"\x82\xff" + (2**62).to_bytes(8, "big") + b"mask",
        "a close with an illegal code": encode_close(1005),
        "a close of one byte": encode_frame(Opcode.CLOSE, b"\x03"),
        "random bytes": bytes(range(255, 0, -1)),
        "very deep JSON": encode_frame(Opcode.TEXT, b'{"type":' * 20_000),
        "a megabyte of text": encode_frame(Opcode.TEXT, b'"' + b"x" * 1_500_000 + b'"'),
    }
    for what, data in rudeness.items():
        for authenticated in (False, True):
            viewer = await stage.connect_viewer(device.source_id, name=f"rude viewer: {what}")
            if authenticated:
                await viewer.peer.send(auth_text(key))
                await viewer.await_init(stage.tolerances.immediate)
            await viewer.peer.send_raw(data, what)
            await viewer.peer.until_ended(0.05)
            # Vanishing is another case's business; who waits for more of a message may do so until the end.
            await viewer.peer.close()
            await viewer.peer.until_ended(stage.tolerances.silence)
    stimulus = "messages of other viewers that break the protocol"
    check = "PW-ROB-2/other-stream-disturbed"
    await unharmed(stage, trial, check, stimulus, device, bystander)


@case(
    "rob.vanishing-peers",
    "Peers that vanish in the middle of a frame disturb no other stream.",
    "PW-ROB-3",
    needs=(Need.PUBLISHER,),
    connections=5,
)
async def rob_vanishing_peers(stage: Stage, trial: Trial) -> None:
    device, bystander = await stage.open_stream(stage.source())
    other = await stage.open_device(stage.source("other"), name="vanishing device")
    data = encode_frame(Opcode.BINARY, binary_frame(other.make("front", size=50_000), "x"))
    await other.peer.send_raw(data[:20_000], "two fifths of a frame")
    await other.peer.vanish()
    for number in range(2):
        viewer = await stage.open_viewer(device.source_id, name="vanishing viewer")
        if number:
            await viewer.peer.send_raw(b"\x81\xfe\x40", "the beginning of a frame")
        await viewer.peer.vanish()
    await stage.see(bystander, device)
    stimulus = "peers vanished within a frame"
    check = "PW-ROB-3/other-stream-disturbed"
    await unharmed(stage, trial, check, stimulus, device, bystander)


@case(
    "rob.device-returns",
    "A viewer whose stream stays open while its device vanishes gets frames again when it is back.",
    "PW-FRAME-9",
    "PW-FRAME-13",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def rob_device_returns(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, viewer = await stage.open_stream(source)
    await device.peer.vanish()
    again = await stage.open_device(source, name="device again")
    seen = await stage.see(viewer, again) is not None
    if viewer.peer.ending is None:
        trial.chose("PW-FRAME-13/device-away", outcome="kept open")
        if not seen:
            trial.find("PW-FRAME-9/none-after-return", {}, {"tries": TRIES})
    else:
        trial.chose("PW-FRAME-13/device-away", outcome=f"ended ({viewer.peer.state})")
        trial.stop()
