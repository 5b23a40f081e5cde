"""A hub with viewers and devices of a few lines each."""

from collections.abc import Iterator

from attrs import evolve

from plexwire_protocol import (
    DEVICE_PATH,
    Abort,
    Auth,
    Close,
    DeviceAuth,
    DevicePeer,
    GatewayReconnecting,
    Hub,
    HubLimits,
    VideoFrame,
    ViewerPeer,
    encode,
    encode_device_frame,
)

STREAM = "/v1/sources/drone-01/video/stream"
FRAME = VideoFrame(
    source_id="drone-01", camera_id="default", jpeg=b"\xff\xd8", width=640, height=480, timestamp=0
)
AUTH = encode(Auth(api_key="plx_a"))
AWAY = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1

    def take(self) -> bool:
        """Whether it was rung since the last time."""
        rung, self.rung = self.rung, 0
        return rung > 0


def new_hub(limits: HubLimits | None = None) -> Hub:
    return Hub(unix_ms=lambda: 1_700_000_000_000, limits=limits)


def viewer_of(hub: Hub, target: str = STREAM, bell: Bell | None = None) -> ViewerPeer:
    peer = hub.connect(target, wake=bell or Bell(), now=0.0)
    assert isinstance(peer, ViewerPeer)
    return peer


def device_of(hub: Hub, bell: Bell | None = None) -> DevicePeer:
    peer = hub.connect(DEVICE_PATH, wake=bell or Bell(), now=0.0)
    assert isinstance(peer, DevicePeer)
    return peer


def streaming_viewer(hub: Hub, target: str = STREAM, bell: Bell | None = None) -> ViewerPeer:
    """Return a viewer that has its init, and whose writer rests."""
    peer = viewer_of(hub, target, bell)
    peer.receive(AUTH, now=0.0)
    peer.judge("acme", key="a", now=0.0)
    assert isinstance(peer.next_outgoing(now=0.0), str)
    assert peer.next_outgoing(now=0.0) is None
    return peer


def streaming_device(
    hub: Hub, source_id: str = "drone-01", organisation: str = "acme"
) -> DevicePeer:
    peer = device_of(hub)
    peer.receive(encode(DeviceAuth(api_key="plx_a", source_id=source_id)), now=0.0)
    peer.judge(organisation, key="a", now=0.0)
    list(outgoing(peer))
    return peer


def outgoing(
    peer: ViewerPeer | DevicePeer, now: float = 0.0
) -> Iterator[str | bytes | Close | Abort]:
    """Write all that there is to write."""
    while (item := peer.next_outgoing(now=now)) is not None:
        yield item


def send(device: DevicePeer, number: int, camera_id: str = "default", now: float = 0.0) -> str:
    """Have *device* send a frame, and return the text that viewers are to get."""
    frame = evolve(FRAME, camera_id=camera_id, timestamp=number)
    assert device.receive(encode_device_frame(frame), now=now) == []
    return encode(frame)
