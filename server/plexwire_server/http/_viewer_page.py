"""The viewer page: its files as they are served at `/` and below `/page/`, and what they take from the core."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from plexwire_protocol import Close, CloseCode, describe_close
from plexwire_protocol.limits import (
    ANSWER_DEADLINE_S,
    DEFAULT_CAMERA,
    MAX_CAMERAS,
    MAX_ID_BYTES,
    MAX_TIMEOUT_S,
    SOURCE_ID,
)
from plexwire_server.http._response import Response

#: Where everything of the page is but the page itself.
FOLDER: Final = "/page/"

#: What the page may do: load what this gateway serves, talk to it, and nothing else.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX: Final = "index.html"
_SAFETY: Final = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
#: Stands in for all codes that have no sentence of their own.
_NO_CODE: Final = 4999


@cache
def page_responses() -> Mapping[str, Callable[[], Response]]:
    """Return what answers each path of the page.

    A browser may keep all of it, and asks each time whether it is still the same.
    """
    contents = {
        entry.name: entry.read_bytes()
        for entry in files("plexwire_server").joinpath("page").iterdir()
    }
    contents["protocol.js"] = _protocol_module().encode()
    responses = {name: _response(name, content) for name, content in contents.items()}
    index = responses.pop(_INDEX)
    return {"/": lambda: index} | {
        FOLDER + name: lambda response=response: response for name, response in responses.items()
    }


def clock_response(unix_ms: int) -> Response:
    """Return the gateway's time, by which the page tells how old a picture is."""
    body = json.dumps({"unix_ms": unix_ms}) + "\n"
    return Response(HTTPStatus.OK, body, "application/json", headers=_SAFETY)


def _response(name: str, content: bytes) -> Response:
    return Response(
        HTTPStatus.OK,
        content,
        _TYPES[name[name.rindex(".") :]],
        headers=(("ETag", f'"{sha256(content).hexdigest()[:32]}"'), *_SAFETY),
        cache_control="no-cache",
    )


def _protocol_module() -> str:
    """Return a module of JavaScript with the sentences and limits of the core, so that they stand in one place."""
    closes: dict[str, dict[str, object]] = {
        str(int(code)): {"sentence": describe_close(code), "may_retry": Close(code).may_retry}
        for code in CloseCode
    }
    other = describe_close(_NO_CODE).replace(str(_NO_CODE), "{code}")
    closes["other"] = {"sentence": other, "may_retry": Close(_NO_CODE).may_retry}
    limits = {
        "answer_s": ANSWER_DEADLINE_S,
        "source_id": SOURCE_ID.pattern,
        "id_bytes": MAX_ID_BYTES,
        "cameras": MAX_CAMERAS,
        "timeout_s": MAX_TIMEOUT_S,
        "default_camera": DEFAULT_CAMERA,
    }
    return (
        "/** Written by the gateway from the core of the protocol: what close codes mean, and its limits. */\n"
        f"export const CLOSES = {json.dumps(closes, indent=2)};\n"
        f"export const LIMITS = {json.dumps(limits, indent=2)};\n"
    )
