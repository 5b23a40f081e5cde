"""Devices: their auth, its answer, and what else they say."""

import json

from plexwire_conformance.recording.recorder import Entry, Kind
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.monitor import is_whole
from plexwire_conformance.run.stage import DEVICE_OPENS, TRIES, Stage
from plexwire_conformance.run.tolerances import ANSWER_DEADLINE, AUTH_DEADLINE
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice

#: Between these a Unix time in ms lies that is no seconds, no microseconds, and not from long ago: 2020 to 2100.
_PLAUSIBLE_MS = range(1_577_836_800_000, 4_102_444_800_000)


async def _answer(stage: Stage, device: RawDevice, key: str, **more: object) -> Entry | None:
    await device.authenticate(key, **more)
    return await device.await_answer(stage.tolerances.answer)


@case(
    "dev.authenticated",
    "A device is answered by authenticated, with its source_id and the gateway's time.",
    "PW-DEV-2",
    "PW-DEV-3",
    "PW-ADDR-6",
    needs=(Need.PUBLISHER,),
)
async def dev_authenticated(stage: Stage, trial: Trial) -> None:
    given = stage.target.keys.device_key
    try:
        device = await stage.connect_device(stage.source())
    except HandshakeFailed as error:
        # Without a key for devices the gateway may well serve none, here or anywhere.
        if not given:
            raise
        expected = {"address": f"{stage.target.devices.path}/ws/device"}
        await trial.refuse("PW-ADDR-6/handshake-refused", expected, error)
    await device.authenticate(stage.target.publishing)
    within = ANSWER_DEADLINE + stage.tolerances.late
    entry = await device.await_answer(within)
    if entry is None or entry.type != "authenticated":
        if entry is not None and entry.type == "error" and not given:
            trial.untestable(f"the API key may not publish; provide {Need.PUBLISHER.value}")
        answer = _said(device, entry)
        trial.find_and_stop("PW-DEV-2/not-authenticated", {"within": within}, {"answer": answer})
    body = entry.body or {}
    if body.get("source_id") != device.source_id:
        trial.find(
            "PW-DEV-2/other-source-id",
            {"sent": device.source_id},
            {"got": body.get("source_id")},
            path="source_id",
        )
    time_ms = body.get("server_time_ms")
    observed, path = {"value": time_ms}, "server_time_ms"
    if time_ms is None or not is_whole(time_ms):
        trial.find("PW-DEV-3/not-a-whole-number", observed=observed, path=path)
    elif int(time_ms) not in _PLAUSIBLE_MS:
        trial.find("PW-DEV-3/not-milliseconds", observed=observed, path=path)


def _said(device: RawDevice, entry: Entry | None) -> str:
    """Say how the gateway answered a device, for a finding."""
    return f"sent “{entry.text}”" if entry is not None else f"sent nothing ({device.peer.state})"


@case(
    "dev.origin",
    "A handshake with an Origin header, as every SDK sends it, is accepted.",
    "PW-ADDR-7",
    needs=(Need.PUBLISHER,),
)
async def dev_origin(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    origin = ("Origin", f"http://{stage.target.devices.host_header}")
    try:
        device = await stage.connect_device(stage.source(), headers=(origin,))
    except HandshakeFailed as error:
        await trial.refuse("PW-ADDR-7/handshake-refused", {}, error)
    entry = await _answer(stage, device, stage.target.publishing)
    if entry is None or entry.type != "authenticated":
        trial.find("PW-ADDR-7/not-authenticated", observed={"ending": device.peer.outcome()})


@case(
    "dev.bad-key",
    "A device with a key that nobody has is refused, and its frames reach nobody.",
    "PW-DEV-4",
    "PW-DEV-5",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def dev_bad_key(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, viewer = await stage.open_stream(source)
    intruder = await stage.connect_device(source, name="device with a bad key")
    stimulus = {"stimulus": "an unknown key"}
    entry = await _answer(stage, intruder, "plx_nobody_has_this_key")
    if entry is not None and entry.type == "authenticated":
        trial.find_and_stop("PW-DEV-4/authenticated", stimulus)
    sent = await intruder.publish("front")
    if await viewer.sees(sent, stage.tolerances.silence) is not None:
        trial.find("PW-DEV-4/frame-relayed", stimulus)
    ending = await intruder.peer.until_ended(stage.tolerances.immediate)
    outcome = {"ending": intruder.peer.outcome()}
    if entry is None or entry.type != "error":
        trial.find("PW-DEV-5/no-error-message", observed=outcome)
    else:
        body = entry.body or {}
        if not body.get("code"):
            trial.find("PW-DEV-5/error-without-code", observed={"message": entry.text})
        if not (body.get("detail") or body.get("message")):
            trial.find("PW-DEV-5/error-without-text", observed={"message": entry.text})
        if ending.kind is not ClosingKind.CLOSE_FRAME:
            within = {"within": stage.tolerances.immediate}
            trial.find("PW-DEV-5/no-close", within, outcome)
    await stage.must_see(viewer, device)


@case(
    "dev.bad-key-forms",
    "A device without a proper device_auth is not authenticated.",
    "PW-DEV-4",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def dev_bad_key_forms(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    key = stage.target.publishing
    source = stage.source()
    whole = {"type": "device_auth", "api_key": key, "source_id": source}
    for what, payload in (
        ("a key one character short", json.dumps({**whole, "api_key": key[:-1]})),
        ("a key one character long", json.dumps({**whole, "api_key": f"{key}0"})),
        ("no key", json.dumps({"type": "device_auth", "source_id": source})),
        ("a key that is not a string", json.dumps({**whole, "api_key": True})),
        ("a heartbeat first", json.dumps({**whole, "type": "heartbeat"})),
        ("text that is not JSON", "device_auth"),
    ):
        device = await stage.connect_device(source)
        await device.peer.send(payload)
        entry = await device.await_answer(stage.tolerances.immediate)
        if entry is not None and entry.type == "authenticated":
            trial.find("PW-DEV-4/authenticated", {"stimulus": what})
        await device.peer.close()


@case(
    "dev.extra-members",
    "A device_auth with the members that SDK releases added, and unknown ones, is accepted.",
    "PW-DEV-6",
    needs=(Need.PUBLISHER,),
)
async def dev_extra_members(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    device = await stage.connect_device(stage.source())
    entry = await _answer(
        stage,
        device,
        stage.target.publishing,
        install_id="0f7c",
        commands=[{"name": "reboot", "params": []}],
        sensors=["imu"],
        cameras=["front"],
        protocol=1,
        hears_goodbye=True,
        acks=True,
        from_the_future={"a": [1, None]},
    )
    if entry is None or entry.type != "authenticated":
        observed = {"answer": _said(device, entry)}
        trial.find("PW-DEV-6/unknown-member-refused", observed=observed)


_TELEMETRY = '{"type": "telemetry", "points": [{"metric": "t", "value": 1.5}], "seq": 7}'


@case(
    "dev.other-messages",
    "Telemetry, heartbeats and command messages between the frames disturb no video.",
    "PW-DEV-7",
    needs=(Need.PUBLISHER,),
)
async def dev_other_messages(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    for text in (
        _TELEMETRY,
        json.dumps({"type": "heartbeat", "source_id": device.source_id, "agent_version": "0.7.1"}),
        '{"type": "command_result", "id": "c1", "command": "x", "event": "result", "result": {}}',
        '{"type": "command_status", "id": "c1", "status": "ok"}',
        '{"type": "command_sync", "commands": []}',
    ):
        await device.peer.send(text)
        if await stage.see(viewer, device) is None:
            trial.find_and_stop(
                "PW-DEV-7/no-frames-after",
                {"type": json.loads(text)["type"]},
                {"tries": TRIES, "ending": device.peer.outcome()},
            )


@case(
    "dev.unknown-type",
    "A message of an unknown type neither ends nor disturbs the device's connection.",
    "PW-DEV-9",
    "PW-DEV-24",
    needs=(Need.PUBLISHER,),
)
async def dev_unknown_type(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    told = len(device.errors())
    await device.peer.send('{"type": "from_the_future", "nested": {"a": [1, null]}}')
    if await stage.see(viewer, device) is None:
        observed = {"tries": TRIES, "ending": device.peer.outcome()}
        trial.find("PW-DEV-9/no-frames-after", observed=observed)
    answered = len(device.errors()) > told
    outcome = "answered with an error" if answered else "not answered"
    trial.chose("PW-DEV-24/unknown-type-answered", outcome=outcome)


@case(
    "dev.acks",
    "A gateway that promises acks acknowledges numbered telemetry.",
    "PW-DEV-8",
    needs=(Need.PUBLISHER,),
)
async def dev_acks(stage: Stage, trial: Trial) -> None:
    device = await stage.connect_device(stage.source())
    entry = await _answer(stage, device, stage.target.publishing, acks=True)
    if entry is None or entry.type != "authenticated":
        trial.inconclusive(f"the gateway {_said(device, entry)}", *DEVICE_OPENS, "PW-DEV-6")
    if (entry.body or {}).get("acks") is not True:
        # The clause does not apply to a gateway that promises no acks.
        trial.skip("PW-DEV-8")
        return
    await device.peer.send(_TELEMETRY)
    ack = await device.peer.until(lambda e: e.type == "telemetry_ack", stage.tolerances.immediate)
    if ack is None:
        trial.find("PW-DEV-8/no-ack", {"within": stage.tolerances.immediate})
    elif (seq := (ack.body or {}).get("seq")) != 7:
        trial.find("PW-DEV-8/other-seq", observed={"value": seq}, path="seq")


@case(
    "dev.second-connection",
    "What becomes of a second connection by the same device, and of the first.",
    "PW-DEV-10",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def dev_second_connection(stage: Stage, trial: Trial) -> None:
    device, viewer = await stage.open_stream(stage.source())
    second = await stage.connect_device(device.source_id, name="second connection")
    entry = await _answer(stage, second, stage.target.publishing)
    accepted = entry is not None and entry.type == "authenticated"
    seen = accepted and await stage.see(viewer, second) is not None
    first = await device.peer.until_ended(stage.tolerances.silence)
    choice = "accepted and relayed" if seen else "accepted" if accepted else "refused"
    trial.chose("PW-DEV-10/second-connection", second=choice, first=str(first))


@case(
    "dev.silent",
    "What becomes of a device that never authenticates.",
    "PW-DEV-11",
    takes=10.0,
    connections=1,
)
async def dev_silent(stage: Stage, trial: Trial) -> None:
    device = await stage.connect_device(stage.source())
    ending = await device.peer.until_ended(AUTH_DEADLINE + stage.tolerances.late)
    after = f" after {ending.at - device.peer.opened_at:.0f} s" if device.peer.ending else ""
    told = any(entry.kind is Kind.TEXT for entry in device.peer.entries)
    trial.chose(
        "PW-DEV-11/silent-device",
        outcome=f"{ending}{after}",
        told=", with a message before it" if told else "",
    )
