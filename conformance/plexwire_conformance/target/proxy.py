"""The suite's own streams through an HTTP proxy: the adapter makes the tunnel, and the suite dials as everywhere."""

import ssl

import trio

from plexwire_conformance.target.streams import dial_tcp
from plexwire_trio import Proxy, ProxyFailed, open_tunnel
from plexwire_trio import refused_tls_of_proxy as refused_tls
from plexwire_trio import unreachable_proxy as unreachable


async def dial_through(
    proxy: Proxy, host: str, port: int, *, ssl_context: ssl.SSLContext | None, narrow: bool
) -> trio.abc.Stream:
    """Open a tunnel through *proxy*, and TLS in it with *ssl_context*.

    Raises:
        OSError: the proxy can't be reached, or makes no tunnel; the text says which.
        trio.BrokenResourceError: TLS with the gateway failed; the cause says why.
    """
    try:
        stream = await _dial(proxy, narrow=narrow)
        try:
            await open_tunnel(stream, proxy, host, port)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    except ProxyFailed as error:
        raise ConnectionError(str(error)) from None
    if ssl_context is None:
        return stream
    inner = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
    try:
        await inner.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(inner)
        raise
    return inner


async def _dial(proxy: Proxy, *, narrow: bool) -> trio.abc.Stream:
    context = ssl.create_default_context() if proxy.secure else None
    try:
        return await dial_tcp(proxy.host, proxy.port, ssl_context=context, narrow=narrow)
    except OSError as error:
        raise unreachable(proxy, error) from None
    except trio.BrokenResourceError as error:
        raise refused_tls(proxy, error) from None
