"""The clients for programs without Trio, against the reference gateway on loopback."""

import asyncio
import inspect
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import trio

import plexwire_client
from plexwire_client import (
    ConnectionLost,
    DeviceClient,
    ImageError,
    NothingListens,
    NotInTrio,
    Reconnecting,
    Refused,
    ViewerClient,
    blocking,
)
from plexwire_client.blocking import (
    BlockingDevice,
    BlockingViewer,
    frame_to_array,
    frame_to_image,
    frame_to_temps,
    open_device,
    open_viewer,
)
from plexwire_protocol import AddressRefused, CloseCode, VideoFrame
from plexwire_trio import GatewayUrl, open_stream
from threaded_gateway import PATIENCE_S, ThreadedGateway, threaded_gateway, until

SOURCE = "robot-01"
JPEG = b"\xff\xd8not much of a picture\xff\xd9"


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with threaded_gateway() as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name == "plexwire client"] == []


def a_device(gateway: ThreadedGateway, **options: Any) -> BlockingDevice:
    return open_device(gateway.url, api_key=gateway.keys.device_key, source_id=SOURCE, **options)


def a_viewer(gateway: ThreadedGateway, *cameras: str, **options: Any) -> BlockingViewer:
    return open_viewer(
        gateway.url,
        api_key=gateway.keys.api_key,
        source_id=SOURCE,
        cameras=cameras or ("front",),
        **options,
    )


def jpeg(number: int) -> bytes:
    return b"\xff\xd8%d\xff\xd9" % number


# ── what goes through ────────────────────────────────────────────────────────────────────────


def test_viewer_gets_what_device_sends(gateway: ThreadedGateway) -> None:
    with a_device(gateway) as device, a_viewer(gateway) as viewer:
        for number in range(20):
            device.send_video_frame(jpeg(number), "front", timestamp=number, width=4, height=3)
            frame = next(viewer)
            assert (frame.jpeg, frame.timestamp) == (jpeg(number), number)
            assert (frame.width, frame.height, frame.camera_id) == (4, 3, "front")
        assert abs(device.now_ms() - device.clock_offset_ms - device.now_ms()) < 1000
    assert (device.counters.sent, device.counters.dropped) == (20, 0)
    assert (viewer.frames, viewer.skipped, viewer.skips, viewer.foreign) == (20, 0, {}, 0)
    assert (viewer.closed and viewer.closed.code) == CloseCode.NORMAL
    assert gateway.wait_for_closes(2) == [CloseCode.NORMAL, CloseCode.NORMAL]


def test_device_sends_arrays_and_temperatures(gateway: ThreadedGateway) -> None:
    blue = np.zeros((48, 64, 3), np.uint8)
    blue[:, :, 0] = 255
    with a_device(gateway) as device, a_viewer(gateway, "front", "thermal") as viewer:
        device.send_video_frame(blue, "front")
        frame = next(viewer)
        device.send_thermal_frame([[20.5, 21.0], [36.6, float("nan")]], "thermal")
        thermal = next(viewer)
    assert frame_to_image(frame).size == (64, 48)
    np.testing.assert_allclose(frame_to_array(frame), blue, atol=3)
    np.testing.assert_array_equal(frame_to_temps(thermal), [[20.5, 21.0], [36.6, np.nan]])
    assert device.counters.thermal == 1


def test_leaving_waits_for_last_picture(gateway: ThreadedGateway) -> None:
    large = b"\xff\xd8" + bytes(700_000) + b"\xff\xd9"
    with a_viewer(gateway) as viewer:
        with a_device(gateway) as device:
            device.send_video_frame(large, "front")
        frame = viewer.next_frame(timeout=PATIENCE_S)
    assert frame is not None
    assert frame.jpeg == large
    assert device.counters.sent == 1


def test_device_takes_pictures_from_any_thread(gateway: ThreadedGateway) -> None:
    cameras = [f"camera-{number}" for number in range(8)]
    with a_device(gateway) as device, a_viewer(gateway, *cameras) as viewer:
        with ThreadPoolExecutor(len(cameras)) as callbacks:
            for sending in [callbacks.submit(device.send_video_frame, JPEG, c) for c in cameras]:
                sending.result(PATIENCE_S)
        assert {next(viewer).camera_id for _ in cameras} == set(cameras)


def test_viewer_gets_newest_frame_when_program_is_slow(gateway: ThreadedGateway) -> None:
    with a_device(gateway) as device, a_viewer(gateway, "front", "end") as viewer:
        for number in range(5):
            device.send_video_frame(jpeg(number), "front")
            sent = number + 1
            until(lambda: viewer.frames == sent)  # noqa: B023 # called at once
        frames = [next(viewer)]
        device.send_video_frame(JPEG, "end")
        frames.append(next(viewer))
    assert [frame.jpeg for frame in frames] == [jpeg(4), JPEG]
    assert (viewer.skipped, viewer.skips) == (4, {"front": 4})


# ── waiting ──────────────────────────────────────────────────────────────────────────────────


def test_viewer_raises_timeout_and_goes_on(gateway: ThreadedGateway) -> None:
    with a_device(gateway) as device, a_viewer(gateway) as viewer:
        for timeout in (0, 0.05):
            with pytest.raises(TimeoutError, match=f"within {timeout:g} seconds"):
                viewer.next_frame(timeout)
        device.send_video_frame(JPEG, "front")
        until(lambda: viewer.frames)
        frame = viewer.next_frame(timeout=0)
    assert frame is not None
    assert frame.jpeg == JPEG


def test_close_on_another_thread_ends_iteration(gateway: ThreadedGateway) -> None:
    viewer = a_viewer(gateway)
    with ThreadPoolExecutor(1) as executor:
        frames: Any = executor.submit(list, viewer)
        gateway.wait_for_viewers(1)
        viewer.close()
        viewer.close()
        assert frames.result(PATIENCE_S) == []
    assert viewer.next_frame() is None
    assert list(viewer.events()) == []


def test_stream_ends_when_gateway_ends_it(gateway: ThreadedGateway) -> None:
    with a_viewer(gateway, timeout=1) as viewer:
        assert list(viewer) == []
        assert (viewer.closed and viewer.closed.code) == CloseCode.TIMEOUT


# ── errors ───────────────────────────────────────────────────────────────────────────────────


def test_refusals_have_the_types_of_the_trio_client(gateway: ThreadedGateway) -> None:
    for key in ("plx_unknown", gateway.keys.revoked_key):
        with pytest.raises(Refused) as refused:
            open_viewer(gateway.url, api_key=key, source_id=SOURCE)
        assert refused.value.close.code == CloseCode.UNAUTHORIZED
    with pytest.raises(Refused):
        open_device(gateway.url, api_key="plx_unknown", source_id=SOURCE)
    with pytest.raises(AddressRefused):
        a_viewer(gateway, timeout=-1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NothingListens):
        open_device(f"ws://127.0.0.1:{port}", api_key="plx_key", source_id=SOURCE)


def test_device_stays_usable_after_picture_that_can_not_be_sent(gateway: ThreadedGateway) -> None:
    with a_device(gateway) as device:
        with pytest.raises(ImageError):
            device.send_video_frame(b"no picture", "front")
        device.send_video_frame(JPEG, "front")
    assert device.counters.sent == 1
    with pytest.raises(ConnectionLost):
        device.send_video_frame(JPEG, "front")


def test_body_raises_its_own_exception(gateway: ThreadedGateway) -> None:
    with pytest.raises(LookupError, match="of the body"), a_device(gateway):
        raise LookupError("of the body")
    assert gateway.wait_for_closes(1) == [CloseCode.NORMAL]


class OpensOnce:
    """An opener with a bug that shows at the second connection."""

    def __init__(self) -> None:
        self.opened = 0

    async def __call__(self, url: GatewayUrl) -> trio.abc.Stream:
        self.opened += 1
        if self.opened > 1:
            raise ZeroDivisionError("in the opener")
        return await open_stream(url)


@pytest.mark.parametrize("waiting", [True, False])
def test_error_in_the_thread_reaches_the_program(gateway: ThreadedGateway, waiting: bool) -> None:
    viewer = a_viewer(gateway, opener=OpensOnce(), reconnect=True)
    gateway.stop()
    gateway.start()
    if waiting:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="in the opener"):
                next(viewer)
    until(lambda: not viewer._thread.is_running)
    with pytest.raises(ZeroDivisionError, match="in the opener"), viewer:
        pass
    viewer.close()


def test_clients_reconnect_and_count_it(gateway: ThreadedGateway) -> None:
    with a_device(gateway, reconnect=True) as device, a_viewer(gateway, reconnect=True) as viewer:
        events = viewer.events()
        gateway.stop()
        gateway.start()
        assert isinstance(next(events), Reconnecting)
        until(lambda: device.reconnects and viewer.reconnects)
        device.send_video_frame(JPEG, "front")
        frame = next(viewer)
    assert (frame.jpeg, viewer.reconnects, device.reconnects) == (JPEG, 1, 1)


# ── other event loops ────────────────────────────────────────────────────────────────────────


def test_asyncio_program_watches_through_to_thread(gateway: ThreadedGateway) -> None:
    async def main() -> list[bytes]:
        device = await asyncio.to_thread(a_device, gateway)
        viewer = await asyncio.to_thread(a_viewer, gateway)
        got = []
        with device, viewer:
            for number in range(3):
                await asyncio.to_thread(device.send_video_frame, jpeg(number), "front")
                frame = await asyncio.to_thread(viewer.next_frame)
                assert frame is not None
                got.append(frame.jpeg)
        return got

    assert asyncio.run(main()) == [jpeg(0), jpeg(1), jpeg(2)]


def test_asyncio_program_ends_when_cancelled_while_it_waits(gateway: ThreadedGateway) -> None:
    async def watch(is_open: asyncio.Event) -> None:
        # Cancelled before this, to_thread would lose the viewer that it has opened.
        with await asyncio.to_thread(a_viewer, gateway) as viewer:
            is_open.set()
            await asyncio.to_thread(viewer.next_frame)

    async def main() -> None:
        is_open = asyncio.Event()
        watching = asyncio.create_task(watch(is_open))
        await is_open.wait()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(main())


@pytest.mark.parametrize("name", ["open_viewer", "open_device"])
def test_trio_client_names_the_way_under_asyncio(name: str) -> None:
    async def main() -> None:
        opening = getattr(plexwire_client, name)("ws://127.0.0.1:1", api_key="k", source_id="s")
        async with opening:
            raise AssertionError

    with pytest.raises(NotInTrio) as error:
        asyncio.run(main())
    assert str(error.value) == (
        f"{name} runs only under trio.run: use plexwire_client.blocking.{name} instead,"
        " in asyncio through asyncio.to_thread."
    )


@pytest.mark.parametrize("name", ["frame_to_image", "frame_to_array"])
def test_decoding_names_the_way_under_asyncio(name: str) -> None:
    from plexwire_client import pictures

    frame = VideoFrame(
        source_id="s", camera_id="c", jpeg=b"\xff\xd8", width=0, height=0, timestamp=0
    )
    with pytest.raises(NotInTrio, match=f"use plexwire_client.blocking.{name} instead"):
        asyncio.run(getattr(pictures, name)(frame))
    assert callable(getattr(blocking, name))


# ── the same clients ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ours", "trios", "own"),
    [
        (open_viewer, plexwire_client.open_viewer, ()),
        (open_device, plexwire_client.open_device, ()),
        (BlockingDevice.send_video_frame, DeviceClient.send_video_frame, ()),
        (BlockingDevice.send_thermal_frame, DeviceClient.send_thermal_frame, ()),
        (BlockingDevice.stream_camera, DeviceClient.stream_camera, ("timeout",)),
    ],
)
def test_parameters_are_those_of_the_trio_client(
    ours: Callable[..., object], trios: Callable[..., object], own: tuple[str, ...]
) -> None:
    parameters = dict(inspect.signature(ours).parameters)
    for name in own:
        del parameters[name]
    assert parameters == dict(inspect.signature(trios).parameters)


@pytest.mark.parametrize(
    ("ours", "trios", "instance"),
    [
        (BlockingViewer, ViewerClient, {"address", "frames", "foreign", "skips", "reconnects"}),
        (BlockingDevice, DeviceClient, {"counters", "clock_offset_ms", "reconnects"}),
    ],
)
def test_members_are_those_of_the_trio_client(ours: type, trios: type, instance: set[str]) -> None:
    wanted = {name for name in dir(trios) if not name.startswith("_")} | instance
    assert wanted <= set(dir(ours))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork a process")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forked_process_neither_hangs_nor_ends_the_client(gateway: ThreadedGateway) -> None:
    with a_device(gateway) as device, a_viewer(gateway) as viewer:
        child = os.fork()
        if child == 0:
            try:
                device.send_video_frame(JPEG, "front")
            except ConnectionLost:
                device.close()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        device.send_video_frame(JPEG, "front")
        assert next(viewer).jpeg == JPEG
