"""Close codes, what each means, and the value that asks for a close."""

from enum import IntEnum
from typing import Final

from attrs import field, frozen

#: What a close frame has room for beside its code, in bytes of UTF-8 (RFC 6455 section 5.5).
_MAX_REASON_BYTES: Final = 123


class CloseCode(IntEnum):
    """The close codes that this protocol uses; codes of others stay plain ints."""

    #: The conversation is over, and nothing went wrong (RFC 6455).
    NORMAL = 1000
    #: The gateway shuts down, or the viewer's page was left.  [PW-CLOSE-3]
    GOING_AWAY = 1001
    #: The peer said something that it may not say now (RFC 6455).
    PROTOCOL_ERROR = 1002
    #: The peer vanished without a close frame; never on the wire (RFC 6455).
    ABNORMAL = 1006
    #: Text that is not UTF-8 (RFC 6455).  [PW-CONN-5]
    INVALID_PAYLOAD = 1007
    #: A message over the limit.  [PW-LIM-4]
    TOO_BIG = 1009
    #: An internal error of the gateway.  [PW-CLOSE-2]
    INTERNAL_ERROR = 1011
    #: No room for one more stream of this key (RFC 6455's registry).  [PW-LIM-9]
    TRY_AGAIN_LATER = 1013
    #: No auth within the deadline, a malformed auth, or a bad key.  [PW-AUTH-3]
    UNAUTHORIZED = 4001
    #: The plan of the key does not include API access.  [PW-AUTH-9]
    NO_API_ACCESS = 4002
    #: The `timeout` of the address has passed.  [PW-TIME-1]
    TIMEOUT = 4008


_SENTENCES: Final = {
    CloseCode.NORMAL: "The stream has ended.",
    CloseCode.GOING_AWAY: "The gateway is shutting down; reconnect in a moment.",
    CloseCode.PROTOCOL_ERROR: "The other side broke the protocol.",
    CloseCode.ABNORMAL: "The connection was lost.",
    CloseCode.INVALID_PAYLOAD: "A text message was not UTF-8.",
    CloseCode.TOO_BIG: "A message was larger than the gateway accepts.",
    CloseCode.INTERNAL_ERROR: "The gateway had an internal error; try again.",
    CloseCode.TRY_AGAIN_LATER: "The gateway has no room for one more stream; try again later.",
    CloseCode.UNAUTHORIZED: "The gateway did not accept the key, or got none in time.",
    CloseCode.NO_API_ACCESS: "The plan of this key does not include API access.",
    CloseCode.TIMEOUT: "The requested time has passed; reconnect to continue.",
}


def describe_close(code: int) -> str:
    """Return one plain sentence for people about a close *code*, known or not."""
    known = _known(code)
    if isinstance(known, CloseCode):
        return _SENTENCES[known]
    return f"The connection was closed with code {code}."


def _known(code: int) -> int:
    try:
        return CloseCode(code)
    except ValueError:
        return code


def _fitting(reason: str) -> str:
    return reason.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")


@frozen
class Close:
    """Ask for a WebSocket close, or tell of one.

    `code` is an int, a `CloseCode` where it is one of ours; `reason` is for people, and cut where it would not fit
    into a close frame (123 bytes).
    """

    code: int = field(converter=_known)
    reason: str = field(default="", converter=_fitting)
    #: Whether a message refused the key before this close, as devices are told.  [PW-DEV-5]
    key_refused: bool = field(default=False, kw_only=True, eq=False)

    @property
    def may_retry(self) -> bool:
        """Whether reconnecting with the same key makes sense.  [PW-VIEW-2]"""
        return not self.key_refused and self.code not in KEY_REFUSALS


#: The codes that refuse a key: with the same key the answer will be the same.
KEY_REFUSALS: Final = (CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS)


@frozen
class Abort:
    """Drop the connection without a close frame: a close was due, and the peer does not read."""
