"""The base address of a gateway: ws://host:port or wss://host, from which the addresses of both endpoints follow."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from attrs import frozen

from plexwire_trio._errors import BadUrl

_PORTS: Final = {"ws": 80, "wss": 443}
_EXAMPLE: Final = "Give its base address, such as ws://127.0.0.1:8700 or wss://gateway.example."


@frozen
class GatewayUrl:
    """Where a gateway is; `prefix` is a path that a proxy puts before those of the protocol."""

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
        host = _ascii(parts.hostname or "")
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
        return f"{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """What the `Host` header says: the port only where it is not the scheme's own."""
        return self._bracketed if self.port == _PORTS[self._scheme] else self.place

    def __str__(self) -> str:
        return f"{self._scheme}://{self.host_header}{self.prefix}"

    @property
    def _scheme(self) -> str:
        return "wss" if self.secure else "ws"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


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


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise BadUrl("The host in the gateway's address is no valid name.", _EXAMPLE) from None
