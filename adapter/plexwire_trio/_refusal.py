"""Why a handshake failed, told from the bytes that came instead of a WebSocket."""

import re
from http import HTTPStatus
from typing import Final

from plexwire_trio._errors import (
    ConnectError,
    HandshakeRefused,
    HandshakeTimedOut,
    NotAGateway,
)

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})\b")
_HEAD_END: Final = b"\r\n\r\n"
_SWITCHING: Final = 101
_SHOWN: Final = 200

_HINTS: Final = {
    400: "The gateway finds the address wrong: check source, cameras and timeout.",
    401: "A proxy asks for credentials; the protocol itself has none in the handshake.",
    403: "A proxy or firewall forbids it; the protocol itself never asks for a key this early.",
    404: "Nothing is served at this path: check the base address.",
    426: "It is a WebSocket server of another kind: check the base address.",
    429: "There are too many connections: try again later.",
    503: "The gateway is overloaded or starting: try again in a moment.",
}


def is_refusal(answer: bytes | bytearray) -> bool:
    """Whether *answer* begins with the whole head of an HTTP response that is not 101."""
    status_line = _STATUS_LINE.match(answer)
    return status_line is not None and int(status_line[1]) != _SWITCHING and _HEAD_END in answer


def judge_answer(
    place: str, target: str, answer: bytes, *, hung_up: bool, secure: bool
) -> ConnectError:
    """Return the error that says why there is no WebSocket.

    *answer* is the beginning of what came, *hung_up* whether the connection ended then; if neither, time ran out.
    """
    path = target.partition("?")[0]
    status_line = _STATUS_LINE.match(answer)
    if status_line is not None and (status := int(status_line[1])) != _SWITCHING:
        body = _excerpt(answer)
        return HandshakeRefused(
            f"{place} answered {_named(status)} for {path}{f' ({body})' if body else ''}.",
            _hint(status),
            status,
            body,
        )
    if status_line is not None:
        return NotAGateway(
            f"{place} answered the WebSocket handshake wrongly.",
            "It says 101 and breaks RFC 6455; is a proxy in between?",
        )
    if answer.startswith((b"\x15\x03", b"\x16\x03")) and not secure:
        return NotAGateway(f"{place} speaks TLS.", "Use wss:// for it.")
    if answer:
        return NotAGateway(f"{place} does not answer in HTTP.", "Is the port that of a gateway?")
    if hung_up:
        return NotAGateway(
            f"{place} hung up during the handshake.",
            "Is the port that of a gateway, and does it want wss:// or ws://?"
            if not secure
            else "Is the port that of a gateway?",
        )
    return HandshakeTimedOut(
        f"{place} accepted the connection and did not answer the handshake.",
        "Is the port that of a gateway, and does it want wss://?"
        if not secure
        else "Is the port that of a gateway?",
    )


def _named(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _hint(status: int) -> str:
    if status in _HINTS:
        return _HINTS[status]
    match status // 100:
        case 3:
            return "It sends callers elsewhere: give the final address."
        case 5:
            return "The gateway, or a proxy before it, is in trouble: try again later."
        case _:
            return "Check the base address."


def _excerpt(answer: bytes) -> str:
    """Return the beginning of a body that is plain text, on one line; nothing of HTML or of chunks."""
    head, _, body = answer.partition(_HEAD_END)
    if re.search(rb"(?im)^transfer-encoding:|^content-encoding:|^content-type:\s*text/html", head):
        return ""
    text = " ".join(body.decode("utf-8", "replace").split()).rstrip(".")
    shown = "".join(character for character in text if character.isprintable())
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
