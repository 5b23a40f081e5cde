"""The log: events for people and machines, what libraries say in the same form, and never a key anywhere."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import pytest
import trio
import trio.testing
from edge_bench import Wire, open_edge_bench
from gateway_bench import ADDRESS, Bench, WebSocketPeer, open_bench
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import DEVICE_PATH, CloseCode, StreamAddress
from plexwire_server import ConnectionReport, KeyDecision, LogEvent
from plexwire_server._connection_report import as_event
from plexwire_server._log import (
    LogFormat,
    LogFormatter,
    json_line,
    redact,
    text_line,
    write_line,
)

KEY: Final = "plx_Zm9vYmFyLWJhei1xdXV4_0-9"


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


async def come_and_go(peer: WebSocketPeer) -> None:
    """Let *peer* be answered, if it is to be let in or not, and leave."""
    await trio.testing.wait_all_tasks_blocked()
    await peer.ws.aclose()


async def spill(bench: Bench, secret: str) -> str:
    """Put *secret* wherever a peer can put a word, and return all answers in plain HTTP."""
    lower = secret.lower()
    await come_and_go(await bench.knock_as_viewer(secret))
    for hiding in (
        StreamAddress(source_id=lower, cameras=(secret,)),
        StreamAddress(source_id="robot-01", cameras=(f"front {secret}", f'"{secret}"\n')),
    ):
        viewer = await bench.knock_as_viewer(bench.keys.api_key, address=hiding)
        await viewer.hear()
        await viewer.say({"type": secret, secret: secret})
        await viewer.ws.aclose(4000, f"bye {secret}")
    by_query = await bench.open(f"{ADDRESS.target()}&api_key={secret}")
    await by_query.say(f"auth {secret}")
    await by_query.hear_the_end()
    answers = ""
    for target in (
        f"/{secret}",
        f"/v1/sources/{secret}/video/stream?api_key={secret}",
        f"{ADDRESS.target()}&timeout={secret}",
        f"{ADDRESS.target()}&camera_id=%{secret}",
        f"{ADDRESS.target()} {secret}",
    ):
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
        stream = bench.connect()
        await stream.send_all(request.encode())
        while data := await stream.receive_some():
            answers += data.decode()
        await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    return answers


async def spill_as_device(bench: Bench, secret: str) -> None:
    await come_and_go(await bench.knock_as_device(secret))
    await come_and_go(await bench.knock_as_device(bench.keys.device_key, source_id=secret))
    device = await bench.knock_as_device(bench.keys.device_key, source_id=secret.lower())
    await device.hear()
    await device.say(f'{{"type": "video_frame", "camera_id": "{secret}"}}')
    await device.say({"type": "heartbeat", "source_id": secret})
    await device.ws.aclose(4000, secret)


class Blabbing:
    """A store that fails, and quotes the key in its error."""

    def check(self, api_key: str, /) -> KeyDecision:
        raise LookupError(f"no row for {api_key!r}")


def everything(bench: Bench, reports: list[ConnectionReport], events: list[LogEvent]) -> str:
    told = [*map(as_event, reports), *events]
    lines = [write(event) for event in told for write in (json_line, text_line)]
    pages = (bench.gateway.metrics_page().body, bench.gateway.health().body)
    return "\n".join((*lines, *map(str, pages)))


def leaks(told: str, secrets: list[str]) -> list[str]:
    """Return the lines that a key shows in."""
    lines = told.lower().splitlines()
    return [line for line in lines if any(secret.lower() in line for secret in secrets)]


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(
        LogFormatter(form).format(record) for record in caplog.records for form in LogFormat
    )


async def test_no_key_shows_in_log_metrics_or_answers_wherever_a_peer_puts_it(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[ConnectionReport] = []
    async with open_bench(on_end=reports.append) as bench:
        secrets = [KEY, *bench.keys.as_environment().values()]
        answers = "".join([await spill(bench, secret) for secret in secrets])
        for secret in secrets:
            await spill_as_device(bench, secret)
        await trio.testing.wait_all_tasks_blocked()
        told = answers + everything(bench, reports, []) + logged(caplog)
    assert len(reports) > 60
    assert told.count("plx_***") > 60  # they were there, and were taken out
    assert leaks(told, secrets) == []


async def test_no_key_shows_in_what_an_edge_tells(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_bench() as upstream:
        wire = Wire(upstream)
        async with open_edge_bench(wire) as edge:
            secrets = [KEY, *edge.keys.as_environment().values()]
            answers = await spill(edge, KEY)
            for secret in secrets:
                await edge.knock_as_viewer(secret)
            hiding = StreamAddress(source_id=KEY.lower(), cameras=(KEY,))
            await edge.knock_as_viewer(edge.keys.api_key, address=hiding)
            await trio.testing.wait_all_tasks_blocked()
            await wire.cut()
            await trio.sleep(20)
            told = answers + everything(edge, [], edge.events) + logged(caplog)
    assert {event.name for event in edge.events} >= {"feed_opened", "feed_lost", "feed_gave_up"}
    assert "plx_***" in told  # they were there, and were taken out
    assert leaks(told, secrets) == []


@pytest.mark.parametrize("secret", [KEY, "no prefix at all", "x"])
async def test_key_store_that_quotes_the_key_in_its_error_does_not_get_it_into_the_log(
    secret: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_bench(checker=Blabbing()) as bench:
        viewer = await bench.knock_as_viewer(secret)
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
    told = logged(caplog)
    assert "LookupError: no row for" in told
    assert f"'{secret}'" not in told
    assert f"'{secret}'" not in caplog.text


@given(st.text(), st.from_regex(r"plx_[A-Za-z0-9_-]{1,60}", fullmatch=True), st.text())
def test_key_in_any_text_is_taken_out_of_every_form(before: str, key: str, after: str) -> None:
    text = f"{before} {key} {after}"
    event = LogEvent("connection", {"reason": text, "cameras": [text, key]})
    for line in (json_line(event), text_line(event), redact(text)):
        assert key not in line
    assert json.loads(json_line(event))["event"] == "connection"
    assert "\n" not in text_line(event)


def test_log_that_nobody_reads_any_more_raises_nothing() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for form in LogFormat:
        write_line(LogEvent("stopping", {}), form, Broken())
    kept = io.StringIO()
    write_line(LogEvent("stopping", {"signal": "SIGTERM"}), LogFormat.TEXT, kept)
    assert kept.getvalue().endswith("Z stopping signal=SIGTERM\n")


# ── what libraries and crashes say ───────────────────────────────────────────────────────────


def record(message: str, *, crash: bool = False) -> logging.LogRecord:
    error: BaseException | None = None
    if crash:
        try:
            raise RuntimeError(f"with {KEY}")
        except RuntimeError as caught:
            error = caught
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("trio", logging.ERROR, "x.py", 1, message, (), info)


def test_log_record_is_one_line_of_json_with_its_traceback_inside() -> None:
    line = LogFormatter(LogFormat.JSON).format(record(f"oh\nno {KEY}", crash=True))
    told = json.loads(line)
    assert "\n" not in line
    assert (told["event"], told["level"], told["logger"]) == ("log", "error", "trio")
    assert told["message"] == "oh\nno plx_***"
    assert told["exception"].endswith("RuntimeError: with plx_***")


def test_log_record_for_people_has_its_traceback_below() -> None:
    first, *rest = LogFormatter(LogFormat.TEXT).format(record("oh no", crash=True)).splitlines()
    assert first.endswith(' log level=error logger=trio message="oh no"')
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "RuntimeError: with plx_***"


SLIPPING: Final = """
import sys
from plexwire_server import Gateway, cli

def slip(self):
    raise RuntimeError("a slip")

Gateway.pages = slip
cli.serve(["--port", "0", "--log-format", sys.argv[1]])
"""


def told_of_json(lines: list[str]) -> list[str]:
    return [json.loads(line)["event"] for line in lines]


def told_of_text(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines if line.startswith("20")]


@pytest.mark.parametrize(
    ("form", "events"), [("json", told_of_json), ("text", told_of_text)], ids=["json", "text"]
)
async def test_process_logs_its_crashes_in_the_form_that_was_asked_for(
    form: str, events: Callable[[list[str]], list[str]]
) -> None:
    with trio.fail_after(20):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", SLIPPING, form], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        while "plexwire conform" not in said:
            said += (await process.stdout.receive_some()).decode()
        port = int(said.split(" serves at ")[1].split()[0].rpartition(":")[2])
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(f"GET {DEVICE_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert await stream.receive_some() == b""
        process.terminate()
        log = b"".join([data async for data in process.stderr]).decode()
        assert await process.wait() == 0
        await process.stdout.aclose()
        await process.stderr.aclose()
    assert events(log.splitlines()) == ["started", "log", "connection", "stopping", "stopped"]
    assert "RuntimeError: a slip" in log
    assert "error=RuntimeError" in log or '"error": "RuntimeError"' in log
