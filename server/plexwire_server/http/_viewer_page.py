"""The viewer page: its files as they are served at `/` and below `/page/`."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Final

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
#: What pages of other origins load.
_MODULE: Final = "viewer.js"
_ANY_ORIGIN: Final = (("Access-Control-Allow-Origin", "*"),)


@cache
def page_responses() -> Mapping[str, Callable[[], Response]]:
    """Return what answers each path of the page.

    A browser may keep all of it, and asks each time whether it is still the same.
    """
    contents = {
        entry.name: entry.read_bytes()
        for entry in files("plexwire_server").joinpath("page").iterdir()
        if _suffix(entry.name) in _TYPES
    }
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
    tag = ("ETag", f'"{sha256(content).hexdigest()[:32]}"')
    return Response(
        HTTPStatus.OK,
        content,
        _TYPES[_suffix(name)],
        headers=(tag, *_SAFETY, *(_ANY_ORIGIN if name == _MODULE else ())),
        cache_control="no-cache",
    )


def _suffix(name: str) -> str:
    return name[name.rindex(".") :]
