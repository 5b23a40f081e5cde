"""Faulty viewers."""

import json

import trio

from plexwire_conformance.faults._program_fault import program_fault
from plexwire_conformance.faults._program_models import ModelViewer, WholeFramesOnly
from plexwire_conformance.recording.recorder import Entry, Kind
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import Ending, RawPeer
from plexwire_conformance.wire.roles import auth_text

_KNOWN = ("init", "video_frame", "gateway_reconnecting", "error")


@program_fault("viewer.key-in-url", "It puts its key into the URL as well.", "PW-ADDR-14")
class KeyInUrl(ModelViewer):
    def target(self) -> str:
        return f"{super().target()}&api_key={self.invitation.api_key}"


@program_fault("viewer.key-in-header", "It sends its key as a bearer token as well.", "PW-ADDR-14")
class KeyInHeader(ModelViewer):
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("Authorization", f"Bearer {self.invitation.api_key}"),)


@program_fault("viewer.no-pong", "It answers no ping.", "PW-CONN-8")
class NoPong(ModelViewer):
    answers_pings = False


@program_fault("viewer.no-close", "It answers a close frame by hanging up.", "PW-CONN-17")
class NoClose(ModelViewer):
    answers_closes = False


@program_fault("viewer.unmasked", "It sends its second message without a mask.", "PW-CONN-15")
class Unmasked(ModelViewer):
    async def converse(self, peer: RawPeer) -> None:
        await peer.send(auth_text(self.invitation.api_key))
        await peer.until(lambda entry: entry.type == "init", 10.0)
        await peer.send_raw(encode_frame(Opcode.PING, b"", mask=None), "a ping without a mask")
        await peer.until_ended(60.0, exactly=True)


@program_fault("viewer.fragments", "It cannot read a message in pieces.", "PW-CONN-13")
class Fragments(ModelViewer):
    frames = WholeFramesOnly


@program_fault("viewer.auth-binary", "It sends its `auth` as a binary message.", "PW-AUTH-1")
class AuthBinary(ModelViewer):
    def first_messages(self) -> list[str | bytes]:
        return [auth_text(self.invitation.api_key).encode()]


@program_fault("viewer.auth-late", "It sends its `auth` after twelve seconds.", "PW-AUTH-1")
class AuthLate(ModelViewer):
    async def converse(self, peer: RawPeer) -> None:
        await trio.sleep(12.0)
        await super().converse(peer)


@program_fault("viewer.auth-second", "It says hello before its `auth`.", "PW-AUTH-1")
class AuthSecond(ModelViewer):
    def first_messages(self) -> list[str | bytes]:
        return [json.dumps({"type": "hello"}), *super().first_messages()]


@program_fault("viewer.auth-other-member", "It calls the key `token`.", "PW-AUTH-1")
class AuthOtherMember(ModelViewer):
    def first_messages(self) -> list[str | bytes]:
        return [json.dumps({"type": "auth", "token": self.invitation.api_key})]


@program_fault("viewer.patient", "It waits for its `init` for ever.", "PW-VIEW-4")
class Patient(ModelViewer):
    patience = 3600.0


@program_fault("viewer.strict-types", "It leaves when a type is unknown.", "PW-VIEW-1")
class StrictTypes(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return isinstance(entry.type, str) and entry.type not in _KNOWN


@program_fault(
    "viewer.strict-members", "It leaves when a frame has an unknown member.", "PW-VIEW-1"
)
class StrictMembers(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.type == "video_frame" and len(entry.body or {}) > 7


@program_fault("viewer.strict-errors", "It leaves at any `error` message.", "PW-VIEW-3")
class StrictErrors(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return bool(entry.type == "error")


@program_fault("viewer.not-json", "It leaves when a text is no JSON object.", "PW-VIEW-3")
class NotJson(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.kind is Kind.TEXT and entry.body is None


@program_fault("viewer.binary", "It leaves when a message is binary.", "PW-VIEW-3")
class Binary(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.kind is Kind.BINARY


@program_fault("viewer.no-size", "It leaves at a frame of 0 × 0.", "PW-VIEW-3")
class NoSize(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.type == "video_frame" and (entry.body or {}).get("width") == 0


@program_fault(
    "viewer.second-init", "It leaves at a second `init`.", "PW-VIEW-5", also=("PW-RECON-2",)
)
class SecondInit(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.type == "init" and not self.failures


@program_fault("viewer.null-init", "It leaves when `online_sources` is no list.", "PW-VIEW-5")
class NullInit(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.type == "init" and not isinstance(
            (entry.body or {}).get("online_sources"), list
        )


@program_fault("viewer.object-cameras", "It leaves when cameras are objects.", "PW-VIEW-5")
class ObjectCameras(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        sources = (entry.body or {}).get("online_sources") or ()
        cameras = [camera for source in sources for camera in source.get("cameras") or ()]
        return entry.type == "init" and any(isinstance(camera, dict) for camera in cameras)


@program_fault("viewer.early-frame", "It leaves at a frame before its `init`.", "PW-VIEW-5")
class EarlyFrame(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.type == "video_frame" and bool(self.failures)


@program_fault("viewer.small", "It takes no message of over 1 MiB.", "PW-VIEW-6")
class Small(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.size > 1_048_576


@program_fault("viewer.outage", "It leaves at a `gateway_reconnecting`.", "PW-RECON-2")
class Outage(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return bool(entry.type == "gateway_reconnecting")


@program_fault(
    "viewer.outage-attempts", "It leaves after the fifth `gateway_reconnecting`.", "PW-RECON-2"
)
class OutageAttempts(ModelViewer):
    def leaves_after(self, entry: Entry) -> bool:
        return entry.type == "gateway_reconnecting" and (entry.body or {}).get("attempt") == 5


@program_fault("viewer.one-stream", "It does not come back after a 4008.", "PW-VIEW-2")
class OneStream(ModelViewer):
    def comes_back(self, ending: Ending | None) -> bool:
        return ending is not None and ending.code != 4008 and super().comes_back(ending)


@program_fault("viewer.stubborn", "It comes back after a 4001.", "PW-VIEW-2")
class Stubborn(ModelViewer):
    def comes_back(self, ending: Ending | None) -> bool:
        return True


@program_fault("viewer.no-plan", "It comes back after a 4002.", "PW-VIEW-2")
class NoPlan(ModelViewer):
    def comes_back(self, ending: Ending | None) -> bool:
        return ending is None or ending.code != 4001


@program_fault("viewer.reads-reasons", "It goes by the reason of a close.", "PW-VIEW-7")
class ReadsReasons(ModelViewer):
    def comes_back(self, ending: Ending | None) -> bool:
        return super().comes_back(ending) or (ending is not None and "timeout" in ending.reason)


@program_fault("viewer.hammers", "It comes back without a pause.", "PW-VIEW-8")
class Hammers(ModelViewer):
    def pause(self, ending: Ending | None) -> float:
        return 0.01


@program_fault("viewer.steady", "It comes back every half second.", "PW-VIEW-8")
class Steady(ModelViewer):
    def pause(self, ending: Ending | None) -> float:
        return 0.5
