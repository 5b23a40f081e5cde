"""HTTP proxies: which one a connection goes through, and the CONNECT that makes a tunnel of it."""

import base64
import ipaddress
import os
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
import trio
from attrs import field, frozen

from plexwire_conformance.target.streams import dial_tcp

_CHUNK: Final = 65536
_PORTS: Final = {"http": 80, "https": 443}
#: Where the environment names the proxy, by the scheme of the gateway's URL; the first that is set counts.
_VARIABLES: Final = {
    "wss": ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
    # As everywhere: a CGI program's environment has HTTP_PROXY from whoever calls it.
    "ws": ("http_proxy", "ALL_PROXY", "all_proxy"),
}


class BadProxy(Exception):
    """A proxy can't be used as it was given; the text says why, without repeating a password."""


@frozen(kw_only=True)
class Proxy:
    """An HTTP proxy; `login` is `user:password`, empty where it asks for none."""

    host: str
    port: int
    secure: bool = False
    login: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Read http://host:port or https://host:port, with user and password where it has them.

        Raises:
            BadProxy: it is none.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise BadProxy("the proxy's address can't be read") from None
        if parts.scheme not in _PORTS:
            raise BadProxy(f"a proxy begins with http:// or https://, not {parts.scheme}://")
        if not host:
            raise BadProxy("the proxy's address names no host; write it as http://proxy:3128")
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return cls(
            host=host,
            port=port or _PORTS[parts.scheme],
            secure=parts.scheme == "https",
            login="" if parts.username is None else login,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no report may show."""
        return tuple(filter(None, (self.login.partition(":")[2],)))

    def __str__(self) -> str:
        return join_host(self.host, self.port)


def proxy_of(environment: Mapping[str, str], scheme: str, host: str, port: int) -> Proxy | None:
    """Return the proxy that *environment* names for a gateway, by HTTPS_PROXY and NO_PROXY and their like.

    What runs on this machine is reached without one.

    Raises:
        BadProxy: a variable holds none; the text names it.
    """
    if _is_loopback(host) or is_excepted(_first(environment, "NO_PROXY", "no_proxy"), host, port):
        return None
    for name in _VARIABLES[scheme]:
        if url := environment.get(name):
            try:
                return Proxy.parse(url)
            except BadProxy as error:
                raise BadProxy(f"{name}: {error}") from None
    return None


def is_excepted(no_proxy: str, host: str, port: int) -> bool:
    """Whether *no_proxy* has *host*: by its name, a domain above it, its address or network, or `*`."""
    for entry in no_proxy.lower().replace(",", " ").split():
        name, colon, number = entry.rpartition(":")
        if colon and number.isdecimal() and name.count(":") == 0:
            if int(number) != port:
                continue
            entry = name
        if entry == "*" or _covers(entry, host.lower()):
            return True
    return False


def _covers(entry: str, host: str) -> bool:
    domain = entry.removeprefix("*").removeprefix(".")
    if host == domain or host.endswith(f".{domain}"):
        return bool(domain)
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next(filter(None, map(environment.get, names)), "")


async def dial_through(
    proxy: Proxy, host: str, port: int, *, ssl_context: ssl.SSLContext | None, narrow: bool
) -> trio.abc.Stream:
    """Open a tunnel through *proxy*, and TLS in it with *ssl_context*.

    Raises:
        OSError: the proxy can't be reached, or makes no tunnel; the text says which.
        trio.BrokenResourceError: TLS failed; the cause says why.
    """
    to_proxy = ssl.create_default_context() if proxy.secure else None
    try:
        stream = await dial_tcp(proxy.host, proxy.port, ssl_context=to_proxy, narrow=narrow)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error.strerror or str(error)
        raise ConnectionError(f"the proxy {proxy} can't be reached: {why}") from None
    except trio.BrokenResourceError as error:
        raise ConnectionError(f"TLS with the proxy {proxy} failed: {error.__cause__}") from None
    try:
        await _connect(stream, proxy, join_host(host, port))
        if ssl_context is None:
            return stream
        inner = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
        await inner.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return inner


async def _connect(stream: trio.abc.Stream, proxy: Proxy, place: str) -> None:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", place)]
    if proxy.login:
        token = base64.b64encode(proxy.login.encode()).decode()
        headers.append(("Proxy-Authorization", f"Basic {token}"))
    request = connection.send(h11.Request(method="CONNECT", target=place, headers=headers))
    end = connection.send(h11.EndOfMessage())
    try:
        await stream.send_all((request or b"") + (end or b""))
        response = await _answer(stream, connection)
    except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        why = str(error) if isinstance(error, h11.RemoteProtocolError) else "it hung up"
        raise ConnectionError(f"the proxy {proxy} gave no answer to CONNECT: {why}") from None
    if not 200 <= response.status_code < 300:
        reason = response.reason.decode("ascii", "replace")
        hint = "; it wants a login, in HTTPS_PROXY" if response.status_code == 407 else ""
        raise ConnectionError(
            f"the proxy {proxy} answers CONNECT {place} by HTTP {response.status_code} "
            f"{reason}".rstrip()
            + hint
        )
    if connection.trailing_data[0]:
        # The gateway speaks only when it was spoken to.
        raise ConnectionError(f"the proxy {proxy} sent more than its answer to CONNECT")


async def _answer(stream: trio.abc.Stream, connection: h11.Connection) -> h11.Response:
    while True:
        match connection.next_event():
            case h11.Response() as response:
                return response
            case h11.NEED_DATA:
                data = bytes(await stream.receive_some(_CHUNK))
                if not data:
                    raise trio.BrokenResourceError
                connection.receive_data(data)
            case _:
                pass  # an informational response


def join_host(host: str, port: int) -> str:
    """Return host and port as CONNECT has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
