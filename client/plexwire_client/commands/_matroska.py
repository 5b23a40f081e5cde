"""As much of Matroska (RFC 9559) as hands ffmpeg pictures with the time of each, which a mere row of JPEGs has not.

Pure.  What it makes is meant for a pipe: it never says how long it will be.
"""

from typing import Final

from plexwire_protocol import __version__

_HEADER: Final = 0x1A45DFA3
_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_TRACKS: Final = 0x1654AE6B
_CLUSTER: Final = 0x1F43B675
_MILLISECOND_NS: Final = 1_000_000
_VIDEO: Final = 1
_UNKNOWN_SIZE: Final = b"\x01" + b"\xff" * 7
#: A block of track 1 at its cluster's own time, and a key frame, as every JPEG is.
_BLOCK_HEAD: Final = bytes((0x81, 0, 0, 0x80))


def begin(width: int, height: int) -> bytes:
    """Return what stands before the first picture: one track of JPEGs, *width* x *height* pixels."""
    header = _element(
        _HEADER,
        _number(0x4286, 1),  # EBMLVersion
        _number(0x42F7, 1),  # EBMLReadVersion
        _number(0x42F2, 4),  # EBMLMaxIDLength
        _number(0x42F3, 8),  # EBMLMaxSizeLength
        _element(0x4282, b"matroska"),
        _number(0x4287, 4),  # DocTypeVersion
        _number(0x4285, 2),  # DocTypeReadVersion
    )
    writer = f"plexwire {__version__}".encode()
    info = _element(
        _INFO,
        _number(0x2AD7B1, _MILLISECOND_NS),  # TimestampScale
        _element(0x4D80, writer),  # MuxingApp
        _element(0x5741, writer),  # WritingApp
    )
    size = _element(0xE0, _number(0xB0, width), _number(0xBA, height))
    track = _element(
        0xAE,
        _number(0xD7, 1),  # TrackNumber
        _number(0x73C5, 1),  # TrackUID
        _number(0x83, _VIDEO),  # TrackType
        _number(0x9C, 0),  # FlagLacing
        _element(0x86, b"V_MJPEG"),
        size,
    )
    return header + _id(_SEGMENT) + _UNKNOWN_SIZE + info + _element(_TRACKS, track)


def picture(at_ms: int, jpeg: bytes) -> bytes:
    """Return *jpeg*, shown *at_ms* milliseconds after the beginning, as a cluster of its own."""
    return _element(_CLUSTER, _number(0xE7, at_ms), _element(0xA3, _BLOCK_HEAD, jpeg))


def _element(element_id: int, *content: bytes) -> bytes:
    size = sum(map(len, content))
    return b"".join((_id(element_id), (size | 1 << 56).to_bytes(8), *content))


def _number(element_id: int, value: int) -> bytes:
    return _element(element_id, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


def _id(element_id: int) -> bytes:
    return element_id.to_bytes((element_id.bit_length() + 7) // 8)
