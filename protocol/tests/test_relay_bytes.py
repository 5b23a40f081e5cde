"""What the relay does with binary frames, and how many bytes it lets wait."""

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import (
    MalformedMessage,
    Relay,
    Role,
    Subscriber,
    VideoFrame,
    decode,
    decode_device_frame,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import MAX_CAMERAS

FRAME = VideoFrame(
    source_id="drone-01", camera_id="front", jpeg=b"\xff\xd8", width=640, height=480, timestamp=0
)


def frame(camera_id: str, number: int) -> VideoFrame:
    return evolve(FRAME, camera_id=camera_id, timestamp=number)


def read_all(relay: Relay, subscriber: Subscriber) -> list[tuple[str, int]]:
    read = []
    while (encoded := relay.next_for(subscriber)) is not None:
        message = decode(encoded.text, sender=Role.GATEWAY)
        assert isinstance(message, VideoFrame)
        read.append((encoded.camera_id, message.timestamp))
    return read


# ── binary frames ────────────────────────────────────────────────────────────────────────────


def test_binary_frame_gets_the_text_of_its_source_the_first_time_and_later() -> None:
    """PW-BIN-2: the id that it carries does not matter."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["front", "r\u00fcck"])
    for number in range(6):
        own = evolve(FRAME, camera_id=("front", "r\u00fcck")[number % 2], timestamp=number)
        data = encode_device_frame(evolve(own, source_id="another"))

        assert relay.publish_binary(device, data) == len(FRAME.jpeg)

        (handed, none) = relay.next_for(viewer), relay.next_for(viewer)
        assert (handed and handed.text, none) == (encode(own), None)


@pytest.mark.parametrize("known", [False, True])
@given(data=st.data())
def test_binary_frame_is_refused_as_the_codec_refuses_it(known: bool, data: st.DataObject) -> None:
    """PW-BIN-4: whether its camera is known or not."""
    relay = Relay()
    device = relay.join("acme", "drone-01")
    if known:
        relay.publish_binary(device, encode_device_frame(FRAME))
    whole = encode_device_frame(FRAME)
    cut = data.draw(st.integers(0, len(whole)))
    sent = whole[:cut] + data.draw(st.binary(max_size=3))

    assert outcome(lambda: relay.publish_binary(device, sent)) == outcome(
        lambda: len(decode_device_frame(sent).jpeg)
    )


def outcome(read: Callable[[], int]) -> int | str:
    try:
        return read()
    except MalformedMessage as error:
        return str(error)


def test_binary_frame_that_nobody_watches_is_not_encoded() -> None:
    texts: list[bytes] = []

    def finish(*parts: bytes) -> bytes:
        texts.append(b"".join(parts))
        return texts[-1]

    relay = Relay(finish=finish)
    device = relay.join("acme", "drone-01")
    for _ in range(2):
        relay.publish_binary(device, encode_device_frame(FRAME))

    assert texts == []
    assert device.cameras == {"front"}


def test_device_that_varies_the_beginning_of_its_frames_is_not_remembered_without_end() -> None:
    relay = Relay()
    device = relay.join("acme", "drone-01")
    for number in range(1000):
        relay.publish_binary(
            device, encode_device_frame(evolve(FRAME, source_id=f"source-{number}"))
        )

    assert device.cameras == {"front"}
    assert len(device._heads) == 2 * MAX_CAMERAS


# ── waiting bytes ────────────────────────────────────────────────────────────────────────────

SIZE = len(encode(frame("a", 0)))


def test_oldest_frame_goes_first_where_a_key_has_too_many_bytes_waiting() -> None:
    relay = Relay(waiting_bytes_per_key=2 * SIZE)
    device = relay.join("acme", "drone-01", key="ours")
    other = relay.join("acme", "drone-02", key="theirs")
    viewers = [relay.subscribe("acme", "drone-01", "abcde") for _ in range(2)]
    bystander = relay.subscribe("acme", "drone-02", "x")
    relay.publish(other, frame("x", 0))
    for number, camera_id in enumerate("abaca"):
        relay.publish(device, frame(camera_id, number))

    for viewer in viewers:
        assert read_all(relay, viewer) == [("a", 4), ("c", 3)]
        assert viewer.dropped == 3
    assert read_all(relay, bystander) == [("x", 0)]
    assert relay.waiting_bytes == 0


def test_oldest_frame_goes_first_where_too_many_bytes_wait_in_all() -> None:
    relay = Relay(waiting_bytes=2 * SIZE)
    devices = [relay.join("acme", f"drone-0{number}", key=str(number)) for number in range(4)]
    viewers = [relay.subscribe("acme", device.source_id, ["a"]) for device in devices]
    for number, device in enumerate(devices):
        relay.publish(device, frame("a", number))

    assert [read_all(relay, viewer) for viewer in viewers] == [[], [], [("a", 2)], [("a", 3)]]


def test_frame_that_is_larger_than_all_that_may_wait_is_dropped() -> None:
    relay = Relay(waiting_bytes_per_key=SIZE - 1)
    device = relay.join("acme", "drone-01")
    viewer = relay.subscribe("acme", "drone-01", ["a"])
    relay.publish(device, frame("a", 0))

    assert (viewer.waiting, viewer.dropped, relay.waiting_bytes) == (0, 1, 0)


@given(
    cameras_sent=st.lists(st.sampled_from("abcd"), max_size=30),
    readers=st.lists(st.integers(0, 2), max_size=30),
    room=st.integers(1, 5),
)
def test_bytes_that_wait_never_exceed_the_limit_and_no_frame_is_lost_uncounted(
    cameras_sent: list[str], readers: list[int], room: int
) -> None:
    relay = Relay(waiting_bytes_per_key=room * SIZE)
    device = relay.join("acme", "drone-01")
    viewers = [relay.subscribe("acme", "drone-01", "abcd") for _ in range(3)]
    read = [0, 0, 0]
    for number, camera_id in enumerate(cameras_sent):
        relay.publish(device, frame(camera_id, number % 10))
        if number < len(readers):
            read[readers[number]] += relay.next_for(viewers[readers[number]]) is not None
        texts = {id(p) for viewer in viewers for p in viewer._waiting.values()}
        assert relay.waiting_bytes == len(texts) * SIZE <= room * SIZE
    for viewer, count in zip(viewers, read, strict=True):
        assert count + viewer.waiting + viewer.dropped == len(cameras_sent)
    for viewer in viewers:
        relay.unsubscribe(viewer)
    assert relay.waiting_bytes == 0


def test_key_does_not_escape_its_limit_by_connecting_again() -> None:
    relay = Relay(waiting_bytes_per_key=2 * SIZE)
    viewers = []
    for number in range(4):
        device = relay.join("acme", f"drone-0{number}", key="ours")
        viewers.append(relay.subscribe("acme", device.source_id, ["a"]))
        relay.publish(device, frame("a", number))
        relay.leave(device)

    assert [viewer.waiting for viewer in viewers] == [0, 0, 1, 1]
