"""The test vectors over the wire: addresses and first messages, and what viewers say afterwards."""

from collections.abc import Mapping
from typing import Any, Final

from plexwire_conformance.cases.gateway.playing import (
    Played,
    Verdicts,
    at,
    cited,
    in_lanes,
    latest_begin,
    leave,
    selected,
)
from plexwire_conformance.recording.recorder import pong_with
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.close_codes import TIMEOUT, UNAUTHORIZED
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice
from plexwire_spec import EXAMPLE_SOURCE, Place, Reaction, sending

#: Lanes in which connections are opened one after the other.
_LANES: Final = 3
_GARBAGE: Final = ClosingKind.GARBAGE
#: Cameras of an address that are put online and looked for: more may be too many for a gateway.  [PW-LIM-6]
_LOOKED_FOR: Final = 3
#: Cameras of one device.
_CAMERAS_OF_A_DEVICE: Final = 14
#: An auth as large as a message may be, which takes long to look through for keys.
_LARGE: Final = "auth-as-large-as-allowed"
#: Connections that are opened again after a gateway closed one over a message that it may close over.
_REOPENED: Final = 3

_REFUSED_ADDRESSES: Final = at(Place.HANDSHAKE, Reaction.HTTP_ERROR)
_VIEWER_FIRST: Final = at(Place.VIEWER_FIRST, Reaction.INIT, Reaction.CLOSED_4001)
_VIEWER_LATER: Final = at(Place.VIEWER_LATER, Reaction.NOTHING)
_DEVICE_FIRST: Final = at(Place.DEVICE_FIRST, Reaction.AUTHENTICATED, Reaction.ERROR_AND_CLOSE)

#: Characters of a source id that a device's binary frame can hold.
_LONGEST_SOURCE: Final = 255


# ── addresses ────────────────────────────────────────────────────────────────────────────────


def _accepted(one: Played) -> Mapping[str, Any]:
    members = one.vector.outcome["accepted"]
    return members if isinstance(members, Mapping) else {}


#: The addresses of sources that a device can have whose frames are binary.
_ACCEPTED_ADDRESSES: Final = tuple(
    one
    for one in at(Place.HANDSHAKE, Reaction.UPGRADED)
    if len(str(_accepted(one)["source_id"])) <= _LONGEST_SOURCE
)


def _target(stage: Stage, one: Played, source: str) -> str:
    sent = sending(one.vector, api_key="", source_id=source, picture=b"")
    return f"{stage.target.viewers.path}{sent.data!s}"


class _Sources:
    """Devices whose cameras are online, as many devices as the cameras need."""

    def __init__(self, stage: Stage, lane: str) -> None:
        self._stage = stage
        self._lane = lane
        self._number = 0
        self._device: RawDevice | None = None
        self._online: set[str] = set()

    async def of(self, one: Played) -> RawDevice:
        """Return the device of which the cameras of the address *one* are online."""
        named = str(_accepted(one)["source_id"])
        wanted = set(_cameras(one))
        device = self._device
        is_other = not named.startswith(EXAMPLE_SOURCE)
        is_full = len(self._online | wanted) > _CAMERAS_OF_A_DEVICE
        if device is None or is_full or is_other or device.peer.ending is not None:
            if device is not None:
                await leave(device.peer)
            self._number += 1
            source = named if is_other else self._stage.source(f"{self._lane}{self._number}")
            device = await self._stage.open_device(source)
            self._online = set()
            self._device = None if is_other else device
        await self._stage.announce(device, *sorted(wanted - self._online))
        self._online |= wanted
        return device


def _cameras(one: Played) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, _accepted(one)["cameras"])))[:_LOOKED_FOR]


@case(
    "vectors.addresses",
    "Every address of the vectors selects the cameras that it names, and no others.",
    *cited(_ACCEPTED_ADDRESSES),
    "PW-ISO-1",
    needs=(Need.PUBLISHER,),
    takes=2.0,
    connections=11,
    least=5,
)
async def vectors_addresses(stage: Stage, trial: Trial) -> None:
    twin, _ = await stage.open_stream(stage.source("twin"))
    played = selected(stage, _ACCEPTED_ADDRESSES, judged=8, open_=2)
    verdicts = Verdicts(trial)
    lanes = max((stage.connections - 2) // 3, 1)
    until = latest_begin(stage)
    broken: set[str] = set()

    async def play(number: int) -> None:
        sources = _Sources(stage, f"v{number}-")
        for one in played[number::lanes]:
            if stage.now() > until:
                break
            if not verdicts.is_settled(one):
                device = await sources.of(one)
                await _play_accepted_address(stage, verdicts, one, device, broken)

    await in_lanes(stage, range(lanes), lanes, play)
    verdicts.tell_choices(played)
    await leave(twin.peer)


async def _play_accepted_address(
    stage: Stage, verdicts: Verdicts, one: Played, device: RawDevice, broken: set[str]
) -> None:
    """Play one address; *broken* are the clauses that break even addresses which are spelled as usual."""
    if one.clause != "PW-TIME-1" and not stage.network.takes_timeout(
        _accepted(one)["timeout"] or 0
    ):
        return
    cameras = _names(one)
    usual = stage.stream_target(device.source_id, () if cameras == ("default",) else cameras)
    to_blame = _clause_of_usual(cameras, usual)
    if to_blame in broken and one.clause != to_blame:
        return
    failed = await _reading_of(stage, one, device, _target(stage, one, device.source_id))
    if failed is None or device.peer.ending is not None:
        return
    # The same cameras, spelled as usual: if that fails too, the vector's own spelling is not what is wrong.
    if await _reading_of(stage, one, device, usual) is not None:
        broken.add(to_blame)
        if one.clause != to_blame:
            return
    verdicts.differs(one, *failed)


def _names(one: Played) -> tuple[str, ...]:
    return tuple(map(str, _accepted(one)["cameras"]))


def _clause_of_usual(cameras: tuple[str, ...], usual: str) -> str:
    """Return the clause that is broken if the address *usual* is not understood."""
    if cameras == ("default",):
        return "PW-ADDR-3"
    if len(cameras) > 1:
        return "PW-ADDR-2"
    return "PW-ADDR-4" if "%" in usual else "PW-ADDR-2"


async def _reading_of(
    stage: Stage, one: Played, device: RawDevice, target: str
) -> tuple[str, Any, str] | None:
    """Return what was wanted of a viewer at *target*, and what came of it; None if all is well."""
    cameras = _names(one)
    try:
        viewer = await stage.connect_viewer(device.source_id, cameras, request_target=target)
    except HandshakeFailed as error:
        return "upgrades the handshake", error.refusal, f"refused with {error.in_short}"
    try:
        if await stage.authenticate(viewer) is None:
            stage.check_room(viewer.peer)
            if viewer.peer.ending is not None and viewer.peer.ending.kind is _GARBAGE:
                return None  # The monitor says so.
            wanted = "upgrades the handshake, and sends init after a valid auth"
            return wanted, viewer.peer.outcome(), f"refused ({viewer.peer.state})"
        await device.publish("a camera that nobody asked for")
        for camera in _cameras(one):
            if await stage.see(viewer, device, camera, tries=2) is None:
                ending = viewer.peer.ending
                # A stream that had its time may be too short for a frame; when it ends, other cases judge.
                if ending is not None and (ending.kind is _GARBAGE or ending.code == TIMEOUT):
                    return None
                wanted = f"sends the viewer frames of the camera “{camera}”"
                return wanted, f"sent none of 2 frames ({viewer.peer.state})", "read differently"
        return None
    finally:
        await leave(viewer.peer)


@case(
    "vectors.bad-addresses",
    "Which addresses of the vectors are refused that name no stream.",
    *cited(_REFUSED_ADDRESSES),
    connections=3,
)
async def vectors_bad_addresses(stage: Stage, trial: Trial) -> None:
    await stage.open_viewer()
    played = selected(stage, _REFUSED_ADDRESSES, judged=6, open_=4)
    verdicts = Verdicts(trial)

    async def play(one: Played) -> None:
        # No device has this source, so no frame tells a gateway that the viewer has left.
        target = _target(stage, one, stage.source())
        wanted = "answers the handshake with an HTTP error"
        try:
            peer = await stage.connect(
                stage.target.viewers,
                target,
                name="nobody",
                role="nobody",
                source_id="",
                may_drop=True,
            )
        except HandshakeFailed as error:
            if error.status is None or error.status < 400:
                verdicts.differs(one, wanted, error.refusal, error.in_short)
        else:
            verdicts.differs(one, wanted, "upgraded the handshake", "accepted")
            await leave(peer)

    await in_lanes(stage, played, 2, play)
    verdicts.tell_choices(played)


# ── first messages ───────────────────────────────────────────────────────────────────────────


@case(
    "vectors.first-messages",
    "Every first message of a viewer in the vectors is accepted or refused as it must be.",
    *cited(_VIEWER_FIRST),
    "PW-AUTH-10",
    takes=2.0,
    connections=1 + 2 * _LANES,
    least=2,
)
async def vectors_first_messages(stage: Stage, trial: Trial) -> None:
    await leave((await stage.open_viewer()).peer)
    played = [one for one in _VIEWER_FIRST if stage.thorough or one.vector.id != _LARGE]
    played = list(selected(stage, played, judged=20, open_=3))
    verdicts = Verdicts(trial)
    lanes = min(_LANES, max(stage.connections // 2, 1))
    await in_lanes(stage, played, lanes, lambda one: _play_first(stage, trial, verdicts, one))
    verdicts.tell_choices(played)


async def _play_first(stage: Stage, trial: Trial, verdicts: Verdicts, one: Played) -> None:
    if verdicts.is_settled(one):
        return
    viewer = await stage.connect_viewer()
    key = stage.target.keys.api_key
    sent = sending(one.vector, api_key=key, source_id=stage.source(), picture=b"")
    await viewer.peer.send(sent.data)
    within = stage.tolerances.immediate
    if one.play.reaction is Reaction.INIT:
        if await viewer.await_init(within) is None:
            stage.check_room(viewer.peer)
            wanted = f"sends init within {within:.3g} s"
            short = f"refused ({viewer.peer.state})"
            verdicts.differs(one, wanted, viewer.peer.outcome(), short)
    else:
        ending = await viewer.peer.until_ended(within)
        if one.is_open:
            if ending.code != UNAUTHORIZED:
                accepted = await viewer.await_init(0.0) is not None
                verdicts.differs(one, "", None, "accepted" if accepted else str(ending))
        else:
            await trial.expect_close(
                viewer.peer, UNAUTHORIZED, one.clause, stimulus=one.stimulus, within=within
            )
    await leave(viewer.peer)


@case(
    "vectors.viewer-messages",
    "What becomes of a viewer that goes on talking, as in the vectors.",
    *cited(_VIEWER_LATER),
    connections=2,
    takes=1.5,
)
async def vectors_viewer_messages(stage: Stage, trial: Trial) -> None:
    played = selected(stage, _VIEWER_LATER, judged=0, open_=16)
    verdicts = Verdicts(trial)
    viewer = await stage.open_viewer()
    reopened = 0
    for one in played:
        if viewer.peer.ending is not None:
            if reopened == _REOPENED and not stage.thorough:
                break
            viewer = await stage.open_viewer()
            reopened += 1
        key = stage.target.keys.api_key
        sent = sending(one.vector, api_key=key, source_id=stage.source(), picture=b"")
        await viewer.peer.send(sent.data)
        await viewer.peer.ping(b"read?")
        await viewer.peer.until(pong_with(b"read?"), stage.tolerances.immediate)
        # A close may follow the pong.
        ending = await viewer.peer.until_ended(stage.tolerances.silence / 4)
        if ending.kind is not ClosingKind.OPEN:
            verdicts.differs(one, "", None, str(ending))
    verdicts.tell_choices(played)


@case(
    "vectors.device-auths",
    "Every first message of a device in the vectors is accepted or refused as it must be.",
    *cited(_DEVICE_FIRST),
    needs=(Need.PUBLISHER,),
    takes=3.0,
    connections=1 + 2 * _LANES,
    least=2,
)
async def vectors_device_auths(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))
    played = selected(stage, _DEVICE_FIRST, judged=6, open_=12)
    verdicts = Verdicts(trial)
    lanes = min(_LANES, max(stage.connections // 2, 1))
    await in_lanes(stage, played, lanes, lambda one: _play_device_auth(stage, verdicts, one))
    verdicts.tell_choices(played)


async def _play_device_auth(stage: Stage, verdicts: Verdicts, one: Played) -> None:
    if verdicts.is_settled(one):
        return
    source = stage.source(f"v{len(one.vector.id)}")
    device = await stage.connect_device(source)
    key = stage.target.publishing
    sent = sending(one.vector, api_key=key, source_id=source, picture=b"")
    await device.peer.send(sent.data)
    if one.play.reaction is Reaction.AUTHENTICATED:
        answer = await device.await_answer(stage.tolerances.answer)
        if answer is None or answer.type != "authenticated":
            stage.check_room(device.peer)
            wanted = "authenticates the device"
            verdicts.differs(one, wanted, device.peer.outcome(), f"refused ({device.peer.state})")
    else:
        within = stage.tolerances.immediate if one.is_open else stage.tolerances.answer
        answer = await device.await_answer(within)
        if answer is not None and answer.type == "authenticated" and not one.is_open:
            await leave(device.peer)
            return  # A bad key that is accepted is the business of the cases about keys.
        ending = await device.peer.until_ended(stage.tolerances.immediate)
        told = "no message" if answer is None else f"a message of the type {answer.type}"
        if (answer is None or answer.type != "error") or ending.kind is ClosingKind.OPEN:
            wanted = "sends an error, then closes the device"
            verdicts.differs(one, wanted, f"sent {told}, then: {ending}", f"{told}, then {ending}")
    await leave(device.peer)
