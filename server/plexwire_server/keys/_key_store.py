"""API keys: who may do what, without keeping the keys themselves."""

import hmac
import re
import secrets
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from attrs import field, frozen

from plexwire_protocol import CloseCode
from plexwire_server.keys._key_decision import KeyDecision, KeyGranted, KeyRefused, Scope
from plexwire_server.keys._key_file import KeyFileError, read_tables

#: What every key begins with.
PREFIX: Final = "plx_"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class KeyRecord:
    """What a store keeps of one key: its SHA-256, which suffices as keys are drawn at random.

    Raises:
        ValueError: a value is not of the form that a keys file can hold.

    """

    name: str = field()
    organisation: str = field()
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope] = frozenset(Scope)
    api_access: bool = True
    revoked: bool = False

    def __attrs_post_init__(self) -> None:
        for what, value in (("name", self.name), ("organisation", self.organisation)):
            if _NAME.fullmatch(value) is None:
                raise ValueError(f"{what} must be 1 to 64 of A-Z a-z 0-9 . _ -, not {value!r}")

    def as_table(self) -> dict[str, str | bool | list[str]]:
        """Return the record as it stands in a keys file."""
        return {
            "name": self.name,
            "organisation": self.organisation,
            "sha256": self.digest.hex(),
            "scopes": sorted(self.scopes),
            "api_access": self.api_access,
            "revoked": self.revoked,
        }


@frozen
class ThrowAwayKeys:
    """A set of keys to try every answer of a gateway with, valid as long as their store lives."""

    #: Reads and writes for the first organisation.
    api_key: str = field(repr=False)
    #: Writes, and no more, for the first organisation.
    device_key: str = field(repr=False)
    #: Reads and writes for the second organisation.
    foreign_key: str = field(repr=False)
    #: Belongs to the first organisation, whose plan has no API access for it.  [PW-AUTH-9]
    no_access_key: str = field(repr=False)
    #: Belonged to the first organisation.  [PW-AUTH-8]
    revoked_key: str = field(repr=False)
    #: Another key that reads and writes for the first organisation.
    other_key: str = field(repr=False)
    #: Reads, and no more, for the first organisation.  [PW-DEV-12]
    read_key: str = field(repr=False)

    def as_environment(self) -> dict[str, str]:
        """Return the keys under the names by which the other commands find them."""
        return {
            "PLEXWIRE_API_KEY": self.api_key,
            "PLEXWIRE_DEVICE_KEY": self.device_key,
            "PLEXWIRE_FOREIGN_KEY": self.foreign_key,
            "PLEXWIRE_NO_ACCESS_KEY": self.no_access_key,
            "PLEXWIRE_REVOKED_KEY": self.revoked_key,
            "PLEXWIRE_OTHER_KEY": self.other_key,
            "PLEXWIRE_READ_KEY": self.read_key,
        }


class KeyStore:
    """Keys in memory, read from a file or made up; a key itself is never kept."""

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self._records = tuple(records)

    def __repr__(self) -> str:
        return f"<KeyStore of {len(self._records)} keys>"

    @property
    def records(self) -> tuple[KeyRecord, ...]:
        """What is kept of each key."""
        return self._records

    def check(self, api_key: str) -> KeyDecision:
        """Judge *api_key*: 4001 for an unknown or revoked one, 4002 for one without API access.  [PW-AUTH-7, PW-AUTH-9]

        Takes the same time wherever in the store the key is, and whether it is there at all.
        """
        digest = digest_of(api_key)
        found: KeyRecord | None = None
        for record in self._records:
            if hmac.compare_digest(record.digest, digest):
                found = record
        if found is None or found.revoked:
            return KeyRefused(CloseCode.UNAUTHORIZED)
        if not found.api_access:
            return KeyRefused(CloseCode.NO_API_ACCESS)
        return KeyGranted(found.organisation, found.scopes, found.name)

    @classmethod
    def read(cls, path: Path | str) -> "KeyStore":
        """Read a keys file.

        Raises:
            KeyFileError: it is missing, or something in it is wrong; says where.

        """
        path = Path(path)
        records: list[KeyRecord] = []
        for at, table in enumerate(read_tables(path), start=1):
            try:
                record = _record_of(table)
                if any(record.name == other.name for other in records):
                    raise ValueError(f"the name {record.name!r} is taken")
            except ValueError as error:
                raise KeyFileError(f"{path}: key {at}: {error}") from None
            records.append(record)
        return cls(records)

    @classmethod
    def throw_away(cls) -> "tuple[KeyStore, ThrowAwayKeys]":
        """Make up two organisations with one key for every answer that a gateway has."""
        keys = ThrowAwayKeys(*(draw_key() for _ in range(7)))
        first, second = "throw-away", "throw-away-two"
        read, write = frozenset({Scope.READ}), frozenset({Scope.WRITE})
        records = (
            KeyRecord(name="viewer", organisation=first, digest=digest_of(keys.api_key)),
            KeyRecord(
                name="device", organisation=first, digest=digest_of(keys.device_key), scopes=write
            ),
            KeyRecord(name="foreign", organisation=second, digest=digest_of(keys.foreign_key)),
            KeyRecord(
                name="no-access",
                organisation=first,
                digest=digest_of(keys.no_access_key),
                api_access=False,
            ),
            KeyRecord(
                name="revoked", organisation=first, digest=digest_of(keys.revoked_key), revoked=True
            ),
            KeyRecord(name="other", organisation=first, digest=digest_of(keys.other_key)),
            KeyRecord(
                name="reader", organisation=first, digest=digest_of(keys.read_key), scopes=read
            ),
        )
        return cls(records), keys


def draw_key() -> str:
    """Return a new key: 256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(api_key: str) -> bytes:
    """Return what is kept of *api_key*."""
    return sha256(api_key.encode("utf-8", "surrogatepass")).digest()


def _record_of(table: dict[str, object]) -> KeyRecord:
    unknown = sorted(
        set(table) - {"name", "organisation", "sha256", "scopes", "api_access", "revoked"}
    )
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a member of a key")
    hexadecimal = _string(table, "sha256")
    if _DIGEST.fullmatch(hexadecimal) is None:
        raise ValueError("sha256 must be 64 digits of 0-9 a-f")
    return KeyRecord(
        name=_string(table, "name"),
        organisation=_string(table, "organisation"),
        digest=bytes.fromhex(hexadecimal),
        scopes=_scopes(table.get("scopes", list(Scope))),
        api_access=_flag(table, "api_access", default=True),
        revoked=_flag(table, "revoked", default=False),
    )


def _string(table: dict[str, object], name: str) -> str:
    match table.get(name):
        case str(value):
            return value
        case None:
            raise ValueError(f"{name} is missing")
        case _:
            raise ValueError(f"{name} must be a string")


def _flag(table: dict[str, object], name: str, *, default: bool) -> bool:
    value = table.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return value


def _scopes(value: object) -> frozenset[Scope]:
    words = sorted(scope.value for scope in Scope)
    if not isinstance(value, list) or not all(word in words for word in value):
        raise ValueError(f"scopes must be a list of {', '.join(words)}")
    return frozenset(Scope(word) for word in value)
