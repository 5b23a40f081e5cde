"""What tests of the pytest plugin run it against."""

import socket

from plexwire_conformance.faults import FaultyGateway
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.target.reference_gateway import keys_of
from plexwire_conformance.target.target import Keys
from plexwire_server import serve


def start(thread: TrioThread, gateway: FaultyGateway) -> tuple[str, Keys]:
    """Serve *gateway* as long as the thread lasts, and return its URL and keys."""

    async def begin() -> int:
        addresses = await thread.nursery.start(serve, gateway)
        return int(addresses[0][1])

    return f"ws://127.0.0.1:{thread.call(begin)}", keys_of(gateway.given)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ws://127.0.0.1:{listener.getsockname()[1]}"
