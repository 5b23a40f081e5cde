"""Faults in what becomes of a frame's members on the way."""

import json
import struct
from abc import abstractmethod
from base64 import b64decode, b64encode, encodebytes

from attrs import evolve

from plexwire_conformance.faults._fault import Device, fault
from plexwire_conformance.faults._parts import Members, RetoldFrame
from plexwire_protocol import VideoFrame

_DAY_MS = 86_400_000


class _Altering(Device):
    """Alters frames before they are published."""

    @abstractmethod
    def altered(self, frame: VideoFrame) -> VideoFrame:
        """Return what is published instead of *frame*."""

    def _publish(self, frame: VideoFrame, now: float) -> None:
        super()._publish(self.altered(frame), now)


# ── the picture ──────────────────────────────────────────────────────────────────────────────


@fault(
    "frames.comments-stripped", "Takes the comments out of every JPEG, to save bytes.", "PW-FRAME-2"
)
class CommentsStripped(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        jpeg = frame.jpeg
        while jpeg[2:4] == b"\xff\xfe":
            jpeg = jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]
        return evolve(frame, jpeg=jpeg)


@fault("frames.last-byte-cut", "Loses the last byte of every picture.", "PW-FRAME-2")
class LastByteCut(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, jpeg=frame.jpeg[:-1] if len(frame.jpeg) > 2 else frame.jpeg)


@fault("frames.cut-at-64-kib", "Has room for 65535 bytes of a picture.", "PW-FRAME-2")
class CutAt64Kib(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, jpeg=frame.jpeg[:65_535])


@fault(
    "frames.watermarked", "Writes into every picture for whom it was, as a comment.", "PW-FRAME-2"
)
class Watermarked(RetoldFrame):
    def tell(self, members: Members) -> Members:
        jpeg, mark = b64decode(members["frame"]), f"{id(self):08x}".encode()
        comment = b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark
        return {**members, "frame": b64encode(jpeg[:2] + comment + jpeg[2:]).decode()}


@fault("frames.encoded-twice", "Writes a picture in base64 that is base64 already.", "PW-FRAME-2")
class EncodedTwice(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "frame": b64encode(members["frame"].encode()).decode()}


@fault("frames.url-safe-base64", "Writes pictures in the alphabet for URLs.", "PW-FRAME-11")
class UrlSafeBase64(RetoldFrame):
    def tell(self, members: Members) -> Members:
        safe = members["frame"].translate({ord("+"): "-", ord("/"): "_"})
        return {**members, "frame": safe}


@fault("frames.unpadded-base64", "Leaves the padding of base64 out.", "PW-FRAME-11")
class UnpaddedBase64(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "frame": members["frame"].rstrip("=")}


@fault("frames.wrapped-base64", "Breaks base64 into lines, as mail does.", "PW-FRAME-11")
class WrappedBase64(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "frame": encodebytes(b64decode(members["frame"])).decode()}


@fault("frames.data-url", "Gives the picture as a whole data: URL.", "PW-FRAME-11")
class DataUrl(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "frame": f"data:image/jpeg;base64,{members['frame']}"}


# ── the numbers ──────────────────────────────────────────────────────────────────────────────


@fault("frames.width-and-height-swapped", "Mixes up width and height.", "PW-FRAME-3")
class WidthAndHeightSwapped(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, width=frame.height, height=frame.width)


@fault("frames.width-in-16-bits", "Keeps 16 bits of width and height.", "PW-FRAME-3")
class WidthIn16Bits(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, width=frame.width & 0xFFFF, height=frame.height & 0xFFFF)


@fault("frames.own-clock", "Stamps frames by its own clock.", "PW-FRAME-4")
class OwnClock(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, timestamp=self.gateway.unix_ms())


@fault(
    "frames.old-stamps-corrected",
    "Corrects time stamps that are more than ten years off.",
    "PW-FRAME-4",
)
class OldStampsCorrected(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        now = self.gateway.unix_ms()
        off = abs(frame.timestamp - now) > 3650 * _DAY_MS
        return evolve(frame, timestamp=now) if off else frame


@fault("frames.stamp-in-seconds", "Gives the time stamp in seconds.", "PW-FRAME-4")
class StampInSeconds(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, timestamp=frame.timestamp // 1000)


@fault("frames.stamp-through-a-float", "Keeps time stamps as floats of 32 bits.", "PW-FRAME-4")
class StampThroughAFloat(_Altering):
    def altered(self, frame: VideoFrame) -> VideoFrame:
        (stamp,) = struct.unpack("f", struct.pack("f", frame.timestamp))
        return evolve(frame, timestamp=int(stamp))


# ── the form ─────────────────────────────────────────────────────────────────────────────────


@fault("frames.no-camera-id", "Leaves camera_id out, as there is mostly one camera.", "PW-FRAME-1")
class NoCameraId(RetoldFrame):
    def tell(self, members: Members) -> Members:
        del members["camera_id"]
        return members


@fault("frames.width-as-string", "Writes the width as a string.", "PW-FRAME-1")
class WidthAsString(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "width": str(members["width"])}


@fault("frames.binary", "Sends frames as binary messages.", "PW-FRAME-1")
class Binary(RetoldFrame):
    def tell(self, members: Members) -> bytes:
        return json.dumps(members).encode()


@fault(
    "frames.not-json",
    "Writes a latency that it could not measure as NaN, which is not JSON.",
    "PW-FRAME-1",
)
class NotJson(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "latency_ms": float("nan")}


@fault("frames.source-renamed", "Calls sources by a name of its own.", "PW-FRAME-8")
class SourceRenamed(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "source_id": f"gateway/{members['source_id']}"}


@fault("frames.camera-in-lower-case", "Writes camera ids in lower case.", "PW-FRAME-8")
class CameraInLowerCase(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "camera_id": members["camera_id"].lower()}


@fault(
    "frames.first-camera-named",
    "Puts the first camera of the address on all frames of a viewer.",
    "PW-FRAME-8",
)
class FirstCameraNamed(RetoldFrame):
    def tell(self, members: Members) -> Members:
        return {**members, "camera_id": self.address.cameras[0]}
