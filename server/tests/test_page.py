"""The page as plain HTTP: what is served, how it may be used, and that it says what the core says."""

import json
import re
from importlib.resources import files
from typing import Any

import pytest
import trio
import trio.testing
from gateway_bench import Bench, FarEnd, open_bench

from plexwire_protocol import CloseCode, StreamAddress, describe_close
from plexwire_server._startup_message import describe
from plexwire_server.http._viewer_page import page_responses

FOLDER = files("plexwire_server").joinpath("page")
FILES = {
    entry.name: entry for entry in FOLDER.iterdir() if not entry.name.endswith((".json", ".ts"))
}
INDEX = FILES["index.html"].read_text("utf-8")
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))


async def ask(
    bench: Bench, target: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a request on a new connection and return status, headers and body of the answer."""
    stream: FarEnd = bench.connect()
    lines = [f"{method} {target} HTTP/1.1", "Host: x"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
    heard = b""
    while data := await stream.receive_some():
        heard += data
    await stream.aclose()
    top, _, body = heard.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body


def constants(script: str) -> dict[str, Any]:
    """Return the constants that a module exports as JSON."""
    exports = re.findall(r"^export const (\w+) = (\{.*?\});$", script, re.MULTILINE | re.DOTALL)
    return {name: json.loads(value) for name, value in exports}


# ── what is served ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", [*page_responses(), "/page/clock"])
async def test_page_may_use_nothing_but_its_gateway(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        status, headers, body = await ask(bench, path)
        assert status == 200
        assert headers["Content-Length"] == str(len(body))
        assert len(body) > 0
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        policy = dict(
            directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; ")
        )
        assert policy.pop("default-src") == "'none'"
        assert {policy.pop(name) for name in ("base-uri", "form-action", "frame-ancestors")} == {
            "'none'"
        }
        assert policy == dict.fromkeys(
            ("script-src", "style-src", "img-src", "connect-src"), "'self'"
        )


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/?a=b", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/viewer.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
        ("/page/clock", "application/json"),
    ],
)
async def test_page_says_what_each_part_is_also_to_a_head(
    path: str, content_type: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_bench() as bench:
        status, headers, body = await ask(bench, path)
        assert (status, headers["Content-Type"]) == (200, content_type)
        assert body
        assert await ask(bench, path, "HEAD") == (200, headers, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/page/",
        "/page/index.html",
        "/page/package.json",
        "/page/../_keys.py",
        "/page/%61pp.js",
        "/app.js",
    ],
)
async def test_page_serves_nothing_else(path: str, autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        assert (await ask(bench, path))[0] == 404
        assert (await ask(bench, "/", "POST"))[0] == 405


async def test_page_is_kept_by_the_browser_as_long_as_it_is_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        _, headers, body = await ask(bench, "/page/app.js")
        assert headers["Cache-Control"] == "no-cache"
        tag = headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            status, told, nothing = await ask(bench, "/page/app.js", If_None_Match=known)
            assert (status, nothing) == (304, b"")
            assert (told["ETag"], told["Content-Length"]) == (tag, str(len(body)))
        # What another file is known by is of no use.
        _, other, _ = await ask(bench, "/")
        assert other["ETag"] != tag
        assert (await ask(bench, "/", If_None_Match=tag))[0] == 200
        assert (await ask(bench, "/health", If_None_Match=tag))[1]["Cache-Control"] == "no-store"


async def test_other_origins_may_load_the_viewer_module_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        for path in page_responses():
            _, headers, _ = await ask(bench, path)
            allowed = headers.get("Access-Control-Allow-Origin")
            assert allowed == ("*" if path == "/page/viewer.js" else None), path
        tag = (await ask(bench, "/page/viewer.js"))[1]["ETag"]
        status, headers, _ = await ask(bench, "/page/viewer.js", If_None_Match=tag)
        assert (status, headers["Access-Control-Allow-Origin"]) == (304, "*")


async def test_page_tells_the_time_of_the_clock_that_devices_set_theirs_by(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        bench.gateway.unix_ms = lambda: 1_700_000_000_123
        _, headers, body = await ask(bench, "/page/clock")
        assert json.loads(body) == {"unix_ms": 1_700_000_000_123}
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("url", "page"), [("ws://[::1]:1", "http://[::1]:1/"), ("wss://a:2", "https://a:2/")]
)
def test_gateway_says_where_its_page_is(url: str, page: str) -> None:
    assert f"  page     {page}\n" in describe(url, None, version="1")


# ── what is in it ────────────────────────────────────────────────────────────────────────────


def test_page_gets_limits_that_the_core_understands() -> None:
    limits = constants(FILES["viewer.js"].read_text("utf-8"))["LIMITS"]
    longest = StreamAddress(
        source_id="a" * 256,
        cameras=("x" * limits["id_bytes"], *map(str, range(1, limits["cameras"]))),
        timeout=limits["timeout_s"],
    )
    assert StreamAddress.parse(longest.target()) == longest
    assert re.fullmatch(limits["source_id"], longest.source_id)
    assert StreamAddress(source_id="a").cameras == (limits["default_camera"],)


def test_page_repeats_no_sentence_of_the_core() -> None:
    for name in {*SCRIPTS} - {"viewer.js"}:
        script = FILES[name].read_text("utf-8")
        assert not [code for code in CloseCode if describe_close(code) in script], name


def test_page_loads_every_module_at_once_and_no_other() -> None:
    """Without that the browser would find them one after another."""
    preloaded = re.findall(r'rel="modulepreload" href="page/([^"]+)"', INDEX)
    assert preloaded == sorted({*SCRIPTS} - {"app.js"})
    imported = {
        name
        for script in SCRIPTS
        for name in re.findall(r'from "\./([^"]+)"', FILES[script].read_text("utf-8"))
    }
    assert imported == set(preloaded)


def test_page_has_nothing_inline_and_no_foreign_origin() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", INDEX)
    for name, entry in FILES.items():
        text = entry.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"""(https?:|wss?:)?//[a-z0-9]""", text.replace(" // ", "")), name
        assert len(text.splitlines()) <= 500, name


def test_fields_have_no_names_so_that_no_key_can_end_in_a_url() -> None:
    assert 'id="key" type="password"' in INDEX
    assert not re.findall(r"<(?:input|select|button|textarea)[^>]*\sname=", INDEX)
