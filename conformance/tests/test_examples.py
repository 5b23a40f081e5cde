"""The core in other stacks: each example is judged, or watches, for real."""

import os
import subprocess
import sys
import time
from pathlib import Path

import trio

from plexwire_client import open_device
from plexwire_client.pattern import make_pattern
from plexwire_conformance.cases import CASES
from plexwire_conformance.run.findings import Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import reference_gateway
from plexwire_conformance.target.target import Endpoint, Keys, Target

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "plx_example_of_a_key"


async def test_gateway_on_asyncio_embeds_the_core_and_conforms() -> None:
    env = {**os.environ, "PLEXWIRE_API_KEY": KEY}
    command = [sys.executable, str(EXAMPLES / "asyncio_gateway.py")]
    with trio.fail_after(90):
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        )
        assert process.stdin is not None
        assert process.stdout is not None
        async with process.stdin, process.stdout:
            url = (await process.stdout.receive_some()).decode().strip()
            endpoint = Endpoint.of_url(url)
            target = Target(viewers=endpoint, devices=endpoint, keys=Keys(api_key=KEY))
            settings = Settings(nonce="asyncio", unix_ms=time.time_ns() // 1_000_000)
            run = await Runner(target, settings).run(list(CASES.values()), lambda event: None)
        assert await process.wait() == 0
    wanting = {Verdict.FAIL, Verdict.WARN, Verdict.ERROR}
    assert [r for r in run.results if r.verdict in wanting] == []


async def test_viewer_on_threads_embeds_the_core_and_sees_frames() -> None:
    with trio.fail_after(60):
        async with (
            reference_gateway() as target,
            open_device(
                target.devices.url, api_key=target.keys.device_key, source_id="robot-01"
            ) as device,
            trio.open_nursery() as nursery,
        ):

            async def keep_sending() -> None:
                number = 0
                while True:
                    await device.send_video_frame(make_pattern(number, 64, 48), "front")
                    await trio.sleep(0.02)
                    number += 1

            nursery.start_soon(keep_sending)
            command = [sys.executable, str(EXAMPLES / "threads_viewer.py"), target.viewers.url]
            done = await trio.run_process(
                [*command, "robot-01", "front"],
                env={**os.environ, "PLEXWIRE_API_KEY": target.keys.api_key},
                capture_stdout=True,
            )
            nursery.cancel_scope.cancel()
    assert done.stdout.decode().count("front 64x48") == 10
