"""The errors, by whose fault it is.

    PlexwireError
    ├── LocalProtocolError        you called wrongly; nothing was sent, nothing changed
    ├── AddressRefused            a request target is no stream address
    └── RemoteProtocolError       the peer broke a clause; the class fixes the close code
        ├── MalformedMessage      a message that can't be read
        ├── AuthViolation         what came instead of a proper auth
        ├── UnexpectedMessage     a message that may not come now
        └── AnswerMissing         the answer to an auth did not come in time

Fields are plain and positional, so that the errors copy and pickle.
"""

from enum import StrEnum
from typing import ClassVar

from attrs import define

from plexwire_protocol._closing import CloseCode


class Refusal(StrEnum):
    """Why a message or an address is refused: stable names, shared with the test vectors."""

    # messages
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NO_TYPE = "no_type"
    MISSING_MEMBER = "missing_member"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NOT_UNICODE = "not_unicode"
    BAD_SOURCE_ID = "bad_source_id"
    ID_TOO_LONG = "id_too_long"
    NOT_BASE64 = "not_base64"
    NOT_JPEG = "not_jpeg"
    BINARY = "binary"
    TRUNCATED = "truncated"
    UNKNOWN_VERSION = "unknown_version"
    # addresses
    WRONG_PATH = "wrong_path"
    BAD_ESCAPE = "bad_escape"
    BAD_TIMEOUT = "bad_timeout"
    REPEATED_TIMEOUT = "repeated_timeout"
    TOO_MANY_CAMERAS = "too_many_cameras"


class PlexwireError(Exception):
    """The base of all errors here."""


@define(eq=False)
class LocalProtocolError(PlexwireError):
    """You called wrongly: nothing was sent and nothing changed."""

    problem: str
    clause: str

    def __str__(self) -> str:
        return f"{self.problem} [{self.clause}]"


@define(eq=False)
class AddressRefused(PlexwireError):
    """A request target is not the address of a stream; `where` names the part of it."""

    problem: str
    clause: str
    where: str
    refusal: Refusal

    @property
    def status(self) -> int:
        """The HTTP status that answers the handshake: 404 if there is nothing at the path, else 400."""
        return 404 if self.refusal is Refusal.WRONG_PATH else 400

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} [{self.clause}]"


@define(eq=False)
class RemoteProtocolError(PlexwireError):
    """The peer broke *clause*; sessions report it in an event, adapters may raise it."""

    close_code: ClassVar[CloseCode] = CloseCode.PROTOCOL_ERROR

    problem: str
    clause: str

    def __str__(self) -> str:
        return f"{self.problem} [{self.clause}]"


@define(eq=False)
class MalformedMessage(RemoteProtocolError):
    """A message that can't be read; `where` names the member or the byte field."""

    close_code: ClassVar[CloseCode] = CloseCode.INVALID_PAYLOAD

    where: str
    refusal: Refusal

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} [{self.clause}]"


class AuthViolation(RemoteProtocolError):
    """No auth in time, a malformed one, or something else in its place."""

    close_code: ClassVar[CloseCode] = CloseCode.UNAUTHORIZED


class UnexpectedMessage(RemoteProtocolError):
    """A known message at a moment when its sender may not send it."""


class AnswerMissing(RemoteProtocolError):
    """The gateway did not answer an auth in time."""
