"""Addresses: what selects which camera, and what is no address."""

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed, NoConnection
from plexwire_conformance.wire.roles import RawDevice, RawViewer


async def _judge_selected(
    stage: Stage, trial: Trial, viewer: RawViewer, device: RawDevice, clause: str, *cameras: str
) -> None:
    """Judge that frames of each of *cameras* reach *viewer*; strangers are the monitor's business."""
    await device.publish("a camera that nobody asked for")
    for camera in cameras:
        if await stage.see(viewer, device, camera) is None:
            if viewer.peer.ending is not None and viewer.peer.ending.kind is ClosingKind.GARBAGE:
                raise Inconclusive("what came can't be read")
            state = viewer.peer.state
            trial.find(clause, f"frames of {camera!r}", f"none of three ({state})")


async def _open(
    stage: Stage,
    trial: Trial,
    clause: str,
    source: str,
    cameras: tuple[str, ...],
    target: str | None = None,
) -> RawViewer:
    """Open a viewer of *cameras*, at the request target *target* where it is given.

    A refusal of the handshake breaks *clause*.
    """
    asks = target or stage.stream_target(source, cameras)
    try:
        viewer = await stage.connect_viewer(source, cameras, request_target=asks)
    except NoConnection:
        raise
    except HandshakeFailed as error:
        trial.find(clause, f"{asks} is an address", error.problem)
        raise
    await stage.authenticate(viewer)
    return viewer


@case("addr.several-cameras", "PW-ADDR-2", "PW-ISO-1", needs=(Need.PUBLISHER,), connections=3)
async def addr_several_cameras(stage: Stage, trial: Trial) -> None:
    """Every camera named in the address is sent, and no other."""
    source = stage.source()
    device, _ = await stage.open_stream(source)
    # Another camera than the one that is watched already: how many may watch one is judged elsewhere.
    cameras = ("left", "rear", "arm")
    await stage.announce(device, *cameras)
    viewer = await _open(stage, trial, "PW-ADDR-2", source, cameras)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-2", *cameras)


@case("addr.default-camera", "PW-ADDR-3", "PW-ISO-1", needs=(Need.PUBLISHER,), connections=3)
async def addr_default_camera(stage: Stage, trial: Trial) -> None:
    """Without camera_id the camera `default` is sent, and no other."""
    source = stage.source()
    device, watching = await stage.open_stream(source)
    strange = await device.publish("another")
    await stage.must_see(watching, device)
    if any(map(strange.is_in, watching.frames())):
        raise Inconclusive("viewers get cameras that they did not ask for")
    await stage.announce(device, "default")
    target = stage.stream_target(source)
    viewer = await _open(stage, trial, "PW-ADDR-3", source, ("default",), target)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-3", "default")
    for sent in device.sent:
        if sent.camera_id != "default" and any(map(sent.is_in, viewer.frames())):
            trial.find("PW-ADDR-3", "the camera `default` alone", f"also {sent.camera_id!r}")


@case("addr.percent-encoding", "PW-ADDR-4", needs=(Need.PUBLISHER,), connections=5)
async def addr_percent_encoding(stage: Stage, trial: Trial) -> None:
    """Ids are decoded: reserved characters, letters beyond ASCII, and escapes of plain letters."""
    source = stage.source()
    device, _ = await stage.open_stream(source)
    for camera in ("camera:0", "a/b?c&d=e%20#f+g", "Küche 1 – 台所"):
        await stage.announce(device, camera)
        viewer = await _open(stage, trial, "PW-ADDR-4", source, (camera,))
        await _judge_selected(stage, trial, viewer, device, "PW-ADDR-4", camera)
        await viewer.peer.close()
    escaped = f"%{ord(source[0]):02x}{source[1:]}"
    target = stage.stream_target(source).replace(source, escaped) + "?camera_id=%72ear"
    await stage.announce(device, "rear")
    viewer = await _open(stage, trial, "PW-ADDR-4", source, ("rear",), target)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-4", "rear")


@case("addr.unknown-parameter", "PW-ADDR-10", needs=(Need.PUBLISHER,), connections=3)
async def addr_unknown_parameter(stage: Stage, trial: Trial) -> None:
    """Query parameters that nobody knows change nothing."""
    source = stage.source()
    device, _ = await stage.open_stream(source)
    await stage.announce(device, "rear")
    target = f"{stage.stream_target(source, ('rear',))}&utm_source=plexwire&flag"
    viewer = await _open(stage, trial, "PW-ADDR-10", source, ("rear",), target)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-10", "rear")


@case("addr.empty-camera", "PW-ADDR-8", "PW-BIN-5", needs=(Need.PUBLISHER,), connections=3)
async def addr_empty_camera(stage: Stage, trial: Trial) -> None:
    """What an empty camera_id selects."""
    source = stage.source()
    device, watching = await stage.open_stream(source)
    target = f"{stage.stream_target(source)}?camera_id="
    await stage.announce(device, "", "default")
    try:
        viewer = await stage.connect_viewer(source, ("", "default"), request_target=target)
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-8", f"refused: {error.problem}")
        return
    await stage.authenticate(viewer)
    empty = await stage.see(viewer, device, "", tries=1) is not None
    default = await stage.see(viewer, device, "default", tries=1) is not None
    said = [name for name, seen in (("the empty id", empty), ("`default`", default)) if seen]
    trial.chose("PW-ADDR-8", f"it selects {' and '.join(said) or 'nothing'}")
    trial.chose("PW-BIN-5", f"a frame with an empty camera id is {'' if empty else 'not '}relayed")
    await stage.must_see(watching, device)


@case("addr.doubled-camera", "PW-ADDR-9", "PW-FRAME-6", needs=(Need.PUBLISHER,), connections=3)
async def addr_doubled_camera(stage: Stage, trial: Trial) -> None:
    """A camera named twice is sent once."""
    source = stage.source()
    device, _ = await stage.open_stream(source)
    try:
        viewer = await stage.connect_viewer(source, ("front", "front"))
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-9", f"refused: {error.problem}")
        return
    await stage.authenticate(viewer)
    seen = await stage.see(viewer, device) is not None
    await stage.see(viewer, device)
    trial.chose("PW-ADDR-9", "it selects its camera once" if seen else "it selects nothing")


@case("addr.bad-source", "PW-ADDR-11")
async def addr_bad_source(stage: Stage, trial: Trial) -> None:
    """What becomes of a source id that no device can have."""
    await stage.open_viewer()
    said = []
    for what, source in (("capitals", "Robot-01"), ("spaces", "robot 01"), ("empty", "")):
        try:
            viewer = await stage.connect_viewer(source)
            accepted = await stage.authenticate(viewer) is not None
            said.append(f"{what}: {'accepted' if accepted else viewer.peer.state}")
            await viewer.peer.close()
        except HandshakeFailed as error:
            said.append(f"{what}: refused, {_status(error)}")
    trial.chose("PW-ADDR-11", "; ".join(said))


def _status(error: HandshakeFailed) -> str:
    return error.problem if error.response is None else f"HTTP {error.response.status}"


@case("addr.wrong-path", "PW-ADDR-13")
async def addr_wrong_path(stage: Stage, trial: Trial) -> None:
    """A path that is neither endpoint is not upgraded."""
    await stage.open_viewer()
    path = stage.target.viewers.path
    for wrong in ("/v1/sources/robot-01/video/streams", "/v1/sources/video/stream", "/plexwire"):
        try:
            # What is served there may be something else, which the monitor has no business with.
            await stage.connect(
                stage.target.viewers, f"{path}{wrong}", name="nobody", role="nobody", source_id=""
            )
        except HandshakeFailed as error:
            if error.response is None:
                expected = f"an HTTP error for {wrong}"
                trial.find("PW-ADDR-13", expected, error.problem)
        else:
            trial.find("PW-ADDR-13", f"an HTTP error for {wrong}", "it was upgraded")
            return
