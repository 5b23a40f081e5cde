"""Addresses: what selects which camera, and what is no address."""

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import Closing, HandshakeFailed, NoConnection
from plexwire_conformance.wire.roles import Device, Viewer


async def _judge_selected(
    trial: Trial, viewer: Viewer, device: Device, clause: str, *cameras: str
) -> None:
    """Judge that frames of each of *cameras* reach *viewer*; strangers are the monitor's business."""
    await device.publish("a camera that nobody asked for")
    for camera in cameras:
        if await trial.see(viewer, device, camera) is None:
            if viewer.peer.ending is not None and viewer.peer.ending.how is Closing.GARBAGE:
                trial.inconclusive("what came can't be read")
            fate = trial.fate(viewer.peer)
            trial.find(clause, f"frames of {camera!r}", f"none of three ({fate})")


async def _open(
    trial: Trial, clause: str, source: str, cameras: tuple[str, ...], target: str | None = None
) -> Viewer:
    """Open a viewer of *cameras*, at the request target *target* where it is given.

    A refusal of the handshake breaks *clause*.
    """
    asks = target or trial.stream_target(source, cameras)
    try:
        viewer = await trial.connect_viewer(source, cameras, request_target=asks)
    except NoConnection:
        raise
    except HandshakeFailed as error:
        trial.find(clause, f"{asks} is an address", error.problem)
        raise
    await viewer.authenticate(trial.target.keys.api_key)
    await viewer.await_init(trial.patience.at_once)
    return viewer


@case("addr.several-cameras", "PW-ADDR-2", "PW-ISO-1", needs=(Need.PUBLISHER,), connections=3)
async def addr_several_cameras(trial: Trial) -> None:
    """Every camera named in the address is sent, and no other."""
    source = trial.source()
    device, _ = await trial.open_stream(source)
    # Another camera than the one that is watched already: how many may watch one is judged elsewhere.
    cameras = ("left", "rear", "arm")
    await trial.announce(device, *cameras)
    viewer = await _open(trial, "PW-ADDR-2", source, cameras)
    await _judge_selected(trial, viewer, device, "PW-ADDR-2", *cameras)


@case("addr.default-camera", "PW-ADDR-3", "PW-ISO-1", needs=(Need.PUBLISHER,), connections=3)
async def addr_default_camera(trial: Trial) -> None:
    """Without camera_id the camera `default` is sent, and no other."""
    source = trial.source()
    device, watching = await trial.open_stream(source)
    strange = await device.publish("another")
    await trial.must_see(watching, device)
    if any(map(strange.is_in, watching.frames())):
        trial.inconclusive("viewers get cameras that they did not ask for")
    await trial.announce(device, "default")
    target = trial.stream_target(source)
    viewer = await _open(trial, "PW-ADDR-3", source, ("default",), target)
    await _judge_selected(trial, viewer, device, "PW-ADDR-3", "default")
    for sent in device.sent:
        if sent.camera_id != "default" and any(map(sent.is_in, viewer.frames())):
            trial.find("PW-ADDR-3", "the camera `default` alone", f"also {sent.camera_id!r}")


@case("addr.percent-encoding", "PW-ADDR-4", needs=(Need.PUBLISHER,), connections=5)
async def addr_percent_encoding(trial: Trial) -> None:
    """Ids are decoded: reserved characters, letters beyond ASCII, and escapes of plain letters."""
    source = trial.source()
    device, _ = await trial.open_stream(source)
    for camera in ("camera:0", "a/b?c&d=e%20#f+g", "Küche 1 – 台所"):
        await trial.announce(device, camera)
        viewer = await _open(trial, "PW-ADDR-4", source, (camera,))
        await _judge_selected(trial, viewer, device, "PW-ADDR-4", camera)
        await viewer.peer.close()
    escaped = f"%{ord(source[0]):02x}{source[1:]}"
    target = trial.stream_target(source).replace(source, escaped) + "?camera_id=%72ear"
    await trial.announce(device, "rear")
    viewer = await _open(trial, "PW-ADDR-4", source, ("rear",), target)
    await _judge_selected(trial, viewer, device, "PW-ADDR-4", "rear")


@case("addr.unknown-parameter", "PW-ADDR-10", needs=(Need.PUBLISHER,), connections=3)
async def addr_unknown_parameter(trial: Trial) -> None:
    """Query parameters that nobody knows change nothing."""
    source = trial.source()
    device, _ = await trial.open_stream(source)
    await trial.announce(device, "rear")
    target = f"{trial.stream_target(source, ('rear',))}&utm_source=plexwire&flag"
    viewer = await _open(trial, "PW-ADDR-10", source, ("rear",), target)
    await _judge_selected(trial, viewer, device, "PW-ADDR-10", "rear")


@case("addr.empty-camera", "PW-ADDR-8", "PW-BIN-5", needs=(Need.PUBLISHER,), connections=3)
async def addr_empty_camera(trial: Trial) -> None:
    """What an empty camera_id selects."""
    source = trial.source()
    device, watching = await trial.open_stream(source)
    target = f"{trial.stream_target(source)}?camera_id="
    await trial.announce(device, "", "default")
    try:
        viewer = await trial.connect_viewer(source, ("", "default"), request_target=target)
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-8", f"refused: {error.problem}")
        return
    await viewer.authenticate(trial.target.keys.api_key)
    await viewer.await_init(trial.patience.at_once)
    empty = await trial.see(viewer, device, "", tries=1) is not None
    default = await trial.see(viewer, device, "default", tries=1) is not None
    said = [name for name, seen in (("the empty id", empty), ("`default`", default)) if seen]
    trial.chose("PW-ADDR-8", f"it selects {' and '.join(said) or 'nothing'}")
    trial.chose("PW-BIN-5", f"a frame with an empty camera id is {'' if empty else 'not '}relayed")
    await trial.must_see(watching, device)


@case("addr.doubled-camera", "PW-ADDR-9", "PW-FRAME-6", needs=(Need.PUBLISHER,), connections=3)
async def addr_doubled_camera(trial: Trial) -> None:
    """A camera named twice is sent once."""
    source = trial.source()
    device, _ = await trial.open_stream(source)
    try:
        viewer = await trial.connect_viewer(source, ("front", "front"))
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-9", f"refused: {error.problem}")
        return
    await viewer.authenticate(trial.target.keys.api_key)
    await viewer.await_init(trial.patience.at_once)
    seen = await trial.see(viewer, device) is not None
    await trial.see(viewer, device)
    trial.chose("PW-ADDR-9", "it selects its camera once" if seen else "it selects nothing")


@case("addr.bad-source", "PW-ADDR-11")
async def addr_bad_source(trial: Trial) -> None:
    """What becomes of a source id that no device can have."""
    await trial.open_viewer(trial.online)
    said = []
    for what, source in (("capitals", "Robot-01"), ("spaces", "robot 01"), ("empty", "")):
        try:
            viewer = await trial.connect_viewer(source)
            await viewer.authenticate(trial.target.keys.api_key)
            accepted = await viewer.await_init(trial.patience.at_once) is not None
            said.append(f"{what}: {'accepted' if accepted else trial.fate(viewer.peer)}")
            await viewer.peer.close()
        except HandshakeFailed as error:
            said.append(f"{what}: refused, {_status(error)}")
    trial.chose("PW-ADDR-11", "; ".join(said))


def _status(error: HandshakeFailed) -> str:
    return error.problem if error.answer is None else f"HTTP {error.answer.status}"


@case("addr.wrong-path", "PW-ADDR-13")
async def addr_wrong_path(trial: Trial) -> None:
    """A path that is neither endpoint is not upgraded."""
    await trial.open_viewer(trial.online)
    path = trial.target.viewers.path
    for wrong in ("/v1/sources/robot-01/video/streams", "/v1/sources/video/stream", "/plexwire"):
        try:
            # What is served there may be something else, which the monitor has no business with.
            await trial.connect(
                trial.target.viewers, f"{path}{wrong}", name="nobody", role="nobody", source_id=""
            )
        except HandshakeFailed as error:
            if error.answer is None:
                expected = f"an HTTP error for {wrong}"
                trial.find("PW-ADDR-13", expected, error.problem)
        else:
            trial.find("PW-ADDR-13", f"an HTTP error for {wrong}", "it was upgraded")
            return
