"""Devices: their auth, its answer, and what else they say."""

import json

from plexwire_conformance.recording.recorder import Entry, Kind
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.monitor import is_whole
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.tolerances import ANSWER_DEADLINE, AUTH_DEADLINE
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed, NoConnection
from plexwire_conformance.wire.roles import RawDevice

#: Between these a Unix time in ms lies that is no seconds, no microseconds, and not from long ago: 2020 to 2100.
_PLAUSIBLE_MS = range(1_577_836_800_000, 4_102_444_800_000)


async def _answer(stage: Stage, device: RawDevice, key: str, **more: object) -> Entry | None:
    await device.authenticate(key, **more)
    return await device.await_answer(stage.tolerances.answer)


@case("dev.authenticated", "PW-DEV-2", "PW-DEV-3", "PW-ADDR-6", needs=(Need.PUBLISHER,))
async def dev_authenticated(stage: Stage, trial: Trial) -> None:
    """A device is answered by authenticated, with its source_id and the gateway's time."""
    given = stage.target.keys.device_key
    try:
        device = await stage.connect_device(stage.source())
    except HandshakeFailed as error:
        # Without a key for devices the gateway may well serve none, here or anywhere.
        if given and not isinstance(error, NoConnection):
            trial.find("PW-ADDR-6", "a WebSocket at /ws/device", error.problem)
        raise
    await device.authenticate(stage.target.publishing)
    entry = await device.await_answer(ANSWER_DEADLINE + stage.tolerances.late)
    if entry is None or entry.type != "authenticated":
        actual = device.peer.state if entry is None else f"{entry.type}: {entry.text[:80]}"
        if entry is not None and entry.type == "error" and not given:
            raise Inconclusive(f"the API key may not publish; provide {Need.PUBLISHER.value}")
        trial.find("PW-DEV-2", "`authenticated` first of all", actual)
        return
    body = entry.body or {}
    if body.get("source_id") != device.source_id:
        expected = f"source_id {device.source_id!r}"
        trial.find("PW-DEV-2", expected, f"source_id {body.get('source_id')!r}")
    time_ms = body.get("server_time_ms")
    if time_ms is None or not is_whole(time_ms):
        trial.find("PW-DEV-3", "server_time_ms: a whole number", f"it is {time_ms!r}")
    elif int(time_ms) not in _PLAUSIBLE_MS:
        trial.find("PW-DEV-3", "server_time_ms: Unix milliseconds", f"it is {time_ms}")


@case("dev.origin", "PW-ADDR-7", needs=(Need.PUBLISHER,))
async def dev_origin(stage: Stage, trial: Trial) -> None:
    """A handshake with an Origin header, as every SDK sends it, is accepted."""
    await stage.open_device(stage.source("twin"))
    origin = ("Origin", f"http://{stage.target.devices.host_header}")
    expected = "accepted with an Origin header"
    try:
        device = await stage.connect_device(stage.source(), headers=(origin,))
    except HandshakeFailed as error:
        trial.find("PW-ADDR-7", expected, error.problem)
        return
    entry = await _answer(stage, device, stage.target.publishing)
    if entry is None or entry.type != "authenticated":
        trial.find("PW-ADDR-7", expected, device.peer.state)


@case("dev.bad-key", "PW-DEV-4", "PW-DEV-5", needs=(Need.PUBLISHER,), connections=3)
async def dev_bad_key(stage: Stage, trial: Trial) -> None:
    """A device with a key that nobody has is refused, and its frames reach nobody."""
    source = stage.source()
    device, viewer = await stage.open_stream(source)
    intruder = await stage.connect_device(source, name="device with a bad key")
    entry = await _answer(stage, intruder, "plx_nobody_has_this_key")
    if entry is not None and entry.type == "authenticated":
        trial.find("PW-DEV-4", "a bad key is not authenticated", "authenticated")
        return
    sent = await intruder.publish("front")
    if await viewer.sees(sent, stage.tolerances.silence) is not None:
        trial.find("PW-DEV-4", "its frames reach nobody", "a viewer got one")
    ending = await intruder.peer.until_ended(stage.tolerances.immediate)
    if entry is None or entry.type != "error":
        trial.find("PW-DEV-5", "an `error` message, then a close", f"no message, {ending}")
    else:
        body = entry.body or {}
        if "code" not in body or not ("detail" in body or "message" in body):
            trial.find("PW-DEV-5", "`code`, and `detail` or `message`", entry.text)
        elif ending.kind is not ClosingKind.CLOSE_FRAME:
            trial.find("PW-DEV-5", "a close behind the error", str(ending))
    await stage.must_see(viewer, device)


@case("dev.bad-key-forms", "PW-DEV-4", needs=(Need.PUBLISHER,), connections=3)
async def dev_bad_key_forms(stage: Stage, trial: Trial) -> None:
    """A device without a proper device_auth is not authenticated."""
    await stage.open_device(stage.source("twin"))
    key = stage.target.publishing
    source = stage.source()
    whole = {"type": "device_auth", "api_key": key, "source_id": source}
    for what, payload in (
        ("a key one character short", json.dumps({**whole, "api_key": key[:-1]})),
        ("a key one character long", json.dumps({**whole, "api_key": f"{key}0"})),
        ("no key", json.dumps({"type": "device_auth", "source_id": source})),
        ("a key that is no string", json.dumps({**whole, "api_key": True})),
        ("a heartbeat first", json.dumps({**whole, "type": "heartbeat"})),
        ("no JSON", "device_auth"),
    ):
        device = await stage.connect_device(source)
        await device.peer.send(payload)
        entry = await device.await_answer(stage.tolerances.immediate)
        if entry is not None and entry.type == "authenticated":
            trial.find("PW-DEV-4", f"{what}: not authenticated", "authenticated")
        await device.peer.close()


@case("dev.extra-members", "PW-DEV-6", needs=(Need.PUBLISHER,))
async def dev_extra_members(stage: Stage, trial: Trial) -> None:
    """A device_auth with the members that SDK releases added, and unknown ones, is accepted."""
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
        trial.find("PW-DEV-6", "unknown members are ignored", device.peer.state)


_TELEMETRY = '{"type": "telemetry", "points": [{"metric": "t", "value": 1.5}], "seq": 7}'


@case("dev.other-messages", "PW-DEV-7", needs=(Need.PUBLISHER,))
async def dev_other_messages(stage: Stage, trial: Trial) -> None:
    """Telemetry, heartbeats and command messages between the frames disturb no video."""
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
            actual = f"none (device {device.peer.state})"
            trial.find("PW-DEV-7", f"frames after {json.loads(text)['type']}", actual)
            return


@case("dev.unknown-type", "PW-DEV-9", needs=(Need.PUBLISHER,))
async def dev_unknown_type(stage: Stage, trial: Trial) -> None:
    """A message of an unknown type is ignored."""
    device, viewer = await stage.open_stream(stage.source())
    await device.peer.send('{"type": "from_the_future", "nested": {"a": [1, null]}}')
    if await stage.see(viewer, device) is None:
        actual = f"no frames afterwards (device {device.peer.state})"
        trial.find("PW-DEV-9", "unknown types are ignored", actual)


@case("dev.acks", "PW-DEV-8", needs=(Need.PUBLISHER,))
async def dev_acks(stage: Stage, trial: Trial) -> None:
    """A gateway that promises acks acknowledges numbered telemetry."""
    device = await stage.connect_device(stage.source())
    entry = await _answer(stage, device, stage.target.publishing, acks=True)
    if entry is None or entry.type != "authenticated":
        raise Inconclusive("the device was not authenticated")
    if (entry.body or {}).get("acks") is not True:
        return
    await device.peer.send(_TELEMETRY)
    ack = await device.peer.until(lambda e: e.type == "telemetry_ack", stage.tolerances.immediate)
    if ack is None or (ack.body or {}).get("seq") != 7:
        actual = "none" if ack is None else ack.text
        trial.find("PW-DEV-8", "a telemetry_ack with seq 7", actual)


@case("dev.second-connection", "PW-DEV-10", needs=(Need.PUBLISHER,), connections=3)
async def dev_second_connection(stage: Stage, trial: Trial) -> None:
    """What becomes of a second connection by the same device, and of the first."""
    device, viewer = await stage.open_stream(stage.source())
    second = await stage.connect_device(device.source_id, name="second connection")
    entry = await _answer(stage, second, stage.target.publishing)
    accepted = entry is not None and entry.type == "authenticated"
    seen = accepted and await stage.see(viewer, second) is not None
    first = await device.peer.until_ended(stage.tolerances.silence)
    choice = "accepted and relayed" if seen else "accepted" if accepted else "refused"
    trial.chose("PW-DEV-10", f"the second is {choice}; the first: {first}")


@case("dev.silent", "PW-DEV-11", takes=10.0)
async def dev_silent(stage: Stage, trial: Trial) -> None:
    """What becomes of a device that never authenticates."""
    device = await stage.connect_device(stage.source())
    ending = await device.peer.until_ended(AUTH_DEADLINE + stage.tolerances.late)
    after = ending.at - device.peer.opened_at
    told = any(entry.kind is Kind.TEXT for entry in device.peer.entries)
    message = ", after a message" if told else ""
    trial.chose("PW-DEV-11", f"{ending} after {after:.1f} s{message}")
