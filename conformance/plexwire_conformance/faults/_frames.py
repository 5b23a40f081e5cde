"""Faults in what becomes of a frame's members on the way."""

import json
import struct
from base64 import b64decode, b64encode, encodebytes

from attrs import evolve

from plexwire_conformance.faults._fault import Device, fault
from plexwire_conformance.faults._parts import Members, RetoldFrame
from plexwire_protocol import VideoFrame

_DAY_MS = 86_400_000


class _Altering(Device):
    """Alters frames before they are published."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        """Return what is published instead of *frame*."""
        raise NotImplementedError

    def _publish(self, frame: VideoFrame, now: float) -> None:
        super()._publish(self.altered(frame), now)


# ── the picture ──────────────────────────────────────────────────────────────────────────────


@fault("frames.comments-stripped", "PW-FRAME-2")
class CommentsStripped(_Altering):
    """Takes the comments out of every JPEG, to save bytes."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        jpeg = frame.jpeg
        while jpeg[2:4] == b"\xff\xfe":
            jpeg = jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]
        return evolve(frame, jpeg=jpeg)


@fault("frames.last-byte-cut", "PW-FRAME-2")
class LastByteCut(_Altering):
    """Loses the last byte of every picture."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, jpeg=frame.jpeg[:-1])


@fault("frames.cut-at-64-kib", "PW-FRAME-2")
class CutAt64Kib(_Altering):
    """Has room for 65535 bytes of a picture."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, jpeg=frame.jpeg[:65_535])


@fault("frames.watermarked", "PW-FRAME-2")
class Watermarked(RetoldFrame):
    """Writes into every picture for whom it was, as a comment."""

    def tell(self, members: Members) -> Members:
        jpeg, mark = b64decode(members["frame"]), f"{id(self):08x}".encode()
        comment = b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark
        return {**members, "frame": b64encode(jpeg[:2] + comment + jpeg[2:]).decode()}


@fault("frames.encoded-twice", "PW-FRAME-2")
class EncodedTwice(RetoldFrame):
    """Writes a picture in base64 that is base64 already."""

    def tell(self, members: Members) -> Members:
        return {**members, "frame": b64encode(members["frame"].encode()).decode()}


@fault("frames.url-safe-base64", "PW-FRAME-11")
class UrlSafeBase64(RetoldFrame):
    """Writes pictures in the alphabet for URLs."""

    def tell(self, members: Members) -> Members:
        safe = members["frame"].translate({ord("+"): "-", ord("/"): "_"})
        return {**members, "frame": safe}


@fault("frames.unpadded-base64", "PW-FRAME-11")
class UnpaddedBase64(RetoldFrame):
    """Leaves the padding of base64 out."""

    def tell(self, members: Members) -> Members:
        return {**members, "frame": members["frame"].rstrip("=")}


@fault("frames.wrapped-base64", "PW-FRAME-11")
class WrappedBase64(RetoldFrame):
    """Breaks base64 into lines, as mail does."""

    def tell(self, members: Members) -> Members:
        return {**members, "frame": encodebytes(b64decode(members["frame"])).decode()}


@fault("frames.data-url", "PW-FRAME-11")
class DataUrl(RetoldFrame):
    """Gives the picture as a whole data: URL."""

    def tell(self, members: Members) -> Members:
        return {**members, "frame": f"data:image/jpeg;base64,{members['frame']}"}


# ── the numbers ──────────────────────────────────────────────────────────────────────────────


@fault("frames.width-and-height-swapped", "PW-FRAME-3")
class WidthAndHeightSwapped(_Altering):
    """Mixes up width and height."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, width=frame.height, height=frame.width)


@fault("frames.width-in-16-bits", "PW-FRAME-3")
class WidthIn16Bits(_Altering):
    """Keeps 16 bits of width and height."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, width=frame.width & 0xFFFF, height=frame.height & 0xFFFF)


@fault("frames.own-clock", "PW-FRAME-4")
class OwnClock(_Altering):
    """Stamps frames by its own clock."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, timestamp=self.gateway.unix_ms())


@fault("frames.old-stamps-corrected", "PW-FRAME-4")
class OldStampsCorrected(_Altering):
    """Corrects time stamps that are more than ten years off."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        now = self.gateway.unix_ms()
        off = abs(frame.timestamp - now) > 3650 * _DAY_MS
        return evolve(frame, timestamp=now) if off else frame


@fault("frames.stamp-in-seconds", "PW-FRAME-4")
class StampInSeconds(_Altering):
    """Gives the time stamp in seconds."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        return evolve(frame, timestamp=frame.timestamp // 1000)


@fault("frames.stamp-through-a-float", "PW-FRAME-4")
class StampThroughAFloat(_Altering):
    """Keeps time stamps as floats of 32 bits."""

    def altered(self, frame: VideoFrame) -> VideoFrame:
        (stamp,) = struct.unpack("f", struct.pack("f", frame.timestamp))
        return evolve(frame, timestamp=int(stamp))


# ── the form ─────────────────────────────────────────────────────────────────────────────────


@fault("frames.no-camera-id", "PW-FRAME-1")
class NoCameraId(RetoldFrame):
    """Leaves camera_id out, as there is mostly one camera."""

    def tell(self, members: Members) -> Members:
        del members["camera_id"]
        return members


@fault("frames.width-as-string", "PW-FRAME-1")
class WidthAsString(RetoldFrame):
    """Writes the width as a string."""

    def tell(self, members: Members) -> Members:
        return {**members, "width": str(members["width"])}


@fault("frames.binary", "PW-FRAME-1")
class Binary(RetoldFrame):
    """Sends frames as binary messages."""

    def tell(self, members: Members) -> bytes:
        return json.dumps(members).encode()


@fault("frames.not-json", "PW-FRAME-1")
class NotJson(RetoldFrame):
    """Writes a latency that it could not measure as NaN, which is not JSON."""

    def tell(self, members: Members) -> Members:
        return {**members, "latency_ms": float("nan")}


@fault("frames.source-renamed", "PW-FRAME-8")
class SourceRenamed(RetoldFrame):
    """Calls sources by a name of its own."""

    def tell(self, members: Members) -> Members:
        return {**members, "source_id": f"gateway/{members['source_id']}"}


@fault("frames.camera-in-lower-case", "PW-FRAME-8")
class CameraInLowerCase(RetoldFrame):
    """Writes camera ids in lower case."""

    def tell(self, members: Members) -> Members:
        return {**members, "camera_id": members["camera_id"].lower()}


@fault("frames.first-camera-named", "PW-FRAME-8")
class FirstCameraNamed(RetoldFrame):
    """Puts the first camera of the address on all frames of a viewer."""

    def tell(self, members: Members) -> Members:
        return {**members, "camera_id": self.address.cameras[0]}
