"""Faults that let frames or names out to those who have no right to them."""

from collections.abc import Iterable

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._parts import Heard, Leaking, Remembering, is_of
from plexwire_protocol import OnlineSource, VideoFrame
from plexwire_server import KeyDecision, KeyGranted
from plexwire_server.extending import ViewerConnection


@fault("iso.all-cameras", "Sends every camera of the source, whichever were asked for.", "PW-ISO-1")
class AllCameras(Leaking):
    def leaks(self, viewer: ViewerConnection, organisation: str, frame: VideoFrame) -> bool:
        return is_of(viewer, organisation, frame.source_id)


@fault("iso.camera-prefix", "Compares camera ids by their beginning.", "PW-ISO-1")
class CameraPrefix(Leaking):
    def leaks(self, viewer: ViewerConnection, organisation: str, frame: VideoFrame) -> bool:
        asked = viewer.session.address.cameras
        return is_of(viewer, organisation, frame.source_id) and frame.camera_id.startswith(asked)


@fault("iso.camera-in-any-case", "Compares camera ids without regard to case.", "PW-ISO-1")
class CameraInAnyCase(Leaking):
    def leaks(self, viewer: ViewerConnection, organisation: str, frame: VideoFrame) -> bool:
        asked = {camera.lower() for camera in viewer.session.address.cameras}
        return is_of(viewer, organisation, frame.source_id) and frame.camera_id.lower() in asked


@fault("iso.same-camera-elsewhere", "Finds viewers by the name of the camera alone.", "PW-ISO-2")
class SameCameraElsewhere(Leaking):
    def leaks(self, viewer: ViewerConnection, organisation: str, frame: VideoFrame) -> bool:
        address = viewer.session.address
        ours = viewer.granted is not None and viewer.granted.organisation == organisation
        return ours and frame.camera_id in address.cameras


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
    def leaks(self, viewer: ViewerConnection, organisation: str, frame: VideoFrame) -> bool:
        address = viewer.session.address
        return address.source_id == frame.source_id and frame.camera_id in address.cameras


class _Impersonating(Heard):
    gateway: Remembering

    def admit(self, granted: KeyGranted) -> None:
        source_id = self.session.source_id
        known = (owner for owner, source in self.gateway.last if source == source_id)
        owner = next(known, granted.organisation)
        super().admit(KeyGranted(owner, granted.scopes, granted.key_name))


@fault(
    "iso.foreign-device",
    "Lets a device of any organisation speak for a source that is there already.",
    "PW-ISO-3",
)
class ForeignDevice(Remembering):
    device_connection = _Impersonating


class _Gossiping(ViewerConnection):
    gateway: Remembering

    def online(self, granted: KeyGranted) -> Iterable[OnlineSource]:
        relay = self.gateway.relay
        everything = (relay.online(*known) for known in self.gateway.last)
        return [source for sources in everything for source in sources]


@fault(
    "iso.all-sources-listed",
    "Lists in the init whatever is online, of whichever organisation.",
    "PW-ISO-4",
    also=("PW-ISO-6",),
)
class AllSourcesListed(Remembering):
    viewer_connection = _Gossiping
