"""Pictures for devices to send: real JPEGs, no two of them equal."""

from typing import Final

# A grey picture of 8 by 8 pixels, without the two bytes that begin every JPEG.
_BODY: Final = bytes.fromhex(
    "ffe000104a46494600010100000100010000ffdb004300140e0f120f0d14121012171514181e32211e1c1c1e3d2c2e24"
    "3249404c4b47404645505a736250556d5645466488656d777b8182814e608d978c7d96737e817cffc0000b0800080008"
    "01011100ffc40014000100000000000000000000000000000004ffc40014100100000000000000000000000000000000"
    "ffda0008010100003f0003ffd9"
)

_COMMENT: Final = b"\xff\xfe"
_LONGEST_COMMENT: Final = 65533


def picture(stamp: str, size: int = 0) -> bytes:
    """Return a JPEG that carries *stamp* in a comment, padded to *size* bytes where it is shorter.

    The padding cycles through all byte values, so that a relay which alters any of them is seen.
    """
    stamped = stamp.encode()
    jpeg = b"\xff\xd8" + _comment(stamped) + _BODY
    missing = size - len(jpeg)
    padding = bytearray()
    while missing > 4:
        length = min(missing - 4, _LONGEST_COMMENT)
        padding += _comment((bytes(range(256)) * (length // 256 + 1))[:length])
        missing -= length + 4
    # A decoder passes over what stands behind the end of the picture.
    return jpeg[:2] + bytes(padding) + jpeg[2:] + b"\x00" * max(missing, 0)


def _comment(text: bytes) -> bytes:
    return _COMMENT + (len(text) + 2).to_bytes(2, "big") + text
