"""`plexwire conform` as a process: behind TLS, without what its cases need, and interrupted."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from conform_runs import (
    COULD_NOT_JUDGE,
    ENVIRONMENT,
    INTERRUPTED,
    NOTHING,
    PATIENCE_S,
    PROGRAM,
    run,
)

from plexwire_conformance.report.stored_runs import parse_run
from plexwire_server import Gateway, KeyStore

# ── the reference gateway behind TLS, and an impatient operator ──────────────────────────────


async def test_conform_trusts_the_given_authority_and_no_other(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    store, given = KeyStore.throw_away()
    gateway = Gateway(store)

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await gateway.serve_stream(stream)

    async with trio.open_nursery() as serving:
        start = partial(trio.serve_ssl_over_tcp, handle, 0, context, host="127.0.0.1")
        listeners = await serving.start(start)
        url = f"wss://127.0.0.1:{listeners[0].transport_listener.socket.getsockname()[1]}"
        trusting = await run(
            url,
            *("--ca", str(tmp_path / "ca.pem"), "--only", "auth.in-time"),
            PLEXWIRE_API_KEY=given.api_key,
            PLEXWIRE_DEVICE_KEY=given.device_key,
        )
        wary = await run(url, "--only", "auth.in-time", PLEXWIRE_API_KEY=given.api_key)
        serving.cancel_scope.cancel()
    assert trusting.exit_code == 0
    assert "Conformant" in trusting.out
    assert wary.exit_code == COULD_NOT_JUDGE
    assert "TLS failed" in wary.line
    assert given.api_key not in trusting.out + trusting.err + wary.err


async def test_conform_lacks_what_its_cases_need_and_leaves_with_3(tmp_path: Path) -> None:
    store, given = KeyStore.throw_away()
    async with trio.open_nursery() as serving:
        start = partial(trio.serve_tcp, Gateway(store).serve_stream, 0, host="127.0.0.1")
        listeners = await serving.start(start)
        said = await run(
            f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}",
            *("--only", "auth.key-revoked"),
            PLEXWIRE_API_KEY=given.api_key,
        )
        serving.cancel_scope.cancel()
    assert said.exit_code == NOTHING
    assert "PLEXWIRE_REVOKED_KEY" in said.out


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_conform_is_interrupted_and_leaves_with_one_line() -> None:
    # The handshake is never answered, so the run is certainly under way.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [*PROGRAM, "conform", url],
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            listener.settimeout(PATIENCE_S)
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                process.send_signal(2)
                _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
    assert "interrupted" in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals and named pipes")
def test_conform_is_interrupted_half_way_and_reports_what_was_judged_by_then(
    tmp_path: Path,
) -> None:
    report, page = tmp_path / "run.ndjson", tmp_path / "run.html"
    os.mkfifo(report)
    process = subprocess.Popen(
        [*PROGRAM, "conform", "--only", "auth", "--report", str(report), "--html", str(page)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    too_long = threading.Timer(PATIENCE_S, process.kill)
    too_long.start()
    with process, report.open() as lines:
        told = [next(lines) for _ in range(6)]
        process.send_signal(2)
        told += lines
        out, err = process.communicate()
    too_long.cancel()
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Error: interrupted; what was not judged by then")
    run = parse_run("".join(told), "run")
    verdicts = {result.case: result.verdict for result in run.results}
    assert verdicts["auth.never"] == "error"
    assert verdicts["control"] == "pass"
    assert run.summary.exit_code == COULD_NOT_JUDGE
    for text in (out, page.read_text()):
        assert run.summary.conclusion in text
        assert "the run was interrupted before it ended" in text
