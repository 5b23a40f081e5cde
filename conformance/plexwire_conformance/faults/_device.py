"""Faults in how devices are let in, and in what they may say."""

import json
from abc import abstractmethod

import trio

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._parts import Members, RetoldAnswer
from plexwire_protocol import (
    AnyMessage,
    CloseCode,
    Event,
    GatewayDeviceSession,
    MessageReceived,
    Outgoing,
    State,
    Unknown,
    VideoFrame,
)
from plexwire_server import KeyRefused
from plexwire_server.extending import DeviceConnection

# ── the answer ───────────────────────────────────────────────────────────────────────────────


@fault("dev.unanswered", "Lets devices in without a word.", "PW-DEV-2")
class Unanswered(GatewayDeviceSession):
    def take_outbox(self) -> list[Outgoing]:
        return [item for item in super().take_outbox() if not isinstance(item, str)]


@fault("dev.answered-late", "Answers a device after twelve seconds.", "PW-DEV-2")
class AnsweredLate(DeviceConnection):
    async def answer(self, api_key: str) -> None:
        await trio.sleep(12)
        await super().answer(api_key)


@fault("dev.welcomed-first", "Says welcome before it says authenticated.", "PW-DEV-2")
class WelcomedFirst(GatewayDeviceSession):
    def grant(self, *, server_time_ms: int, now: float) -> None:
        self._put('{"type":"welcome"}')
        super().grant(server_time_ms=server_time_ms, now=now)


@fault(
    "dev.source-renamed", "Tells a device another source_id than the one it declared.", "PW-DEV-2"
)
class SourceRenamed(RetoldAnswer):
    def tell(self, members: Members) -> Members:
        return {**members, "source_id": f"source-{len(members['source_id'])}"}


@fault("dev.time-in-seconds", "Gives its time in seconds.", "PW-DEV-3")
class TimeInSeconds(RetoldAnswer):
    def tell(self, members: Members) -> Members:
        return {**members, "server_time_ms": members["server_time_ms"] // 1000}


@fault("dev.time-as-string", "Gives its time as a string.", "PW-DEV-3")
class TimeAsString(RetoldAnswer):
    def tell(self, members: Members) -> Members:
        return {**members, "server_time_ms": str(members["server_time_ms"])}


@fault("dev.time-since-start", "Gives the milliseconds since it was started.", "PW-DEV-3")
class TimeSinceStart(FaultyGateway):
    def __init__(self) -> None:
        super().__init__()
        self.unix_ms = lambda: 1000


@fault("dev.unfulfilled-acks", "Promises to acknowledge telemetry, and never does.", "PW-DEV-8")
class UnfulfilledAcks(RetoldAnswer):
    def tell(self, members: Members) -> Members:
        return {**members, "acks": True}


# ── who is let in ────────────────────────────────────────────────────────────────────────────


@fault("dev.any-key", "Lets every device in, whatever its key.", "PW-DEV-4")
class AnyKey(DeviceConnection):
    gateway: FaultyGateway

    async def answer(self, api_key: str) -> None:
        refused = isinstance(await self.gateway.check_key(api_key), KeyRefused)
        await super().answer(self.gateway.given.api_key if refused else api_key)


class _Undecided(RetoldAnswer):
    """Says `error` instead of `authenticated` to one that is only half let in."""

    half_in = False

    def tell(self, members: Members) -> Members:
        refusal = {"type": "error", "code": "unauthorized", "detail": "the key is not accepted"}
        return refusal if self.half_in else members


class _StillRelaying(AnyKey):
    """Lets a refused device stay."""

    async def answer(self, api_key: str) -> None:
        session = self.peer.session
        assert isinstance(session, _Undecided)
        session.half_in = isinstance(await self.gateway.check_key(api_key), KeyRefused)
        await super().answer(api_key)


@fault(
    "dev.refused-and-relayed",
    "Tells a device that its key is bad, and relays its frames all the same.",
    "PW-DEV-4",
    also=("PW-DEV-5",),
)
class RefusedAndRelayed(FaultyGateway):
    device_connection = _StillRelaying
    device_rules = _Undecided


class _Turning(GatewayDeviceSession):
    """Turns devices away otherwise."""

    @abstractmethod
    def turned(self, report: str) -> list[Outgoing]:
        """Return what is said instead of *report*."""

    def take_outbox(self) -> list[Outgoing]:
        outbox: list[Outgoing] = []
        for item in super().take_outbox():
            if isinstance(item, str) and item.startswith('{"type":"error"'):
                outbox += self.turned(item)
            else:
                outbox.append(item)
        return outbox


@fault(
    "dev.refused-in-silence", "Closes on a device with a bad key without saying why.", "PW-DEV-5"
)
class RefusedInSilence(_Turning):
    def turned(self, report: str) -> list[Outgoing]:
        return []


@fault("dev.refused-without-code", "Tells a refused device why in words alone.", "PW-DEV-5")
class RefusedWithoutCode(_Turning):
    def turned(self, report: str) -> list[Outgoing]:
        return [json.dumps({"type": "error", "detail": json.loads(report)["detail"]})]


@fault("dev.refused-with-empty-detail", "Leaves the detail of a refusal empty.", "PW-DEV-5")
class RefusedWithEmptyDetail(_Turning):
    def turned(self, report: str) -> list[Outgoing]:
        return [json.dumps({**json.loads(report), "detail": ""})]


@fault(
    "dev.extra-members-refused",
    "Refuses a device_auth with members that the first SDK did not send.",
    "PW-DEV-6",
)
class ExtraMembersRefused(GatewayDeviceSession):
    _known = frozenset(("type", "api_key", "source_id", "platform", "agent_version"))

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        events = super()._receive(data, now=now)
        if self.state is State.CHECKING_KEY and not self._known.issuperset(json.loads(data)):
            return self.refuse(now=now)
        return events


# ── what they may say ────────────────────────────────────────────────────────────────────────


class _Strict(GatewayDeviceSession):
    """Closes on a device for messages that it may send."""

    @abstractmethod
    def minds(self, name: str) -> bool:
        """Whether it closes for a message of this type."""

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        events = super()._receive(data, now=now)
        if self.state is State.STREAMING and isinstance(data, str) and self._minded(data):
            return self.close(CloseCode.PROTOCOL_ERROR, now=now)
        return events

    def _minded(self, data: str) -> bool:
        try:
            members = json.loads(data)
        except (ValueError, RecursionError):
            return False
        return isinstance(members, dict) and self.minds(str(members.get("type")))


@fault("dev.telemetry-closes", "Closes on a device that sends telemetry.", "PW-DEV-7")
class TelemetryCloses(_Strict):
    def minds(self, name: str) -> bool:
        return name == "telemetry"


@fault("dev.heartbeat-closes", "Closes on a device that sends a heartbeat.", "PW-DEV-7")
class HeartbeatCloses(_Strict):
    def minds(self, name: str) -> bool:
        return name == "heartbeat"


@fault(
    "dev.unknown-type-closes",
    "Closes on a device that sends a message of a type that it does not know.",
    "PW-DEV-9",
)
class UnknownTypeCloses(_Strict):
    def minds(self, name: str) -> bool:
        return not name.startswith(("video_", "telemetry", "heartbeat", "command_"))


@fault(
    "dev.commands-end-video",
    "Takes a device that answers a command for one without cameras.",
    "PW-DEV-7",
)
class CommandsEndVideo(GatewayDeviceSession):
    _commanded = False

    def _received_unknown(self, message: AnyMessage, *, now: float) -> list[Event]:
        if isinstance(message, Unknown) and message.name.startswith("command_"):
            self._commanded = True
        return super()._received_unknown(message, now=now)

    def _receive(self, data: str | bytes, *, now: float) -> list[Event]:
        events = super()._receive(data, now=now)
        return [event for event in events if not (self._commanded and _is_frame(event))]


def _is_frame(event: Event) -> bool:
    return isinstance(event, MessageReceived) and isinstance(event.message, VideoFrame)
