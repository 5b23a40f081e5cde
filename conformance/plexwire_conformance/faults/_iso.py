"""Faults that let frames or names out to those who have no right to them."""

from collections.abc import Iterable

from plexwire_conformance.faults._fault import FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import Heard, Leaking, Remembering, is_of
from plexwire_protocol import OnlineSource, VideoFrame
from plexwire_server import KeyDecision, KeyGranted


@fault("iso.all-cameras", "Sends every camera of the source, whichever were asked for.", "PW-ISO-1")
class AllCameras(Leaking):
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        return is_of(viewer, organisation, frame.source_id)


@fault("iso.camera-prefix", "Compares camera ids by their beginning.", "PW-ISO-1")
class CameraPrefix(Leaking):
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        asked = viewer.address.cameras
        return is_of(viewer, organisation, frame.source_id) and frame.camera_id.startswith(asked)


@fault("iso.camera-in-any-case", "Compares camera ids without regard to case.", "PW-ISO-1")
class CameraInAnyCase(Leaking):
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        asked = {camera.lower() for camera in viewer.address.cameras}
        return is_of(viewer, organisation, frame.source_id) and frame.camera_id.lower() in asked


@fault("iso.same-camera-elsewhere", "Finds viewers by the name of the camera alone.", "PW-ISO-2")
class SameCameraElsewhere(Leaking):
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        address = viewer.address
        return viewer.organisation == organisation and frame.camera_id in address.cameras


@fault(
    "iso.organisations-ignored",
    "Takes all organisations for one.",
    "PW-ISO-3",
    also=("PW-ISO-4", "PW-ISO-6"),
)
class OrganisationsIgnored(FaultyGateway):
    async def check_key(self, api_key: str) -> KeyDecision:
        decision = await super().check_key(api_key)
        if isinstance(decision, KeyGranted):
            return KeyGranted("everybody", decision.scopes, decision.key_name)
        return decision


@fault(
    "iso.foreign-frames",
    "Hands frames to every viewer of that source id, whose key it is or not.",
    "PW-ISO-3",
)
class ForeignFrames(Leaking):
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        address = viewer.address
        return address.source_id == frame.source_id and frame.camera_id in address.cameras


class _Impersonating(Heard):
    gateway: Remembering

    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        known = (owner for owner, source in self.gateway.last if source == self.source_id)
        self.organisation = next(known, self.organisation)
        super()._admit(online, now)


@fault(
    "iso.foreign-device",
    "Lets a device of any organisation speak for a source that is there already.",
    "PW-ISO-3",
)
class ForeignDevice(Remembering):
    device_peer = _Impersonating


class _Gossiping(Viewer):
    gateway: Remembering

    def _online(self) -> Iterable[OnlineSource]:
        relay = self.hub.relay
        everything = (relay.online(*known) for known in self.gateway.last)
        return [source for sources in everything for source in sources]


@fault(
    "iso.all-sources-listed",
    "Lists in the init whatever is online, of whichever organisation.",
    "PW-ISO-4",
    also=("PW-ISO-6",),
)
class AllSourcesListed(Remembering):
    viewer_peer = _Gossiping
