"""What a writer of the hub gets next, and how a connection ends behind one that blocks."""

from collections.abc import Callable
from math import inf

import pytest
from attrs import evolve
from hub_bench import (
    AUTH,
    AWAY,
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
    Abort,
    Close,
    CloseCode,
    ConversationClosed,
    EncodedFrame,
    Hub,
    HubLimits,
    LocalProtocolError,
    Role,
    StreamAddress,
    ViewerPeer,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import (
    CLOSE_GRACE_S,
)

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


def test_writer_that_takes_offers_gets_each_frame_at_once_and_is_not_woken() -> None:
    delays: list[float] = []
    hub, bell = Hub(unix_ms=lambda: 0, observe_delay=delays.append), Bell()
    viewer, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    bell.take()
    offered: list[str] = []

    def offer(text: str) -> float:
        offered.append(text)
        return 3.5

    viewer.offer = offer
    texts = [send(device, number, now=3.0) for number in range(2)]

    assert offered == texts
    assert not bell.take()
    assert viewer.next_outgoing(now=4.0) is None
    assert (viewer.frames, viewer.dropped, hub.traffic.frames_out) == (2, 0, 2)
    assert delays == [0.5, 0.5]


def test_frames_wait_until_the_writer_asks_after_an_offer_that_it_could_not_write_whole() -> None:
    hub, bell = new_hub(), Bell()
    viewer, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    bell.take()
    offered: list[str] = []
    viewer.offer = offered.append
    texts = [send(device, number) for number in range(3)]

    assert offered == texts[:1]
    assert not bell.take()
    assert (viewer.waiting, viewer.frames, viewer.dropped) == (1, 0, 1)
    assert list(outgoing(viewer)) == [texts[2]]
    assert viewer.frames == 2
    assert [send(device, 3)] == offered[1:]


def test_own_messages_come_before_frames_that_could_be_offered() -> None:
    hub, bell = new_hub(), Bell()
    viewer, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    viewer.offer = lambda text: pytest.fail("a message waits")
    viewer.say("first", now=0.0)
    text = send(device, 0)

    assert bell.take()
    assert list(outgoing(viewer)) == ["first", text]


class HubOf(Hub):
    """A hub whose viewers are of *kind*."""

    def __init__(self, kind: type[ViewerPeer]) -> None:
        super().__init__(unix_ms=lambda: 0)
        self._kind = kind

    def new_viewer(
        self, address: StreamAddress, *, wake: Callable[[], None], now: float
    ) -> ViewerPeer:
        return self._kind(self, self.viewer_session(address, now=now), wake)


class Slipping(ViewerPeer):
    def _next_frame(self, now: float) -> str | bytes | None:
        if super()._next_frame(now) is not None:
            raise ValueError("a slip")
        return None


def test_slip_of_a_subclass_while_a_frame_is_offered_costs_that_viewer_alone() -> None:
    hub, bell = HubOf(Slipping), Bell()
    slipping, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    bell.take()
    slipping.offer = lambda text: pytest.fail("the subclass gave no frame")
    send(device, 0)

    assert bell.take()
    assert (device.frames, device.closed) == (1, None)
    with pytest.raises(ValueError, match="a slip"):
        slipping.next_outgoing(now=0.0)


class Silent(ViewerPeer):
    def _next_frame(self, now: float) -> str | bytes | None:
        if super()._next_frame(now) is not None:
            self.say("instead", now=now)
        return None


def test_what_a_subclass_says_instead_of_an_offered_frame_goes_out() -> None:
    hub, bell = HubOf(Silent), Bell()
    viewer, device = streaming_viewer(hub, bell=bell), streaming_device(hub)
    bell.take()
    viewer.offer = lambda text: pytest.fail("the subclass gave no frame")
    send(device, 0)

    assert bell.take()
    assert list(outgoing(viewer)) == ["instead"]


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
