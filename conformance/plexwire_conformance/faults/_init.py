"""Faults in `init`: whether it comes, when, and what it says."""

from collections.abc import Iterable

import trio
from attrs import evolve

from plexwire_conformance.faults._fault import Device, FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import (
    Members,
    Remembering,
    RetoldInit,
    watchers,
)
from plexwire_protocol import (
    GatewayViewerSession,
    Init,
    OnlineSource,
    Outgoing,
    StreamAddress,
    encode,
)
from plexwire_server import KeyGranted
from plexwire_server.extending import ViewerConnection

# ── whether and when ─────────────────────────────────────────────────────────────────────────


@fault("init.never", "Lets viewers in without a word.", "PW-INIT-1")
class Never(GatewayViewerSession):
    def take_outbox(self) -> list[Outgoing]:
        return [item for item in super().take_outbox() if not _is_init(item)]


@fault("init.twice", "Sends the init twice.", "PW-INIT-1")
class Twice(GatewayViewerSession):
    def take_outbox(self) -> list[Outgoing]:
        return [item for item in super().take_outbox() for _ in range(2 if _is_init(item) else 1)]


def _is_init(item: Outgoing) -> bool:
    return isinstance(item, str) and item.startswith('{"type":"init"')


class _Announcing(Device):
    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        super()._admit(online, now)
        now_online = self.hub.relay.online(self.organisation, self.source_id)
        for viewer in watchers(self.gateway, self.source_id):
            viewer.say(encode(Init(online_sources=now_online)), now=now)


@fault(
    "init.again",
    "Sends another init to the viewers of a source whenever a device of it joins.",
    "PW-INIT-1",
)
class Again(FaultyGateway):
    device_peer = _Announcing


@fault("init.late", "Takes four seconds to answer a good auth.", "PW-INIT-2")
class Late(ViewerConnection):
    async def answer(self, api_key: str) -> None:
        if isinstance(await self.gateway.check_key(api_key), KeyGranted):
            await trio.sleep(4)
        await super().answer(api_key)


class _HoldingBack(GatewayViewerSession):
    """Holds its init back until `let_go`."""

    def __init__(self, address: StreamAddress, *, now: float) -> None:
        super().__init__(address, now=now)
        self._held: list[Outgoing] | None = []

    def take_outbox(self) -> list[Outgoing]:
        outbox = super().take_outbox()
        if self._held is None:
            return outbox
        self._held += filter(_is_init, outbox)
        return [item for item in outbox if not _is_init(item)]

    def let_go(self) -> None:
        """Send what was held back."""
        self._put(*self._held or ())
        self._held = None


class _SubscribingFirst(ViewerConnection):
    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        self.start_soon(self._tell)

    async def _tell(self) -> None:
        await trio.sleep(0.05)
        session = self.peer.session
        if isinstance(session, _HoldingBack):
            session.let_go()
            self.peer.say(*session.take_outbox(), now=trio.current_time())


@fault(
    "init.after-frames", "Subscribes a viewer first, and takes its time over the init.", "PW-INIT-3"
)
class AfterFrames(FaultyGateway):
    viewer_rules = _HoldingBack
    viewer_connection = _SubscribingFirst


# ── what it says ─────────────────────────────────────────────────────────────────────────────


@fault("init.by-source", "Gives online_sources as an object, cameras by source.", "PW-INIT-4")
class BySource(RetoldInit):
    def tell(self, members: Members) -> Members:
        listed = members["online_sources"]
        by_source = {source["source_id"]: source["cameras"] for source in listed}
        return {**members, "online_sources": by_source}


@fault("init.cameras-as-objects", "Lists cameras as objects with an id.", "PW-INIT-4")
class CamerasAsObjects(RetoldInit):
    def tell(self, members: Members) -> Members:
        for source in members["online_sources"]:
            source["cameras"] = [{"id": camera} for camera in source["cameras"]]
        return members


@fault(
    "init.cameras-with-camera-id",
    "Lists cameras as objects with a camera_id, which can be understood all the same.",
    "PW-INIT-4",
)
class CamerasWithCameraId(RetoldInit):
    def tell(self, members: Members) -> Members:
        for source in members["online_sources"]:
            source["cameras"] = [{"camera_id": camera} for camera in source["cameras"]]
        return members


@fault("init.null-when-empty", "Says null where nothing is online.", "PW-INIT-4")
class NullWhenEmpty(RetoldInit):
    def tell(self, members: Members) -> Members:
        return {**members, "online_sources": members["online_sources"] or None}


@fault("init.always-empty", "Lists nothing, whatever is online.", "PW-INIT-5")
class AlwaysEmpty(Viewer):
    def _online(self) -> Iterable[OnlineSource]:
        return ()


@fault(
    "init.one-camera-only", "Lists one camera of a source, the last in the alphabet.", "PW-INIT-5"
)
class OneCameraOnly(Viewer):
    def _online(self) -> Iterable[OnlineSource]:
        return [evolve(source, cameras=source.cameras[-1:]) for source in super()._online()]


@fault("init.echo", "Lists what was asked for, online or not.", "PW-INIT-6")
class Echo(Viewer):
    def _online(self) -> Iterable[OnlineSource]:
        address = self.address
        return [OnlineSource(source_id=address.source_id, cameras=address.cameras)]


class _Nostalgic(Viewer):
    gateway: Remembering

    def _online(self) -> Iterable[OnlineSource]:
        source_id = self.address.source_id
        cameras = self.gateway.last.get((self.organisation, source_id), ())
        return [OnlineSource(source_id=source_id, cameras=cameras)] if cameras else []


@fault("init.never-forgets", "Lists every camera that ever sent something.", "PW-INIT-7")
class NeverForgets(Remembering):
    viewer_peer = _Nostalgic
