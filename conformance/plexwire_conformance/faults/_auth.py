"""Faults in what is an auth, and in what may come before it."""

import json
import re
from abc import abstractmethod
from collections.abc import Callable

import trio

from plexwire_conformance.faults._fault import FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import Listening, Talkative
from plexwire_protocol import (
    AnyMessage,
    CloseCode,
    Event,
    GatewayViewerSession,
    Hub,
    MalformedMessage,
    MessageIgnored,
    MessageRefused,
    Refusal,
    State,
    StreamAddress,
    VideoFrame,
    encode,
)
from plexwire_server import KeyDecision

# ── what is an auth ──────────────────────────────────────────────────────────────────────────


class _Reader(GatewayViewerSession):
    """Reads the first message otherwise."""

    @abstractmethod
    def read(self, text: str) -> str | None:
        """Return what it takes *text* for; None refuses it."""

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        """Take what `read` makes of the first message."""
        if self.state is not State.AWAITING_AUTH or isinstance(data, bytes):
            return super()._receive(data, now=now)
        if (text := self.read(data)) is None:
            return self.close(CloseCode.UNAUTHORIZED, now=now)
        return super()._receive(text, now=now)


@fault("auth.case-insensitive-type", "Takes `Auth` for `auth`.", "PW-AUTH-5")
class CaseInsensitiveType(_Reader):
    def read(self, text: str) -> str:
        return text.replace('"Auth"', '"auth"')


@fault("auth.key-in-a-list", "Takes the key out of a list, as some query parsers do.", "PW-AUTH-6")
class KeyInAList(_Reader):
    def read(self, text: str) -> str:
        return re.sub(r'\["(plx_[^"]*)"\]', r'"\1"', text)


@fault(
    "auth.by-pattern",
    "Looks for the auth by a pattern instead of parsing it.",
    "PW-AUTH-2",
    also=("PW-AUTH-11",),
)
class ByPattern(_Reader):
    def read(self, text: str) -> str | None:
        found = re.match(r'\{"type": ?"auth"(, ?"api_key": ?"|\})', text)
        return text if found or '"auth"' not in text else None


@fault(
    "auth.extra-members-refused",
    "Refuses an auth with a member that it does not know.",
    "PW-AUTH-11",
)
class ExtraMembersRefused(_Reader):
    def read(self, text: str) -> str | None:
        return text if text.count('":') <= 2 else None


@fault("auth.anything-before", "Passes over messages that come before the auth.", "PW-AUTH-5")
class AnythingBefore(GatewayViewerSession):
    def _received_unknown(self, message: AnyMessage, *, now: float) -> list[Event]:
        return [MessageIgnored(message)]


@fault(
    "auth.malformed-ignored",
    "Passes over an auth that it can't read, until the deadline.",
    "PW-AUTH-6",
)
class MalformedIgnored(GatewayViewerSession):
    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        if error.refusal is Refusal.NO_TYPE:
            return super()._received_malformed(error, now=now)
        return [MessageRefused(error)]


class _Anonymous(GatewayViewerSession):
    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        if error.refusal is Refusal.MISSING_MEMBER:
            return self.receive('{"type":"auth","api_key":"anonymous"}', now=now)
        return super()._received_malformed(error, now=now)


@fault(
    "auth.anonymous", "Takes an auth without a key for a visitor's, and lets it in.", "PW-AUTH-6"
)
class Anonymous(FaultyGateway):
    viewer_rules = _Anonymous

    async def check_key(self, api_key: str) -> KeyDecision:
        return await super().check_key(self.given.api_key if api_key == "anonymous" else api_key)


# ── what comes before it ─────────────────────────────────────────────────────────────────────


@fault("auth.greeting", "Greets a viewer as soon as it has connected.", "PW-AUTH-10")
class Greeting(Talkative):
    def __init__(self, address: StreamAddress, *, now: float) -> None:
        super().__init__(address, now=now)
        self.say(json.dumps({"type": "hello", "gateway": "faulty"}))


class _Impatient(Viewer):
    gateway: "FramesBefore"

    def __init__(self, hub: Hub, session: GatewayViewerSession, wake: Callable[[], None]) -> None:
        super().__init__(hub, session, wake)
        self.gateway.waiting[self] = None


@fault(
    "auth.frames-before",
    "Sends frames to viewers that have not authenticated yet.",
    "PW-AUTH-10",
    also=("PW-INIT-3", "PW-ISO-1"),
)
class FramesBefore(Listening):
    viewer_peer = _Impatient

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[Viewer, None] = {}

    def hear(self, organisation: str, frame: VideoFrame) -> None:
        for viewer in tuple(self.waiting):
            if viewer.session.state is not State.AWAITING_AUTH:
                del self.waiting[viewer]
            elif viewer.address.source_id == frame.source_id:
                viewer.say(encode(frame), now=trio.current_time())
