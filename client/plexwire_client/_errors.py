"""What can go wrong for a client, each with one plain sentence and what to do about it.

    PlexwireError
    ├── ConnectError, StreamEnded   and their classes: what dialling and streaming can end with, from the adapter
    ├── ImageError                  a picture that can't be sent
    │   └── ImagesMissing           the extra that encodes pictures is not installed
    ├── FfmpegError                 ffmpeg is missing, or gave up
    └── NotInTrio                   the program runs asyncio, or no event loop

Fields are plain and positional, so that the errors copy and pickle.
"""

import trio
from attrs import define

from plexwire_protocol import PlexwireError
from plexwire_trio import BadUrl as BadUrl
from plexwire_trio import ConnectError as ConnectError
from plexwire_trio import ConnectionLost as ConnectionLost
from plexwire_trio import HandshakeRefused as HandshakeRefused
from plexwire_trio import HandshakeTimedOut as HandshakeTimedOut
from plexwire_trio import HostNotFound as HostNotFound
from plexwire_trio import HostUnreachable as HostUnreachable
from plexwire_trio import NotAGateway as NotAGateway
from plexwire_trio import NothingListens as NothingListens
from plexwire_trio import Refused as Refused
from plexwire_trio import StreamEnded as StreamEnded
from plexwire_trio import TlsFailed as TlsFailed


@define(eq=False)
class ImageError(PlexwireError):
    """A picture that can't be sent."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class ImagesMissing(ImageError):
    """The extra that encodes pictures is not installed; `problem` names what needs it."""

    def __str__(self) -> str:
        return f"{self.problem} needs Pillow: pip install 'plexwire[images]'"


@define(eq=False)
class FfmpegError(PlexwireError):
    """The program ffmpeg is missing, or gave up on its input."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@define(eq=False)
class NotInTrio(PlexwireError):
    """The program that uses `name` runs asyncio or no event loop, and `name` needs Trio."""

    name: str

    def __str__(self) -> str:
        return (
            f"{self.name} runs only under trio.run: use plexwire_client.blocking.{self.name} instead,"
            " in asyncio through asyncio.to_thread."
        )


def require_trio(name: str) -> None:
    """Make sure that the function *name* is called in a Trio program.

    Raises:
        NotInTrio: it is not.

    """
    if not trio.lowlevel.in_trio_run():
        raise NotInTrio(name)
