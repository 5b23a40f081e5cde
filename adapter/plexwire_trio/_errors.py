"""What can go wrong for whoever dials, each with one plain sentence and what to do about it.

    PlexwireError
    ├── ConnectError            no WebSocket came to be; `hint` says what to do
    │   ├── BadUrl              not the base address of a gateway
    │   ├── BadProxy            not the address of an HTTP proxy
    │   ├── ProxyFailed         the proxy can't be reached, or makes no tunnel
    │   ├── HostNotFound        no such name
    │   ├── NothingListens      nobody is at that port
    │   ├── HostUnreachable     the network has no way there
    │   ├── TlsFailed           the encrypted connection was refused, by either side
    │   ├── HandshakeRefused    an HTTP status instead of 101
    │   ├── HandshakeTimedOut   no answer in time
    │   └── NotAGateway         it hung up, or answered something else
    └── StreamEnded             the WebSocket was there, and `close` tells how it ended
        ├── Refused             the gateway turned the key away, or closed before it let us in
        └── ConnectionLost      it broke, or was closed in a way that is not a proper end

Fields are plain and positional, so that the errors copy and pickle.
"""

from attrs import define

from plexwire_protocol import Close, CloseCode, PlexwireError, describe_close


@define(eq=False)
class ConnectError(PlexwireError):
    """No WebSocket came to be: `problem` says why, `hint` what to do."""

    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.problem} {self.hint}"


class BadUrl(ConnectError):
    """Not the base address of a gateway."""


class BadProxy(ConnectError):
    """Not the address of an HTTP proxy."""


class ProxyFailed(ConnectError):
    """The proxy can't be reached, or makes no tunnel to the gateway."""


class HostNotFound(ConnectError):
    """There is no host of that name."""


class NothingListens(ConnectError):
    """The host is there and refuses the port."""


class HostUnreachable(ConnectError):
    """The network has no way there."""


class TlsFailed(ConnectError):
    """The encrypted connection was refused, by either side."""


@define(eq=False)
class HandshakeRefused(ConnectError):
    """The answer to the handshake was the HTTP `status`, not 101; `body` is the beginning of what came with it."""

    status: int
    body: str


class HandshakeTimedOut(ConnectError):
    """No answer to the handshake in time."""


class NotAGateway(ConnectError):
    """It hung up during the handshake, or answered something else."""


@define(eq=False)
class StreamEnded(PlexwireError):
    """The conversation is over; `close` tells how, `detail` what else the gateway said."""

    close: Close
    detail: str = ""

    def __str__(self) -> str:
        said = self.detail or self.close.reason
        sentence = describe_close(self.close.code)
        code = "" if self.close.code == CloseCode.ABNORMAL else f" [{int(self.close.code)}]"
        return f"{sentence}{code}" if not said else f"{sentence} It said: {said}{code}"


class Refused(StreamEnded):
    """The gateway turned the key away, or closed before it let us in."""


class ConnectionLost(StreamEnded):
    """The connection broke, or was closed in a way that is not a proper end."""
