"""Faults and their register: the reference gateway with one promise broken at a time."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

import trio
from attrs import frozen

from plexwire_conformance.faults._wire import Wire
from plexwire_protocol import (
    DevicePeer,
    EncodedFrame,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    Hub,
    Peer,
    StreamAddress,
    ViewerPeer,
)
from plexwire_server import Gateway, KeyStore
from plexwire_server.extending import DeviceConnection, GatewayHub, ViewerConnection
from plexwire_spec import clauses


def _gateway_of(hub: Hub) -> "FaultyGateway":
    assert isinstance(hub, GatewayHub)
    assert isinstance(hub.gateway, FaultyGateway)
    return hub.gateway


class Viewer(ViewerPeer):
    """A viewer of a faulty gateway; all that it gets passes through its session, whose rules may be faulty."""

    gateway: "FaultyGateway"

    def __init__(self, hub: Hub, session: GatewayViewerSession, wake: Callable[[], None]) -> None:
        self.gateway = _gateway_of(hub)
        #: A frame per camera, those that wait longest first: here and not in the relay, for others to be faulty with.
        self.mail: dict[str, EncodedFrame] = {}
        super().__init__(hub, session, wake)

    def ring(self) -> None:
        """Hand the writer the next frame if it rests."""
        if self._rests and (frame := self._take_frame()) is not None:
            self._hand(frame)

    def _note_frame(self, frame: EncodedFrame) -> bool:
        self.mail[frame.camera_id] = frame
        self.ring()
        return True

    def _take_frame(self) -> EncodedFrame | None:
        return self.mail.pop(next(iter(self.mail))) if self.mail else None

    def _next_frame(self, now: float) -> str | bytes | None:
        text = super()._next_frame(now)
        if text is not None:
            self.session.send(EncodedFrame("", text), now=now)
            self.say(*self.session.take_outbox(), now=now)
        return None


class Device(DevicePeer):
    """A device of a faulty gateway; all that it sends passes through its session, whose rules may be faulty."""

    gateway: "FaultyGateway"

    def __init__(self, hub: Hub, session: GatewayDeviceSession, wake: Callable[[], None]) -> None:
        self.gateway = _gateway_of(hub)
        super().__init__(hub, session, wake)

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        return Peer._receive(self, data, now)


class FaultyGateway(Gateway):
    """The reference gateway with throw-away keys, `given`, and a place for each part that may be faulty."""

    viewer_rules: type[GatewayViewerSession] = GatewayViewerSession
    device_rules: type[GatewayDeviceSession] = GatewayDeviceSession
    wire: type[Wire] = Wire
    viewer_peer = Viewer
    device_peer = Device
    #: How many streams of a key it says that it allows at once.
    streams: int | None = None

    def __init__(self) -> None:
        store, self.given = KeyStore.throw_away()
        super().__init__(store)

    def viewer_session(self, address: StreamAddress) -> GatewayViewerSession:
        """Return the rules towards one viewer."""
        return self.viewer_rules(address, now=trio.current_time())

    def device_session(self) -> GatewayDeviceSession:
        """Return the rules towards one device."""
        return self.device_rules(now=trio.current_time())

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection over the wire of this gateway."""
        await super().serve_stream(self.wire(stream))


#: What a fault may be: a gateway, or one part of it.
Part: TypeAlias = (
    type[FaultyGateway]
    | type[Viewer]
    | type[Device]
    | type[ViewerConnection]
    | type[DeviceConnection]
    | type[GatewayViewerSession]
    | type[GatewayDeviceSession]
    | type[Wire]
)
P = TypeVar("P", bound=Part)


@frozen(kw_only=True)
class Fault:
    """One fault: its frozen id, the clause that it must be found under, and what it does wrong in one sentence.

    `also` are the clauses that it truly breaks as well: a finding under one of them is right, any other one is not.
    """

    id: str
    clause: str
    also: frozenset[str]
    title: str
    part: Part
    #: Whether only a thorough run waits long enough to find it.
    thorough: bool = False

    @property
    def area(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    def build(self) -> FaultyGateway:
        """Return a new gateway with this fault and no other."""
        part = self.part
        if issubclass(part, FaultyGateway):
            return part()
        gateway = FaultyGateway()
        if issubclass(part, Viewer):
            gateway.viewer_peer = part
        elif issubclass(part, Device):
            gateway.device_peer = part
        elif issubclass(part, ViewerConnection):
            gateway.viewer_connection = part
        elif issubclass(part, DeviceConnection):
            gateway.device_connection = part
        elif issubclass(part, GatewayViewerSession):
            gateway.viewer_rules = part
        elif issubclass(part, GatewayDeviceSession):
            gateway.device_rules = part
        else:
            gateway.wire = part
        return gateway


#: Ids of what were faults, and why they no longer are.
RETIRED: Final[Mapping[str, str]] = {
    "auth.no-access-as-bad-key": "a gateway that does not know the key answers alike, so nobody can tell",
    "auth.pipelined-lost": "PW-AUTH-19 leaves the choice to the gateway",
    "auth.trailing-comma": "PW-AUTH-17 leaves the choice to the gateway",
    "flow.newest-dropped": "PW-FLOW-5 leaves the choice to the gateway",
    "flow.queue-of-ten": "PW-FLOW-5 leaves the choice to the gateway",
}

_faults: dict[str, Fault] = {}

#: Every fault, by id.
FAULTS: Final[Mapping[str, Fault]] = _faults


class InvalidFault(Exception):
    """A fault was declared wrongly; the text names it and the fix."""


def fault(
    fault_id: str,
    title: str,
    clause: str,
    *,
    also: tuple[str, ...] = (),
    thorough: bool = False,
) -> Callable[[P], P]:
    """Register a class as the fault *fault_id*, which breaks *clause*: a gateway, or the part that is faulty in it.

    *title* is one sentence that says what it does wrong; *thorough* that only a thorough run finds it.

    Raises:
        InvalidFault: the id is taken, a clause does not exist, or *title* is empty.
    """

    def register(part: P) -> P:
        if fault_id in _faults or fault_id in RETIRED:
            raise InvalidFault(f"{fault_id} is taken; ids are never reused, choose another")
        if unknown := [name for name in (clause, *also) if name not in clauses()]:
            raise InvalidFault(f"{fault_id} breaks {', '.join(unknown)}; see clauses.toml")
        if not title:
            raise InvalidFault(f"{fault_id} has no title; say in one sentence what is wrong")
        _faults[fault_id] = Fault(
            id=fault_id,
            clause=clause,
            also=frozenset(also),
            title=title,
            part=part,
            thorough=thorough,
        )
        return part

    return register
