"""An HTTP proxy for tests: it makes tunnels by CONNECT, and keeps what it was asked."""

from contextlib import suppress

import trio
from attrs import define, field


@define(eq=False)
class ConnectProxy:
    """Answers CONNECT by `answer`, and joins the client with whoever it asked for."""

    answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
    asked: list[str] = field(factory=list[str])
    #: Addresses of hosts that only the proxy knows.
    hosts: dict[str, str] = field(factory=dict[str, str])

    async def handle(self, client: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                chunk = bytes(await client.receive_some())
                if not chunk:
                    return
                head += chunk
            self.asked.append(head.decode())
            await client.send_all(self.answer)
            if self.answer != b"HTTP/1.1 200 OK\r\n\r\n":
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            server = await trio.open_tcp_stream(self.hosts.get(host, host), int(port))
            async with server, trio.open_nursery() as nursery:
                nursery.start_soon(pump, client, server, nursery)
                nursery.start_soon(pump, server, client, nursery)


async def pump(source: trio.abc.Stream, sink: trio.abc.Stream, nursery: trio.Nursery) -> None:
    with suppress(trio.BrokenResourceError):
        while data := await source.receive_some():
            await sink.send_all(data)
    nursery.cancel_scope.cancel()
