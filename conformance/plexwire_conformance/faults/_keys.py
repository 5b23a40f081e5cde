"""Faults in which keys are good, and in how a bad one is refused."""

import unicodedata
from abc import abstractmethod
from contextvars import ContextVar

import trio
from attrs import evolve

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._wire import CLOSE, Wire
from plexwire_protocol import (
    Close,
    CloseCode,
    Event,
    GatewayViewerSession,
    MalformedMessage,
    Outgoing,
    Refusal,
)
from plexwire_server import KeyDecision, KeyRefused
from plexwire_server.extending import (
    DeviceConnection,
    Request,
    Response,
    Upgrade,
    ViewerConnection,
)


class _Lenient(FaultyGateway):
    """Lets some keys pass for others."""

    @abstractmethod
    def meant(self, api_key: str) -> str:
        """Return the key that *api_key* passes for."""

    async def check_key(self, api_key: str) -> KeyDecision:
        """Judge the key that *api_key* passes for."""
        return await super().check_key(self.meant(api_key))

    @property
    def known(self) -> tuple[str, ...]:
        """The good keys."""
        return (self.given.api_key, self.given.device_key, self.given.foreign_key)


@fault(
    "auth.any-key",
    "Accepts whatever is given as a key.",
    "PW-AUTH-7",
    also=("PW-AUTH-8", "PW-AUTH-9", "PW-DEV-4", "PW-DEV-12"),
)
class AnyKey(_Lenient):
    def meant(self, api_key: str) -> str:
        return api_key if api_key in self.known else self.given.api_key


@fault(
    "auth.prefix-compare",
    "Compares keys by as many characters as were given.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class PrefixCompare(_Lenient):
    def meant(self, api_key: str) -> str:
        return next((key for key in self.known if key.startswith(api_key)), api_key)


@fault(
    "auth.longer-key", "Cuts keys at the length that its own have.", "PW-AUTH-7", also=("PW-DEV-4",)
)
class LongerKey(_Lenient):
    def meant(self, api_key: str) -> str:
        return next((key for key in self.known if api_key.startswith(key)), api_key)


@fault(
    "auth.last-character",
    "Compares all of a key but its last character.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class LastCharacter(_Lenient):
    def meant(self, api_key: str) -> str:
        same = (key for key in self.known if api_key and api_key[:-1] == key[:-1])
        return next(same, api_key)


@fault("auth.revoked-accepted", "Knows nothing of revocation.", "PW-AUTH-8", also=("PW-DEV-4",))
class RevokedAccepted(_Lenient):
    def meant(self, api_key: str) -> str:
        return self.given.api_key if api_key == self.given.revoked_key else api_key


@fault("keys.revoked-opens-device", "Looks at revocation for viewers only.", "PW-DEV-4")
class RevokedOpensDevice(DeviceConnection):
    gateway: FaultyGateway

    async def answer(self, api_key: str) -> None:
        given = self.gateway.given
        await super().answer(given.api_key if api_key == given.revoked_key else api_key)


@fault("keys.read-only-publishes", "Looks at the scopes of viewers only.", "PW-DEV-12")
class ReadOnlyPublishes(DeviceConnection):
    gateway: FaultyGateway

    async def answer(self, api_key: str) -> None:
        given = self.gateway.given
        await super().answer(given.api_key if api_key == given.read_key else api_key)


@fault(
    "keys.one-world-each",
    "Keeps the streams of each key apart, instead of those of each organisation.",
    "PW-FRAME-10",
    also=("PW-INIT-5",),
)
class OneWorldEach(_Lenient):
    def meant(self, api_key: str) -> str:
        return self.given.foreign_key if api_key == self.given.other_key else api_key


@fault(
    "keys.any-case",
    "Compares keys without regard to case, as its database does.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class AnyCase(_Lenient):
    def meant(self, api_key: str) -> str:
        return next((key for key in self.known if key.lower() == api_key.lower()), api_key)


@fault(
    "keys.compatibility-forms",
    "Normalises what it is given before it looks it up.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class CompatibilityForms(_Lenient):
    def meant(self, api_key: str) -> str:
        return unicodedata.normalize("NFKC", api_key)


@fault(
    "keys.prefix-optional",
    "Takes a key without its plx_ for the key.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class PrefixOptional(_Lenient):
    def meant(self, api_key: str) -> str:
        return api_key if api_key.startswith("plx_") else f"plx_{api_key}"


@fault(
    "keys.cut-at-zero",
    "Reads keys up to the first zero character, as C does.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class CutAtZero(_Lenient):
    def meant(self, api_key: str) -> str:
        return api_key.partition("\0")[0]


_BEARER: ContextVar[str] = ContextVar("_BEARER")


@fault(
    "keys.header-counts",
    "Takes the key of an Authorization header, whatever the auth says.",
    "PW-AUTH-7",
    also=("PW-DEV-4",),
)
class HeaderCounts(FaultyGateway):
    def route(self, request: Request) -> Response | Upgrade:
        _BEARER.set(request.header("authorization").removeprefix("Bearer "))
        return super().route(request)

    async def check_key(self, api_key: str) -> KeyDecision:
        return await super().check_key(_BEARER.get() or api_key)


@fault("auth.no-access-accepted", "Serves keys whose plan has no API access.", "PW-AUTH-9")
class NoAccessAccepted(_Lenient):
    def meant(self, api_key: str) -> str:
        return self.given.api_key if api_key == self.given.no_access_key else api_key


@fault(
    "auth.no-access-by-another-code",
    "Closes with 4001 where the plan has no API access, and says why.",
    "PW-AUTH-9",
)
class NoAccessByAnotherCode(GatewayViewerSession):
    def _closing(self, close: Close) -> Close:
        if close.code == CloseCode.NO_API_ACCESS:
            return evolve(close, code=CloseCode.UNAUTHORIZED, reason="no API access")
        return close


# ── how a bad one is refused ─────────────────────────────────────────────────────────────────


@fault(
    "auth.private-code",
    "Closes with 4401 where 4001 is due.",
    "PW-AUTH-7",
    also=("PW-AUTH-3", "PW-AUTH-5", "PW-AUTH-6", "PW-AUTH-8"),
)
class PrivateCode(GatewayViewerSession):
    def _closing(self, close: Close) -> Close:
        return evolve(close, code=4401) if close.code == CloseCode.UNAUTHORIZED else close


@fault("auth.policy-violation", "Closes with 1008 for an auth that it can't read.", "PW-AUTH-6")
class PolicyViolation(GatewayViewerSession):
    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        if error.refusal is Refusal.NO_TYPE:
            return super()._received_malformed(error, now=now)
        return self.close(1008, error.clause, now=now)


@fault(
    "auth.slow-refusal",
    "Lets the bearer of a bad key wait five seconds for its close.",
    "PW-AUTH-7",
    also=("PW-AUTH-8",),
)
class SlowRefusal(ViewerConnection):
    async def answer(self, api_key: str) -> None:
        if await self.gateway.check_key(api_key) == KeyRefused(CloseCode.UNAUTHORIZED):
            await trio.sleep(5)
        await super().answer(api_key)


@fault("auth.reason-as-message", "Says in a message why it is going to close.", "PW-AUTH-10")
class ReasonAsMessage(GatewayViewerSession):
    def take_outbox(self) -> list[Outgoing]:
        outbox = super().take_outbox()
        if outbox and isinstance(last := outbox[-1], Close) and last.code == CloseCode.UNAUTHORIZED:
            outbox.insert(-1, '{"type":"error","code":"unauthorized"}')
        return outbox


@fault(
    "close.tcp-drop",
    "Drops the connection where a close of its own is due.",
    "PW-CLOSE-1",
    also=("PW-DEV-5",),
)
class TcpDrop(Wire):
    def says(self, opcode: int, frame: bytes) -> bytes:
        if opcode == CLOSE and int.from_bytes(frame[2:4], "big") >= CloseCode.UNAUTHORIZED:
            raise trio.BrokenResourceError
        return frame


@fault(
    "close.tcp-drop-on-timeout", "Drops the connection once the timeout has passed.", "PW-CLOSE-1"
)
class TcpDropOnTimeout(Wire):
    def says(self, opcode: int, frame: bytes) -> bytes:
        if opcode == CLOSE and int.from_bytes(frame[2:4], "big") == CloseCode.TIMEOUT:
            raise trio.BrokenResourceError
        return frame
