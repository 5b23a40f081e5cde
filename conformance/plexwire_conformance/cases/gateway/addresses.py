"""Addresses: what selects which camera, and what is no address."""

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice, RawViewer

#: Seconds that a viewer asks for which is closed as soon as it is accepted.
_SHORT = 3


async def _judge_selected(
    stage: Stage, trial: Trial, viewer: RawViewer, device: RawDevice, clause: str, *cameras: str
) -> None:
    """Judge that frames of each of *cameras* reach *viewer*; strangers are the monitor's business."""
    await device.publish("a camera that nobody asked for")
    for camera in cameras:
        if await stage.see(viewer, device, camera) is None:
            if viewer.peer.ending is not None and viewer.peer.ending.kind is ClosingKind.GARBAGE:
                trial.inconclusive("what came can't be read", "PW-CONN-6")
            trial.find(
                f"{clause}/camera-not-sent",
                {
                    "camera": camera,
                    "cameras": list(viewer.cameras),
                    "address": viewer.request_target,
                    "tries": TRIES,
                },
                {"ending": viewer.peer.outcome()},
            )


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
    except HandshakeFailed as error:
        await trial.refuse(f"{clause}/handshake-refused", {"address": asks}, error)
    await stage.authenticate(viewer)
    return viewer


@case(
    "addr.several-cameras",
    "Every camera named in the address is sent, and no other.",
    "PW-ADDR-2",
    "PW-ISO-1",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def addr_several_cameras(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, _ = await stage.open_stream(source)
    # Another camera than the one that is watched already: how many may watch one is judged elsewhere.
    cameras = ("left", "rear", "arm")
    await stage.announce(device, *cameras)
    viewer = await _open(stage, trial, "PW-ADDR-2", source, cameras)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-2", *cameras)


@case(
    "addr.default-camera",
    "Without camera_id the camera `default` is sent, and no other.",
    "PW-ADDR-3",
    "PW-ISO-1",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def addr_default_camera(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, watching = await stage.open_stream(source)
    strange = await device.publish("another")
    await stage.must_see(watching, device)
    if any(map(strange.is_in, watching.frames())):
        trial.inconclusive("viewers get cameras that they did not ask for", "PW-ISO-1")
    await stage.announce(device, "default")
    target = stage.stream_target(source)
    viewer = await _open(stage, trial, "PW-ADDR-3", source, ("default",), target)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-3", "default")
    for sent in device.sent:
        if sent.camera_id != "default" and any(map(sent.is_in, viewer.frames())):
            trial.find("PW-ADDR-3/other-camera-sent", observed={"camera": sent.camera_id})


@case(
    "addr.percent-encoding",
    "Ids are decoded: reserved characters, letters beyond ASCII, and escapes of plain letters.",
    "PW-ADDR-4",
    needs=(Need.PUBLISHER,),
    connections=5,
)
async def addr_percent_encoding(stage: Stage, trial: Trial) -> None:
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


@case(
    "addr.unknown-parameter",
    "Query parameters that nobody knows change nothing.",
    "PW-ADDR-10",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def addr_unknown_parameter(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, _ = await stage.open_stream(source)
    await stage.announce(device, "rear")
    target = f"{stage.stream_target(source, ('rear',))}&utm_source=plexwire&flag"
    viewer = await _open(stage, trial, "PW-ADDR-10", source, ("rear",), target)
    await _judge_selected(stage, trial, viewer, device, "PW-ADDR-10", "rear")


@case(
    "addr.empty-camera",
    "What an empty camera_id selects.",
    "PW-ADDR-8",
    "PW-BIN-5",
    needs=(Need.PUBLISHER,),
    takes=4.5,
    connections=3,
)
async def addr_empty_camera(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, watching = await stage.open_stream(source)
    target = f"{stage.stream_target(source)}?camera_id="
    await stage.announce(device, "", "default")
    try:
        viewer = await stage.connect_viewer(source, ("", "default"), request_target=target)
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-8/empty-camera", outcome=f"is refused with {error.problem}")
        trial.stop()
    await stage.authenticate(viewer)
    empty = await stage.see(viewer, device, "") is not None
    default = await stage.see(viewer, device, "default") is not None
    names = (("the camera with the empty id", empty), ("the camera “default”", default))
    selected = " and ".join(name for name, seen in names if seen)
    trial.chose("PW-ADDR-8/empty-camera", outcome=f"selects {selected or 'nothing'}")
    trial.chose("PW-BIN-5/empty-camera-id", outcome="relayed" if empty else "not relayed")
    await stage.must_see(watching, device)


@case(
    "addr.doubled-camera",
    "A camera named twice is sent once.",
    "PW-ADDR-9",
    "PW-FRAME-6",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def addr_doubled_camera(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, _ = await stage.open_stream(source)
    try:
        viewer = await stage.connect_viewer(source, ("front", "front"))
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-9/doubled-camera", outcome=f"is refused with {error.problem}")
        trial.stop()
    await stage.authenticate(viewer)
    seen = await stage.see(viewer, device) is not None
    await stage.see(viewer, device)
    outcome = "selects its camera once" if seen else "selects nothing"
    trial.chose("PW-ADDR-9/doubled-camera", outcome=outcome)


@case("addr.bad-source", "What becomes of a source id that no device can have.", "PW-ADDR-11")
async def addr_bad_source(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    outcomes = {}
    for what, source in (("capitals", "Robot-01"), ("spaces", "robot 01"), ("empty", "")):
        try:
            # No device can have these sources, so no frame tells a gateway that the viewer has left.
            viewer = await stage.connect_viewer(source, timeout=_SHORT)
            accepted = await stage.authenticate(viewer) is not None
            outcomes[what] = "accepted" if accepted else viewer.peer.state
            await viewer.peer.close()
        except HandshakeFailed as error:
            outcomes[what] = f"refused with {error.in_short}"
    trial.chose("PW-ADDR-11/source-outside-grammar", outcomes=outcomes)


@case("addr.wrong-path", "A path that is neither endpoint is not upgraded.", "PW-ADDR-13")
async def addr_wrong_path(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    path = stage.target.viewers.path
    for wrong in ("/v1/sources/robot-01/video/streams", "/v1/sources/video/stream", "/plexwire"):
        try:
            # What is served there may be something else, which the monitor has no business with.
            await stage.connect(
                stage.target.viewers, f"{path}{wrong}", name="nobody", role="nobody", source_id=""
            )
        except HandshakeFailed as error:
            expected = {"address": wrong}
            if error.status is None:
                observed = {"refusal": error.refusal}
                trial.find("PW-ADDR-13/no-http-answer", expected, observed)
            elif error.status < 400:
                status = {"status": error.status}
                trial.find("PW-ADDR-13/not-an-error-status", expected, status)
        else:
            trial.find_and_stop("PW-ADDR-13/upgraded", {"address": wrong})
