"""The commands where users have them: behind proxies, with keys from files of others, on outputs of any kind."""

from pathlib import Path

import pytest
import trio

from connect_proxy import ConnectProxy
from relaying_gateway import KEY, command, environment, relaying_gateway, run


@pytest.mark.parametrize("by", ["option", "environment"])
async def test_commands_reach_gateway_through_proxy(by: str) -> None:
    proxy = ConnectProxy()
    async with relaying_gateway() as gateway, trio.open_nursery() as nursery:
        way = f"http://{await proxy.start(nursery)}"
        # A name that is not the loopback's, or the environment's proxy would not count.
        url = gateway.url.replace("127.0.0.1", "gateway.test")
        proxy.hosts["gateway.test"] = "127.0.0.1"
        given = ("--proxy", way) if by == "option" else ()
        env = environment(PLEXWIRE_API_KEY=KEY, http_proxy="" if given else way)
        for name, amount in (("publish", ("--frames", "3")), ("watch", ("--timeout", "1"))):
            done = await trio.run_process(
                command(name, url, "--source-id", "robot-01", *amount, *given),
                env=env,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.startswith(b"Connected to ws://gateway.test:")
        nursery.cancel_scope.cancel()
    place = gateway.url.removeprefix("ws://127.0.0.1")
    assert [asked.splitlines()[0] for asked in proxy.asked] == [
        f"CONNECT gateway.test{place} HTTP/1.1"
    ] * 2


async def test_command_reads_key_whatever_surrounds_it_and_hints_at_quotes() -> None:
    async with relaying_gateway() as gateway:
        arguments = (gateway.url, "--source-id", "robot-01", "--timeout", "1")
        plain = await run("watch", *arguments, api_key=f" {KEY}\r\n")
        quoted = await run("watch", *arguments, api_key=f"'{KEY}'\r")
    assert (plain.returncode, plain.stderr) == (0, b"")
    assert quoted.returncode == 0
    assert quoted.stderr.startswith(b"Hint: PLEXWIRE_API_KEY is in quotes")
    assert KEY.encode() not in quoted.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no file that is always full")
@pytest.mark.parametrize("name", ["watch", "publish"])
@pytest.mark.parametrize(
    ("redirection", "said"),
    [(">&-", "Standard output is closed"), (">/dev/full", "No space left on device")],
)
async def test_command_ends_with_one_line_where_its_output_can_not_be_written(
    name: str, redirection: str, said: str
) -> None:
    async with relaying_gateway() as gateway:
        arguments = command(name, gateway.url, "--source-id", "robot-01")
        done = await trio.run_process(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *arguments],
            env=environment(PLEXWIRE_API_KEY=KEY),
            capture_stderr=True,
            check=False,
        )
    [line] = done.stderr.decode().splitlines()
    assert (done.returncode, line.startswith("Error: Standard output ")) == (2, True)
    assert said in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no file that is always full")
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
async def test_command_keeps_its_exit_code_where_its_error_can_not_be_written(
    redirection: str,
) -> None:
    arguments = command("watch", "ws://127.0.0.1:1", "--source-id", "robot-01")
    done = await trio.run_process(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *arguments],
        env=environment(PLEXWIRE_API_KEY=KEY),
        capture_stdout=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stdout


async def test_command_shows_names_that_its_encoding_lacks() -> None:
    async with relaying_gateway() as gateway:
        arguments = ("--source-id", "robot-01", "--camera", "käm-☃", "--timeout", "1")
        done = await trio.run_process(
            command("watch", gateway.url, *arguments),
            env=environment(PLEXWIRE_API_KEY=KEY, PYTHONIOENCODING="cp1252"),
            capture_stdout=True,
            check=False,
        )
    assert done.returncode == 0
    assert "käm-?  0.0 fps" in done.stdout.decode("cp1252")
