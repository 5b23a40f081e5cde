"""Faults in what the end of one connection leaves to others."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import trio

from plexwire_conformance.faults._fault import Device, FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import Refusing
from plexwire_protocol import CloseCode, ConversationClosed, Event, OnlineSource
from plexwire_server import KeyDecision
from plexwire_server.extending import Request, Response

_STREAMS: Final = 80


# ── two connections of one source ────────────────────────────────────────────────────────────


class _Twin(Device):
    gateway: "_Forgetful"

    def _leave(self) -> None:
        self.gateway.forgotten.add(self.source_id)
        super()._leave()

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        self.gateway.forgotten.discard(self.source_id)
        return super()._receive(data, now)


class _TwinsViewer(Viewer):
    gateway: "_Forgetful"

    def _online(self) -> Iterable[OnlineSource]:
        return [] if self.address.source_id in self.gateway.forgotten else super()._online()


class _Forgetful(FaultyGateway):
    """Knows which sources had a connection that left, until a frame of them comes."""

    viewer_peer = _TwinsViewer
    device_peer = _Twin

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: set[str] = set()


@fault(
    "init.twin-forgotten",
    "Takes a source off the list when one of its connections ends, until the other one sends.",
    "PW-INIT-5",
)
class TwinForgotten(_Forgetful):
    pass


class _Silenced(Device):
    gateway: "TwinSilenced"
    _generation = 0

    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        super()._admit(online, now)
        self._generation = self.gateway.endings.get(self.source_id, 0)

    def _leave(self) -> None:
        self.gateway.endings[self.source_id] = self.gateway.endings.get(self.source_id, 0) + 1
        super()._leave()

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        if self._generation < self.gateway.endings.get(self.source_id, 0):
            return []
        return super()._receive(data, now)


@fault(
    "frames.end-with-a-twin",
    "Relays nothing more of a source, on the connections that it has, when one of them ends.",
    "PW-FRAME-9",
)
class TwinSilenced(FaultyGateway):
    device_peer = _Silenced

    def __init__(self) -> None:
        super().__init__()
        self.endings: dict[str, int] = {}


# ── those who vanish ─────────────────────────────────────────────────────────────────────────


class _Vanishing(Device):
    gateway: "VanishedStayListed"
    _has_vanished = False

    def _handle(self, event: Event, now: float) -> list[Event]:
        if isinstance(event, ConversationClosed):
            self._has_vanished = event.close.code == CloseCode.ABNORMAL
        return super()._handle(event, now)

    def _leave(self) -> None:
        super()._leave()
        if self._has_vanished:
            self.gateway.vanished[self.source_id] = self.cameras


class _Believing(Viewer):
    gateway: "VanishedStayListed"

    def _online(self) -> Iterable[OnlineSource]:
        source_id = self.address.source_id
        online = tuple(super()._online())
        if online or source_id not in self.gateway.vanished:
            return online
        return [OnlineSource(source_id=source_id, cameras=self.gateway.vanished[source_id])]


@fault(
    "init.vanished-stay-listed",
    "Lists the cameras of a device that vanished for ever.",
    "PW-INIT-7",
)
class VanishedStayListed(FaultyGateway):
    viewer_peer = _Believing
    device_peer = _Vanishing

    def __init__(self) -> None:
        super().__init__()
        self.vanished: dict[str, Iterable[str]] = {}


# ── seats ────────────────────────────────────────────────────────────────────────────────────


class _Seats(Refusing):
    """Has seats for viewers, and loses some of them."""

    streams = _STREAMS
    refusal = Response(HTTPStatus.SERVICE_UNAVAILABLE, "No seat is free.\n")

    def __init__(self) -> None:
        super().__init__()
        self.lost_seats = 0

    def refuses(self, request: Request) -> bool:
        return self.lost_seats + len(self.hub.viewers) >= _STREAMS


class _Seated(Viewer):
    gateway: _Seats

    def _handle(self, event: Event, now: float) -> list[Event]:
        if isinstance(event, ConversationClosed) and event.close.code == CloseCode.ABNORMAL:
            self.gateway.lost_seats += 1
        return super()._handle(event, now)


@fault("lim.seats-of-the-vanished", "Never frees the seat of a viewer that vanished.", "PW-LIM-13")
class SeatsOfTheVanished(_Seats):
    viewer_peer = _Seated


class _Unchecked(Viewer):
    gateway: _Seats

    def _handle(self, event: Event, now: float) -> list[Event]:
        if isinstance(event, ConversationClosed):
            self.gateway.lost_seats += self.api_key is not None
        return super()._handle(event, now)


@fault(
    "lim.seats-of-the-unchecked",
    "Takes a moment to check a key, and never frees the seat of a viewer that has left by then.",
    "PW-LIM-13",
)
class SeatsOfTheUnchecked(_Seats):
    viewer_peer = _Unchecked

    async def check_key(self, api_key: str) -> KeyDecision:
        await trio.sleep(0.1)
        return await super().check_key(api_key)
