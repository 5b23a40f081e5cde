"""The viewer's address: one source, its cameras, an optional timeout; from and to a request target.

/v1/sources/{source_id}/video/stream?camera_id=front&camera_id=rear&timeout=60
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from attrs import field, frozen

from plexwire_protocol._errors import AddressRefused, Refusal
from plexwire_protocol.limits import (
    DEFAULT_CAMERA,
    MAX_CAMERAS,
    MAX_ID_BYTES,
    MAX_TIMEOUT_S,
    SOURCE_ID,
)

#: Where devices connect.  [PW-ADDR-6]
DEVICE_PATH: Final = "/ws/device"

#: What comes before the path where a proxy or a client writes the whole URL (RFC 9112 section 3.2.2).
_ABSOLUTE: Final = re.compile(r"(?:http|ws)s?://[^/?#]+", re.IGNORECASE)
_PATH: Final = re.compile(r"/v1/sources/([^/]*)/video/stream")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WHOLE: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def _unique(cameras: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cameras))


@frozen(kw_only=True)
class StreamAddress:
    """What a viewer asks for: `cameras` in order, each once [PW-ADDR-9]; `timeout` in whole seconds, or None.

    Raises:
        AddressRefused: a value that no gateway of this protocol could serve, or a target that names none.

    """

    source_id: str = field()
    cameras: tuple[str, ...] = field(default=(DEFAULT_CAMERA,), converter=_unique)
    timeout: int | None = field(default=None)

    def __attrs_post_init__(self) -> None:
        if SOURCE_ID.fullmatch(self.source_id) is None:
            raise _refused(
                "source_id", Refusal.BAD_SOURCE_ID, f"does not match {SOURCE_ID.pattern}"
            )
        if not 1 <= len(self.cameras) <= MAX_CAMERAS:
            raise _refused(
                "camera_id", Refusal.TOO_MANY_CAMERAS, f"must name 1 to {MAX_CAMERAS} cameras"
            )
        for camera in self.cameras:
            try:
                size = len(camera.encode())
            except UnicodeError:
                raise _refused("camera_id", Refusal.NOT_UNICODE, "is not Unicode") from None
            if size > MAX_ID_BYTES:
                raise _refused("camera_id", Refusal.ID_TOO_LONG, f"is over {MAX_ID_BYTES} bytes")
        if self.timeout is not None and not 1 <= self.timeout <= MAX_TIMEOUT_S:
            raise _bad_timeout()

    @classmethod
    def parse(cls, target: str) -> "StreamAddress":
        """Read the request *target* of a handshake, as it came on the wire: a path with its query, or a whole URL.

        Unknown parameters are ignored [PW-ADDR-10]; a `+` in the query is a space, as browsers write it.
        """
        path, _, query = origin_form(target).partition("?")
        match = _PATH.fullmatch(path)
        if match is None:
            raise _refused("path", Refusal.WRONG_PATH, "is not the path of a video stream")
        cameras = []
        timeout = None
        for parameter in filter(None, query.split("&")):
            name, _, value = parameter.replace("+", "%20").partition("=")
            match _unescape(name, "query"):
                case "camera_id":
                    cameras.append(_unescape(value, "camera_id"))
                case "timeout":
                    if timeout is not None:
                        raise _refused("timeout", Refusal.REPEATED_TIMEOUT, "is given twice")
                    timeout = _seconds(_unescape(value, "timeout"))
                case _:
                    pass
        return cls(
            source_id=_unescape(match[1], "source_id"),
            cameras=tuple(cameras) or (DEFAULT_CAMERA,),
            timeout=timeout,
        )

    def target(self) -> str:
        """Return the request target of this address, its cameras always named."""
        parameters = [f"camera_id={quote(camera, safe='')}" for camera in self.cameras]
        if self.timeout is not None:
            parameters.append(f"timeout={self.timeout}")
        return f"/v1/sources/{self.source_id}/video/stream?{'&'.join(parameters)}"


def origin_form(target: str) -> str:
    """Return the path and query of a request *target* that may be a whole URL."""
    return _ABSOLUTE.sub("", target, count=1) if "://" in target[:8] else target


def is_device_target(target: str) -> bool:
    """Whether a request *target* is where devices connect."""
    return origin_form(target).partition("?")[0] == DEVICE_PATH


def _unescape(text: str, where: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise _refused(where, Refusal.BAD_ESCAPE, "has a % without two hex digits")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise _refused(where, Refusal.NOT_UNICODE, "is not UTF-8") from None


def _seconds(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise _bad_timeout()
    return int(text)


def _bad_timeout() -> AddressRefused:
    return _refused(
        "timeout", Refusal.BAD_TIMEOUT, f"must be a whole number of seconds, 1 to {MAX_TIMEOUT_S}"
    )


#: The clause that each refusal of an address rests on.
_CLAUSES: Final = {
    Refusal.WRONG_PATH: "PW-ADDR-13",
    Refusal.BAD_SOURCE_ID: "PW-ADDR-11",
    Refusal.BAD_ESCAPE: "PW-ADDR-4",
    Refusal.NOT_UNICODE: "PW-ADDR-4",
    Refusal.ID_TOO_LONG: "PW-LIM-6",
    Refusal.TOO_MANY_CAMERAS: "PW-LIM-6",
    Refusal.BAD_TIMEOUT: "PW-TIME-5",
    Refusal.REPEATED_TIMEOUT: "PW-TIME-5",
}


def _refused(where: str, refusal: Refusal, problem: str) -> AddressRefused:
    return AddressRefused(problem, _CLAUSES[refusal], where, refusal)
