"""Whole relay scenarios: devices, cameras, viewers, stalls and departures in any interleaving."""

from collections.abc import Iterator
from typing import Final

import trio
from attrs import define, field
from hypothesis import strategies as st

from plexwire_conformance.run.case import Need
from plexwire_conformance.run.stage import VIEWER_OPENS, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts.properties import Property, Script, Step, register
from plexwire_conformance.wire.peer import HandshakeFailed, RawPeer
from plexwire_conformance.wire.roles import RawDevice, RawViewer

_DEVICES: Final = 2
_VIEWERS: Final = 3
_CAMERAS: Final = ("front", "rear", "front2")

#: Seconds since its last frame in which a camera is online to every gateway.
_FRESH_S: Final = 1.0

#: How many steps a script has.
_LENGTHS: Final = (8, 24)

#: What a script has to do with: mostly the same few, as what goes wrong goes wrong between them.
_casts = st.sampled_from(
    tuple(
        (devices, viewers, cameras)
        for devices in ((0,), (0, 1))
        for viewers in ((0, 1), (0, 1, 2))
        for cameras in (_CAMERAS[:2], _CAMERAS[1:], _CAMERAS[::2], _CAMERAS)
    )
)
_sizes = st.integers(*_LENGTHS)
_counts = st.sampled_from((1, 1, 1, 2, 4))
# When a gateway notices that somebody vanished is its own affair: what hangs on it shows only now and then.
_partings = st.sampled_from(("leave", "leave", "vanish"))
_departures = st.sampled_from(("unplug", "unplug", "crash"))


@st.composite
def _scenarios(draw: st.DrawFn) -> Script:
    """Draw steps that each mean something when their turn comes: nobody leaves who is not there."""
    devices, viewers, cameras = draw(_casts)
    choices = [(camera,) for camera in cameras] + [cameras]
    there: set[int] = set()
    watching: set[int] = set()
    stalled: set[int] = set()
    steps: list[Step] = []
    for _ in range(draw(_sizes)):
        verbs = ["publish", "publish", "watch", "watch", "watch"]
        verbs += ["part", "look"] if watching else []
        verbs += ["depart"] if there else []
        verbs += ["resume"] if stalled else ["stall"] if watching else []
        match draw(st.sampled_from(verbs)):
            case "publish":
                device = draw(st.sampled_from(devices))
                steps.append(("publish", device, draw(st.sampled_from(cameras)), draw(_counts)))
                there.add(device)
            case "watch":
                viewer = draw(st.sampled_from(viewers))
                device = draw(st.sampled_from(devices))
                steps.append(("watch", viewer, device, draw(st.sampled_from(choices))))
                watching.add(viewer)
                stalled.discard(viewer)
            case "part":
                viewer = draw(_one_of(watching))
                steps.append((draw(_partings), viewer))
                watching.discard(viewer)
                stalled.discard(viewer)
            case "depart":
                device = draw(_one_of(there))
                steps.append((draw(_departures), device))
                there.discard(device)
            case "stall":
                viewer = draw(_one_of(watching))
                steps.append(("stall", viewer))
                stalled.add(viewer)
            case "resume":
                viewer = draw(_one_of(stalled))
                steps.append(("resume", viewer))
                stalled.discard(viewer)
            case verb:
                steps.append((verb, draw(_one_of(watching))))
    return tuple(steps)


def _one_of(those: set[int]) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(those))


def _say(step: Step) -> str:
    match step:
        case ("publish", device, camera, count):
            return f"device {device} sends {count} of {camera!r}"
        case ("watch", viewer, device, cameras):
            return f"viewer {viewer} watches {', '.join(cameras)} of device {device}"
        case ("look", viewer):
            return f"viewer {viewer} is shown its cameras"
        case ("unplug", device):
            return f"device {device} leaves"
        case ("crash", device):
            return f"device {device} vanishes"
        case (verb, viewer):
            return f"viewer {viewer} {verb}s" if verb != "vanish" else f"viewer {viewer} vanishes"
        case _:
            return str(step)


def _simpler(step: Step) -> Iterator[Step]:
    match step:
        case ("publish", device, camera, count) if count > 1:
            yield ("publish", device, camera, 1)
        case ("watch", viewer, device, cameras) if len(cameras) > 1:
            for camera in cameras:
                yield ("watch", viewer, device, tuple(c for c in cameras if c != camera))
        case ("look", _):
            for device in range(_DEVICES):
                for camera in _CAMERAS:
                    yield ("publish", device, camera, 1)
        case ("vanish", viewer):
            yield ("leave", viewer)
        case ("crash", device):
            yield ("unplug", device)
        case _:
            pass


@define(eq=False)
class _Scene:
    """Who is there while a script is played; steps that make no sense at their time are passed over."""

    stage: Stage
    trial: Trial
    devices: dict[int, RawDevice] = field(factory=dict[int, RawDevice])
    viewers: dict[int, RawViewer] = field(factory=dict[int, RawViewer])
    stalled: set[int] = field(factory=set[int])
    #: When the last frame was sent of each camera that is online, as far as a gateway must know.
    online: dict[tuple[int, str], float] = field(factory=dict[tuple[int, str], float])
    #: Devices that left and are not back, and viewers of theirs: with those a gateway does as it likes.
    left: set[int] = field(factory=set[int])
    orphaned: set[int] = field(factory=set[int])
    #: Devices that ever vanished: a gateway may notice late, when they are long back, and do as it likes then.
    vanished: set[int] = field(factory=set[int])

    def source(self, device: int) -> str:
        return self.stage.source(f"d{device}")

    async def device(self, number: int) -> RawDevice:
        device = self.devices.get(number)
        if device is None or device.peer.ending is not None:
            device = await self.stage.open_device(self.source(number), name=f"device {number}")
            self.devices[number] = device
            self.left.discard(number)
        return device

    async def play(self, step: Step) -> None:
        match step:
            case ("publish", int(number), str(camera), int(count)):
                device = await self.device(number)
                for _ in range(count):
                    await device.publish(camera)
                self._note_sent(number, camera)
            case ("watch", int(number), int(device_number), cameras):
                await self._part(number, vanish=False)
                await self._watch(number, device_number, tuple(cameras))
            case ("leave", int(number)):
                await self._part(number, vanish=False)
            case ("vanish", int(number)):
                await self._part(number, vanish=True)
            case ("stall", int(number)) if number in self.viewers:
                self.viewers[number].peer.stall()
                self.stalled.add(number)
            case ("resume", int(number)) if number in self.stalled:
                self.viewers[number].peer.resume()
                self.stalled.discard(number)
            case ("look", int(number)) if number in self.viewers:
                if number not in self.stalled:
                    await self._look(number)
            case ("unplug", int(number)) if number in self.devices:
                await self._end(self._unplug(number), vanish=False)
            case ("crash", int(number)) if number in self.devices:
                self.vanished.add(number)
                await self._end(self._unplug(number), vanish=True)
            case _:
                pass

    async def _watch(self, number: int, device_number: int, cameras: tuple[str, ...]) -> None:
        device = self.devices.get(device_number)
        read = device is not None and await self.stage.until_read(device)
        known = read and self._must_know(device_number, cameras)
        try:
            viewer = await self.stage.connect_viewer(
                self.source(device_number), cameras, name=f"viewer {number}"
            )
        except HandshakeFailed:
            if known:
                raise
            return
        if await self.stage.authenticate(viewer) is not None:
            self.viewers[number] = viewer
            if device_number in self.left:
                # A gateway that has not noticed yet may close it when it does.
                self.orphaned.add(number)
        elif known:
            within = self.stage.tolerances.immediate
            observed = {"within": within, "ending": viewer.peer.outcome()}
            self.trial.find("PW-INIT-1/no-init", {}, observed)

    def _note_sent(self, device: int, camera: str) -> None:
        self.online[device, camera] = self.stage.now()

    def _must_know(self, device: int, cameras: tuple[str, ...]) -> bool:
        """Whether a gateway has to know *cameras*: it may count those that sent of late alone.  [PW-INIT-10]"""
        oldest = self.stage.now() - _FRESH_S
        return device not in self.vanished and all(
            self.online.get((device, camera), oldest) > oldest for camera in cameras
        )

    def _unplug(self, number: int) -> RawPeer:
        source = self.source(number)
        self.left.add(number)
        self.orphaned |= {n for n, v in self.viewers.items() if v.source_id == source}
        self.online = {each: at for each, at in self.online.items() if each[0] != number}
        return self.devices.pop(number).peer

    async def _part(self, number: int, *, vanish: bool) -> None:
        viewer = self.viewers.pop(number, None)
        self.orphaned.discard(number)
        self.stalled.discard(number)
        if viewer is not None:
            await self._end(viewer.peer, vanish=vanish)

    async def _end(self, peer: RawPeer, *, vanish: bool) -> None:
        if vanish:
            await peer.vanish()
        else:
            await peer.close()
            peer.resume()
            await peer.until_ended(self.stage.tolerances.immediate)

    async def probe(self) -> None:
        """See that every viewer that is left gets a frame of each of its cameras."""
        for number, viewer in self.viewers.items():
            if number in self.stalled:
                viewer.peer.resume()
            if not await self._look(number):
                break
        # What was written to a viewer that nobody looked at any more counts as well.
        async with trio.open_nursery() as nursery:
            for viewer in self.viewers.values():
                if viewer.peer.ending is None:
                    nursery.start_soon(self.stage.until_read, viewer)

    async def _look(self, number: int) -> bool:
        """See that a viewer gets a frame of each of its cameras; whether nothing speaks against looking further."""
        viewer = self.viewers[number]
        if viewer.peer.ending is not None:
            if number not in self.orphaned and self._number_of(viewer) not in self.vanished:
                expected = {"connection": viewer.peer.name}
                observed = {"ending": viewer.peer.outcome()}
                self.trial.find("PW-FRAME-9/closed", expected, observed)
            return True
        tries = 1 if self.stage.tolerances.wait_factor < 1 else 3
        for camera in viewer.cameras:
            device = await self._device_of(viewer)
            if await self.stage.see(viewer, device, camera, tries) is None:
                if viewer.peer.ending is not None and number in self.orphaned:
                    return True
                wanted = {"connection": viewer.peer.name, "camera": camera, "tries": tries}
                observed = {"ending": viewer.peer.outcome()}
                self.trial.find("PW-FRAME-9/not-sent", wanted, observed)
                return False
            self._note_sent(self._number_of(viewer), camera)
        return True

    async def _device_of(self, viewer: RawViewer) -> RawDevice:
        return await self.device(self._number_of(viewer))

    def _number_of(self, viewer: RawViewer) -> int:
        return next(n for n in range(_DEVICES) if self.source(n) == viewer.source_id)


async def _play(stage: Stage, trial: Trial, script: Script) -> None:
    scene = _Scene(stage, trial)
    try:
        for step in script:
            await scene.play(step)
        await scene.probe()
    except HandshakeFailed as error:
        raise Inconclusive(error.problem, VIEWER_OPENS) from None


RELAY: Final = register(
    Property(
        id="scripts.relay",
        title="Whatever devices and viewers do, frames arrive unaltered, in order, once, live and in scope.",
        clauses=(
            "PW-INIT-1",
            "PW-FRAME-2",
            "PW-FRAME-5",
            "PW-FRAME-6",
            "PW-FRAME-7",
            "PW-FRAME-9",
            "PW-ISO-1",
            "PW-ISO-2",
        ),
        needs=frozenset({Need.PUBLISHER}),
        scripts=_scenarios(),
        play=_play,
        say=_say,
        connections=_DEVICES + _VIEWERS,
        simpler=_simpler,
        from_silence=frozenset({"PW-INIT-1", "PW-FRAME-9"}),
    )
)
