"""The viewer module in pages of another origin: the examples of the manual as they are printed, in headless Chromium."""

import re
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chromium import not_here
from page_harness import PAGES, SOURCE, Place, Visitor, draw

pytest_plugins = ("chromium", "page_harness")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "server/plexwire_server/page"
MANUAL = (ROOT / "docs/browsers.md").read_text("utf-8")
#: What Chromium logs when a page lets go of a WebSocket that was still opening, as StrictMode does.
CLOSED_EARLY = "closed before the connection is established"


def example(language: str) -> str:
    """Return the one block of the manual in *language*."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)
    return str(block)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve *folder*, which is another origin than the gateway's, and yield its URL."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_page(folder: Path, place: Place) -> None:
    """Write the manual's page for the gateway at *place*, with an icon so that Chromium asks for none."""
    page = example("html").replace("https://gateway.example/", place.page)
    page = page.replace("wss://gateway.example", place.url)
    icon = '<link rel="icon" href="data:,">\n'
    (folder / "index.html").write_text(page.replace("<canvas>", icon + "<canvas>"), "utf-8")


def node_tool(name: str) -> Path:
    tool = PAGES / "node_modules/.bin" / name
    if not tool.exists():
        not_here(f"{name} is not installed: run `npm install --prefix server/tests/pages`")
    return tool


def test_page_of_the_manual_shows_the_camera_from_another_origin(
    place: Place, visit: Visitor, tmp_path: Path
) -> None:
    assert len(example("html").splitlines()) == 15
    write_page(tmp_path, place)
    with site(tmp_path) as url:
        person = visit()
        sockets: list[str] = []
        person.page.on("websocket", lambda socket: sockets.append(socket.url))
        person.page.on("dialog", lambda dialog: dialog.accept(place.key))
        person.page.goto(f"{url}/")
        person.wait("() => arrived.front >= 3 && document.querySelector('canvas').width === 320")
        assert person.shows("front", "canvas")
        assert person.text("p") == "Live"
        assert len(sockets) == 1
        assert place.key not in sockets[0]


def test_page_of_the_manual_says_why_a_key_is_refused(
    place: Place, visit: Visitor, tmp_path: Path
) -> None:
    write_page(tmp_path, place)
    with site(tmp_path) as url:
        person = visit()
        sockets: list[str] = []
        person.page.on("websocket", lambda socket: sockets.append(socket.url))
        person.page.clock.install()
        person.page.on("dialog", lambda dialog: dialog.accept("plx_wrong"))
        person.page.goto(f"{url}/")
        person.wait("() => document.querySelector('p').textContent.includes('not accept the key')")
        for _ in range(3):
            person.page.clock.run_for(40_000)
        assert len(sockets) == 1


def test_handler_that_is_slow_or_fails_gets_the_newest_picture_next(
    place: Place, visit: Visitor
) -> None:
    person = visit("failed on purpose")
    person.page.goto(place.page)
    jpeg = b64encode(draw("front")).decode()
    handled, widths, skipped = person.page.evaluate(
        """async (frame) => {
          const { newestWins } = await import("/page/viewer.js");
          const handled = [], bitmaps = [], skipped = [];
          let begun, settle;
          const next = () => new Promise((resolve) => (begun = resolve));
          const { take } = newestWins({
            onFrame(bitmap, { timestamp }) {
              handled.push(timestamp);
              bitmaps.push(bitmap);
              begun();
              return new Promise((resolve, reject) => (settle = { resolve, reject }));
            },
            onSkip: ({ timestamp }) => skipped.push(timestamp),
          });
          let wait = next();
          take({ frame, timestamp: 0 });
          await wait;
          for (const timestamp of [1, 2, 3]) take({ frame, timestamp });
          wait = next();
          settle.reject(new Error("failed on purpose"));
          await wait;
          take({ frame, timestamp: 4 });
          wait = next();
          settle.resolve();
          await wait;
          return [handled, bitmaps.map(({ width }) => width), skipped];
        }""",
        jpeg,
    )
    assert handled == [0, 3, 4]
    # A bitmap that is closed has no size.
    assert widths == [0, 0, 320]
    assert skipped == [1, 2]


def test_stream_that_is_closed_calls_nothing_any_more(place: Place, visit: Visitor) -> None:
    person = visit()
    person.page.goto(place.page)
    calls = person.page.evaluate(
        """async (options) => {
          const { watch } = await import("/page/viewer.js");
          const calls = [];
          let stream;
          await new Promise((done) => {
            const callback = (name) => () => {
              calls.push(name);
              if (name === "onFrame") { stream.close(); stream.close(); setTimeout(done, 1000); }
            };
            const names = ["onInit", "onFrame", "onEnd", "onConnecting", "onSkip", "onBroken"];
            stream = watch({ ...options, ...Object.fromEntries(names.map((name) => [name, callback(name)])) });
          });
          stream.retry();
          stream.lost();
          return [calls, stream.isWaiting, stream.silent_s === Infinity];
        }""",
        {"url": place.url, "source": SOURCE, "cameras": ["front"], "key": place.key},
    )
    assert calls == [["onConnecting", "onInit", "onFrame"], False, True]


@pytest.mark.parametrize(
    "wrong", [{"source": ""}, {"key": ""}, {"url": "ftp://gateway.example"}, {"url": "file:///x"}]
)
def test_options_that_cannot_be_right_are_refused(
    wrong: dict[str, str], place: Place, visit: Visitor
) -> None:
    person = visit()
    person.page.goto(place.page)
    name = person.page.evaluate(
        """async (options) => {
          const { watch } = await import("/page/viewer.js");
          try { watch(options).close(); } catch (error) { return error.name; }
        }""",
        {"url": place.url, "source": SOURCE, "key": place.key, **wrong},
    )
    assert name == "RangeError"


def test_react_effect_of_the_manual_follows_its_properties(
    place: Place, visit: Visitor, tmp_path: Path
) -> None:
    (tmp_path / "camera.jsx").write_text(example("jsx"), "utf-8")
    (tmp_path / "index.html").write_text(
        '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script src="bundle.js"></script>'
    )
    subprocess.run(
        [
            node_tool("esbuild"),
            "react_application.jsx",
            "--bundle",
            "--jsx=automatic",
            "--log-level=warning",
            '--define:process.env.NODE_ENV="development"',
            f"--alias:camera={tmp_path / 'camera.jsx'}",
            f"--alias:plexwire-viewer={PAGE / 'viewer.js'}",
            f"--outfile={tmp_path / 'bundle.js'}",
        ],
        cwd=PAGES,
        env={"NODE_PATH": str(PAGES / "node_modules"), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        check=True,
        timeout=60,
    )
    with site(tmp_path) as url:
        person = visit(CLOSED_EARLY)
        sockets: list[str] = []
        person.page.on("websocket", lambda socket: sockets.append(socket.url))
        person.page.goto(f"{url}/")
        person.page.evaluate(
            """() => {
              globalThis.open = new Set();
              const Socket = globalThis.WebSocket;
              globalThis.WebSocket = class extends Socket {
                constructor(...where) {
                  super(...where);
                  open.add(this);
                  this.addEventListener("close", () => open.delete(this));
                }
              };
            }"""
        )
        properties = {"url": place.url, "source": SOURCE, "apiKey": place.key}
        for camera, width in (("front", 320), ("rear", 200)):
            person.page.evaluate("props => show(props)", {**properties, "camera": camera})
            person.wait(
                "width => document.querySelector('canvas')?.width === width && open.size === 1",
                width,
            )
            assert person.shows(camera, "canvas")
            assert person.text("figcaption") == "Live"
        person.page.evaluate("() => show(null)")
        person.wait("() => open.size === 0")
        # React tries each effect twice.
        assert len(sockets) >= 3
        assert not any(place.key in socket for socket in sockets)


def test_types_tell_messages_apart() -> None:
    options = [
        "--strict",
        "--noEmit",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--lib",
        "es2022,dom",
    ]
    done = subprocess.run(
        [node_tool("tsc"), *options, str(PAGES / "viewer_types.ts")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "")
