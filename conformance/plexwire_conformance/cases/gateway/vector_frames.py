"""The test vectors over the wire: what an authenticated device sends, and what its viewers get of it."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, field

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
from plexwire_conformance.recording.recorder import Entry, digest
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import FRAMES_PASS, TRIES, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import HandshakeFailed
from plexwire_conformance.wire.pictures import picture
from plexwire_conformance.wire.roles import RawDevice, RawViewer, SentFrame
from plexwire_spec import EXAMPLE_SOURCE, Kind, Place, Reaction, Sending, sending

#: The camera of ordinary frames, if those of the vector's own camera are not relayed.
_PROBE: Final = "probe"
#: Cameras of the vectors that one viewer asks for beside that: every gateway accepts so many.  [PW-LIM-6]
_CAMERAS: Final = 7
#: Devices that are opened again in one lane after a gateway closed one over a message that it may close over.
_REOPENED: Final = 3
#: Sizes that have cases of their own, and take long to send.
_LARGE: Final = ("PW-LIM-1", "PW-LIM-2", "PW-LIM-4")
#: Bytes of a message.
_LIMIT: Final = 1_048_576
_LARGE_TEXT: Final = "text-frame-one-byte-too-large"

_RELAYED: Final = at(Place.DEVICE_LATER, Reaction.RELAYED)
_FRAMES: Final = tuple(one for one in _RELAYED if not one.is_open)
_FRAME_CHOICES: Final = tuple(one for one in _RELAYED if one.is_open)
_UNREAD: Final = at(Place.DEVICE_LATER, Reaction.NOTHING, Reaction.TOO_LARGE)

#: What the monitor can't judge where a gateway reads more, or something else, than the specification does.
_CONTENTS: Final = (
    *("PW-FRAME-2", "PW-FRAME-3", "PW-FRAME-4", "PW-FRAME-5", "PW-FRAME-6", "PW-FRAME-7"),
    *("PW-FRAME-8", "PW-ISO-1", "PW-ISO-2"),
)


def _members(one: Played) -> Mapping[str, Any]:
    members = one.vector.outcome["accepted"]
    return members if isinstance(members, Mapping) else {}


def _batches(played: Iterable[Played]) -> Iterator[list[Played]]:
    """Put together what one device and one viewer can play, whose address has only so many cameras."""
    batch: list[Played] = []
    cameras: set[str] = set()
    for one in sorted(played, key=lambda one: str(_members(one)["camera_id"])):
        cameras.add(str(_members(one)["camera_id"]))
        if len(cameras) > _CAMERAS:
            yield batch
            batch, cameras = [], {str(_members(one)["camera_id"])}
        batch.append(one)
    if batch:
        yield batch


@define(eq=False)
class _Bench:
    """A device and a viewer of its cameras, and a probe of both after everything that is played."""

    stage: Stage
    source: str
    cameras: tuple[str, ...]
    device: RawDevice
    viewer: RawViewer
    _read: int = field(default=0, init=False)
    #: Whether frames of other cases came: they may have taken the place of ours while those waited.
    is_crowded: bool = field(default=False, init=False)
    #: Cameras of which not even ordinary frames come.
    _silent: set[str] = field(factory=set[str], init=False)

    @classmethod
    async def open(cls, stage: Stage, source: str, cameras: Sequence[str]) -> "_Bench":
        """Open both.

        Raises:
            Inconclusive, HandshakeFailed: one of them was refused, or no frame got through.
        """
        named = (_PROBE, *cameras)
        try:
            device = await stage.open_source(source, named)
            viewer = await stage.open_viewer(source, named)
            await stage.must_see(viewer, device, _PROBE)
            # A gateway may subscribe a viewer after its init, and until then frames are lost.
            await trio.sleep(stage.tolerances.silence)
            await stage.must_see(viewer, device, _PROBE)
        except (HandshakeFailed, Inconclusive):
            # A case may go on without this bench.
            for peer in stage.open_peers(source):
                await leave(peer)
            raise
        return cls(stage, source, named, device, viewer)

    async def reopen(self) -> None:
        """Open whichever has ended."""
        if self.device.peer.ending is not None:
            self.device = await self.stage.open_source(self.source, self.cameras)
        if self.viewer.peer.ending is not None:
            self.viewer = await self.stage.open_viewer(self.source, self.cameras)
            self._read = 0
        await self.stage.must_see(self.viewer, self.device, _PROBE)

    @property
    def has_ended(self) -> bool:
        """Whether one of the two connections has."""
        return self.device.peer.ending is not None or self.viewer.peer.ending is not None

    async def play(self, data: str | bytes, camera: str) -> tuple[list[Entry], str | None]:
        """Send *data*, then an ordinary frame of *camera*, which can't overtake another one of it.

        Return what the viewer got but for ordinary frames, and of which camera one of those came.
        """
        await self.device.peer.send(data)
        # What is answered behind a message was read behind it, and its frame, if any, is on its way.
        await self.stage.until_read(self.device)
        if self.has_ended:
            return self._new(), None
        probe = None
        if camera not in self._silent:
            probe = await self.stage.see(self.viewer, self.device, camera, tries=1)
        if probe is None and not self.has_ended:
            self._silent.add(camera)
            probe = await self.stage.see(self.viewer, self.device, _PROBE)
        return self._new(), None if probe is None else probe.camera_id

    def _is_strange(self, entry: Entry) -> bool:
        """Whether a frame is of another case: who gets such frames, the monitor judges."""
        named = (entry.body or {}).get("source_id")
        ours = self.stage.target.source_prefix
        return isinstance(named, str) and named.startswith(ours) and named != self.source

    def _new(self) -> list[Entry]:
        messages = self.viewer.messages()
        new, self._read = messages[self._read :], len(messages)
        frames = (e for e in new if e.type == "video_frame" or e.body is None)
        self.is_crowded |= any(map(self._is_strange, new))
        frames = (e for e in frames if not self._is_strange(e))
        return [e for e in frames if not any(sent.is_in(e) for sent in self.device.sent)]


def _sending(bench: _Bench, one: Played) -> Sending:
    return _with_picture(bench, one)[0]


def _with_picture(bench: _Bench, one: Played) -> tuple[Sending, bytes]:
    """Return what to send, and the picture in it, which nobody else sends."""
    made = bench.device.make(f"vector {one.vector.id}")
    jpeg = picture(f"{bench.source} {one.vector.id} {made.timestamp}")
    key = bench.stage.target.publishing
    return sending(one.vector, api_key=key, source_id=bench.source, picture=jpeg), jpeg


def _altered(entry: Entry, sent: Sending) -> tuple[str, ...]:
    """Return the members of the outcome that *entry* lacks, or has with another value."""
    body = entry.body or {}

    def same(name: str, value: Any) -> bool:
        got = body.get(name)
        if name == "frame":
            return isinstance(got, dict) and got["sha256"] == _digest(value)
        return got == value and isinstance(got, bool) == isinstance(value, bool)

    return tuple(name for name, value in sent.relayed.items() if not same(name, value))


def _is_of(entry: Entry, sent: Sending, camera: str) -> bool:
    """Whether *entry* may be what became of *sent*: gateways exist that leak frames of other cameras to a viewer."""
    body = entry.body
    if body is None or body.get("camera_id") in (camera, sent.relayed.get("camera_id")):
        return True
    got, wanted = body.get("frame"), sent.relayed.get("frame")
    return wanted is not None and isinstance(got, dict) and got["sha256"] == _digest(wanted)


def _shows(entry: Entry, jpeg: bytes) -> bool:
    got = (entry.body or {}).get("frame")
    return not isinstance(got, dict) or got["sha256"] == digest(jpeg)["sha256"]


def _digest(frame: object) -> object:
    return digest(base64.b64decode(str(frame)))["sha256"]


# ── frames ───────────────────────────────────────────────────────────────────────────────────


@case(
    "vectors.frames",
    "Every frame of the vectors reaches the viewers of its camera, as the device sent it.",
    *cited(_FRAMES),
    "PW-FRAME-1",
    "PW-FRAME-11",
    "PW-ISO-1",
    needs=(Need.PUBLISHER,),
    takes=3.0,
    connections=9,
    least=3,
)
async def vectors_frames(stage: Stage, trial: Trial) -> None:
    played = [one for one in _FRAMES if stage.thorough or one.clause not in _LARGE]
    verdicts = Verdicts(trial)
    batches = list(_batches(selected(stage, played, judged=40, open_=0)))
    until = latest_begin(stage)

    async def play(number: int) -> None:
        batch = batches[number]
        cameras = dict.fromkeys(str(_members(one)["camera_id"]) for one in batch)
        bench = await _Bench.open(stage, stage.source(f"f{number}"), tuple(cameras))
        for one in batch:
            if stage.now() > until:
                break
            if bench.has_ended:
                await bench.reopen()
            if not verdicts.is_settled(one):
                await _play_frame(verdicts, bench, one)
        await leave(bench.viewer.peer)
        await leave(bench.device.peer)

    await in_lanes(stage, range(len(batches)), max(stage.connections // 3, 1), play)


async def _play_frame(verdicts: Verdicts, bench: _Bench, one: Played) -> None:
    camera = str(_members(one)["camera_id"])
    came: str | None = None
    for attempt in range(TRIES):
        if attempt:
            # So that it is not the same place in the sequence of frames each time.
            await bench.stage.see(bench.viewer, bench.device, _PROBE, tries=1)
        sent = _sending(bench, one)
        got, came = await bench.play(sent.data, camera)
        got = [entry for entry in got if _is_of(entry, sent, camera)]
        if got or came != camera or bench.device.peer.ending is not None:
            break
    if got:
        # The monitor judges the members that every frame has.
        _judge_further(verdicts, one, got[0], sent)
    elif one.vector.id == _MAY_BE_REFUSED:
        return
    elif bench.device.peer.ending is None and came is None:
        raise Inconclusive("ordinary frames no longer reach the viewer", FRAMES_PASS)
    elif bench.device.peer.ending is None and bench.is_crowded:
        raise Inconclusive("frames of other sources take the places of the viewer's own", _CROWDED)
    elif bench.device.peer.ending is not None or came == camera:
        # If ordinary frames of its camera do not come, the address was not read: that is judged elsewhere.
        wanted = f"relays it to the viewer of the camera “{camera}”"
        ended = bench.device.peer.ending is not None
        did = bench.device.peer.outcome() if ended else f"relayed none of {TRIES} such frames"
        if ended:
            await bench.reopen()
        if await _to_blame(bench, one, camera) == one.clause:
            verdicts.differs(one, wanted, did, "dropped")


async def _to_blame(bench: _Bench, one: Played, camera: str) -> str:
    """Return the clause to which it is due that *one* was dropped: not even plain frames of its form may pass.

    It is empty if the gateway may drop frames of that form.
    """

    async def passes(sent: SentFrame) -> bool:
        return await bench.viewer.sees(sent, bench.stage.tolerances.frame) is not None

    device = bench.device
    if one.vector.kind is Kind.BINARY:
        named = await passes(await device.publish(camera, source_field=EXAMPLE_SOURCE))
        return one.clause if named else "PW-BIN-2"
    if not await passes(await device.publish_text(camera, names_source=False)):
        return "PW-TXT-1"
    if '"source_id"' not in one.vector.input:
        return one.clause
    named = await passes(await device.publish_text(camera, named=EXAMPLE_SOURCE))
    return one.clause if named else ""


#: The clause about frames of other sources.
_CROWDED: Final = ("PW-ISO-2",)
#: A text frame may be refused that names another source.  [PW-FRAME-8]
_MAY_BE_REFUSED: Final = "text-frame-with-another-source-id"


#: Members of every frame, which the monitor judges.
_USUAL: Final = {"type", "source_id", "camera_id", "frame", "width", "height", "timestamp"}


def _judge_further(verdicts: Verdicts, one: Played, entry: Entry, sent: Sending) -> None:
    altered = set(_altered(entry, sent)) - _USUAL
    if one.clause == "PW-THERM-1" and altered:
        wanted = "relays its members as they came"
        verdicts.differs(one, wanted, f"altered {', '.join(sorted(altered))}", "altered")


@case(
    "vectors.frame-choices",
    "What becomes of the frames in the vectors that the sources say nothing about.",
    *cited(_FRAME_CHOICES),
    needs=(Need.PUBLISHER,),
    takes=3.0,
    connections=9,
    least=3,
)
async def vectors_frame_choices(stage: Stage, trial: Trial) -> None:
    trial.excuse(*_CONTENTS, "PW-FRAME-1", "PW-FRAME-11")
    played = [one for one in _FRAME_CHOICES if stage.thorough or one.clause not in _LARGE]
    played = list(selected(stage, played, judged=0, open_=3))
    verdicts = Verdicts(trial)
    # A viewer of such an id may be refused: each of them has an address of its own.
    cameras = dict.fromkeys(str(_members(one)["camera_id"]) for one in played)
    until = latest_begin(stage)

    async def play(camera: str) -> None:
        number = list(cameras).index(camera)
        batch = [one for one in played if _members(one)["camera_id"] == camera]
        try:
            bench = await _Bench.open(stage, stage.source(f"c{number}"), (camera,))
        except (HandshakeFailed, Inconclusive):
            for one in batch:
                verdicts.differs(one, "", None, "not seen, because a viewer of it is refused")
            return
        for one in batch:
            if stage.now() > until:
                break
            if bench.has_ended:
                await bench.reopen()
            await _play_choice(verdicts, bench, one)
        await leave(bench.viewer.peer)
        await leave(bench.device.peer)

    await in_lanes(stage, list(cameras), max(stage.connections // 3, 1), play)
    verdicts.tell_choices(played)


async def _play_choice(verdicts: Verdicts, bench: _Bench, one: Played) -> None:
    camera = str(_members(one)["camera_id"])
    for _ in range(TRIES):
        sent = _sending(bench, one)
        got, _ = await bench.play(sent.data, camera)
        got = [entry for entry in got if _is_of(entry, sent, camera)]
        if got or bench.has_ended:
            break
    if bench.device.peer.ending is not None:
        verdicts.differs(one, "", None, str(bench.device.peer.ending))
    elif not got:
        verdicts.differs(one, "", None, "dropped")
    elif _altered(got[0], sent):
        verdicts.differs(one, "", None, "relayed with other members")


# ── what is no frame ─────────────────────────────────────────────────────────────────────────


@case(
    "vectors.device-messages",
    "No message of a device in the vectors that is no frame reaches a viewer as one.",
    *cited(_UNREAD),
    "PW-FRAME-1",
    "PW-FRAME-11",
    needs=(Need.PUBLISHER,),
    takes=3.0,
    connections=9,
    least=3,
)
async def vectors_device_messages(stage: Stage, trial: Trial) -> None:
    trial.excuse(*_CONTENTS)
    played = [one for one in _UNREAD if stage.thorough or one.vector.id != _LARGE_TEXT]
    played = list(selected(stage, played, judged=10, open_=60))
    verdicts = Verdicts(trial)
    lanes = max(stage.connections // 3, 1)
    until = latest_begin(stage)

    async def play(number: int) -> None:
        bench = await _Bench.open(stage, stage.source(f"m{number}"), ("front",))
        reopened = 0
        for one in played[number::lanes]:
            if stage.now() > until:
                break
            if bench.has_ended:
                if reopened == _REOPENED and not stage.thorough:
                    break
                await bench.reopen()
                reopened += 1
            await _play_message(verdicts, bench, one)

    await in_lanes(stage, range(lanes), lanes, play)
    verdicts.tell_choices(played)


async def _play_message(verdicts: Verdicts, bench: _Bench, one: Played) -> None:
    sent, jpeg = _with_picture(bench, one)
    got, came = await bench.play(sent.data, "front")
    if one.is_open:
        # What has another picture is a frame of somebody else, which the monitor judges.
        got = [entry for entry in got if _shows(entry, jpeg)]
    ending = bench.device.peer.ending
    wanted = "keeps the device and relays nothing"
    if one.play.reaction is Reaction.TOO_LARGE:
        if any(entry.size > _LIMIT for entry in got):
            verdicts.differs(one, "relays nothing", "relayed it", "relayed")
    elif got and one.is_open:
        verdicts.differs(one, "", None, "relayed")
    elif ending is not None:
        verdicts.differs(one, wanted, bench.device.peer.outcome(), str(ending))
    elif bench.viewer.peer.ending is None and came is None:
        raise Inconclusive("ordinary frames no longer reach the viewer", FRAMES_PASS)
