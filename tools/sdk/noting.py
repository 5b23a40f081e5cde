"""The reference gateway, taking notes of what devices say."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio
from attrs import define, field

from judging import PATIENCE_S, SOURCE, expect
from plexwire_protocol import CloseCode, DevicePeer, Event, Hub, MessageRefused, Role
from plexwire_server import ConnectionReport, Gateway, KeyGranted, KeyStore
from plexwire_server.extending import DeviceConnection, GatewayHub


@define(eq=False)
class Notes:
    """What was heard from devices: how often, never what; `auth` holds names of members, no values."""

    heard: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)
    auth: set[str] = field(factory=set)
    #: When a source's auths came, in seconds on Trio's clock.
    auths_at: defaultdict[str, list[float]] = field(factory=partial(defaultdict, list[float]))
    ends: list[ConnectionReport] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)

    def note_message(self, data: str | bytes) -> None:
        """Note a message by its type, a frame by its form."""
        if isinstance(data, bytes):
            self.heard["binary frame"] += 1
            return
        message = json.loads(data)
        kind = message["type"]
        if kind == "device_auth":
            self.auth |= set(message)
            self.auths_at[message["source_id"]].append(trio.current_time())
        self.heard["text frame" if kind == "video_frame" else kind] += 1

    def note_end(self, report: ConnectionReport) -> None:
        """Note how a connection ended."""
        self.ends.append(report)
        self.touch()

    def touch(self) -> None:
        """Wake who waits."""
        self.changed.set()
        self.changed = trio.Event()

    def closes(self, source_id: str = SOURCE) -> list[int]:
        """Return the codes that the connections of a device ended with."""
        ends = [end for end in self.ends if end.role is Role.DEVICE and end.source_id == source_id]
        return [int(end.close.code) for end in ends if end.close is not None]

    async def wait_to_hear(self, kind: str, *, times: int = 1, seconds: float = PATIENCE_S) -> None:
        """Wait until a message of *kind* was heard so many times, in all."""
        with trio.move_on_after(seconds):
            while self.heard[kind] < times:
                await self.changed.wait()
        heard = self.heard[kind]
        expect(heard >= times, f"{heard} {kind} came within {seconds:g} s, not {times}")

    async def wait_for_auths(self, source_id: str, *, times: int) -> list[float]:
        """Wait until a source has sent its auth so many times, and return when."""
        auths = self.auths_at[source_id]
        with trio.move_on_after(PATIENCE_S):
            while len(auths) < times:
                await self.changed.wait()
        expect(len(auths) >= times, f"it came {len(auths)} times within {PATIENCE_S:g} s")
        return auths[:times]

    async def wait_for_close(self, code: CloseCode, *, source_id: str = SOURCE) -> None:
        """Wait until a connection of a device ended with *code*."""
        with trio.move_on_after(PATIENCE_S):
            while code not in self.closes(source_id):
                await self.changed.wait()
        closes = self.closes(source_id)
        expect(code in closes, f"it was not closed with {code}, but with {closes}")


class _NotingPeer(DevicePeer):
    """A device of the hub, with a note of each message before the rules are applied."""

    def _receive(self, data: str | bytes, now: float) -> list[Event]:
        notes = _notes_of(self.hub)
        notes.note_message(data)
        events = super()._receive(data, now)
        for event in events:
            if isinstance(event, MessageRefused):
                notes.refused[event.error.refusal.value] += 1
        notes.touch()
        return events


def _notes_of(hub: Hub) -> Notes:
    assert isinstance(hub, GatewayHub)
    assert isinstance(hub.gateway, NotingGateway)
    return hub.gateway.notes


class _NotingDevice(DeviceConnection):
    """A device that the gateway may say more to than a video gateway has to say."""

    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        assert isinstance(self.gateway, NotingGateway)
        self.gateway.devices[self.peer.source_id] = self


class NotingGateway(Gateway):
    """The reference gateway; in `notes` stands what its devices did."""

    device_connection = _NotingDevice
    device_peer = _NotingPeer

    def __init__(self, keys: KeyStore) -> None:
        self.notes = Notes()
        self.devices: dict[str, _NotingDevice] = {}
        super().__init__(keys, on_end=self.notes.note_end)

    def tell_device(self, message: Mapping[str, Any]) -> None:
        """Send the device a message that is none of video's."""
        self.devices[SOURCE].peer.say(json.dumps(message), now=trio.current_time())

    def drop_device(self) -> None:
        """Close the device, as a gateway does that goes away."""
        self.devices[SOURCE].go_away()
