"""Show that small frames on one connection hold up every task of a trio-websocket server.

    python trio_websocket_flood.py

A server on loopback, a clock that ticks every 10 ms beside it, and one client that sends small frames for two seconds.
Prints, per kind of frame and size of a read, by how much the clock's ticks were late.  Stops by itself after about 13 seconds.
"""

import socket
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

TICK_S: Final = 0.01
FLOOD_S: Final = 2.0

HEAD: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

#: The first frame of a text: empty, unfinished, masked with zeros.
FIRST: Final = bytes.fromhex("0180 00000000")

#: What the client repeats: empty frames too, masked with zeros.
KINDS: Final = {
    "none": b"",
    "empty continuations": bytes.fromhex("0080 00000000"),
    "unsolicited pongs": bytes.fromhex("8a80 00000000"),
}


async def receive(request: WebSocketRequest) -> None:
    """Accept, and read as a program would."""
    ws = await request.accept()
    with suppress(ConnectionClosed):
        while True:
            await ws.get_message()


def flood(port: int, frame: bytes) -> int:
    """Send *frame* as fast as the server takes it; return how many bytes it took."""
    sent = 0
    until = time.monotonic() + FLOOD_S
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(HEAD)
        sock.recv(4096)
        sock.sendall(FIRST)
        while time.monotonic() < until:
            if frame:
                sock.sendall(frame * 1000)
                sent += len(frame) * 1000
            else:
                time.sleep(TICK_S)
    return sent


async def tick(late_ms: list[float]) -> None:
    """Note by how many milliseconds each tick comes late."""
    while True:
        due = trio.current_time() + TICK_S
        await trio.sleep_until(due)
        late_ms.append((trio.current_time() - due) * 1000)


async def measure(name: str, receive_buffer_size: int | None, clients: Executor) -> None:
    """Print one row: the clock beside one client."""
    late_ms: list[float] = []
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            lambda task_status: serve_websocket(
                receive,
                "127.0.0.1",
                0,
                ssl_context=None,
                receive_buffer_size=receive_buffer_size,
                task_status=task_status,
            )
        )
        nursery.start_soon(tick, late_ms)
        client = clients.submit(flood, server.port, KINDS[name])
        sent = await trio.to_thread.run_sync(client.result)
        nursery.cancel_scope.cancel()
    late_ms.sort()
    p50, p99 = (late_ms[int(len(late_ms) * share)] for share in (0.5, 0.99))
    read = "64 KiB" if receive_buffer_size is None else f"{receive_buffer_size // 1024} KiB"
    rate = sent / FLOOD_S / 1e6
    print(f"| {name} | {read} | {rate:.2f} | {p50:.1f} | {p99:.1f} | {late_ms[-1]:.1f} |")


async def main() -> None:
    """Print the table."""
    print("| the client sends | one read | MB/s | late p50 (ms) | p99 | max |")
    print("|---|---|---|---|---|---|")
    # In a process of its own, for the client must not hold the server's interpreter.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as clients:
        for name in KINDS:
            for size in (4096, None):
                await measure(name, size, clients)


if __name__ == "__main__":
    trio.run(main)
