"""A viewer in plain Python, without this project and without any library: written from the specification and its vectors.

    PLEXWIRE_API_KEY=plx_… python examples/plain_viewer.py ws://127.0.0.1:8700 robot-01 front

It prints a line a frame, until the gateway closes or ten frames came.  Our tests run all vectors of what gateways say
through `read`, and watch a real gateway with it.  For a URL with wss:// wrap the socket with `ssl`.
"""

import base64
import binascii
import json
import math
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

#: What the close codes of a gateway mean; after all others, connect again and wait longer each time.
CLOSES = {4001: "the key is not accepted", 4008: "the timeout has passed: connect again at once"}

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


# ── what the gateway says ────────────────────────────────────────────────────────────────────


class Refused(Exception):
    """A message can't be used; its only argument is the reason, as the vectors name it."""


def check(holds: bool, reason: str) -> None:
    """Refuse the message for *reason* unless something holds."""
    if not holds:
        raise Refused(reason)


def text(value: Any) -> str:
    """Read a string that has a UTF-8 form."""
    check(isinstance(value, str), "wrong_type")
    check(not any(0xD800 <= ord(character) < 0xE000 for character in value), "not_unicode")
    return str(value)


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Read a whole number, however it is written."""

    def read_whole(value: Any) -> int:
        check(type(value) is int or (type(value) is float and value.is_integer()), "wrong_type")
        check(low <= value <= high, "out_of_range")
        return int(value)

    return read_whole


def seconds(value: Any) -> float:
    """Read a number that is not negative."""
    check(type(value) in (int, float), "wrong_type")
    check(value >= 0, "out_of_range")
    return float(value)


def listed(read_one: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """Read a list."""

    def read_list(value: Any) -> list[Any]:
        check(isinstance(value, list), "wrong_type")
        return [read_one(each) for each in value]

    return read_list


def source(value: Any) -> dict[str, Any]:
    """Read a source that is online."""
    check(isinstance(value, dict), "wrong_type")
    return members(value, {"source_id": text, "cameras": listed(text)})


def camera_id(value: Any) -> str:
    """Read the id of a camera."""
    camera = text(value)
    check(len(camera.encode()) <= 255, "id_too_long")
    return camera


def picture(value: Any) -> bytes:
    """Read a JPEG."""
    check(isinstance(value, str), "wrong_type")
    try:
        jpeg = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("not_base64") from None
    # What was left over may be written in one way only, or what is read is not what was written.
    check(len(value) == 4 * math.ceil(len(jpeg) / 3), "not_base64")
    check(jpeg.startswith(b"\xff\xd8"), "not_jpeg")
    return jpeg


def words(value: Any) -> str:
    """Read a string that may be null."""
    return "" if value is None else text(value)


def code(value: Any) -> str:
    """Read a word or a number."""
    return str(value) if type(value) is int else text(value)


PIXELS, MS, COUNT = whole(0, 2**32 - 1), whole(-(2**63), 2**63 - 1), whole(0, 2**31 - 1)

#: The members that each message must have, or may have if there is a `?`.
MESSAGES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "init": {"online_sources": listed(source)},
    "video_frame": {
        "source_id": text,
        "camera_id": camera_id,
        "frame": picture,
        "width": PIXELS,
        "height": PIXELS,
        "timestamp": MS,
    },
    "gateway_reconnecting": {"attempt": COUNT, "max_attempts": COUNT, "delay_s": seconds},
    "authenticated": {"source_id": text, "server_time_ms": MS},
    "error": {"code": code, "detail?": words, "message?": words},
}


def members(value: dict[str, Any], wanted: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Read the *wanted* members of an object; others are left out."""
    found = {}
    for key, read_member in wanted.items():
        name = key.removesuffix("?")
        check(name in value or name != key, "missing_member")
        found[name] = read_member(value.get(name))
    return found


def no_constant(literal: str) -> None:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(literal)


def finite(literal: str) -> float | None:
    """Read a number; one that is too large for a float counts as null."""
    number = float(literal)
    return number if math.isfinite(number) else None


def nesting(value: Any) -> int:
    """How deep objects and lists are in each other."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(nesting, value.values() if isinstance(value, dict) else value), default=0)


def read(message: str) -> dict[str, Any] | None:
    """Return a message of the gateway with the members that are specified; None if its type is unknown.

    Raises:
        Refused: it can't be used: go on with the next one.

    """
    try:
        value = json.loads(message, parse_constant=no_constant, parse_float=finite)
    except (ValueError, RecursionError):
        raise Refused("not_json") from None
    check(isinstance(value, dict), "not_an_object")
    check(nesting(value) <= 64, "not_json")
    kind = value.get("type")
    check(isinstance(kind, str), "no_type")
    if kind not in MESSAGES:
        return None
    found = {"type": kind, **members(value, MESSAGES[kind])}
    if kind == "error":  # some gateways call it one way, some the other
        other = found.pop("message")
        found["detail"] = found["detail"] or other
    return found


# ── RFC 6455, as much of it as a viewer needs ────────────────────────────────────────────────


def exactly(connection: socket.socket, size: int) -> bytes:
    """Read exactly *size* bytes.

    Raises:
        EOFError: the connection ended first.

    """
    data = bytearray()
    while len(data) < size:
        more = connection.recv(min(size - len(data), 1 << 18))
        if not more:
            raise EOFError
        data += more
    return bytes(data)


def send(connection: socket.socket, opcode: int, payload: bytes) -> None:
    """Send one frame; what a client says is masked."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | (size if size < 126 else 126)))
    head += size.to_bytes(2, "big") if size >= 126 else b""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    connection.sendall(head + mask + masked)


def messages(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield what comes, a whole message and its opcode at a time; pings are answered."""
    kind, parts = TEXT, bytearray()
    while True:
        first, size = exactly(connection, 2)
        if size >= 126:
            size = int.from_bytes(exactly(connection, 2 if size == 126 else 8), "big")
        payload, opcode = exactly(connection, size), first & 0x0F
        if opcode == PING:
            send(connection, PONG, payload)
        elif opcode == CLOSE:
            yield CLOSE, payload
        elif opcode != PONG:
            kind = opcode or kind
            parts += payload
            if first & 0x80:
                yield kind, bytes(parts)
                parts.clear()


def connect(url: str, target: str) -> socket.socket:
    """Return the connection after the handshake."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    lines = (
        f"GET {parts.path.rstrip('/')}{target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    )
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += exactly(connection, 1)  # the first message may be right behind it
    if b" 101 " not in answer.partition(b"\r\n")[0]:
        sys.exit(f"the gateway answered {answer.decode(errors='replace').splitlines()[0]!r}")
    return connection


# ── the viewer ───────────────────────────────────────────────────────────────────────────────


def main(url: str, source_id: str, camera: str, most: str = "10") -> None:
    """Watch one camera until so many frames came, at *most*."""
    path = f"/v1/sources/{quote(source_id, safe='')}/video/stream"
    with connect(url, f"{path}?camera_id={quote(camera, safe='')}") as connection:
        auth = {"type": "auth", "api_key": os.environ["PLEXWIRE_API_KEY"]}
        send(connection, TEXT, json.dumps(auth).encode())
        frames = 0
        for opcode, payload in messages(connection):
            if opcode == CLOSE:
                number = int.from_bytes(payload[:2], "big")
                print(f"closed with {number}: {CLOSES.get(number, 'connect again later')}")
                send(connection, CLOSE, payload[:2])
                return
            try:
                message = read(payload.decode()) if opcode == TEXT else None
            except Refused as reason:
                print(f"a message is left out: {reason}", file=sys.stderr)
                continue
            if message is None:
                continue  # of a type that is newer than this program
            connection.settimeout(None)  # after its init, a stream may be silent
            if message["type"] == "init":
                print("online:", [each["cameras"] for each in message["online_sources"]])
            elif message["type"] == "video_frame":
                size = f"{message['width']}x{message['height']}"
                print(f"{message['camera_id']} {size} {len(message['frame'])} bytes")
                frames += 1
            if frames == int(most):
                send(connection, CLOSE, (1000).to_bytes(2, "big"))
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
