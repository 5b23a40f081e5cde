"""What both endpoints owe as RFC 6455 peers."""

from plexwire_conformance.recording.recorder import Kind
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import ClosingKind, RawPeer
from plexwire_conformance.wire.roles import auth_text, binary_frame


async def _judge_ping(
    stage: Stage, trial: Trial, peer: RawPeer, payload: bytes, role: str = "viewer"
) -> None:
    expected = {"payload": payload.decode(), "role": role, "within": stage.tolerances.immediate}
    await peer.ping(payload)
    pong = await peer.until(lambda entry: entry.kind is Kind.PONG, stage.tolerances.immediate)
    if pong is None:
        trial.find("PW-CONN-1/no-pong", expected, {"ending": peer.outcome()})
    elif pong.text != payload.hex():
        got = bytes.fromhex(pong.text).decode("utf-8", "replace")
        trial.find("PW-CONN-1/other-payload", expected, {"got": got})


@case(
    "conn.ping",
    "A viewer's pings are answered with their payload, before and after the auth.",
    "PW-CONN-1",
    "PW-CONN-6",
)
async def conn_ping(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer()
    await _judge_ping(stage, trial, viewer.peer, b"before")
    await stage.authenticate(viewer)
    await _judge_ping(stage, trial, viewer.peer, b"after" * 25)
    await _judge_ping(stage, trial, viewer.peer, b"")


@case(
    "conn.ping-device",
    "A device's pings are answered with their payload.",
    "PW-CONN-1",
    needs=(Need.PUBLISHER,),
)
async def conn_ping_device(stage: Stage, trial: Trial) -> None:
    device = await stage.open_device(stage.source())
    await _judge_ping(stage, trial, device.peer, b"device", "device")


@case(
    "conn.fragmented",
    "An auth in four fragments, with a ping between them, is understood.",
    "PW-CONN-2",
)
async def conn_fragmented(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    viewer = await stage.connect_viewer()
    data = auth_text(stage.target.keys.api_key).encode()
    await viewer.peer.send_raw(encode_frame(Opcode.TEXT, data[:5], fin=False), "auth, part 1")
    await viewer.peer.send_raw(encode_frame(Opcode.CONTINUATION, b"", fin=False), "an empty part")
    await viewer.peer.ping(b"in between")
    part = encode_frame(Opcode.CONTINUATION, data[5:12], fin=False)
    await viewer.peer.send_raw(part, "auth, part 2")
    await viewer.peer.send_raw(encode_frame(Opcode.CONTINUATION, data[12:]), "auth, part 3")
    if await viewer.await_init(stage.tolerances.immediate) is None:
        observed = {"ending": viewer.peer.outcome()}
        trial.find("PW-CONN-2/fragments-not-read", observed=observed)


@case(
    "conn.fragmented-device",
    "A frame in fragments is relayed like a whole one.",
    "PW-CONN-2",
    needs=(Need.PUBLISHER,),
)
async def conn_fragmented_device(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for _ in range(3):
        sent = device.make("front", size=5000)
        data = binary_frame(sent, device.source_id)
        device.sent.append(sent)
        await device.peer.send(data, cuts=(1, 40, 2500, 2500))
        if await viewer.sees(sent, stage.tolerances.frame) is not None:
            return
    observed = {"tries": TRIES, "ending": device.peer.outcome()}
    trial.find("PW-CONN-2/fragmented-frame-dropped", {"fragments": 5}, observed)


@case("conn.close-answered", "A viewer's close is answered by a close, with its code.", "PW-CONN-3")
async def conn_close_answered(stage: Stage, trial: Trial) -> None:
    viewer = await stage.open_viewer()
    await viewer.peer.close(1000)
    await _judge_answer(stage, trial, viewer.peer, "viewer")


@case(
    "conn.close-answered-device",
    "A device's close is answered by a close.",
    "PW-CONN-3",
    needs=(Need.PUBLISHER,),
)
async def conn_close_answered_device(stage: Stage, trial: Trial) -> None:
    device = await stage.open_device(stage.source())
    await device.peer.close(1000)
    await _judge_answer(stage, trial, device.peer, "device")


@case(
    "conn.tcp-ended",
    "Once a close frame has gone each way, the gateway ends TCP.",
    "PW-CONN-12",
    connections=3,
)
async def conn_tcp_ended(stage: Stage, trial: Trial) -> None:
    ours = await stage.open_viewer()
    theirs = await stage.connect_viewer(name="viewer with an unknown key")
    for peer in (ours.peer, theirs.peer):
        peer.lingers = True
    await ours.peer.close()
    await theirs.authenticate("plx_nobody_has_this_key")
    for peer, closing in (
        (ours.peer, "it answered the close of a viewer"),
        (theirs.peer, "a viewer answered its close"),
    ):
        ending = await peer.until_ended(stage.tolerances.immediate)
        if ending.kind is not ClosingKind.CLOSE_FRAME:
            trial.inconclusive(f"no close frame came ({ending})", "PW-CONN-3", "PW-CLOSE-1")
        within = stage.tolerances.late
        if not await peer.until_tcp_ended(within):
            trial.find("PW-CONN-12/tcp-left-open", {"within": within, "closing": closing})


async def _judge_answer(stage: Stage, trial: Trial, peer: RawPeer, role: str) -> None:
    began = stage.now()
    ending = await peer.until_ended(stage.tolerances.immediate)
    if ending.kind is not ClosingKind.CLOSE_FRAME:
        trial.find(
            "PW-CONN-3/close-not-answered",
            {"role": role, "within": stage.tolerances.immediate},
            {"ending": peer.outcome(since=began)},
        )


@case(
    "conn.nothing-unoffered",
    "The handshake accepts no extension and no subprotocol that was not offered.",
    "PW-CONN-4",
    "PW-CONN-6",
)
async def conn_nothing_unoffered(stage: Stage, trial: Trial) -> None:
    viewer = await stage.open_viewer()
    headers = viewer.peer.response.headers if viewer.peer.response is not None else {}
    for name in ("sec-websocket-extensions", "sec-websocket-protocol"):
        if name in headers:
            trial.find(
                "PW-CONN-4/extension-not-offered",
                {"role": "viewer"},
                {"header": name, "value": headers[name]},
            )


@case(
    "conn.not-utf8",
    "An auth with a member that is not UTF-8 closes with 1007 or 4001.",
    "PW-CONN-5",
)
async def conn_not_utf8(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    viewer = await stage.connect_viewer()
    text = auth_text(stage.target.keys.api_key, note="").encode()
    wrong = encode_frame(Opcode.TEXT, text[:-2] + b'\xc3\x28"}')
    await viewer.peer.send_raw(wrong, "an auth with a note that is not UTF-8")
    ending = await viewer.peer.until_ended(stage.tolerances.immediate)
    if ending.kind is not ClosingKind.CLOSE_FRAME or ending.code not in (1007, 4001):
        observed = {"ending": viewer.peer.outcome()}
        trial.find("PW-CONN-5/not-refused", observed=observed)
