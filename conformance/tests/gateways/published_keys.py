"""Keys of the published system: who has which, and for how long its two hosts believe an old verdict."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

#: "Key verdicts are cached: 300 s at the API, 60 s at the gateway."
API_CACHE: Final = 300.0
GATEWAY_CACHE: Final = 60.0


@dataclass(frozen=True)
class Account:
    """What a key stands for."""

    organisation: str
    has_access: bool = True


def accounts() -> dict[str, Account]:
    """Return the keys that exist when the system starts."""
    return {
        "plx_independent_home": Account("home"),
        "plx_independent_foreign": Account("foreign"),
        "plx_independent_no_access": Account("home", has_access=False),
        "plx_independent_revoked": Account("home"),
    }


@dataclass
class KeyStore:
    """The keys that exist now; a look takes *delay* seconds."""

    delay: float = 0.0
    keys: dict[str, Account] = field(default_factory=accounts)

    async def look_up(self, key: str) -> Account | None:
        await asyncio.sleep(self.delay)
        return self.keys.get(key)

    def revoke(self, key: str) -> None:
        self.keys.pop(key, None)


@dataclass
class KeyCache:
    """The verdicts of one host: "a key used and then revoked keeps working that long"."""

    store: KeyStore
    lifetime: float
    verdicts: dict[str, tuple[float, Account | None]] = field(default_factory=dict)

    async def verdict(self, key: str) -> Account | None:
        """Return whose key this is, as far as this host knows; None if it is not anyone's."""
        if key in self.verdicts:
            expires, account = self.verdicts[key]
            if time.monotonic() < expires:
                return account
        account = await self.store.look_up(key)
        self.remember(key, account)
        return account

    def remember(self, key: str, account: Account | None) -> None:
        self.verdicts[key] = time.monotonic() + self.lifetime, account
