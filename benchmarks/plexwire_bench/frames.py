"""RFC 6455 frames as both ends of a benchmark need them: nothing is checked, nothing is fragmented."""

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def server_header(size: int, opcode: int = TEXT) -> bytes:
    """Return the header of a whole unmasked frame with *size* bytes of payload."""
    first = bytes((0x80 | opcode,))
    if size < 126:
        return first + bytes((size,))
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big")
    return first + b"\x7f" + size.to_bytes(8, "big")


def mask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """Return *data*, which begins *offset* bytes after its frame's payload does, masked or unmasked by *key*."""
    turned = key[offset % 4 :] + key[: offset % 4]
    stream = int.from_bytes((turned * (len(data) // 4 + 1))[: len(data)], "big")
    return (int.from_bytes(data, "big") ^ stream).to_bytes(len(data), "big")


def client_frame(opcode: int, payload: bytes, key: bytes = b"\x5a\x11\xc3\x0e") -> bytes:
    """Return a whole masked frame."""
    head = bytearray(server_header(len(payload), opcode))
    head[1] |= 0x80
    return bytes(head) + key + mask(payload, key)
