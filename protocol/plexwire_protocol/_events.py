"""What a session reports to its embedder, one frozen class per fact."""

import re
from typing import Final, TypeAlias

from attrs import evolve, frozen

from plexwire_protocol._closing import Close
from plexwire_protocol._errors import MalformedMessage, RemoteProtocolError
from plexwire_protocol._messages import AnyMessage, Auth, DeviceAuth, Role

_NUMBER: Final = re.compile(r"\[\d+\]")


@frozen
class AuthReceived:
    """A peer sent its auth: check the key, then call `grant` or `refuse`."""

    message: Auth | DeviceAuth

    @property
    def api_key(self) -> str:
        """The key to check; keep it out of logs."""
        return self.message.api_key


@frozen
class MessageReceived:
    """A message for the application: match on its class."""

    message: AnyMessage


@frozen
class MessageIgnored:
    """A message that may be sent and asks for nothing here, or one of an unknown type."""

    message: AnyMessage


@frozen
class MessageRefused:
    """A message that can't be read; it was ignored and the conversation goes on."""

    error: MalformedMessage


@frozen
class GatewayDeviated:
    """The gateway broke `clause`, and the viewer goes on; it comes before the event of the same message.  [PW-VIEW-5]

    `path` is the member in question, such as `online_sources[0].cameras[1]`, or `message` for the message as a whole.
    `problem` is a phrase for people that holds no value of the message.
    """

    clause: str
    path: str
    problem: str

    @property
    def kind(self) -> "GatewayDeviated":
        """The same without the numbers in `path`, equal for all deviations of one kind; there are few kinds."""
        return evolve(self, path=_NUMBER.sub("[]", self.path))


@frozen
class PeerViolated:
    """The peer broke the protocol; the close that answers this is already in the outbox."""

    error: RemoteProtocolError


@frozen
class ConversationClosed:
    """The conversation has ended: `by` closed it.  This event comes once, as the last one."""

    close: Close
    by: Role


Event: TypeAlias = (
    AuthReceived
    | MessageReceived
    | MessageIgnored
    | MessageRefused
    | GatewayDeviated
    | PeerViolated
    | ConversationClosed
)
