"""The base address of a gateway: ws://host:port or wss://host, from which the addresses of both endpoints follow."""

import re
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import idna
from attrs import frozen

from plexwire_trio._errors import BadUrl

_PORTS: Final = {"ws": 80, "wss": 443}
#: A name or an address of IPv4, also with underscores as container networks have them; or an address of IPv6.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
#: The zone of a link-local address: which interface of this machine leads there.
_ZONE: Final = re.compile(r"[A-Za-z0-9._~-]+")
_EXAMPLE: Final = "Give its base address, such as ws://127.0.0.1:8700 or wss://gateway.example."


@frozen
class GatewayUrl:
    """Where a gateway is; `prefix` is a path that a proxy puts before those of the protocol.

    `host` is ASCII, by IDNA 2008, and ends with `%` and the zone if it is a link-local address of IPv6.
    """

    secure: bool
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> "GatewayUrl":
        """Read the base address in *text*.

        Raises:
            BadUrl: it is none.  The error never repeats what might hold a key: user, password or query.  [PW-ADDR-14]

        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError:
            raise BadUrl("The gateway's address can't be read.", _EXAMPLE) from None
        _check(parts)
        host = _dialled(parts.hostname or "")
        default = _PORTS[parts.scheme]
        return cls(
            secure=parts.scheme == "wss",
            host=host,
            port=default if port is None else port,
            prefix=parts.path.rstrip("/"),
        )

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def server_name(self) -> str:
        """The host as the gateway knows it: without the zone, which means something only on this machine."""
        return self.host.partition("%")[0]

    @property
    def host_header(self) -> str:
        """What the `Host` header contains: the port only if it is not the scheme's own."""
        return f"{_bracketed(self.server_name)}{self._port}"

    def __str__(self) -> str:
        address, percent, zone = self.host.partition("%")
        host = _bracketed(f"{address}%25{quote(zone, safe='~')}" if percent else address)
        return f"{self.scheme}://{host}{self._port}{self.prefix}"

    @property
    def scheme(self) -> str:
        """`wss` or `ws`."""
        return "wss" if self.secure else "ws"

    @property
    def _port(self) -> str:
        return "" if self.port == _PORTS[self.scheme] else f":{self.port}"


def _check(parts: SplitResult) -> None:
    match parts.scheme:
        case "ws" | "wss":
            pass
        case "http" | "https":
            scheme = parts.scheme.replace("http", "ws")
            raise BadUrl(
                f"A gateway is not reached by {parts.scheme}://.", f"Write {scheme}:// instead."
            )
        case _:
            raise BadUrl("The gateway's address must begin with ws:// or wss://.", _EXAMPLE)
    if not parts.hostname:
        raise BadUrl("The gateway's address names no host.", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise BadUrl(
            "The gateway's address holds a user name or a password.",
            "Keys never belong into an address; give the key by itself.",
        )
    if parts.query or parts.fragment:
        raise BadUrl(
            "The gateway's address has a query or a fragment.",
            "Give the base address alone; source, cameras, timeout and key have their own places.",
        )
    if "/v1/sources" in parts.path or parts.path.rstrip("/").endswith("/ws/device"):
        raise BadUrl(
            "The gateway's address already names an endpoint.",
            "Leave out its path; it is made from the source and the cameras.",
        )
    if not all("!" <= character <= "~" for character in parts.path):
        raise BadUrl("The path of the gateway's address is not percent-encoded.", _EXAMPLE)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _dialled(host: str) -> str:
    """Return *host* in ASCII, with its zone as `getaddrinfo` takes it.

    In a URL the zone's `%` is written `%25` [RFC 6874]; a bare one, as `ip address` shows it, is read too.
    """
    address, percent, zone = host.partition("%")
    if percent and ":" in address:
        zone = unquote(zone.removeprefix("25"))
        if _ZONE.fullmatch(zone) is None:
            raise BadUrl("The zone in the gateway's address is not a valid name.", _EXAMPLE)
        return f"{address}%{zone}"
    try:
        if not host.isascii():
            # Not Python's own codec: it is of IDNA 2003, by which faß.example is fass.example.
            host = idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        host = ""
    if _NAME.fullmatch(host) is None:
        raise BadUrl("The host in the gateway's address is not a valid name.", _EXAMPLE)
    return host
