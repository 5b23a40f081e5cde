"""The steps of docs/embedding.md, from an empty file to the first green run, executed as they stand there."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from embedded_gateways import advice_not_followed

from plexwire_conformance.target.target import Endpoint, Keys, Target

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text("utf-8")
STEPS = PAGE.partition("## From an empty file")[2].partition("\n## ")[0]
CODE = re.findall(r"```python\n(.*?)```", STEPS, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", STEPS, re.DOTALL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_page_runs_and_judges_what_it_writes() -> None:
    assert len(CODE) == 3
    assert SHELL[0].splitlines()[1].startswith("python -c ")
    assert SHELL[1] == "plexwire conform ws://127.0.0.1:9000 --profile quick\n"


@pytest.mark.parametrize(("steps", "warnings"), [(2, {"PW-ADDR-13"}), (3, set[str]())])
async def test_gateway_is_as_good_after_each_step_as_the_page_says(
    steps: int, warnings: set[str], tmp_path: Path
) -> None:
    port = free_port()
    text = "\n\n".join(CODE[:steps]).replace("9000", str(port))
    (tmp_path / "gateway.py").write_text(text, "utf-8")
    key = re.findall("PLEXWIRE_API_KEY=(.*)", SHELL[0])[0]
    program = re.findall("python -c '(.*)'", SHELL[0])[0]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PLEXWIRE_API_KEY": key},
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(60):
            endpoint = Endpoint.of_url(f"ws://127.0.0.1:{port}")
            await until_it_listens(endpoint)
            target = Target(viewers=endpoint, devices=endpoint, keys=Keys(api_key=key))
            assert await advice_not_followed(target, "quick") == warnings
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def until_it_listens(endpoint: Endpoint) -> None:
    while True:
        try:
            stream = await endpoint.dial(False)
        except OSError:
            await trio.sleep(0.05)
        else:
            await trio.aclose_forcefully(stream)
            return
