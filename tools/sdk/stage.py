"""What a trial stands on: a device that connects to a gateway, and viewers."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio
from attrs import field, frozen

from device import SdkDevice, open_driver
from judging import PATIENCE_S, SOURCE, Unlike
from noting import Notes, NotingGateway
from plexwire_client import ViewerClient, open_viewer
from plexwire_protocol import VideoFrame
from plexwire_server import KeyStore, ThrowAwayKeys, serve


@frozen
class Stage:
    """A device that is connected to a gateway of its own; `folder` is for the trial's files."""

    python: Path
    folder: Path
    gateway: NotingGateway
    keys: ThrowAwayKeys
    url: str
    device: SdkDevice
    #: Seconds that something took, for the report; the table has none of them.
    measured: dict[str, float] = field(factory=dict)

    @property
    def notes(self) -> Notes:
        """What the gateway heard."""
        return self.gateway.notes

    def watching(
        self, *cameras: str, source_id: str = SOURCE
    ) -> AbstractAsyncContextManager["Watch"]:
        """Watch *cameras*."""
        return watching(self.url, self.keys.api_key, *cameras, source_id=source_id)

    @asynccontextmanager
    async def another_device(
        self, keys: Mapping[str, str] | None = None
    ) -> AsyncGenerator[SdkDevice, None]:
        """Start a second process with the SDK, and other *keys* in its environment."""
        given = keys or _key_names(self.keys)
        async with open_driver(
            self.python, self.folder, given, self.folder / "another.log"
        ) as device:
            yield device


class Watch:
    """What a viewer sees."""

    def __init__(self, viewer: ViewerClient) -> None:
        self._viewer = viewer
        self.camera = viewer.address.cameras[0]

    async def next(self) -> VideoFrame:
        """Return the next frame."""
        with trio.move_on_after(PATIENCE_S):
            return await anext(self._viewer)
        raise Unlike(f"no frame came within {PATIENCE_S:g} s")

    async def take(self, count: int) -> list[VideoFrame]:
        """Return the next *count* frames."""
        return [await self.next() for _ in range(count)]

    async def until(self, seconds: float) -> list[VideoFrame]:
        """Return the frames of the next so many seconds."""
        frames: list[VideoFrame] = []
        with trio.move_on_after(seconds):
            while True:
                frames.append(await anext(self._viewer))
        return frames

    async def until_silent(self, seconds: float) -> list[VideoFrame]:
        """Return the frames that come until there was none for so long."""
        frames = []
        while True:
            with trio.move_on_after(seconds):
                frames.append(await anext(self._viewer))
                continue
            return frames


@asynccontextmanager
async def watching(
    url: str, api_key: str, *cameras: str, source_id: str = SOURCE
) -> AsyncGenerator[Watch, None]:
    """Watch *cameras* at any gateway."""
    async with open_viewer(url, api_key=api_key, source_id=source_id, cameras=cameras) as viewer:
        yield Watch(viewer)


def _key_names(keys: ThrowAwayKeys) -> dict[str, str]:
    given = keys.as_environment()
    return {name: given[name] for name in ("PLEXWIRE_DEVICE_KEY", "PLEXWIRE_REVOKED_KEY")}


@asynccontextmanager
async def open_stage(python: Path, folder: Path) -> AsyncGenerator[Stage, None]:
    """Set up a gateway, and a device of the SDK under *python* that will connect to it."""
    store, keys = KeyStore.throw_away()
    gateway = NotingGateway(store)
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(serve, gateway)
        url = f"ws://127.0.0.1:{addresses[0][1]}"
        async with open_driver(python, folder, _key_names(keys), folder / "device.log") as device:
            await device.do("open", url=url, key_name="PLEXWIRE_DEVICE_KEY")
            yield Stage(python, folder, gateway, keys, url, device)
        nursery.cancel_scope.cancel()
