"""An HTTP proxy for tests: it makes tunnels by CONNECT, and keeps what it was asked and sent."""

import ssl
from contextlib import suppress

import trio
from attrs import define, field

_OK = b"HTTP/1.1 200 OK\r\n\r\n"


@define(eq=False)
class ConnectProxy:
    """Answers CONNECT by `answer`, and joins the client with the server that it asked for."""

    answer: bytes = _OK
    #: Addresses of hosts that only the proxy knows.
    hosts: dict[str, str] = field(factory=dict[str, str])
    asked: list[str] = field(factory=list[str])
    tunnels: int = 0
    #: What clients sent through all tunnels.
    sent: bytearray = field(factory=bytearray)

    async def start(self, nursery: trio.Nursery, tls: ssl.SSLContext | None = None) -> str:
        """Listen on loopback until *nursery* ends, and return host and port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        if tls is None:
            await nursery.start(trio.serve_listeners, self.handle, listeners)
        else:
            secured = [trio.SSLListener(each, tls) for each in listeners]
            await nursery.start(trio.serve_listeners, self.handle, secured)
        return f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"

    async def handle(self, client: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        """Serve one client."""
        with suppress(trio.BrokenResourceError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                chunk = bytes(await client.receive_some())
                if not chunk:
                    return
                head += chunk
            self.asked.append(head.decode())
            await client.send_all(self.answer)
            if self.answer != _OK:
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            self.tunnels += 1
            server = await trio.open_tcp_stream(self.hosts.get(host, host), int(port))
            async with server, trio.open_nursery() as nursery:
                nursery.start_soon(_pump, client, server, nursery, self.sent)
                nursery.start_soon(_pump, server, client, nursery, bytearray())


async def _pump(
    source: trio.abc.Stream, sink: trio.abc.Stream, nursery: trio.Nursery, seen: bytearray
) -> None:
    with suppress(trio.BrokenResourceError):
        while data := await source.receive_some():
            seen += data
            await sink.send_all(data)
    nursery.cancel_scope.cancel()
