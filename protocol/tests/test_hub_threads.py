"""A hub that five threads share: nothing is lost, doubled, out of order or torn."""

import json
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Barrier, Event, Thread

import pytest

from plexwire_protocol import (
    DEVICE_PATH,
    Auth,
    Close,
    DeviceAuth,
    DevicePeer,
    Hub,
    VideoFrame,
    ViewerPeer,
    encode,
    encode_device_frame,
)

STREAM = "/v1/sources/drone-01/video/stream?camera_id=front&camera_id=rear"
FRAMES = 10_000
#: Seconds after which a thread that hangs fails the test.
PATIENCE = 60


@pytest.fixture(autouse=True)
def _threads_that_interrupt_each_other_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def pictures(thread: int) -> list[tuple[str, bytes]]:
    """Return the frames of one device, their number as their timestamp, with their cameras."""
    cameras = [("front", "rear")[number % 2] for number in range(FRAMES)]
    return [
        (
            camera,
            encode_device_frame(
                VideoFrame(
                    camera_id=camera,
                    jpeg=b"\xff\xd8" + bytes(100),
                    width=thread,
                    height=0,
                    timestamp=number,
                )
            ),
        )
        for number, camera in enumerate(cameras)
    ]


class Watcher:
    """A viewer with a writer thread of its own."""

    def __init__(self, hub: Hub) -> None:
        self.bell = Event()
        peer = hub.connect(STREAM, wake=self.bell.set, now=0.0)
        assert isinstance(peer, ViewerPeer)
        self.peer = peer
        self.got: list[tuple[int, str, int]] = []

    def write(self) -> None:
        """Write until the close."""
        while True:
            match self.peer.next_outgoing(now=0.0):
                case None if self.peer.ended:
                    return
                case None:
                    assert self.bell.wait(PATIENCE)
                    self.bell.clear()
                case str(text):
                    message = json.loads(text)
                    if message["type"] == "video_frame":
                        self.got.append(
                            (message["width"], message["camera_id"], message["timestamp"])
                        )
                case Close():
                    pass


def test_five_threads_share_a_hub() -> None:
    hub = Hub(unix_ms=lambda: 0)
    start = Barrier(5)
    failures: SimpleQueue[BaseException] = SimpleQueue()
    watchers = [Watcher(hub) for _ in range(2)]
    for watcher in watchers:
        watcher.peer.receive(encode(Auth(api_key="plx_a")), now=0.0)
        watcher.peer.judge("acme", now=0.0)

    def guarded(run: object, *args: object) -> Thread:
        def body() -> None:
            try:
                start.wait(PATIENCE)
                run(*args)  # type: ignore[operator]
            except BaseException as error:
                failures.put(error)

        return Thread(target=body, daemon=True)

    def film(number: int) -> None:
        device = hub.connect(DEVICE_PATH, wake=lambda: None, now=0.0)
        assert isinstance(device, DevicePeer)
        device.receive(encode(DeviceAuth(api_key="plx_a", source_id="drone-01")), now=0.0)
        device.judge("acme", key=str(number), now=0.0)
        assert device.next_outgoing(now=0.0) is not None
        for _, data in pictures(number):
            assert device.receive(data, now=0.0) == []
        device.receive_close(1000, now=0.0)

    def come_and_go() -> None:
        for number in range(FRAMES):
            guest = Watcher(hub)
            guest.peer.receive(encode(Auth(api_key="plx_a")), now=0.0)
            guest.peer.judge("acme", key="guest", now=0.0)
            assert isinstance(guest.peer.next_outgoing(now=0.0), str)
            guest.peer.next_outgoing(now=0.0)
            if number % 2:
                guest.peer.close(now=0.0)
                while guest.peer.next_outgoing(now=0.0) is not None:
                    pass
            else:
                guest.peer.receive_close(1006, now=0.0)
            assert guest.peer.ended

    filming = [guarded(film, 1), guarded(film, 2)]
    writing = [guarded(watcher.write) for watcher in watchers]
    threads = [*filming, *writing, guarded(come_and_go)]
    for thread in threads:
        thread.start()
    for thread in threads:
        if thread not in writing:
            thread.join(PATIENCE)
    for watcher in watchers:
        watcher.peer.close(now=0.0)
    for thread in writing:
        thread.join(PATIENCE)

    assert not any(thread.is_alive() for thread in threads)
    assert failures.empty(), failures.get()
    for watcher in watchers:
        assert watcher.got, "a viewer that got nothing proves nothing"
        # What was handed to a writer when the close came is neither sent nor counted as replaced.
        assert 0 <= 2 * FRAMES - len(watcher.got) - watcher.peer.dropped <= 3
        for number in (1, 2):
            for camera in ("front", "rear"):
                numbers = [n for w, c, n in watcher.got if (w, c) == (number, camera)]
                assert numbers == sorted(set(numbers))
    assert (hub.viewers, hub.devices) == ((), ())
    assert hub.relay.waiting_bytes == 0
    assert hub.traffic.frames_in == 2 * FRAMES
