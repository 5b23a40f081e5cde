"""Every state of a conversation, and what a peer may send in it: state, deadline and neighbours stay as the table says."""

from collections.abc import Iterator
from typing import Final

import trio

from plexwire_conformance.cases.gateway.auth_deadline import judge_deadline
from plexwire_conformance.cases.gateway.robustness import unharmed
from plexwire_conformance.cases.gateway.state_table import STIMULI, Stimulus
from plexwire_conformance.recording.recorder import Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import DEVICE_OPENS, TRIES, VIEWER_OPENS, Stage
from plexwire_conformance.run.tolerances import AUTH_DEADLINE
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.close_codes import TIMEOUT, UNAUTHORIZED
from plexwire_conformance.wire.framing import encode_frame
from plexwire_conformance.wire.peer import ClosingKind, RawPeer
from plexwire_conformance.wire.roles import RawDevice, RawViewer

#: Seconds between two frames of the stream that the stimuli meet, and its timeout.
_FRAME_INTERVAL: Final = 0.2
_TIMEOUT: Final = 3
#: Seconds that a stimulus comes after the `init`, and before the timeout.
_EARLY: Final = 0.3
_LATE: Final = 0.7
#: Seconds without a message: more than the ten after which frameworks end idle connections.
_IDLE: Final = 10.3
#: Round trips by which the timeout is longer.
_TRIPS_ON_TOP: Final = 8
#: Seconds that a frame may have been on its way, and after which frames that go on have come.
_ON_ITS_WAY: Final = 0.5
_LONG_ENOUGH: Final = 1.0
_HARMLESS: Final = tuple(one for one in STIMULI.values() if one.harmless)
#: What nobody may send on a stream but a device that the gateway does not know: it is passed over.
_UNKNOWN_TYPES: Final = (
    "a message of an unknown type",
    "an init",
    "an authenticated",
    "an error",
    "a gateway_reconnecting",
)


#: What only others send; it takes one viewer, as nobody treats one of them in particular.
_OF_OTHERS: Final = (
    "a heartbeat",
    "an init",
    "an authenticated",
    "an error",
    "a gateway_reconnecting",
)
_FROM_VIEWERS: Final = (
    *(one for one in STIMULI.values() if one.name not in _OF_OTHERS),
    Stimulus(
        "messages of devices and gateways",
        tuple(frame for name in _OF_OTHERS for frame in STIMULI[name].frames),
    ),
)


async def _send(peer: RawPeer, stimulus: Stimulus) -> None:
    frames = (encode_frame(op, payload, fin=fin) for op, payload, fin in stimulus.frames)
    await peer.send_raw(b"".join(frames), stimulus.name)


# ── before the auth ──────────────────────────────────────────────────────────────────────────


@case(
    "states.viewer-before-auth",
    "Pongs and pings neither put off the deadline of the auth nor close anything.",
    "PW-AUTH-3",
    "PW-AUTH-4",
    "PW-CONN-11",
    takes=AUTH_DEADLINE,
    connections=1,
)
async def states_viewer_before_auth(stage: Stage, trial: Trial) -> None:
    peer = (await stage.connect_viewer()).peer
    for second in range(int(AUTH_DEADLINE) - 1):
        for stimulus in _HARMLESS:
            await _send(peer, stimulus)
        await peer.until_ended(peer.opened_at + second + 1 - stage.now(), exactly=True)
        if peer.ending is not None and peer.ending.code != UNAUTHORIZED:
            connection = {"connection": "a viewer", "when": "before its auth"}
            trial.find_and_stop("PW-CONN-11/closed", connection, {"ending": peer.outcome()})
    await judge_deadline(stage, trial, peer)


# ── while the key is checked ─────────────────────────────────────────────────────────────────


@case(
    "states.viewer-checking",
    "A viewer whose auth is followed at once by pings, pongs or a close is answered all the same.",
    "PW-CONN-3",
    "PW-CONN-11",
)
async def states_viewer_checking(stage: Stage, trial: Trial) -> None:
    await (await stage.open_viewer()).peer.close()
    viewer = await stage.connect_viewer()
    await viewer.authenticate(stage.target.keys.api_key)
    for stimulus in _HARMLESS:
        await _send(viewer.peer, stimulus)
    if await viewer.await_init(stage.tolerances.immediate) is None:
        _no_answer(stage, trial, viewer.peer, "an auth", "viewer", "init")
    await viewer.peer.close()
    closing = await stage.connect_viewer(name="viewer that closes at once")
    await closing.authenticate(stage.target.keys.api_key)
    await _judge_close(stage, trial, closing.peer, "viewer that has just sent its auth")


@case(
    "states.device-checking",
    "A device whose device_auth is followed at once by pings, pongs or a close is answered all the same.",
    "PW-CONN-3",
    "PW-CONN-11",
    needs=(Need.PUBLISHER,),
)
async def states_device_checking(stage: Stage, trial: Trial) -> None:
    key = stage.target.publishing
    await (await stage.open_device(stage.source("first"))).peer.close()
    device = await stage.connect_device(stage.source())
    await device.authenticate(key)
    for stimulus in _HARMLESS:
        await _send(device.peer, stimulus)
    answer = await device.await_answer(stage.tolerances.answer)
    if answer is None or answer.type != "authenticated":
        _no_answer(stage, trial, device.peer, "a device_auth", "device", "authenticated")
    await device.peer.close()
    closing = await stage.connect_device(stage.source("closing"), name="device that closes at once")
    await closing.authenticate(key)
    await _judge_close(stage, trial, closing.peer, "device that has just sent its device_auth")


def _no_answer(
    stage: Stage, trial: Trial, peer: RawPeer, what: str, role: str, answer: str
) -> None:
    expected = {"what": what, "role": role, "within": stage.tolerances.immediate}
    observed = {"answer": answer, "ending": peer.outcome()}
    trial.find("PW-CONN-11/no-answer-after", expected, observed)


async def _judge_close(stage: Stage, trial: Trial, peer: RawPeer, role: str) -> None:
    await peer.close()
    began = stage.now()
    # The verdict on the key may come first.
    within = stage.tolerances.answer
    if (await peer.until_ended(within)).kind is not ClosingKind.CLOSE_FRAME:
        expected = {"role": role, "within": within}
        observed = {"ending": peer.outcome(since=began)}
        trial.find("PW-CONN-3/close-not-answered", expected, observed)


# ── on the stream ────────────────────────────────────────────────────────────────────────────


@case(
    "states.viewer-streaming",
    "Whatever a viewer sends on its stream, the timeout is neither later nor earlier, and its frames go on until then.",
    "PW-CONN-11",
    "PW-FRAME-9",
    "PW-ROB-2",
    "PW-TIME-1",
    "PW-TIME-2",
    needs=(Need.PUBLISHER,),
    takes=_TIMEOUT,
    connections=2 + len(_FROM_VIEWERS),
    least=3,
)
async def states_viewer_streaming(stage: Stage, trial: Trial) -> None:
    device, bystander = await stage.open_stream(stage.source())
    for some in _batches(stage):
        async with trio.open_nursery() as publishing:
            publishing.start_soon(_keep_publishing, device)
            async with trio.open_nursery() as nursery:
                for stimulus in some:
                    nursery.start_soon(_judge_stream, stage, trial, device, stimulus)
            publishing.cancel_scope.cancel()
    check = "PW-ROB-2/other-stream-disturbed"
    stimulus_of_all = "messages and control frames of other viewers of the same camera"
    await unharmed(stage, trial, check, stimulus_of_all, device, bystander)


def _batches(stage: Stage) -> Iterator[tuple[Stimulus, ...]]:
    size = max(1, stage.connections - 2)
    for begin in range(0, len(_FROM_VIEWERS), size):
        yield _FROM_VIEWERS[begin : begin + size]


async def _keep_publishing(device: RawDevice) -> None:
    while True:
        await device.publish("front")
        await trio.sleep(_FRAME_INTERVAL)


async def _judge_stream(stage: Stage, trial: Trial, device: RawDevice, stimulus: Stimulus) -> None:
    """Judge the stream of a viewer that sends *stimulus* soon after its `init`, and again shortly before the timeout."""
    seconds = _TIMEOUT + round(_TRIPS_ON_TOP * stage.tolerances.round_trip)
    viewer = await stage.connect_viewer(
        device.source_id, timeout=seconds, name=f"viewer that sends {stimulus.name}"
    )
    init = await stage.authenticate(viewer)
    if init is None:
        trial.inconclusive(
            f"the {viewer.peer.name} got no init ({viewer.peer.state})", *VIEWER_OPENS
        )
    peer = viewer.peer
    gets_frames = await viewer.next_frame(stage.tolerances.frame) is not None
    await peer.until_ended(_EARLY, exactly=True)
    sent_at = stage.now()
    await _send(peer, stimulus)
    # A gateway may count from the handshake, the auth or its init.
    await peer.until_ended(peer.opened_at + seconds - _LATE - stage.now(), exactly=True)
    if peer.ending is None:
        # One that comes right behind the stimulus was on its way before.
        since = sent_at + _ON_ITS_WAY + stage.tolerances.round_trip
        waited = stage.now() - since
        if gets_frames and waited > _LONG_ENOUGH and not _frames_since(viewer, since):
            expected = {"stimulus": stimulus.name}
            trial.find("PW-FRAME-9/none-after-stimulus", expected, {"seconds": waited})
        await _send(peer, stimulus)
    peer.end_is_due = True
    ending = await peer.until_ended(init.at + seconds + stage.tolerances.late - stage.now())
    _judge_ending(stage, trial, peer, stimulus, seconds)
    if ending.kind is ClosingKind.OPEN:
        await peer.close()


def _frames_since(viewer: RawViewer, since: float) -> int:
    return sum(frame.at > since for frame in viewer.frames() if frame.way is Way.RECEIVED)


def _judge_ending(
    stage: Stage, trial: Trial, peer: RawPeer, stimulus: Stimulus, seconds: int
) -> None:
    ending = peer.ending
    said = f"{seconds} s of a stream on which the viewer sent {stimulus.name}"
    expected = {"stimulus": said, "code": TIMEOUT, "within": seconds + stage.tolerances.late}
    observed = {"ending": peer.outcome()}
    if ending is None:
        trial.find("PW-TIME-1/not-closed", expected, observed)
        return
    early = peer.opened_at + seconds - stage.tolerances.early - ending.at
    if early > 0 and ending.code == TIMEOUT:
        margin_s = early + stage.tolerances.early
        trial.find("PW-TIME-2/closed-early", {"seconds": seconds}, observed, margin_s=margin_s)
    elif early > 0 and stimulus.harmless:
        connection = {"connection": "a viewer", "when": "on its stream"}
        trial.find("PW-CONN-11/closed", connection, observed)
    elif early <= 0 and ending.kind is not ClosingKind.CLOSE_FRAME:
        trial.find("PW-CLOSE-1/no-close-frame", expected, observed, by_loss=True)
    elif early <= 0 and ending.code != TIMEOUT:
        trial.find("PW-TIME-1/wrong-close-code", expected, observed)


@case(
    "states.device-streaming",
    "Whatever harmless or unknown thing a device sends, its frames go on.",
    "PW-CONN-11",
    "PW-DEV-9",
    needs=(Need.PUBLISHER,),
)
async def states_device_streaming(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for stimulus in _HARMLESS:
        await _send(device.peer, stimulus)
        if await stage.see(viewer, device) is None:
            trial.find(
                "PW-CONN-11/closed",
                {"connection": "a device", "when": "on its stream"},
                {"ending": device.peer.outcome()},
            )
            trial.stop()
    for name in _UNKNOWN_TYPES:
        await _send(device.peer, STIMULI[name])
        if await stage.see(viewer, device) is None:
            observed = {"tries": TRIES, "ending": device.peer.outcome()}
            trial.find("PW-DEV-9/no-frames-after", {}, observed)
            if viewer.peer.ending is not None:
                trial.stop()
            device = await stage.open_device(device.source_id, name="device again")


# ── nothing at all ───────────────────────────────────────────────────────────────────────────


@case(
    "states.idle",
    "A stream on which nothing moves for ten seconds stays open, and goes on.",
    "PW-FRAME-9",
    "PW-TIME-2",
    needs=(Need.PUBLISHER,),
    takes=_IDLE,
    connections=2,
)
async def states_idle(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    await viewer.peer.until_ended(_IDLE)
    if (ending := viewer.peer.ending) is not None:
        if ending.at >= viewer.peer.opened_at + stage.timeout - stage.tolerances.early:
            # The machine was so busy that the time of the stream was truly up.
            trial.inconclusive(f"the wait took longer than the {stage.timeout} s of the stream")
        seconds = {"seconds": stage.timeout}
        trial.find_and_stop("PW-TIME-2/closed-early", seconds, {"ending": viewer.peer.outcome()})
    if device.peer.ending is not None:
        # How long a device may be quiet is for the gateway to say.
        device = await stage.open_device(device.source_id, name="device again")
    if await stage.see(viewer, device) is None:
        if device.peer.ending is not None:
            trial.inconclusive(f"the device was closed ({device.peer.state})", *DEVICE_OPENS)
        expected = {"stimulus": f"nothing for {_IDLE:g} s"}
        trial.find(
            "PW-FRAME-9/none-after-stimulus", expected, {"seconds": TRIES * stage.tolerances.frame}
        )
