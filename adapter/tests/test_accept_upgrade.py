"""A handshake that was read by somebody else, answered over a stream."""

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from plexwire_trio import accept_upgrade

TARGET = "/v1/sources/robot-01/video/stream?camera_id=a%20b"


def shake_hands() -> tuple[WSConnection, str]:
    """Return a client that has sent its handshake, and the key in it."""
    client = WSConnection(ConnectionType.CLIENT)
    head = client.send(Request(host="gateway.example", target=TARGET)).decode()
    [key] = [line[19:] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key: ")]
    return client, key


def early(*texts: str) -> bytes:
    """Return messages of a client that does not wait for the answer."""
    client, key = shake_hands()
    server = WSConnection(ConnectionType.SERVER)
    server.initiate_upgrade_connection(
        [
            (b"Host", b"x"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", key.encode()),
            (b"Sec-WebSocket-Version", b"13"),
        ],
        TARGET,
    )
    list(server.events())
    client.receive_data(server.send(AcceptConnection()))
    list(client.events())
    return b"".join(client.send(TextMessage(data=text)) for text in texts)


async def test_client_gets_the_answer_to_its_own_key(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    client, key = shake_hands()
    ws = await accept_upgrade(nursery, ours, TARGET, key)
    client.receive_data(bytes(await theirs.receive_some()))
    [accepted] = client.events()
    assert isinstance(accepted, AcceptConnection)
    assert (accepted.extensions, accepted.subprotocol, ws.path) == ([], None, TARGET)
    await theirs.send_all(client.send(TextMessage(data="hello")))
    assert await ws.get_message() == "hello"


@pytest.mark.parametrize("cut", range(0, 40, 3))
async def test_server_loses_nothing_that_came_with_the_handshake(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, cut: int
) -> None:
    """Some of it came in the segment of the handshake, the rest before the answer was sent."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    data = early("the first message", "the second")
    assert cut <= len(data)
    _, key = shake_hands()

    async def talk() -> None:
        async with trio.open_nursery() as both:
            both.start_soon(theirs.send_all, data[cut:])
            await theirs.receive_some()

    nursery.start_soon(talk)
    await trio.testing.wait_all_tasks_blocked()
    ws = await accept_upgrade(nursery, ours, TARGET, key, received=data[:cut])
    assert [await ws.get_message(), await ws.get_message()] == ["the first message", "the second"]


async def test_server_is_told_that_the_client_has_gone(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    _, key = shake_hands()
    with pytest.raises(ConnectionClosed):
        await accept_upgrade(nursery, ours, TARGET, key)
