"""The binary form of a device's frame, down to the byte.  [PW-BIN-1]

1  version, 0x01
1  length of source_id in bytes        N  source_id, UTF-8
1  length of camera_id in bytes        M  camera_id, UTF-8
4  width    4  height    8  timestamp in ms, signed      (big-endian)
…  the JPEG
"""

import struct
from codecs import getincrementaldecoder
from typing import Final

from plexwire_protocol._errors import LocalProtocolError, MalformedMessage, Refusal
from plexwire_protocol._messages import VideoFrame
from plexwire_protocol.limits import MAX_ID_BYTES

VERSION: Final = 1

_SIZES: Final = struct.Struct(">IIq")
#: Bytes of width, height and timestamp.
SIZES_BYTES: Final = _SIZES.size
_Utf8Decoder: Final = getincrementaldecoder("utf-8")


def encode_device_frame(frame: VideoFrame) -> bytes:
    """Return *frame* as the binary message of a device.

    A `source_id` over 255 bytes is cut: the field is a courtesy, as the gateway goes by the authenticated
    source.  [PW-BIN-2]

    Raises:
        LocalProtocolError: the frame has `extra` members, which the binary form can't hold.

    """
    if frame.extra:
        raise LocalProtocolError("the binary form holds no extra members", "PW-BIN-1")
    source_id = frame.source_id.encode()[:MAX_ID_BYTES]
    camera_id = frame.camera_id.encode()
    return b"".join(
        (
            bytes((VERSION, len(source_id))),
            source_id,
            bytes((len(camera_id),)),
            camera_id,
            _SIZES.pack(frame.width, frame.height, frame.timestamp),
            frame.jpeg,
        )
    )


def read_sizes(data: bytes, at: int) -> tuple[int, int, int]:
    """Return width, height and timestamp, which begin at *at*."""
    width, height, timestamp = _SIZES.unpack_from(data, at)
    return width, height, timestamp


def decode_device_frame(data: bytes, *, source_id: str | None = None) -> VideoFrame:
    """Return the frame in a device's binary message *data*.

    With *source_id*, the frame gets this id instead of the one that it carries.  [PW-BIN-2]

    Raises:
        MalformedMessage: it is truncated, of an unknown version, has an id that is not UTF-8 or no JPEG after its
            header; nothing else, whatever *data* is.  [PW-BIN-4]

    """
    version, at = _byte(data, 0, "version")
    if version != VERSION:
        raise MalformedMessage(
            f"is {version}, must be {VERSION}", "PW-BIN-4", "version", Refusal.UNKNOWN_VERSION
        )
    carried, at = _id(data, at, "source_id")
    camera_id, at = _id(data, at, "camera_id")
    if len(data) < at + _SIZES.size:
        raise _truncated("width, height, timestamp")
    width, height, timestamp = read_sizes(data, at)
    return VideoFrame(
        source_id=carried if source_id is None else source_id,
        camera_id=camera_id,
        jpeg=data[at + _SIZES.size :],
        width=width,
        height=height,
        timestamp=timestamp,
    )


def _byte(data: bytes, at: int, where: str) -> tuple[int, int]:
    if at >= len(data):
        raise _truncated(where)
    return data[at], at + 1


def _id(data: bytes, at: int, where: str) -> tuple[str, int]:
    length, at = _byte(data, at, f"length of {where}")
    raw = data[at : at + length]
    if len(raw) < length:
        raise _truncated(where)
    try:
        # A full field may have been cut in the middle of a character; what was cut is left out.  [PW-BIN-6]
        text = _Utf8Decoder().decode(raw, final=length < MAX_ID_BYTES)
    except UnicodeDecodeError:
        raise MalformedMessage("is not UTF-8", "PW-BIN-4", where, Refusal.NOT_UNICODE) from None
    return text, at + length


def _truncated(where: str) -> MalformedMessage:
    return MalformedMessage("the message ends here", "PW-BIN-4", where, Refusal.TRUNCATED)
