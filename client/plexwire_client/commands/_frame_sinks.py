"""Where the frames of `watch` go beside its display: a folder, a recording, a page for browsers."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final
from urllib.parse import quote

import trio
from attrs import define

from plexwire_protocol import PlexwireError, VideoFrame

#: Characters of a camera's name in a file's: percent-encoding makes three of one, and file names end at 255.
_NAME_CHARACTERS: Final = 150


@define(eq=False)
class SinkError(PlexwireError):
    """What frames were to go to can't take them."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class FrameSink(ABC):
    """Takes every frame that the command takes, and must not hold it up for long."""

    @abstractmethod
    async def take(self, frame: VideoFrame) -> None:
        """Take *frame*.

        Raises:
            SinkError: it can't be kept.

        """

    @abstractmethod
    def status(self) -> str:
        """Return how it stands, in a few words."""


class FolderSink(FrameSink):
    """A file a picture."""

    def __init__(self, folder: Path) -> None:
        self._folder = trio.Path(folder)
        self._saved = 0

    async def prepare(self) -> None:
        """Make the folder.

        Raises:
            SinkError: it can't be made.

        """
        try:
            await self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(error) from None

    async def take(self, frame: VideoFrame) -> None:
        """Save *frame*."""
        try:
            await (self._folder / file_name(frame, self._saved + 1)).write_bytes(frame.jpeg)
        except OSError as error:
            raise self._failed(error) from None
        self._saved += 1

    def status(self) -> str:
        """Return how many are saved."""
        return f"{self._saved} saved in {self._folder}"

    def _failed(self, error: OSError) -> SinkError:
        return SinkError(f"Pictures can't be saved in {self._folder}: {error.strerror}.")


def file_name(frame: VideoFrame, number: int) -> str:
    """Return the name that *frame*, the *number*-th of this run, is saved under; no camera's name leaves the folder."""
    return f"{camera_name(frame.camera_id)}-{frame.timestamp}-{number:06d}.jpg"


def camera_name(camera_id: str) -> str:
    """Return *camera_id* as a part of a file's name, whatever is in it."""
    return quote(camera_id, safe="")[:_NAME_CHARACTERS]
