"""Keys that are nearly good, keys that allow something else, and keys where they don't belong."""

from collections.abc import Sequence
from typing import Final

from plexwire_conformance.cases.gateway.playing import in_lanes, leave, spread
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import TRIES, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.stimuli.near_keys import SPACES, NearKey, near_keys
from plexwire_conformance.wire.close_codes import UNAUTHORIZED
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.roles import auth_text

_UNKNOWN: Final = "plx_nobody_has_this_key"
_LANES: Final = 3
#: Near misses that a run plays which is not thorough: these, one of each common mistake, and some of the others.
_COMMON: Final = (
    "in upper case",
    "with every case swapped",
    "without its last character",
    "without its prefix",
    "with a digit after it",
    "with a zero character and more after it",
    "with a line and more after it",
    "extended to 73 characters",
    "with another character at the middle",
    "of the prefix alone",
    "of one percent sign",
    "in full-width forms",
)
_OTHERS: Final = 24


def _played(stage: Stage, key: str, others: int) -> Sequence[NearKey]:
    """Return near misses of *key*; a gateway may trim what was pasted with white space around it."""
    spaces = "".join(SPACES.values())
    near = [one for one in near_keys(key) if one.key.strip(spaces) != key]
    if stage.thorough:
        return near
    common = [one for one in near if one.name in _COMMON]
    return (*common, *spread([one for one in near if one.name not in _COMMON], others))


@case(
    "keys.near",
    "A key that is nearly a good one, in whatever way, closes with 4001 at once.",
    "PW-AUTH-7",
    "PW-AUTH-10",
    takes=1.0,
    connections=1 + 2 * _LANES,
    least=2,
)
async def keys_near(stage: Stage, trial: Trial) -> None:
    await leave((await stage.open_viewer()).peer)

    async def play(near: NearKey) -> None:
        viewer = await stage.connect_viewer()
        await viewer.authenticate(near.key)
        stimulus = f"an auth with a valid key {near.name}"
        await trial.expect_close(viewer.peer, UNAUTHORIZED, "PW-AUTH-7", stimulus=stimulus)
        await leave(viewer.peer)

    lanes = min(_LANES, max(stage.connections // 2, 1))
    await in_lanes(stage, _played(stage, stage.target.keys.api_key, _OTHERS), lanes, play)


@case(
    "keys.near-device",
    "A device with a key that is nearly a good one, in whatever way, is not authenticated.",
    "PW-DEV-4",
    needs=(Need.PUBLISHER,),
    takes=2.0,
    connections=1 + 2 * _LANES,
    least=2,
)
async def keys_near_device(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    source = stage.source()

    async def play(near: NearKey) -> None:
        stimulus = f"a valid key {near.name}"
        if await _is_authenticated(stage, source, near.key, stage.tolerances.immediate):
            trial.find("PW-DEV-4/authenticated", {"stimulus": stimulus})

    lanes = min(_LANES, max(stage.connections // 2, 1))
    await in_lanes(stage, _played(stage, stage.target.publishing, 0), lanes, play)


async def _is_authenticated(stage: Stage, source: str, key: str, within: float) -> bool:
    device = await stage.connect_device(source)
    await device.authenticate(key)
    answer = await device.await_answer(within)
    stage.check_room(device.peer)
    await leave(device.peer)
    return answer is not None and answer.type == "authenticated"


# ── keys that allow something else ───────────────────────────────────────────────────────────


@case(
    "keys.revoked-device",
    "A device with a revoked key is not authenticated.",
    "PW-DEV-4",
    needs=(Need.PUBLISHER, Need.REVOKED_KEY),
)
async def keys_revoked_device(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    key = stage.target.keys.revoked_key
    if await _is_authenticated(stage, stage.source(), key, stage.tolerances.answer):
        trial.find("PW-DEV-4/authenticated", {"stimulus": "a revoked key"})


@case(
    "keys.no-access-device",
    "What becomes of a device with a key whose plan has no API access.",
    "PW-DEV-22",
    needs=(Need.PUBLISHER, Need.NO_ACCESS_KEY),
)
async def keys_no_access_device(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    device = await stage.connect_device(stage.source())
    await device.authenticate(stage.target.keys.no_access_key)
    answer = await device.await_answer(stage.tolerances.answer)
    if answer is not None and answer.type == "authenticated":
        outcome = "authenticated"
    else:
        ending = await device.peer.until_ended(stage.tolerances.immediate)
        outcome = f"refused ({ending})"
    trial.chose("PW-DEV-22/no-access-device", outcome=outcome)


@case(
    "keys.read-only-device",
    "A device with a key whose scopes allow reading only is not authenticated.",
    "PW-DEV-12",
    needs=(Need.PUBLISHER, Need.READ_KEY),
)
async def keys_read_only_device(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    key = stage.target.keys.read_key
    reader = await stage.connect_viewer()
    if await stage.authenticate(reader, key) is None:
        trial.untestable("a viewer with the key in PLEXWIRE_READ_KEY is refused; check that key")
    await leave(reader.peer)
    if await _is_authenticated(stage, stage.source(), key, stage.tolerances.answer):
        trial.find("PW-DEV-12/authenticated")


@case(
    "keys.other",
    "A viewer gets the same streams with either key of one organisation.",
    "PW-FRAME-10",
    "PW-INIT-5",
    needs=(Need.PUBLISHER, Need.OTHER_KEY),
    connections=3,
)
async def keys_other(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device, viewer = await stage.open_stream(source)
    try:
        other = await stage.open_viewer(
            source, api_key=stage.target.keys.other_key, name="viewer with the other key"
        )
    except Inconclusive as error:
        trial.untestable(f"the key in PLEXWIRE_OTHER_KEY opens no stream here: {error}")
    if other.has_readable_init and "front" not in other.listed(source):
        observed = {"listed": list(other.listed(source))}
        trial.find("PW-INIT-5/online-camera-missing", {"camera": "front"}, observed)
    if await stage.see(other, device) is None:
        await stage.must_see(viewer, device)
        trial.find("PW-FRAME-10/other-key", {"tries": TRIES}, {"ending": other.peer.outcome()})


# ── keys where they don't belong ─────────────────────────────────────────────────────────────


@case(
    "keys.elsewhere",
    "A good key in the address or in a header opens nothing: only the auth counts.",
    "PW-AUTH-7",
    "PW-AUTH-10",
    connections=3,
    takes=2.0,
)
async def keys_elsewhere(stage: Stage, trial: Trial) -> None:
    await leave((await stage.open_viewer()).peer)
    key = stage.target.keys.api_key
    online = stage.online
    target = stage.stream_target(online.source_id, (online.camera_id,), stage.timeout)
    for place, address, headers in (
        ("in the address as api_key", f"{target}&api_key={key}", ()),
        ("in the address as token", f"{target}&token={key}", ()),
        ("in the header Authorization", target, (("Authorization", f"Bearer {key}"),)),
        ("in the header X-API-Key", target, (("X-API-Key", key),)),
        ("in a cookie", target, (("Cookie", f"api_key={key}"),)),
        ("as a subprotocol", target, (("Sec-WebSocket-Protocol", key),)),
    ):
        try:
            viewer = await stage.connect_viewer(request_target=address, headers=headers)
        except HandshakeFailed:
            # Nothing was opened; which handshakes have to be accepted, other cases judge.
            continue
        await viewer.peer.until_ended(stage.tolerances.silence)
        await viewer.peer.send(auth_text(_UNKNOWN))
        stimulus = f"an auth with an unknown key, and a valid key {place}"
        await trial.expect_close(viewer.peer, UNAUTHORIZED, "PW-AUTH-7", stimulus=stimulus)
        await leave(viewer.peer)


@case(
    "keys.elsewhere-device",
    "A good key in a device's address or in a header authenticates no device.",
    "PW-DEV-4",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def keys_elsewhere_device(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    key = stage.target.publishing
    for place, headers in (
        ("in the header Authorization", (("Authorization", f"Bearer {key}"),)),
        ("in the header X-API-Key", (("X-API-Key", key),)),
    ):
        try:
            device = await stage.connect_device(stage.source(), headers=headers)
        except HandshakeFailed:
            continue
        await device.authenticate(_UNKNOWN)
        answer = await device.await_answer(stage.tolerances.answer)
        if answer is not None and answer.type == "authenticated":
            stimulus = f"an unknown key, and a valid key {place}"
            trial.find("PW-DEV-4/authenticated", {"stimulus": stimulus})
        await leave(device.peer)
