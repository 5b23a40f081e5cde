"""Faulty devices."""

import json
from typing import Any

import trio

from plexwire_conformance.faults._program_fault import program_fault
from plexwire_conformance.faults._program_models import ModelDevice, WholeFramesOnly
from plexwire_conformance.recording.recorder import Entry
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import Ending, RawPeer
from plexwire_conformance.wire.roles import RawDevice, device_auth_text, text_frame

_KNOWN = ("authenticated", "error", "telemetry_ack")


@program_fault("device.key-in-url", "It puts its key into the URL as well.", "PW-ADDR-20")
class KeyInUrl(ModelDevice):
    def target(self) -> str:
        return f"/ws/device?key={self.invitation.api_key}"


@program_fault("device.key-in-header", "It sends its key in a header as well.", "PW-ADDR-20")
class KeyInHeader(ModelDevice):
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("X-Api-Key", self.invitation.api_key),)


@program_fault("device.no-pong", "It answers no ping.", "PW-CONN-9")
class NoPong(ModelDevice):
    answers_pings = False


@program_fault("device.no-close", "It answers a close frame by hanging up.", "PW-CONN-18")
class NoClose(ModelDevice):
    answers_closes = False


@program_fault("device.unmasked", "It sends a ping without a mask.", "PW-CONN-16")
class Unmasked(ModelDevice):
    async def publish(self, peer: RawPeer) -> None:
        await peer.send_raw(encode_frame(Opcode.PING, b"", mask=None), "a ping without a mask")
        await trio.sleep_forever()


@program_fault("device.fragments", "It cannot read a message in pieces.", "PW-CONN-14")
class Fragments(ModelDevice):
    frames = WholeFramesOnly


@program_fault(
    "device.hello", "It says hello before its `device_auth`.", "PW-DEV-1", also=("PW-DEV-18",)
)
class Hello(ModelDevice):
    def first_messages(self) -> list[str | bytes]:
        return [json.dumps({"type": "hello"}), *super().first_messages()]


@program_fault("device.binary-auth", "It sends its `device_auth` as binary.", "PW-DEV-1")
class BinaryAuth(ModelDevice):
    def first_messages(self) -> list[str | bytes]:
        return [device_auth_text(self.invitation.api_key, self.invitation.source_id).encode()]


@program_fault("device.no-source", "It does not say as which source it comes.", "PW-DEV-1")
class NoSource(ModelDevice):
    def first_messages(self) -> list[str | bytes]:
        return [json.dumps({"type": "device_auth", "api_key": self.invitation.api_key})]


@program_fault("device.silent-start", "It waits to be asked for its `device_auth`.", "PW-DEV-1")
class SilentStart(ModelDevice):
    def first_messages(self) -> list[str | bytes]:
        return []


@program_fault("device.eager", "It publishes before it is authenticated.", "PW-DEV-18")
class Eager(ModelDevice):
    async def converse(self, peer: RawPeer) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._early, peer)
            await super().converse(peer)
            nursery.cancel_scope.cancel()

    async def _early(self, peer: RawPeer) -> None:
        await trio.sleep(0.1)
        await self.send_picture(RawDevice(peer, self.invitation.source_id, self._next_stamp))


@program_fault("device.patient", "It waits for its answer for ever.", "PW-DEV-14")
class Patient(ModelDevice):
    patience = 3600.0


@program_fault("device.impatient", "It waits for its answer for three seconds.", "PW-DEV-14")
class Impatient(ModelDevice):
    patience = 3.0


@program_fault(
    "device.any-answer", "It takes any first answer as a yes.", "PW-DEV-14", also=("PW-DEV-23",)
)
class AnyAnswer(ModelDevice):
    def accepts(self, answer: Entry) -> bool:
        return True


@program_fault("device.no-heartbeat", "It sends no heartbeat.", "PW-DEV-13")
class NoHeartbeat(ModelDevice):
    heartbeat_s = 3600.0


@program_fault("device.strict-types", "It leaves when a type is unknown.", "PW-DEV-21")
class StrictTypes(ModelDevice):
    def leaves_after(self, entry: Entry) -> bool:
        return isinstance(entry.type, str) and entry.type not in _KNOWN


@program_fault(
    "device.strict-members", "It refuses unknown members of `authenticated`.", "PW-DEV-21"
)
class StrictMembers(ModelDevice):
    def accepts(self, answer: Entry) -> bool:
        return super().accepts(answer) and len(answer.body or {}) == 3


@program_fault("device.mute", "It stops publishing at a message of an unknown type.", "PW-DEV-21")
class Mute(ModelDevice):
    def leaves_after(self, entry: Entry) -> bool:
        self.is_mute = entry.type not in _KNOWN
        return False

    async def send_picture(self, device: RawDevice) -> None:
        if not getattr(self, "is_mute", False):
            await super().send_picture(device)


@program_fault("device.strict-errors", "It leaves at any `error` message.", "PW-DEV-28")
class StrictErrors(ModelDevice):
    def leaves_after(self, entry: Entry) -> bool:
        return bool(entry.type == "error")


@program_fault("device.one-life", "It does not come back after a loss.", "PW-DEV-15")
class OneLife(ModelDevice):
    def comes_back(self, ending: Ending | None) -> bool:
        return False


@program_fault("device.hammers", "It comes back without a pause.", "PW-DEV-15", also=("PW-DEV-23",))
class Hammers(ModelDevice):
    def pause(self, ending: Ending | None) -> float:
        return 0.05


@program_fault("device.steady", "It comes back every second.", "PW-DEV-15", also=("PW-DEV-23",))
class Steady(ModelDevice):
    def pause(self, ending: Ending | None) -> float:
        return 1.0


@program_fault("device.in-step", "It doubles its pauses exactly.", "PW-DEV-15")
class InStep(ModelDevice):
    def variation(self, failures: int) -> float:
        return 1.0


@program_fault("device.refused-hammers", "It comes back at once after a refusal.", "PW-DEV-23")
class RefusedHammers(ModelDevice):
    def comes_back(self, ending: Ending | None) -> bool:
        return True

    def pause(self, ending: Ending | None) -> float:
        return 0.1 if ending is not None and ending.code == 4001 else super().pause(ending)


@program_fault("device.queues", "It keeps the frames that the link cannot take.", "PW-DEV-16")
class Queues(ModelDevice):
    async def publish(self, peer: RawPeer) -> None:
        device = RawDevice(peer, self.invitation.source_id, self._next_stamp)
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self.send_picture, device)
                await trio.sleep(1 / 15)


@program_fault("device.large-jpeg", "It sends a JPEG of 800 000 bytes as it is.", "PW-DEV-25")
class LargeJpeg(ModelDevice):
    picture_bytes = 800_000
    picture_s = 1.0


@program_fault(
    "device.large-message", "It sends messages of over 1 MiB.", "PW-LIM-5", also=("PW-DEV-25",)
)
class LargeMessage(ModelDevice):
    picture_bytes = 1_048_577
    picture_s = 1.0


@program_fault("device.layout", "It leaves the version out of its binary frames.", "PW-DEV-26")
class Layout(ModelDevice):
    async def send_picture(self, device: RawDevice) -> None:
        await device.peer.send(b"\x00" + b"robot" * 20)


@program_fault("device.width-text", "It sends the width as text.", "PW-DEV-26")
class WidthText(ModelDevice):
    async def send_picture(self, device: RawDevice) -> None:
        await device.publish_text(self.invitation.camera_id, extra={"width": "640"})


@program_fault("device.seconds", "It stamps frames in seconds.", "PW-DEV-26")
class Seconds(ModelDevice):
    async def send_picture(self, device: RawDevice) -> None:
        await device.publish(self.invitation.camera_id, timestamp=1_750_000_000)


@program_fault("device.url-base64", "It writes pictures in the base64 of URLs.", "PW-DEV-26")
class UrlBase64(ModelDevice):
    async def send_picture(self, device: RawDevice) -> None:
        sent = device.make(self.invitation.camera_id, size=3000)
        text = text_frame(sent, device.source_id)
        await device.peer.send(text.replace("+", "-").replace("/", "_"))


@program_fault("device.nan", "It writes NaN into a thermal frame.", "PW-DEV-27")
class Nan(ModelDevice):
    async def send_picture(self, device: RawDevice) -> None:
        more: dict[str, Any] = {"video_type": "thermal", "temp_min": float("nan")}
        await device.publish_text(self.invitation.camera_id, extra=more)
