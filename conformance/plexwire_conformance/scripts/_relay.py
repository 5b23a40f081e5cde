"""Whole relay scenarios: devices, cameras, viewers, stalls and departures in any interleaving."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field
from hypothesis import strategies as st

from plexwire_conformance._case import Need
from plexwire_conformance._peer import HandshakeFailed, Peer
from plexwire_conformance._roles import Device, Viewer
from plexwire_conformance._trial import LASTING, Inconclusive, Trial
from plexwire_conformance.scripts._property import Property, Script, Step, register

_DEVICES: Final = 2
_VIEWERS: Final = 3
_CAMERAS: Final = ("front", "rear", "front2")

# Mostly the same few, as what goes wrong goes wrong between them.
_device = st.sampled_from((0, 0, 0, 1))
_viewer = st.sampled_from((0, 0, 1, 2))
_camera = st.sampled_from(_CAMERAS)

_step: Final[st.SearchStrategy[Step]] = st.one_of(
    st.tuples(st.just("publish"), _device, _camera, st.integers(1, 4)),
    st.tuples(
        st.just("watch"),
        _viewer,
        _device,
        st.lists(_camera, min_size=1, max_size=3, unique=True).map(tuple),
    ),
    st.tuples(st.just("leave"), _viewer),
    st.tuples(st.just("vanish"), _viewer),
    st.tuples(st.just("stall"), _viewer),
    st.tuples(st.just("resume"), _viewer),
    st.tuples(st.just("unplug"), _device),
    st.tuples(st.just("crash"), _device),
)


def _say(step: Step) -> str:
    match step:
        case ("publish", device, camera, count):
            return f"device {device} sends {count} of {camera!r}"
        case ("watch", viewer, device, cameras):
            return f"viewer {viewer} watches {', '.join(cameras)} of device {device}"
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
        case _:
            pass


@define(eq=False)
class _Scene:
    """Who is there while a script is played; steps that make no sense at their time are passed over."""

    trial: Trial
    devices: dict[int, Device] = field(factory=dict[int, Device])
    viewers: dict[int, Viewer] = field(factory=dict[int, Viewer])
    stalled: set[int] = field(factory=set[int])
    #: Cameras that are online, as far as a gateway must know.
    online: set[tuple[int, str]] = field(factory=set[tuple[int, str]])
    #: Devices that left and are not back, and viewers of theirs: with those a gateway does as it likes.
    left: set[int] = field(factory=set[int])
    orphaned: set[int] = field(factory=set[int])

    def source(self, device: int) -> str:
        return self.trial.source(f"d{device}")

    async def device(self, number: int) -> Device:
        device = self.devices.get(number)
        if device is None or device.peer.ending is not None:
            device = await self.trial.open_device(self.source(number), name=f"device {number}")
            self.devices[number] = device
            self.left.discard(number)
        return device

    async def play(self, step: Step) -> None:
        match step:
            case ("publish", int(number), str(camera), int(count)):
                device = await self.device(number)
                for _ in range(count):
                    await device.publish(camera)
                self.online.add((number, camera))
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
            case ("unplug", int(number)) if number in self.devices:
                leaving = self._unplug(number)
                await leaving.close()
                await leaving.until_ended(self.trial.patience.at_once)
            case ("crash", int(number)) if number in self.devices:
                await self._unplug(number).vanish()
            case _:
                pass

    async def _watch(self, number: int, device_number: int, cameras: tuple[str, ...]) -> None:
        device = self.devices.get(device_number)
        read = device is not None and await self.trial.until_read(device)
        known = read and all((device_number, camera) in self.online for camera in cameras)
        try:
            viewer = await self.trial.connect_viewer(
                self.source(device_number), cameras, name=f"viewer {number}", timeout=LASTING
            )
        except HandshakeFailed:
            if known:
                raise
            return
        await viewer.authenticate(self.trial.target.keys.api_key)
        if await viewer.await_init(self.trial.patience.at_once) is not None:
            self.viewers[number] = viewer
            if device_number in self.left:
                # A gateway that has not noticed yet may close it when it does.
                self.orphaned.add(number)
        elif known:
            fate = self.trial.fate(viewer.peer)
            self.trial.find("PW-INIT-1", "one init", f"{viewer.peer.name}: none ({fate})")

    def _unplug(self, number: int) -> Peer:
        source = self.source(number)
        self.left.add(number)
        self.orphaned |= {n for n, v in self.viewers.items() if v.source_id == source}
        self.online = {(device, camera) for device, camera in self.online if device != number}
        return self.devices.pop(number).peer

    async def _part(self, number: int, *, vanish: bool) -> None:
        viewer = self.viewers.pop(number, None)
        self.orphaned.discard(number)
        self.stalled.discard(number)
        if viewer is not None:
            await (viewer.peer.vanish() if vanish else viewer.peer.close())

    async def probe(self) -> None:
        """See that every viewer that is left gets a frame of each of its cameras."""
        for number, viewer in self.viewers.items():
            if number in self.stalled:
                viewer.peer.resume()
            if viewer.peer.ending is not None:
                if number in self.orphaned:
                    continue
                actual = f"{viewer.peer.name}: {viewer.peer.ending}"
                self.trial.find("PW-FRAME-9", "a viewer that stays is not closed", actual)
                continue
            for camera in viewer.cameras:
                device = await self._device_of(viewer)
                tries = 1 if self.trial.patience.haste < 1 else 3
                if await self.trial.see(viewer, device, camera, tries) is None:
                    fate = self.trial.fate(viewer.peer)
                    actual = f"{viewer.peer.name} sees none of {camera!r} ({fate})"
                    self.trial.find("PW-FRAME-9", "frames reach whoever watches", actual)
                    return

    async def _device_of(self, viewer: Viewer) -> Device:
        number = next(n for n in range(_DEVICES) if self.source(n) == viewer.source_id)
        return await self.device(number)


async def _play(trial: Trial, script: Script) -> None:
    scene = _Scene(trial)
    try:
        for step in script:
            await scene.play(step)
        await scene.probe()
    except HandshakeFailed as error:
        raise Inconclusive(error.problem) from None


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
        scripts=st.lists(_step, min_size=6, max_size=18).map(tuple),
        play=_play,
        say=_say,
        simpler=_simpler,
        from_silence=frozenset({"PW-INIT-1", "PW-FRAME-9"}),
    )
)
