"""What the suite has to send: near misses of keys, request heads, messages; and that the reference stands all of it."""

import ast
import base64
import hashlib
import inspect
import json
import re
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType

import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.stimuli import messages, near_keys, request_heads
from plexwire_conformance.stimuli.messages import Lawfulness, RawFrame, Speaker, stimuli
from plexwire_conformance.stimuli.request_heads import (
    FOREIGN_ORIGINS,
    REQUEST_HEADS,
    RequestHead,
    broken,
    same_meaning,
)
from plexwire_conformance.target.reference_gateway import memory_gateway
from plexwire_conformance.target.target import Endpoint, Target
from plexwire_conformance.wire.framing import (
    FrameReader,
    Opcode,
    WireFrame,
    encode_frame,
    parse_response,
)
from plexwire_server import Gateway, KeyStore

KEY = "plx_3fQk9sAzT0eYb7WmXcR5uHj2"
TARGET = "/v1/sources/robot-01/video/stream?camera_id=front"
BROWSERS = {"Firefox", "Firefox with keep-alive", "Chrome", "Safari", "Safari before 15"}

# ── near misses of keys ──────────────────────────────────────────────────────────────────────

_bodies = st.text("abkspxAEKO0123456789_-", min_size=1, max_size=40)


@given(key=st.just("plx_").flatmap(lambda prefix: _bodies.map(prefix.__add__)) | _bodies)
def test_near_keys_of_any_key_are_other_keys_and_all_different(key: str) -> None:
    found = near_keys.near_keys(key)
    keys = [near.key for near in found]
    assert key not in keys
    assert len(set(keys)) == len(keys)
    assert len({near.name for near in found}) == len(found)
    assert all(json.loads(json.dumps(near.key)) == near.key for near in found)
    assert "".join(keys).encode()


def test_near_keys_of_an_ordinary_key_are_of_every_kind() -> None:
    names = " / ".join(near.name for near in near_keys.near_keys(KEY))
    kinds = """
        empty; in upper case; one letter swapped at the middle; a line feed after it; a carriage return before it
        a no-break space; without its last; without its first; another character at the start
        another character at the middle; another character at the end; without its prefix; prefix twice
        doubled; a look-alike; folds to it; full-width; composed; decomposed; zero-width; 73 characters; SHA-256
    """
    for kind in re.split(r"[;\n]", kinds):
        assert kind.strip() in names
    assert len(near_keys.near_keys(KEY)) >= 110


def test_near_key_does_not_show_itself() -> None:
    assert not [near for near in near_keys.near_keys(KEY) if near.key and near.key in repr(near)]


def test_near_keys_of_no_key_are_refused() -> None:
    with pytest.raises(ValueError, match="not empty"):
        near_keys.near_keys("")


# ── request heads ────────────────────────────────────────────────────────────────────────────


def test_heads_are_of_clients_with_names_of_their_own() -> None:
    names = [head.name for head in REQUEST_HEADS]
    assert len(set(names)) == len(names) >= 12
    assert {head.name for head in REQUEST_HEADS if head.has_origin} >= BROWSERS
    assert sum(head.captured for head in REQUEST_HEADS) >= 11


@pytest.mark.parametrize("head", REQUEST_HEADS, ids=lambda head: head.name)
def test_head_is_filled_in_and_ends_with_an_empty_line(head: RequestHead) -> None:
    written = head.render(TARGET, host="gateway.test", origin="null").decode("ascii")
    assert written.startswith(f"GET {TARGET} HTTP/1.1\r\n")
    assert written.endswith("\r\n\r\n")
    assert "{" not in written
    assert written.count("\r\n") == len(head.headers) + 2
    assert re.search(r"(?mi)^sec-websocket-key: \S{22}==\r$", written)


@pytest.mark.parametrize("variations", [same_meaning, broken])
def test_variations_of_a_head_have_names_and_are_no_two_alike(
    variations: Callable[[RequestHead], Sequence[tuple[str, RequestHead]]],
) -> None:
    for head in REQUEST_HEADS:
        found = variations(head)
        assert len({name for name, _ in found}) == len(found)
        heads = Counter(one.render(TARGET, host="h") for _, one in found)
        assert max(heads.values()) == 1


# ── messages ─────────────────────────────────────────────────────────────────────────────────

STIMULI = stimuli(api_key=KEY, source_id="robot-01")


def test_stimuli_have_names_of_their_own_and_every_opcode() -> None:
    names = [one.name for one in STIMULI]
    assert len(set(names)) == len(names) >= 130
    assert {frame.opcode for one in STIMULI for frame in one.frames} == set(range(16))
    assert {one.speaker for one in STIMULI} == set(Speaker)


def test_stimulus_with_a_message_says_it_in_its_data_frames() -> None:
    for one in STIMULI:
        data = [frame for frame in one.frames if frame.opcode < messages.CLOSE]
        if one.message is None:
            continue
        said = b"".join(frame.payload for frame in data)
        assert said == (one.message.encode() if isinstance(one.message, str) else one.message)
        assert (data[0].opcode == messages.TEXT) is isinstance(one.message, str)
        assert [frame.fin for frame in data] == [False] * (len(data) - 1) + [True]


def test_stimulus_does_not_show_the_key() -> None:
    assert KEY not in repr(STIMULI)


# ── the reference gateway ────────────────────────────────────────────────────────────────────


@define
class Client:
    """A raw client over one stream in memory."""

    stream: trio.abc.Stream
    reader: FrameReader = field(factory=FrameReader)
    frames: deque[WireFrame] = field(factory=deque[WireFrame])

    async def upgrade(self, head: bytes) -> int:
        """Send *head* and return the status of the answer."""
        data = b""
        await self.stream.send_all(head)
        while (answer := parse_response(data)) is None:
            chunk = bytes(await self.stream.receive_some())
            assert chunk, "no answer"
            data += chunk
        if answer.status == 101:
            key = base64.b64encode(
                hashlib.sha1(
                    f"{request_heads.SAMPLE_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
                ).digest()
            )
            assert f"sec-websocket-accept: {key.decode()}".lower() in data.decode().lower()
        return answer.status

    async def send(self, *frames: RawFrame) -> None:
        for frame in frames:
            sent = encode_frame(frame.opcode, frame.payload, fin=frame.fin, rsv=frame.rsv)
            await self.stream.send_all(sent)

    async def next(self) -> WireFrame | None:
        """Return the next frame of the gateway, or None at the end of the connection."""
        while not self.frames:
            chunk = bytes(await self.stream.receive_some())
            if not chunk:
                return None
            self.frames.extend(self.reader.feed(chunk))
        return self.frames.popleft()

    async def is_there(self) -> bool:
        """Whether a ping is answered."""
        await self.send(RawFrame(messages.PING, b"?"))
        while (frame := await self.next()) is not None and frame.opcode is not Opcode.CLOSE:
            if frame.opcode is Opcode.PONG and frame.payload == b"?":
                return True
        return False


async def _connect(endpoint: Endpoint, target: str) -> Client:
    client = Client(await endpoint.dial(False))
    head = REQUEST_HEADS[2].render(target, host="gateway.test")
    assert await client.upgrade(head) == 101
    return client


def _text(**members: str) -> RawFrame:
    return RawFrame(messages.TEXT, json.dumps(members).encode())


async def _viewer(target: Target) -> Client:
    client = await _connect(target.viewers, TARGET)
    await client.send(_text(type="auth", api_key=target.keys.api_key))
    assert await client.next() is not None
    return client


async def _device(target: Target) -> Client:
    client = await _connect(target.devices, "/ws/device")
    key = target.keys.device_key or target.keys.api_key
    await client.send(_text(type="device_auth", api_key=key, source_id="robot-01"))
    assert await client.next() is not None
    return client


async def _with_gateway(use: Callable[[Target], Awaitable[None]]) -> None:
    store, given = KeyStore.throw_away()
    async with memory_gateway(Gateway(store), given) as target:
        with trio.fail_after(60):
            await use(target)


async def test_reference_answers_the_head_of_every_client_with_101(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def use(target: Target) -> None:
        for head in REQUEST_HEADS:
            for origin in FOREIGN_ORIGINS if head.has_origin else ("https://gateway.test",):
                client = Client(await target.viewers.dial(False))
                written = head.render(TARGET, host="gateway.test", origin=origin)
                assert await client.upgrade(written) == 101, (head.name, origin)
                await client.stream.aclose()

    await _with_gateway(use)


@pytest.mark.parametrize("head", REQUEST_HEADS, ids=lambda head: head.name)
async def test_reference_takes_variations_of_the_same_meaning_and_no_others(
    head: RequestHead, autojump_clock: trio.testing.MockClock
) -> None:
    async def use(target: Target) -> None:
        for name, one in (*same_meaning(head), *broken(head)):
            client = Client(await target.viewers.dial(False))
            status = await client.upgrade(one.render(TARGET, host="gateway.test"))
            assert (status == 101) is ((name, one) in same_meaning(head)), name
            await client.stream.aclose()

    await _with_gateway(use)


async def test_reference_closes_a_viewer_with_every_near_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def use(target: Target) -> None:
        for near in near_keys.near_keys(target.keys.api_key):
            client = await _connect(target.viewers, TARGET)
            await client.send(_text(type="auth", api_key=near.key))
            frame = await client.next()
            assert frame is not None, near.name
            assert frame.opcode is Opcode.CLOSE, near.name
            assert frame.payload.startswith((4001).to_bytes(2, "big")), near.name
            await client.stream.aclose()

    await _with_gateway(use)


async def test_reference_refuses_a_device_with_every_near_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def use(target: Target) -> None:
        for near in near_keys.near_keys(target.keys.device_key or target.keys.api_key):
            client = await _connect(target.devices, "/ws/device")
            await client.send(_text(type="device_auth", api_key=near.key, source_id="robot-01"))
            error, close = await client.next(), await client.next()
            assert error is not None, near.name
            assert json.loads(error.payload)["type"] == "error", near.name
            assert close is not None, near.name
            assert close.opcode is Opcode.CLOSE, near.name
            await client.stream.aclose()

    await _with_gateway(use)


@pytest.mark.parametrize("begin", [_viewer, _device])
async def test_reference_stands_every_stimulus_after_authentication(
    begin: Callable[[Target], Awaitable[Client]],
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def use(target: Target) -> None:
        for one in STIMULI:
            client = await begin(target)
            await client.send(*one.frames)
            assert await client.is_there() is (one.lawfulness is Lawfulness.LAWFUL), one.name
            await client.stream.aclose()

    await _with_gateway(use)


@pytest.mark.parametrize("module", [messages, near_keys, request_heads])
def test_stimuli_import_nothing_of_the_suite(module: ModuleType) -> None:
    tree = ast.parse(inspect.getsource(module))
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    tops = {str(name).partition(".")[0] for name in imported}
    assert tops <= {"attrs"} | set(sys.stdlib_module_names)
