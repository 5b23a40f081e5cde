"""The frames that a gateway writes by itself, as RFC 6455 has them: final and unmasked.  Sans-IO."""

from collections.abc import Callable
from typing import Final, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

#: Takes a masked payload and its four-byte key, and returns the payload.
Unmask: TypeAlias = Callable[[Buffer, bytes], bytes]

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
#: The first byte of a frame: the last one of its message; and a control frame.
FINAL: Final = 0x80
CONTROL: Final = 0x08

#: RFC 6455 gives a close frame 125 bytes; two are the code.
_REASON_BYTES: Final = 123


def text_frame(*parts: Buffer) -> bytes:
    """Return *parts*, which are UTF-8 together, as one finished text frame.

    Build it once and write it to each viewer: header and payload are one object, copied once.
    """
    return b"".join((_header(TEXT, sum(map(len, parts))), *parts))


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a finished close frame; a *reason* over 123 bytes is cut."""
    text = reason.encode()[:_REASON_BYTES].decode(errors="ignore").encode()
    return _header(CLOSE, 2 + len(text)) + code.to_bytes(2, "big") + text


def _header(opcode: int, size: int) -> bytes:
    first = bytes((FINAL | opcode,))
    if size < 126:
        return first + bytes((size,))
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big")
    return first + b"\x7f" + size.to_bytes(8, "big")
