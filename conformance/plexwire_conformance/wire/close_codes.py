"""The close codes that the judge looks for; each is the core's `CloseCode` of that name, as a plain number."""

from typing import Final

from plexwire_protocol import CloseCode

UNAUTHORIZED: Final = CloseCode.UNAUTHORIZED.value
TIMEOUT: Final = CloseCode.TIMEOUT.value
TRY_AGAIN_LATER: Final = CloseCode.TRY_AGAIN_LATER.value
