"""HTTP proxies: which one leads to a gateway, and the CONNECT that makes a tunnel of it.

Most of this is the choice from the environment, which libraries leave to their callers.  The rest is one request and the
head of its answer, which h11 reads: it comes with trio-websocket.
"""

import base64
import os
import ssl
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
import trio
from attrs import field, frozen

from plexwire_trio._errors import BadProxy, ProxyFailed
from plexwire_trio._transport import StreamOpener, start_tls
from plexwire_trio._urls import GatewayUrl

#: Stands for no proxy at all, whatever the environment says.
NO_PROXY: Final = "none"

_CHUNK: Final = 65_536
_PORTS: Final = {"http": 80, "https": 443}
_EXAMPLE: Final = "Write it as http://proxy.example:3128."
#: Where the environment names the proxy, by the scheme of the gateway's URL; the first that is set counts.
_VARIABLES: Final = {
    "wss": ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
    # Not HTTP_PROXY: in a CGI program's environment, a request's header sets it.
    "ws": ("http_proxy", "ALL_PROXY", "all_proxy"),
}


@frozen(kw_only=True)
class Proxy:
    """An HTTP proxy; `login` is `user:password`, empty if it asks for none."""

    host: str
    port: int
    secure: bool = False
    login: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Read http://host:port or https://host:port, with or without user and password.

        Raises:
            BadProxy: *url* is not the address of an HTTP proxy.  The error never repeats user or password.

        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise BadProxy("The proxy's address can't be read.", _EXAMPLE) from None
        if parts.scheme not in _PORTS:
            raise BadProxy(
                f"A proxy's address begins with http:// or https://, not {parts.scheme}://.",
                _EXAMPLE,
            )
        if not host:
            raise BadProxy("The proxy's address names no host.", _EXAMPLE)
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
        return _joined(self.host, self.port)


# ── which proxy ──────────────────────────────────────────────────────────────────────────────


def choose_proxy(
    given: str | None, environment: Mapping[str, str], scheme: str, host: str, port: int
) -> Proxy | None:
    """Return the proxy that leads to a gateway: the *given* one, none if that is `none`, else that of *environment*.

    Raises:
        BadProxy: the proxy can't be used, or a login was *given*.

    """
    if given is None:
        return proxy_of(environment, scheme, host, port)
    return read_proxy(given)


def read_proxy(given: str) -> Proxy | None:
    """Return the proxy that a person has *given* by option or in a file; None for `none`.

    Raises:
        BadProxy: it can't be used, or has a login, which others could read there.

    """
    if given == NO_PROXY:
        return None
    proxy = Proxy.parse(given)
    if proxy.login:
        raise BadProxy("The proxy's address holds a login.", "Put it into HTTPS_PROXY instead.")
    return proxy


def proxy_of(environment: Mapping[str, str], scheme: str, host: str, port: int) -> Proxy | None:
    """Return the proxy that *environment* names for a gateway, by HTTPS_PROXY, NO_PROXY and the like.

    A gateway on this machine is reached without a proxy.

    Raises:
        BadProxy: a variable holds no proxy; the error names the variable.

    """
    if _is_loopback(host) or is_excepted(_first(environment, "NO_PROXY", "no_proxy"), host, port):
        return None
    for name in _VARIABLES[scheme]:
        if address := environment.get(name):
            try:
                return Proxy.parse(address)
            except BadProxy as error:
                raise BadProxy(f"{name}: {error.problem}", error.hint) from None
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
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next(filter(None, map(environment.get, names)), "")


# ── the tunnel ───────────────────────────────────────────────────────────────────────────────


def opener_through(proxy: Proxy, *, ssl_context: ssl.SSLContext | None = None) -> StreamOpener:
    """Return an `opener` for `open_websocket` that goes through *proxy*; *ssl_context* is for the gateway.

    It raises `ProxyFailed` if the proxy can't be reached or makes no tunnel, and `TlsFailed` as `open_stream` does.
    """

    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        stream = await _dial(proxy)
        try:
            await open_tunnel(stream, proxy, url.host, url.port)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return await start_tls(stream, url, ssl_context) if url.secure else stream

    return opener


async def _dial(proxy: Proxy) -> trio.abc.Stream:
    try:
        tcp = await trio.open_tcp_stream(proxy.host, proxy.port)
    except OSError as error:
        raise unreachable_proxy(proxy, error) from None
    if not proxy.secure:
        return tcp
    context = ssl.create_default_context()
    stream = trio.SSLStream(tcp, context, server_hostname=proxy.host, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, trio.BrokenResourceError):
            raise refused_tls_of_proxy(proxy, error) from None
        raise
    return stream


def unreachable_proxy(proxy: Proxy, error: OSError) -> ProxyFailed:
    """Return what to say if TCP to *proxy* failed with *error*."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]  # what the first of its addresses said
    if isinstance(cause, OSError):
        error = cause
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else ""
    return ProxyFailed(
        f"The proxy {proxy} can't be reached: {why or error.strerror or error}.",
        "Check the proxy's address, or whether this gateway needs one.",
    )


def refused_tls_of_proxy(proxy: Proxy, error: trio.BrokenResourceError) -> ProxyFailed:
    """Return what to say if TLS with *proxy* failed with *error*."""
    return ProxyFailed(
        f"TLS with the proxy {proxy} failed: {error.__cause__ or 'it hung up'}.",
        "Most proxies expect http://, also for gateways behind wss://.",
    )


async def open_tunnel(stream: trio.abc.Stream, proxy: Proxy, host: str, port: int) -> None:
    """Make *stream*, which leads to *proxy*, lead to *host* and *port*.

    Raises:
        ProxyFailed: the proxy makes no tunnel; the error has its answer.

    """
    place = _joined(host, port)
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
        raise ProxyFailed(
            f"The proxy {proxy} gave no answer to CONNECT {place}: {why}.",
            "Is it an HTTP proxy that permits CONNECT?",
        ) from None
    if not 200 <= response.status_code < 300:
        reason = response.reason.decode("ascii", "replace")
        raise ProxyFailed(
            f"The proxy {proxy} answered CONNECT {place} with HTTP {response.status_code} {reason}".rstrip()
            + ".",
            "It wants a login: put http://user:password@host:port into HTTPS_PROXY."
            if response.status_code == 407
            else "Ask whoever runs the proxy to permit that host and port.",
        )
    if connection.trailing_data[0]:
        # A gateway is silent until the handshake, so these bytes are the proxy's.
        raise ProxyFailed(
            f"The proxy {proxy} sent more than its answer to CONNECT {place}.",
            "Is it an HTTP proxy that permits CONNECT?",
        )


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


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
