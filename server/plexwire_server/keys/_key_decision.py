"""What a gateway asks about an API key, and what it may be told."""

from collections.abc import Awaitable
from enum import StrEnum
from typing import Protocol, TypeAlias

from attrs import frozen

from plexwire_protocol import CloseCode


class Scope(StrEnum):
    """What a key allows: a viewer needs to read, a device to write.  [PW-DEV-12]"""

    READ = "read"
    WRITE = "write"


@frozen
class KeyGranted:
    """The key is good: whose it is, and what it allows.  `key_name` tells keys apart without being one."""

    organisation: str
    scopes: frozenset[Scope] = frozenset(Scope)
    key_name: str = ""


@frozen
class KeyRefused:
    """The key is not good enough; `code` is what its bearer is closed with."""

    code: CloseCode


KeyDecision: TypeAlias = KeyGranted | KeyRefused


class KeyChecker(Protocol):
    """What a gateway asks about a key: a `KeyStore`, or a database of yours, which may take its time."""

    def check(self, api_key: str, /) -> KeyDecision | Awaitable[KeyDecision]:
        """Judge *api_key*."""
        ...
