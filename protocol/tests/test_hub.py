"""The hub by example: who may connect, what passes through it, and what a key and a budget allow."""

import pytest
from attrs import evolve
from hub_bench import (
    AUTH,
    FRAME,
    STREAM,
    Bell,
    device_of,
    new_hub,
    outgoing,
    send,
    streaming_device,
    streaming_viewer,
    viewer_of,
)

from plexwire_protocol import (
    DEVICE_PATH,
    AddressRefused,
    Auth,
    Authenticated,
    AuthReceived,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    ErrorReport,
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
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import (
    MAX_CAMERAS,
    MAX_MESSAGE_BYTES,
    MAX_STRANGER_BYTES,
)

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
