"""The upstream of an edge: where it is, and how long the edge waits for it."""

import ssl
from typing import Final

from attrs import field, frozen

from plexwire_protocol import GatewayReconnecting
from plexwire_trio import GatewayUrl, StreamOpener

#: Attempts to get the upstream back, and seconds before each.
MAX_ATTEMPTS: Final = 5
DELAY_S: Final = 2.0


def _whole_where_it_is(seconds: float) -> float:
    # The wire says 2 as the documents do, and not 2.0.
    return int(seconds) if float(seconds).is_integer() else seconds


@frozen(kw_only=True)
class Upstream:
    """The gateway that an edge gets its frames from, and how long it is waited for when it is away.

    `delay_s` is seconds before each of `max_attempts` attempts.  `ssl_context` is used instead of the system's
    certificates, `opener` instead of TCP and TLS altogether.
    """

    url: GatewayUrl
    max_attempts: int = MAX_ATTEMPTS
    delay_s: float = field(default=DELAY_S, converter=_whole_where_it_is)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    opener: StreamOpener | None = field(default=None, repr=False)

    def reconnecting(self, attempt: int, *, delay_s: float) -> GatewayReconnecting:
        """Return the message that viewers get before *attempt*.  [PW-RECON-1]"""
        return GatewayReconnecting(attempt=attempt, max_attempts=self.max_attempts, delay_s=delay_s)
