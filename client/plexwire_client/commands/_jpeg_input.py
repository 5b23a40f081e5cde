"""JPEGs that another program or a device sends: on standard input, in a named pipe, from a serial camera."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from plexwire_client._jpeg_splitter import JpegSplitter
from plexwire_client.commands._picture_sources import BadInput, JpegInput
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

R = TypeVar("R")

_READ_BYTES: Final = 65_536
#: Bytes of one picture beyond which it is not one; the first picture has to be complete within them.
_LARGEST_PICTURE: Final = 64 * MAX_MESSAGE_BYTES
_HOW: Final = "send JPEGs back to back, such as ffmpeg writes them with -f mjpeg -."


async def play_jpegs(
    source: JpegInput, take: Callable[[bytes], Awaitable[None]], *, pictures: int | None = None
) -> None:
    """Call *take* with each JPEG of *source* as soon as it is complete, until its end, or so many *pictures*.

    The JPEGs follow each other immediately, or with text between them as in `multipart/x-mixed-replace`.  A named pipe
    ends when its last writer closes it.

    Raises:
        BadInput: *source* can't be read, or has no JPEG in it.

    """
    splitter = JpegSplitter(_LARGEST_PICTURE)
    taken = received = 0
    try:
        # Where a pipe has no writer yet, opening waits too.  Cancelled, the thread waits on, and keeps nobody from ending.
        fd = await _in_thread(partial(os.open, source.path, os.O_RDONLY)) if source.path else 0
        while data := await _in_thread(partial(os.read, fd, _READ_BYTES)):
            received += len(data)
            for picture in splitter.feed(data):
                await take(picture)
                taken += 1
                if taken == pictures:
                    break
            if taken == pictures:
                break
            if not taken and received > _LARGEST_PICTURE:
                raise BadInput(f"{source.name} sent {received} bytes without a JPEG: {_HOW}")
        if fd:
            os.close(fd)
    except OSError as error:
        raise BadInput(f"{source.name} can't be read: {error.strerror}.") from None
    if not taken:
        raise BadInput(f"{source.name} ended without a JPEG: {_HOW}")


async def _in_thread(function: Callable[[], R]) -> R:
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)
