"""What a gateway does where the sources are silent: observed and reported, never held against it."""

import json
from struct import pack
from urllib.parse import quote

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import RawViewer, auth_text, text_frame

_UNKNOWN_KEY = "an unknown key"


async def _outcome(stage: Stage, source: str, cameras: tuple[str, ...], target: str) -> str:
    """Say in a few words what becomes of a viewer at the request target *target*."""
    try:
        viewer = await stage.connect_viewer(source, cameras, request_target=target)
    except HandshakeFailed as error:
        return f"refused with {error.in_short}"
    accepted = await stage.authenticate(viewer) is not None
    state = viewer.peer.state
    await viewer.peer.close()
    return "accepted" if accepted else state


@case(
    "dialect.query-spelling",
    "How a plus, an escaped name and a semicolon in the query are read.",
    "PW-ADDR-15",
    needs=(Need.PUBLISHER,),
    connections=4,
)
async def dialect_query_spelling(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device = await stage.open_source(source, ("a b", "a+b", "front", "front;x=1"))
    path = stage.stream_target(source)
    outcomes = {}
    for what, query, camera in (
        ("a plus is a space", "camera_id=a+b", "a b"),
        ("an escaped parameter name counts", "camera%5Fid=front", "front"),
        ("a semicolon separates nothing", "camera_id=front;x=1", "front;x=1"),
    ):
        try:
            viewer = await stage.connect_viewer(
                source, (camera, "a+b", "front", "default"), request_target=f"{path}?{query}"
            )
        except HandshakeFailed:
            outcomes[what] = "refused"
            continue
        await stage.authenticate(viewer)
        seen = await stage.see(viewer, device, camera) is not None
        outcomes[what] = "yes" if seen else "no"
        await viewer.peer.close()
    trial.chose("PW-ADDR-15/query-spelling", outcomes=outcomes)


@case(
    "dialect.bad-escapes",
    "What becomes of escapes that are none, and of bytes that are not UTF-8.",
    "PW-ADDR-16",
)
async def dialect_bad_escapes(stage: Stage, trial: Trial) -> None:
    path = stage.stream_target(stage.online.source_id)
    source = stage.online.source_id
    outcomes = {
        value: await _outcome(stage, source, ("front",), f"{path}?camera_id={value}")
        for value in ("%zz", "%", "%ff")
    }
    trial.chose("PW-ADDR-16/bad-escapes", outcomes=outcomes)


@case("dialect.device-query", "What becomes of a query behind the device's path.", "PW-ADDR-17")
async def dialect_device_query(stage: Stage, trial: Trial) -> None:
    devices = stage.target.devices
    target = f"{devices.path}/ws/device?version=1"
    try:
        await stage.connect(devices, target, name="device", role="device", source_id="none")
    except HandshakeFailed as error:
        trial.chose("PW-ADDR-17/device-query", outcome=f"refused with {error.in_short}")
    else:
        trial.chose("PW-ADDR-17/device-query", outcome="ignored")


@case("dialect.viewer-origin", "A viewer may come from a page of any origin.", "PW-ADDR-18")
async def dialect_viewer_origin(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    origin = "https://dashboard.example"
    try:
        viewer = await stage.connect_viewer(headers=(("Origin", origin),))
    except HandshakeFailed as error:
        await trial.refuse("PW-ADDR-18/handshake-refused", {"origin": origin}, error)
    if await stage.authenticate(viewer) is None:
        observed = {"ending": viewer.peer.outcome()}
        trial.find("PW-ADDR-18/not-accepted", {"origin": origin}, observed)


@case(
    "dialect.cut-camera-id",
    "What becomes of a camera id that was cut in the middle of a character.",
    "PW-BIN-6",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def dialect_cut_camera_id(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, watching = await stage.open_stream(source)
    whole = "台" * 85
    cut = f"x{whole}".encode()[:255]
    camera = cut.decode(errors="ignore")
    await stage.announce(device, camera)
    try:
        viewer = await stage.open_viewer(source, (camera,), name="viewer of the cut id")
    except (HandshakeFailed, Inconclusive) as error:
        outcome = f"not judged, because a viewer of so long an id is refused ({error})"
        trial.chose("PW-BIN-6/cut-camera-id", outcome=outcome)
        trial.stop()
    trial.excuse("PW-FRAME-2", "PW-FRAME-8", "PW-ISO-2")  # The judge can't read such an id either.
    seen = False
    for _ in range(TRIES):
        sent = device.make(camera)
        header = bytes((1, 0, len(cut))) + cut + pack(">IIq", 640, 480, sent.timestamp)
        device.sent.append(sent)
        await device.peer.send(header + sent.jpeg)
        seen = await viewer.sees(sent, stage.tolerances.frame) is not None
        if seen or device.peer.ending is not None:
            break
    state = await device.peer.state_after(stage.tolerances.silence)
    outcome = "relayed without the last character" if seen else f"dropped (the device: {state})"
    trial.chose("PW-BIN-6/cut-camera-id", outcome=outcome)
    if device.peer.ending is None:
        await stage.must_see(watching, device)


@case(
    "dialect.number-spelling",
    "Whether 640.0 is a whole number.",
    "PW-TXT-3",
    needs=(Need.PUBLISHER,),
)
async def dialect_number_spelling(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    seen = False
    for _ in range(TRIES):
        sent = device.make("front")
        text = text_frame(sent, device.source_id).replace('"width": 640', '"width": 640.0')
        device.sent.append(sent)
        await device.peer.send(text)
        seen = await viewer.sees(sent, stage.tolerances.frame) is not None
        if seen or device.peer.ending is not None:
            break
    state = await device.peer.state_after(stage.tolerances.silence)
    outcome = "relayed" if seen else f"dropped (the device: {state})"
    trial.chose("PW-TXT-3/number-spelling", outcome=outcome)


@case(
    "dialect.many-cameras",
    "What becomes of an address with a very long camera id, or very many cameras.",
    "PW-LIM-6",
)
async def dialect_many_cameras(stage: Stage, trial: Trial) -> None:
    path = stage.stream_target(stage.online.source_id)
    outcomes = {}
    for what, cameras in (
        ("an id of 256 bytes", ("x" * 256,)),
        ("64 cameras", tuple(f"c{number}" for number in range(64))),
        ("65 cameras", tuple(f"c{number}" for number in range(65))),
    ):
        query = "&".join(f"camera_id={quote(camera, safe='')}" for camera in cameras)
        outcome = await _outcome(stage, stage.online.source_id, cameras, f"{path}?{query}")
        outcomes[what] = outcome
    trial.chose("PW-LIM-6/cameras", outcomes=outcomes)


@case(
    "dialect.deep-json", "How deeply nested a member of the auth may be.", "PW-LIM-7", connections=3
)
async def dialect_deep_json(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    outcomes = {}
    for depth in (32, 100, 5000):
        viewer = await stage.connect_viewer()
        nested = "[" * depth + "]" * depth
        text = auth_text(stage.target.keys.api_key)
        await viewer.peer.send(f'{text[:-1]}, "nested": {nested}}}')
        outcomes[f"{depth} levels"] = await _accepted(stage, viewer)
    trial.chose("PW-LIM-7/nesting", outcomes=outcomes)


async def _accepted(stage: Stage, viewer: RawViewer) -> str:
    accepted = await viewer.await_init(stage.tolerances.immediate) is not None
    state = viewer.peer.state
    await viewer.peer.close()
    return "accepted" if accepted else state


@case(
    "dialect.device-refusals",
    "How devices are turned away that have no good key, or no proper device_auth.",
    "PW-DEV-17",
    "PW-DEV-22",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def dialect_device_refusals(stage: Stage, trial: Trial) -> None:
    key = stage.target.publishing
    whole = {"type": "device_auth", "api_key": key, "source_id": stage.source()}
    outcomes = {}
    for what, members in (
        (_UNKNOWN_KEY, {**whole, "api_key": "plx_nobody_has_this_key"}),
        ("a source id with capitals", {**whole, "source_id": "Robot 01"}),
        ("no source id", {"type": "device_auth", "api_key": key}),
    ):
        device = await stage.connect_device(stage.source())
        await device.peer.send(json.dumps(members))
        answer = await device.await_answer(stage.tolerances.immediate)
        ending = await device.peer.until_ended(stage.tolerances.immediate)
        told = "no message" if answer is None else f"a message of the type {answer.type}"
        outcomes[what] = f"{told}, then {ending}"
        await device.peer.close()
    trial.chose("PW-DEV-22/refused-device", outcome=outcomes.pop(_UNKNOWN_KEY))
    trial.chose("PW-DEV-17/malformed-device-auth", outcomes=outcomes)


@case(
    "dialect.json-extensions",
    "Whether an auth is read that only an extension of JSON makes readable.",
    "PW-AUTH-17",
    connections=3,
)
async def dialect_json_extensions(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    text = auth_text(stage.target.keys.api_key)
    outcomes = {}
    for what, payload in (
        ("NaN", f'{text[:-1]}, "x": NaN}}'),
        ("a trailing comma", f"{text[:-1]},}}"),
        ("a comment", f"{text[:-1]}/**/}}"),
        ("a byte order mark", f"\ufeff{text}"),
    ):
        outcomes[what] = await _first_message(stage, payload)
    trial.chose("PW-AUTH-17/json-extensions", outcomes=outcomes)


@case(
    "dialect.member-capitals",
    "Whether the names of members are compared without regard to capitals.",
    "PW-AUTH-18",
)
async def dialect_member_capitals(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    payload = json.dumps({"type": "auth", "API_KEY": stage.target.keys.api_key})
    outcomes = {"API_KEY": await _first_message(stage, payload)}
    trial.chose("PW-AUTH-18/member-capitals", outcomes=outcomes)


@case(
    "dialect.unreadable-values",
    "Whether an auth is read with a value that no parser can hold, in a member that nobody reads.",
    "PW-LIM-10",
    connections=3,
)
async def dialect_unreadable_values(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    text = auth_text(stage.target.keys.api_key)
    outcomes = {}
    for what, value in (("a number beyond a double", "1e999"), ("a lone surrogate", '"\\ud800"')):
        payload = f'{text[:-1]}, "x": {value}}}'
        outcomes[what] = await _first_message(stage, payload)
    trial.chose("PW-LIM-10/unreadable-values", outcomes=outcomes)


async def _first_message(stage: Stage, payload: str) -> str:
    viewer = await stage.connect_viewer()
    await viewer.peer.send(payload)
    return await _accepted(stage, viewer)
