"""The core in other stacks: each example is judged, or watches, for real."""

import base64
import json
import os
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio
from embedded_gateways import advice_not_followed

from plexwire_client import DeviceClient, open_device
from plexwire_client.pattern import make_pattern
from plexwire_conformance.target.reference_gateway import reference_gateway
from plexwire_conformance.target.target import Endpoint, Keys, Target
from plexwire_conformance.wire.framing import handshake_request
from plexwire_conformance.wire.roles import pipelined_auth
from plexwire_protocol import StreamAddress
from plexwire_spec import Kind, Party, Vector, vectors

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "plx_example_of_a_key"

needs_websockets_16 = pytest.mark.skipif(
    int(version("websockets").partition(".")[0]) < 16,
    reason="uvicorn with an older websockets leaves some handshakes unanswered",
)

#: Large enough that what a viewer does not read soon blocks its gateway.
JPEG = make_pattern(1, 64, 48) + bytes(200_000)


@asynccontextmanager
async def example(name: str, *arguments: str) -> AsyncIterator[tuple[Target, int]]:
    """Run an example gateway; yield it as a target with its process id, and see that it stops cleanly."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PLEXWIRE_API_KEY": KEY},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with process.stdin, process.stdout:
            with trio.fail_after(10):
                url = (await process.stdout.receive_some()).decode().strip()
            endpoint = Endpoint.of_url(url)
            keys = Keys(api_key=KEY)
            yield Target(viewers=endpoint, devices=endpoint, keys=keys), process.pid
        with trio.fail_after(10):
            assert await process.wait() == 0
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.mark.parametrize(
    ("command", "profile", "advice"),
    [
        ("asyncio_gateway", "default", set()),
        ("aiohttp_gateway", "quick", set()),
        ("threads_gateway", "quick", set()),
        pytest.param("fastapi_gateway uvicorn", "quick", set(), marks=needs_websockets_16),
        # It drops the connection over text that is not UTF-8, where a close frame is due.
        ("fastapi_gateway hypercorn", "quick", {"PW-CONN-5"}),
        ("quart_gateway", "quick", {"PW-CONN-5"}),
    ],
)
async def test_gateway_embeds_the_core_and_conforms(
    command: str, profile: str, advice: set[str]
) -> None:
    """But for *advice* that its stack does not follow."""
    with trio.fail_after(90):
        async with example(*command.split()) as (target, _):
            assert await advice_not_followed(target, profile) == advice


def sockets_of(pid: int) -> int:
    """How many sockets a process has open."""
    return sum(
        os.readlink(file).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir()
    )


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the gateway's sockets")
@pytest.mark.parametrize(
    "name", ["asyncio_gateway", "aiohttp_gateway", "fastapi_gateway", "threads_gateway"]
)
async def test_gateway_lets_go_of_a_viewer_that_stalls_past_its_timeout(name: str) -> None:
    with trio.fail_after(30):
        async with (
            example(name) as (target, pid),
            open_device(target.devices.url, api_key=KEY, source_id="robot-01") as device,
            trio.open_nursery() as nursery,
        ):
            await device.send_video_frame(JPEG, "front")
            before = sockets_of(pid)
            nursery.start_soon(keep_sending, device)
            async with await target.viewers.dial(False) as stream:
                await ask_for_one_second(target, stream)
                assert sockets_of(pid) > before
                began = trio.current_time()
                while sockets_of(pid) > before:  # noqa: ASYNC110  # another process tells no event
                    await trio.sleep(0.05)
                seconds = trio.current_time() - began
            nursery.cancel_scope.cancel()
    assert 0.9 <= seconds <= 5  # its timeout, 2 s for a close that is due, and a busy machine


async def ask_for_one_second(target: Target, stream: trio.abc.Stream) -> None:
    """Ask for a stream of one second, and read no more than the answer to the handshake."""
    address = StreamAddress(source_id="robot-01", cameras=("front",), timeout=1)
    await stream.send_all(handshake_request(address.target(), target.viewers.host_header))
    await stream.receive_some()
    await stream.send_all(pipelined_auth(KEY))


async def keep_sending(device: DeviceClient) -> None:
    while True:
        await device.send_video_frame(JPEG, "front")
        await trio.sleep(0.02)


@pytest.mark.parametrize(
    "name", ["plain_viewer", "threads_viewer", "twisted_viewer", "wsproto_viewer"]
)
async def test_viewer_sees_frames(name: str) -> None:
    with trio.fail_after(60):
        async with (
            reference_gateway() as target,
            open_device(
                target.devices.url, api_key=target.keys.device_key, source_id="robot-01"
            ) as device,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(keep_sending, device)
            command = [sys.executable, str(EXAMPLES / f"{name}.py"), target.viewers.url]
            done = await trio.run_process(
                [*command, "robot-01", "front"],
                env={**os.environ, "PLEXWIRE_API_KEY": target.keys.api_key},
                capture_stdout=True,
            )
            nursery.cancel_scope.cancel()
    assert done.stdout.decode().startswith("online: [")
    assert done.stdout.decode().count("front 64x48") == 10


@pytest.mark.parametrize(
    "name", ["plain_viewer", "threads_viewer", "twisted_viewer", "wsproto_viewer"]
)
async def test_viewer_with_a_wrong_key_says_so(name: str) -> None:
    with trio.fail_after(60):
        async with reference_gateway() as target:
            command = [sys.executable, str(EXAMPLES / f"{name}.py"), target.viewers.url]
            done = await trio.run_process(
                [*command, "robot-01", "front"],
                env={**os.environ, "PLEXWIRE_API_KEY": "plx_nobody_has_this_key"},
                capture_stdout=True,
            )
    assert "key" in done.stdout.decode()


FROM_GATEWAYS = [
    vector
    for vector in vectors().values()
    if vector.kind is Kind.TEXT and vector.sender is Party.GATEWAY
]


def plain_outcome(text: str) -> dict[str, Any]:
    """Return what the viewer in plain Python makes of a message, as a vector has it."""
    viewer = runpy.run_path(str(EXAMPLES / "plain_viewer.py"))
    try:
        message = viewer["read"](text)
    except viewer["Refused"] as reason:
        return {"refused": str(reason)}
    if message is None:
        return {"ignored": json.loads(text)["type"]}
    if "frame" in message:
        message["frame"] = base64.b64encode(message["frame"]).decode()
    return {"accepted": message}


@pytest.mark.parametrize("vector", FROM_GATEWAYS, ids=lambda vector: vector.id)
def test_plain_viewer_reads_every_vector_of_what_gateways_say(vector: Vector) -> None:
    """So the specification and its vectors are enough to write a viewer; members beyond them it leaves out."""
    outcome = plain_outcome(vector.input)
    accepted, wanted = outcome.get("accepted"), vector.outcome.get("accepted")
    if accepted is None or not isinstance(wanted, Mapping):
        assert outcome == vector.outcome
    else:
        assert accepted == {name: wanted[name] for name in accepted if name in wanted}
