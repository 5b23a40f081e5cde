"""Motion JPEG over HTTP, down to the byte: heads, the parts of an endless answer, and the page with the pictures.

Pure.  A part ends with the boundary of the next: browsers show a picture only once they see that it is over.
"""

from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from plexwire_protocol import VideoFrame
from plexwire_trio.http_response import write_response

#: Pictures that move on the page at once: a browser opens six connections to a host, and one is for the rest.
LIVE_ON_PAGE: Final = 5

_NO_CACHE: Final = "no-store, no-cache, must-revalidate, max-age=0"
_POLICY: Final = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: dark light; font: 16px system-ui, sans-serif }
body { margin: 1rem } h1 { font-size: 1.2rem }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)) }
figure { margin: 0 } img { display: block; width: 100%; min-height: 8rem; background: #8882 }
figcaption { display: flex; gap: 1rem; padding: .4rem 0 } figcaption b { flex: 1 }
"""


def response(
    status: HTTPStatus,
    content_type: str,
    body: bytes | None,
    *,
    head_only: bool = False,
    **headers: str,
) -> bytes:
    """Return a response; without *body* it goes on until the connection is closed."""
    fields = {
        "Content-Type": content_type,
        "Cache-Control": _NO_CACHE,
        "X-Content-Type-Options": "nosniff",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return write_response(status, fields.items(), body, head_only=head_only)


def stream_head(boundary: str, **headers: str) -> bytes:
    """Return the head of an endless response.

    *boundary* must be a new one that no device can guess: in a picture it would begin a part of the device's own.
    """
    content_type = f"multipart/x-mixed-replace; boundary={boundary}"
    return response(HTTPStatus.OK, content_type, None, head_only=False, **headers)


def stream_begin(boundary: str) -> bytes:
    """Return what stands before the first part."""
    return f"--{boundary}\r\n".encode()


def stream_part(boundary: str, frame: VideoFrame) -> bytes:
    """Return *frame* as a part; `X-Timestamp` is the device's stamp in seconds, as others write it."""
    seconds, ms = divmod(abs(frame.timestamp), 1000)
    sign = "-" if frame.timestamp < 0 else ""
    part_head = (
        "Content-Type: image/jpeg\r\n"
        f"Content-Length: {len(frame.jpeg)}\r\n"
        f"X-Timestamp: {sign}{seconds}.{ms:03d}\r\n\r\n"
    )
    return b"".join((part_head.encode(), frame.jpeg, f"\r\n--{boundary}\r\n".encode()))


def camera_of(target: str) -> tuple[str, str] | None:
    """Return the camera and the ending, `mjpg` or `jpg`, that a request *target* names; None where it names none."""
    path = target.partition("?")[0]
    name, dot, ending = path.removeprefix("/").rpartition(".")
    if not path.startswith("/") or not dot or "/" in name or ending not in ("mjpg", "jpg"):
        return None
    try:
        return unquote_to_bytes(name).decode("utf-8"), ending
    except UnicodeDecodeError:
        return None


def path_of(camera_id: str, ending: str) -> str:
    """Return the path of a camera's pictures."""
    return f"/{quote(camera_id, safe='')}.{ending}"


def page(source_id: str, cameras: Iterable[str]) -> bytes:
    """Return the page that shows all *cameras*."""
    figures = "".join(
        _figure(camera, "mjpg" if number < LIVE_ON_PAGE else "jpg")
        for number, camera in enumerate(cameras)
    )
    title = escape(source_id)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n'
        f"<h1>{title}</h1>\n<main>\n{figures}</main>\n</html>\n"
    ).encode()


def page_response(page: bytes, *, head_only: bool) -> bytes:
    """Return the response with *page*, which may load its own pictures and nothing else."""
    html = "text/html; charset=utf-8"
    return response(HTTPStatus.OK, html, page, head_only=head_only, Content_Security_Policy=_POLICY)


def _figure(camera_id: str, shown: str) -> str:
    name = escape(camera_id or "(empty id)")
    stream, still = (escape(path_of(camera_id, ending)) for ending in ("mjpg", "jpg"))
    picture = stream if shown == "mjpg" else still
    return (
        f'<figure><a href="{stream}"><img src="{picture}" alt="Camera {name}"></a>'
        f'<figcaption><b>{name}</b><a href="{stream}">stream</a><a href="{still}">picture</a>'
        "</figcaption></figure>\n"
    )
