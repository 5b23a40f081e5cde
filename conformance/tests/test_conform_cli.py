"""`plexwire conform` as people get it wrong: one clear line, the right exit code, never a traceback."""

import json
import os
import queue
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import frozen
from conform_runs import (
    COULD_NOT_JUDGE,
    ENVIRONMENT,
    KEY,
    NOTHING,
    PATIENCE_S,
    PROGRAM,
    Handler,
    Said,
    conform,
)
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, Request

from plexwire_conformance.wire.framing import Opcode, encode_frame

# ── what is wrong before anything is judged ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("gateway.example.com", "A URL begins with ws:// or wss://"),
        ("https://gateway.example.com", "must begin with ws:// or wss://"),
        ("ws://", "names no host"),
        ("wss:///v1", "names no host"),
        ("ws://gateway:port", "is no URL"),
        ("ws://[fe80::1%25]", "The zone in the gateway's address is not a valid name."),
        ("ws://gateway.example/ws/device", "already names an endpoint"),
        ("ws://gateway:99999", "is no URL"),
        ("ws://[::1", "is no URL"),
        ("ws://user:secret@gateway", "no user, no query, no fragment"),
        ("user:secret@gateway.example.com", "A URL begins with ws:// or wss://"),
        ("wss://user:secret@", "names no host"),
        ("ws://user:secret@gateway:port", "is no URL"),
        ("https://user:secret@gateway", "must begin with ws:// or wss://"),
        ("ws://gateway/?camera_id=front", "no user, no query, no fragment"),
        ("ws://gateway#top", "no user, no query, no fragment"),
    ],
)
def test_conform_gets_a_bad_url_and_says_what_is_wrong_with_it(url: str, problem: str) -> None:
    said = conform(url)
    assert said.exit_code == COULD_NOT_JUDGE
    assert problem in said.line
    assert "secret" not in said.out + said.err


def test_conform_gets_no_key_and_says_where_to_put_it() -> None:
    said = conform("ws://127.0.0.1:1", environment={})
    assert said.exit_code == COULD_NOT_JUDGE
    assert said.line == (
        "no key: set PLEXWIRE_API_KEY, or give --keys-file with a line PLEXWIRE_API_KEY=plx_…"
    )


def test_conform_gets_a_keys_file_that_is_not_there_or_unreadable_and_says_so(
    tmp_path: Path,
) -> None:
    missing = tmp_path / "keys"
    said = conform("ws://127.0.0.1:1", "--keys-file", str(missing))
    assert said.exit_code == COULD_NOT_JUDGE
    assert said.line == f"The keys file {missing} can't be read: No such file or directory."
    missing.write_bytes(b"PLEXWIRE_API_KEY=\xff")
    assert "is not a text file in UTF-8" in conform("ws://x", "--keys-file", str(missing)).line
    missing.write_text("PLEXWIRE_API_KEY plx_1\n")
    assert conform("ws://x", "--keys-file", str(missing)).line == (
        f"Line 1 of the keys file {missing} is not of the form NAME=value."
    )
    missing.write_text("# PLEXWIRE_API_KEY=plx_1\n")
    assert "no key" in conform("ws://127.0.0.1:1", "--keys-file", str(missing)).line


def test_conform_gets_options_without_the_url_that_they_belong_to_and_says_so(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"PLEXWIRE_API_KEY={KEY}\n")
    said = conform("--keys-file", str(keys))
    assert (said.exit_code, said.line) == (
        COULD_NOT_JUDGE,
        "--device-url, --keys-file, --live and --streams go with a URL",
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--only", "auth.in-tme"), "'auth.in-tme' matches no case"),
        (("--skip", "PW-AUTH-99"), "'PW-AUTH-99' matches no case"),
        (("--only", "auth", "--skip", "auth"), "nothing is left"),
        (("--only", "auth.*", "--skip", "PW-AUTH-*x"), "'PW-AUTH-*x' matches no case"),
    ],
)
def test_conform_selects_nothing_and_leaves_with_3(words: tuple[str, ...], problem: str) -> None:
    said = conform("ws://127.0.0.1:1", *words)
    assert said.exit_code == NOTHING
    assert problem in said.line


def test_conform_lists_what_it_would_run_and_needs_no_key() -> None:
    said = conform("--list", "--only", "PW-AUTH-3", "--only", "time", environment={})
    assert said.exit_code == 0
    assert "auth.never " in said.out
    assert "time.closes " in said.out
    assert "auth.in-time" not in said.out


@pytest.mark.parametrize("option", ["--report", "--junit"])
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nowhere/run.file", "No such file or directory"),
        ("file/run.file", "Not a directory"),
    ],
)
def test_conform_can_not_write_its_report_and_says_so_before_it_judges(
    option: str, place: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / place
    said = conform("ws://127.0.0.1:1", option, str(path))
    assert said.exit_code == COULD_NOT_JUDGE
    assert said.line == f"can't write {path}: {reason}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("option", ["--report", "--junit"])
def test_conform_runs_out_of_disk_and_says_so_and_accuses_nobody(option: str) -> None:
    said = conform("--only", "auth.in-time", option, "/dev/full", environment={})
    assert said.exit_code == COULD_NOT_JUDGE
    assert said.err.splitlines()[-1] == "Error: can't write a report: No space left on device"
    assert "Traceback" not in said.out + said.err


def test_conform_gets_an_unusable_certificate_authority_and_says_so(tmp_path: Path) -> None:
    for authority in (tmp_path / "none.pem", Path(__file__)):
        said = conform("wss://127.0.0.1:1", "--ca", str(authority))
        assert said.exit_code == COULD_NOT_JUDGE
        assert f"can't use {authority} as a certificate authority" in said.line


def test_conform_finds_that_nothing_listens_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = conform(f"ws://127.0.0.1:{port}")
    assert said.exit_code == COULD_NOT_JUDGE
    assert said.line == (
        f"ws://127.0.0.1:{port}: no connection: Connection refused. Is the gateway up?"
    )


def test_conform_finds_no_such_host_and_says_so() -> None:
    with pytest.raises(socket.gaierror) as unknown:
        socket.getaddrinfo("gateway.invalid", 80, type=socket.SOCK_STREAM)
    said = conform("ws://gateway.invalid")
    assert said.exit_code == COULD_NOT_JUDGE
    assert said.line == (
        f"ws://gateway.invalid: no connection: {unknown.value.strerror}. Is the gateway up?"
    )


# ── gateways that are none ───────────────────────────────────────────────────────────────────


async def never_answers(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def closes_at_once(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def resets(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


def answers(data: bytes) -> Handler:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(data)
        await stream.send_eof()
        await never_answers(stream)

    return handler


def upgrades_then(*then: bytes) -> Handler:
    async def handler(stream: trio.SocketStream) -> None:
        ws = WSConnection(ConnectionType.SERVER)
        event: Event | None = None
        while not isinstance(event, Request):
            ws.receive_data(bytes(await stream.receive_some()))
            event = next(iter(ws.events()), None)
        await stream.send_all(b"".join((ws.send(AcceptConnection()), *then)))
        await never_answers(stream)

    return handler


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\n\x1b[2Jnope"
UNKNOWN_OPCODE = encode_frame(0x3, b"", mask=None)
CASES = ("--only", "auth.in-time", "--only", "init.at-once")


@frozen
class Bad:
    """A server that is no gateway, how the run ends, and what is said, with secure or plain URLs."""

    handler: Handler
    exit_code: int
    says: str
    scheme: str = "ws"


BAD = {
    "never answers": Bad(never_answers, 1, "PW-ADDR-1"),
    "closes at once": Bad(closes_at_once, 1, "PW-ADDR-1"),
    "resets": Bad(resets, 1, "PW-ADDR-1"),
    "sends garbage": Bad(answers(b"220 smtp.example ESMTP\r\n" * 50), 1, "PW-CONN-6"),
    "never ends its head": Bad(answers(b"HTTP/1.1 101 x\r\n" * 5000), 1, "PW-CONN-6"),
    "upgrades and never speaks": Bad(upgrades_then(), 1, "PW-INIT-1"),
    "upgrades and sends garbage": Bad(upgrades_then(UNKNOWN_OPCODE), 1, "PW-CONN-6"),
    "upgrades and hangs up": Bad(
        upgrades_then(encode_frame(Opcode.CLOSE, b"", mask=None)), 1, "PW-AUTH-2"
    ),
    "says 404": Bad(answers(NOT_FOUND), COULD_NOT_JUDGE, "HTTP 404"),
    "says 4001": Bad(
        upgrades_then(encode_frame(Opcode.CLOSE, struct.pack(">H", 4001), mask=None)),
        COULD_NOT_JUDGE,
        "does not accept the key in PLEXWIRE_API_KEY",
    ),
    "is plain where TLS is asked for": Bad(
        answers(NOT_FOUND), COULD_NOT_JUDGE, "TLS failed", "wss"
    ),
}


#: These have to be waited for, so their runs begin before everything else here; one waits for no device in addition.
SLOW = {
    "never answers": (),
    "upgrades and never speaks": ("--device-url", "ws://127.0.0.1:1"),
}


async def _serve(handler: Handler, *, task_status: trio.TaskStatus[int]) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await handler(stream)

    async with trio.open_nursery() as listening:
        start = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
        listeners = await listening.start(start)
        task_status.started(listeners[0].socket.getsockname()[1])


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """Serve all of `BAD`, in a thread, and give their URLs."""
    ready: queue.Queue[tuple[dict[str, int], Callable[[], None]]] = queue.Queue()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            ports = {name: await nursery.start(_serve, bad.handler) for name, bad in BAD.items()}
            token, scope = trio.lowlevel.current_trio_token(), nursery.cancel_scope
            ready.put((ports, partial(token.run_sync_soon, scope.cancel)))

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    ports, stop = ready.get(timeout=PATIENCE_S)
    yield {name: f"{BAD[name].scheme}://127.0.0.1:{port}" for name, port in ports.items()}
    stop()
    thread.join()


@pytest.fixture(scope="module", autouse=True)
def waited(
    urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Callable[[], tuple[Said, Path]]]]:
    """Begin the runs of `SLOW`, each in a process of its own, and give how to wait for them."""
    with ExitStack() as stack:
        waiting = {}
        for name, more in SLOW.items():
            report = tmp_path_factory.mktemp("slow") / "run.ndjson"
            process = stack.enter_context(
                subprocess.Popen(
                    [*PROGRAM, "conform", urls[name], *more, *CASES, "--report", str(report)],
                    env={**os.environ, **ENVIRONMENT},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            waiting[name] = partial(_wait, process, report)
        yield waiting


def _wait(process: subprocess.Popen[str], report: Path) -> tuple[Said, Path]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Said(process.returncode, out, err), report


@pytest.mark.parametrize("name", sorted(BAD, key=lambda name: name in SLOW))
def test_conform_meets_a_server_that_is_no_gateway_and_ends_with_verdicts_or_one_line(
    name: str,
    urls: dict[str, str],
    waited: Mapping[str, Callable[[], tuple[Said, Path]]],
    tmp_path: Path,
) -> None:
    bad, report = BAD[name], tmp_path / "run.ndjson"
    if name in SLOW:
        said, report = waited[name]()
    else:
        said = conform(urls[name], *CASES, "--report", str(report))
    assert said.exit_code == bad.exit_code
    assert "Traceback" not in said.err
    assert KEY not in said.out + said.err
    if bad.exit_code == COULD_NOT_JUDGE:
        assert bad.says in said.line
        assert said.line.isprintable()
        assert not report.exists()
        return
    results = [r for r in map(json.loads, report.read_text().splitlines()) if "case" in r]
    assert [r["case"] for r in results] == ["control", "auth.in-time", "init.at-once"]
    assert bad.says in {f["clause"] for r in results for f in r["findings"]}
    assert bad.says in said.out
