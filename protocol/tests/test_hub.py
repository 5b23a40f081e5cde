"""The hub by example: who may connect, what a writer gets next, and when a connection is dropped."""

from collections.abc import Iterator
from math import inf

import pytest
from attrs import evolve

from plexwire_protocol import (
    DEVICE_PATH,
    Abort,
    AddressRefused,
    Auth,
    Authenticated,
    AuthReceived,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DevicePeer,
    EncodedFrame,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Hub,
    HubLimits,
    Init,
    LocalProtocolError,
    MessageIgnored,
    MessageRefused,
    OnlineSource,
    Refusal,
    Role,
    StreamAddress,
    VideoFrame,
    ViewerPeer,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import (
    CLOSE_GRACE_S,
    MAX_CAMERAS,
    MAX_MESSAGE_BYTES,
    MAX_STRANGER_BYTES,
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


# ── who may connect ──────────────────────────────────────────────────────────────────────────


def test_hub_knows_a_viewer_and_a_device_by_their_target() -> None:
    """PW-ADDR-1, PW-ADDR-6."""
    hub = new_hub()

    assert hub.check_target(STREAM) == StreamAddress(source_id="drone-01")
    assert hub.check_target(f"wss://host:8700{STREAM}?timeout=5") == StreamAddress(
        source_id="drone-01", timeout=5
    )
    for target in (DEVICE_PATH, f"{DEVICE_PATH}?a=b", f"HTTP://host{DEVICE_PATH}"):
        assert hub.check_target(target) is None


@pytest.mark.parametrize(
    ("target", "status"),
    [("/", 404), (f"{DEVICE_PATH}/", 404), (f"{STREAM}?timeout=0", 400), ("//host", 404)],
)
def test_hub_refuses_a_wrong_target_with_an_http_status(target: str, status: int) -> None:
    """PW-ADDR-13."""
    for ask in (new_hub().check_target, lambda t: new_hub().connect(t, wake=Bell(), now=0.0)):
        with pytest.raises(AddressRefused) as refused:
            ask(target)
        assert refused.value.status == status


# ── conversations ────────────────────────────────────────────────────────────────────────────


def test_hub_relays_like_this() -> None:
    hub = new_hub()
    device = streaming_device(hub)
    send(device, 1)
    bell = Bell()
    viewer = viewer_of(hub, bell=bell)
    assert viewer.seconds_left(now=4.0) == 6.0

    assert viewer.receive(AUTH, now=4.0) == [AuthReceived(Auth(api_key="plx_a"))]
    assert viewer.api_key == "plx_a"
    assert "plx_a" not in repr(viewer)
    assert not bell.take()
    viewer.judge("acme", key="a", now=5.0)

    assert bell.take()
    assert viewer.api_key is None
    assert viewer.seconds_left(now=5.0) is None
    online = [OnlineSource(source_id="drone-01", cameras=["default"])]
    assert list(outgoing(viewer)) == [encode(Init(online_sources=online))]
    text = send(device, 2)
    assert bell.take()
    assert list(outgoing(viewer)) == [text]
    assert (hub.viewers, hub.devices) == ((viewer,), (device,))
    assert (viewer.frames, viewer.frame_bytes, viewer.dropped) == (1, len(text), 0)
    assert (device.frames, device.frame_bytes, device.dropped) == (2, 4, 0)
    assert (hub.traffic.frames_in, hub.traffic.frames_out) == (2, 1)

    close = Close(CloseCode.GOING_AWAY)
    assert viewer.receive_close(1001, now=6.0) == [ConversationClosed(close, Role.VIEWER)]
    assert viewer.ended
    assert (viewer.closed, viewer.closed_by) == (close, Role.VIEWER)
    assert (hub.viewers, hub.open_streams(Role.VIEWER), hub.open_streams(Role.DEVICE)) == ((), 0, 1)


def test_device_hears_the_time_and_its_text_frames_are_relayed_too() -> None:
    """PW-DEV-3, PW-TXT-1."""
    hub = new_hub()
    viewer = streaming_viewer(hub)
    device = device_of(hub)
    device.receive(encode(DeviceAuth(api_key="plx_a", source_id="drone-01")), now=0.0)
    assert device.source_id == "drone-01"
    device.judge("acme", now=0.0)

    answer = Authenticated(source_id="drone-01", server_time_ms=1_700_000_000_000)
    assert list(outgoing(device)) == [encode(answer)]
    thermal = evolve(FRAME, extra={"temp_max": 71.5})
    assert device.receive(encode(thermal), now=0.0) == []
    assert device.receive(encode(Heartbeat()), now=0.0) == [MessageIgnored(Heartbeat())]
    assert list(outgoing(viewer)) == [encode(thermal)]
    device.receive_close(1006, now=0.0)
    assert device.cameras == {"default"}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_device_may_hand_its_bytes_over_in_any_form(kind: type) -> None:
    hub = new_hub()
    viewer = streaming_viewer(hub)
    device = streaming_device(hub)
    for number in range(2):
        frame = evolve(FRAME, timestamp=number)
        assert device.receive(kind(encode_device_frame(frame)), now=0.0) == []

        assert list(outgoing(viewer)) == [encode(frame)]


def test_frame_that_is_malformed_is_counted_and_the_device_goes_on() -> None:
    """PW-BIN-4, PW-LIM-6."""
    hub = new_hub()
    device = streaming_device(hub)
    events = device.receive(encode_device_frame(FRAME)[:20], now=0.0)
    events += device.receive('{"type":"video_frame"}', now=0.0)
    for number in range(MAX_CAMERAS + 1):
        send(device, 0, f"camera:{number}")

    refusals = [event.error.refusal for event in events if isinstance(event, MessageRefused)]
    assert refusals == [Refusal.TRUNCATED, Refusal.MISSING_MEMBER]
    assert hub.traffic.dropped == {"truncated": 1, "missing_member": 1, "too_many_cameras": 1}
    assert (device.dropped, device.frames) == (3, MAX_CAMERAS + 1)


def test_viewer_of_a_source_that_nobody_watches_costs_no_text() -> None:
    built = []

    def finish(*parts: bytes) -> bytes:
        built.append(b"".join(parts))
        return built[-1]

    hub = Hub(unix_ms=lambda: 0, finish=finish)
    device = streaming_device(hub)
    send(device, 1)
    assert built == []

    viewers = [streaming_viewer(hub) for _ in range(3)]
    text = send(device, 2)
    handed = [item for viewer in viewers for item in outgoing(viewer)]
    assert built == [text.encode()]
    assert all(item is built[0] for item in handed)
    assert len(handed) == 3


def test_hub_reports_how_long_a_frame_waited() -> None:
    delays: list[float] = []
    hub = Hub(unix_ms=lambda: 0, observe_delay=delays.append)
    viewer, device = streaming_viewer(hub), streaming_device(hub)
    send(device, 1, now=5.0)

    list(outgoing(viewer, now=5.25))

    assert delays == [0.25]


# ── judging ──────────────────────────────────────────────────────────────────────────────────


def test_key_is_refused_with_the_code_that_it_is_judged_by() -> None:
    """PW-AUTH-9, PW-DEV-5."""
    hub = new_hub()
    viewer, device = viewer_of(hub), device_of(hub)
    viewer.receive(AUTH, now=0.0)
    device.receive(encode(DeviceAuth(api_key="plx_a", source_id="drone-01")), now=0.0)

    events = viewer.judge(CloseCode.NO_API_ACCESS, now=1.0)
    device.judge(CloseCode.UNAUTHORIZED, now=1.0)

    close = Close(CloseCode.NO_API_ACCESS, "the plan does not include API access")
    assert events == [ConversationClosed(close, Role.GATEWAY)]
    assert list(outgoing(viewer)) == [close]
    why = "the key is not accepted"
    assert list(outgoing(device)) == [
        encode(ErrorReport(code="unauthorized", detail=why)),
        Close(CloseCode.UNAUTHORIZED, why),
    ]
    assert (viewer.ended, device.ended) == (True, True)


def test_judging_a_peer_that_has_left_is_normal_and_another_time_is_a_mistake() -> None:
    hub = new_hub()
    gone, early, twice = (viewer_of(hub) for _ in range(3))
    gone.receive(AUTH, now=0.0)
    gone.receive_close(1006, now=0.5)
    twice.receive(AUTH, now=0.0)
    twice.judge("acme", now=0.0)

    assert gone.api_key is None
    assert gone.judge("acme", now=1.0) == []
    assert gone.judge(CloseCode.UNAUTHORIZED, now=1.0) == []
    for peer in (early, twice):
        for decision in ("acme", CloseCode.UNAUTHORIZED):
            with pytest.raises(LocalProtocolError):
                peer.judge(decision, now=1.0)
    with pytest.raises(LocalProtocolError, match="not 4001"):
        early.judge(4001, now=1.0)  # type: ignore[arg-type]
    assert hub.viewers == (twice,)


def test_key_with_too_many_streams_is_told_to_try_again_later() -> None:
    """PW-LIM-9: of one key, and in all."""
    hub = new_hub(HubLimits(streams=3, streams_per_key=2))
    codes = []
    for key in "aaab":
        viewer = viewer_of(hub)
        viewer.receive(AUTH, now=0.0)
        viewer.judge("acme", key=key, now=0.0)
        codes.append(viewer.closed and viewer.closed.code)
    last = viewer_of(hub)
    last.receive(AUTH, now=0.0)
    last.judge("zenith", key="c", now=0.0)

    assert codes == [None, None, CloseCode.TRY_AGAIN_LATER, None]
    assert last.closed == Close(CloseCode.TRY_AGAIN_LATER, "the key has too many streams open")
    hub.viewers[0].close(now=0.0)
    again = viewer_of(hub)
    again.receive(AUTH, now=0.0)
    again.judge("acme", key="a", now=0.0)
    assert again.closed is None


def test_init_may_list_what_another_gateway_knows() -> None:
    hub = new_hub()
    viewer = viewer_of(hub)
    viewer.receive(AUTH, now=0.0)
    online = [OnlineSource(source_id="drone-01", cameras=["far"])]
    viewer.judge("feed", online=online, now=0.0)

    assert list(outgoing(viewer)) == [encode(Init(online_sources=online))]


# ── budgets ──────────────────────────────────────────────────────────────────────────────────


def test_viewer_sends_at_most_4096_bytes_before_its_auth_and_always() -> None:
    """PW-LIM-3: counted in bytes, not in characters."""
    hub = new_hub()
    room = MAX_STRANGER_BYTES - len('{"type":"auth","api_key":"plx_a","":""}')
    fits = f'{{"type":"auth","api_key":"plx_a","":"{"€" * (room // 3)}{"." * (room % 3)}"}}'
    assert len(fits.encode()) == MAX_STRANGER_BYTES
    viewer, stranger = viewer_of(hub), viewer_of(hub)
    assert len(viewer.receive(fits, now=0.0)) == 1
    stranger.receive(fits + " ", now=0.0)
    assert viewer.api_key == "plx_a"
    assert stranger.closed is not None
    assert stranger.closed.code == CloseCode.UNAUTHORIZED

    viewer.judge("acme", now=0.0)
    refused, closed = viewer.receive(" " * (MAX_STRANGER_BYTES + 1), now=0.0)

    assert isinstance(refused, MessageRefused)
    assert isinstance(closed, ConversationClosed)
    assert closed.close.code == CloseCode.TOO_BIG


def test_device_sends_a_mebibyte_only_after_its_auth() -> None:
    """PW-LIM-1, PW-LIM-3, PW-LIM-4."""
    hub = new_hub()
    stranger = device_of(hub)
    stranger.receive(bytes(MAX_STRANGER_BYTES + 1), now=0.0)
    assert stranger.closed is not None

    device, viewer = streaming_device(hub), streaming_viewer(hub)
    header = len(encode_device_frame(FRAME)) - len(FRAME.jpeg)
    for size in (MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1):
        jpeg = FRAME.jpeg.ljust(size - header, b"\0")
        device.receive(encode_device_frame(evolve(FRAME, jpeg=jpeg)), now=0.0)
        list(outgoing(viewer))

    assert (viewer.frames, device.frames) == (2, 2)
    assert device.closed == Close(CloseCode.TOO_BIG, "PW-LIM-3")


def test_frames_that_wait_are_bounded_in_bytes_per_key_of_the_device() -> None:
    text = len(encode(FRAME))
    hub = new_hub(HubLimits(waiting_bytes_per_key=2 * text))
    cameras = "&".join(f"camera_id=camera{number}" for number in range(4))
    viewer, device = streaming_viewer(hub, f"{STREAM}?{cameras}"), streaming_device(hub)
    send(device, 0, "camera0")
    for number in range(4):
        send(device, 1 + number, f"camera{number}")

    assert hub.relay.waiting_bytes <= 2 * text
    assert viewer.waiting == 2
    assert [item for item in outgoing(viewer) if isinstance(item, str)] == [
        encode(evolve(FRAME, camera_id=f"camera{n}", timestamp=t))
        for n, t in ((0, 0), (2, 3), (3, 4))
    ]
    assert viewer.dropped == 2


# ── what a writer gets next ──────────────────────────────────────────────────────────────────


def test_writer_that_rests_is_handed_its_frame_and_the_next_one_does_not_replace_it() -> None:
    """Two frames in one segment, and a viewer that keeps up: it gets both."""
    hub = new_hub()
    viewer, device = streaming_viewer(hub), streaming_device(hub)
    texts = [send(device, number) for number in range(3)]

    assert list(outgoing(viewer)) == [texts[0], texts[2]]
    assert viewer.dropped == 1


def test_writer_that_is_busy_is_not_woken() -> None:
    hub, bell = new_hub(), Bell()
    viewer, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    bell.take()
    send(device, 0)
    assert bell.take()
    viewer.next_outgoing(now=0.0)

    send(device, 1)

    assert not bell.take()


def test_close_overtakes_frames_and_nothing_follows_it() -> None:
    """PW-TIME-1."""
    hub, bell = new_hub(), Bell()
    viewer, device = streaming_viewer(hub, f"{STREAM}?timeout=5", bell), streaming_device(hub)
    for number in range(3):
        send(device, number)
    bell.take()
    assert viewer.next_deadline() == 5.0
    assert viewer.handle_timeout(now=4.9) == []

    viewer.handle_timeout(now=5.0)

    close = Close(CloseCode.TIMEOUT, "PW-TIME-1")
    assert bell.take()
    assert (hub.viewers, viewer.waiting, hub.relay.waiting_bytes) == ((), 0, 0)
    assert viewer.next_outgoing(now=5.0) == close
    assert not viewer.ended
    assert viewer.next_outgoing(now=5.1) is None
    assert viewer.ended
    assert viewer.next_deadline() == inf


def test_own_messages_come_before_frames() -> None:
    hub = new_hub()
    viewer, device = streaming_viewer(hub), streaming_device(hub)
    text = send(device, 0)
    viewer.say("first", now=0.0)

    assert list(outgoing(viewer)) == ["first", text]


def test_announcement_comes_after_the_frames_that_wait_and_only_the_last_one() -> None:
    """PW-RECON-1, PW-RECON-2."""
    hub, bell = new_hub(), Bell()
    viewer, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    texts = [send(device, 0), send(device, 1)]
    viewer.announce(AWAY)
    last = evolve(AWAY, attempt=2)
    viewer.announce(last)

    assert bell.take()
    assert list(outgoing(viewer)) == [*texts, encode(last)]


def test_announcement_is_withdrawn_when_the_upstream_is_back() -> None:
    hub = new_hub()
    viewer, device = streaming_viewer(hub), streaming_device(hub)
    viewer.announce(AWAY)
    viewer.withdraw()
    assert list(outgoing(viewer)) == []

    viewer.announce(AWAY)
    text = send(device, 0)
    assert list(outgoing(viewer)) == [text]


def test_source_without_a_connection_is_published_by_the_embedder() -> None:
    hub = new_hub()
    source = hub.join("acme", "drone-01", key="upstream")
    viewer = streaming_viewer(hub)

    hub.publish(source, FRAME, now=0.0)
    hub.publish(source, EncodedFrame("default", '{"type": "video_frame"}'), now=0.0)
    hub.publish(source, EncodedFrame("default", b'{"type":"video_frame"}'), now=0.0)

    assert list(outgoing(viewer)) == [encode(FRAME), '{"type":"video_frame"}']
    hub.leave(source)
    with pytest.raises(LocalProtocolError):
        hub.publish(source, FRAME, now=0.0)
    with pytest.raises(LocalProtocolError):
        hub.leave(source)


# ── the end ──────────────────────────────────────────────────────────────────────────────────


def test_connection_is_dropped_when_a_close_has_waited_two_seconds_behind_its_writer() -> None:
    hub, bell = new_hub(), Bell()
    viewer, device = streaming_viewer(hub, f"{STREAM}?timeout=5", bell), streaming_device(hub)
    send(device, 0)
    assert isinstance(viewer.next_outgoing(now=0.0), str)  # and it is never written
    viewer.handle_timeout(now=5.0)
    assert viewer.next_deadline() == 5.0 + CLOSE_GRACE_S
    assert viewer.seconds_left(now=6.5) == 0.5
    assert viewer.handle_timeout(now=6.9) == []
    bell.take()

    viewer.handle_timeout(now=7.0)

    assert bell.take()
    assert (viewer.aborted, viewer.ended) == (True, True)
    assert viewer.next_outgoing(now=7.0) == Abort()
    assert viewer.next_deadline() == inf
    assert (viewer.closed, viewer.closed_by) == (Close(4008, "PW-TIME-1"), Role.GATEWAY)


def test_close_that_the_peer_does_not_answer_ends_in_a_drop_as_well() -> None:
    hub = new_hub(HubLimits(close_grace_s=0.5))
    viewer = streaming_viewer(hub)
    viewer.close(CloseCode.GOING_AWAY, now=1.0)
    assert viewer.next_outgoing(now=1.0) == Close(CloseCode.GOING_AWAY)

    assert viewer.handle_timeout(now=1.5) == []

    assert viewer.aborted


def test_write_that_failed_leaves_the_reader_two_seconds_to_hear_how_it_ended() -> None:
    hub = new_hub()
    told, left = streaming_viewer(hub), streaming_viewer(hub)
    for viewer in (told, left):
        viewer.write_failed(now=1.0)
        assert viewer.next_deadline() == 3.0
    told.receive_close(4999, "bye", now=2.0)
    assert told.next_deadline() == inf

    events = left.handle_timeout(now=3.0)

    lost = Close(CloseCode.ABNORMAL)
    assert events == [ConversationClosed(lost, Role.VIEWER)]
    assert (left.closed, left.aborted) == (lost, True)
    assert told.closed == Close(4999, "bye")


def test_library_that_fails_a_connection_ends_it_from_this_side() -> None:
    """PW-CONN-5."""
    hub = new_hub()
    viewer = streaming_viewer(hub)
    events = viewer.receive_close(1007, "not UTF-8", failed=True, now=1.0)

    assert events == [ConversationClosed(Close(1007, "not UTF-8"), Role.GATEWAY)]
    assert viewer.ended
    assert list(outgoing(viewer)) == []
    assert viewer.receive_close(1006, now=1.0) == []


def test_peer_that_has_left_is_told_everything_in_vain() -> None:
    hub = new_hub()
    viewer, device = streaming_viewer(hub), streaming_device(hub)
    viewer.receive_close(1000, now=1.0)
    device.receive_close(1000, now=1.0)

    for peer in (viewer, device):
        assert peer.receive(AUTH, now=2.0) == []
        assert peer.receive(encode_device_frame(FRAME), now=2.0) == []
        assert peer.close(now=2.0) == []
        assert peer.handle_timeout(now=inf) == []
    viewer.announce(AWAY)
    assert list(outgoing(viewer)) == []


def test_data_that_no_websocket_has_is_the_embedders_mistake() -> None:
    hub = new_hub()
    for peer in (viewer_of(hub), device_of(hub), streaming_viewer(hub), streaming_device(hub)):
        with pytest.raises(LocalProtocolError, match="not int"):
            peer.receive(5, now=0.0)  # type: ignore[arg-type]
