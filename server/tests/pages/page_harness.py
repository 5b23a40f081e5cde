"""What the tests of the page stand on: a gateway and the real SDK in processes of their own, and a visitor.

A test module takes the fixtures in with `pytest_plugins = ("chromium", "page_harness")`; they are a module's, so that nothing runs
on beside other tests.  PYTEST_DONT_REWRITE: it is imported by its name too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from attrs import define, field, frozen
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PAGES: Final = Path(__file__).parent
EXAMPLES: Final = Path(__file__).parents[3] / "examples"
SOURCE: Final = "robot-01"
#: Longest wait for anything, in ms: generous, as the machine may be busy.
PATIENCE_MS: Final = 15_000

Colour: TypeAlias = tuple[int, int, int]

#: What each camera shows: its size, and the colours of its quadrants, row by row.
PATTERNS: Final[Mapping[str, tuple[tuple[int, int], tuple[Colour, ...]]]] = {
    "front": ((320, 240), ((220, 40, 40), (40, 200, 60), (40, 70, 220), (240, 220, 60))),
    "rear": ((200, 160), ((30, 30, 30), (230, 120, 20), (240, 240, 240), (140, 40, 180))),
}
#: How far off a colour may be after JPEG.
TOLERANCE: Final = 14


def draw(camera: str) -> bytes:
    """Return the picture of *camera* as a JPEG."""
    (width, height), colours = PATTERNS[camera]
    image = Image.new("RGB", (width, height))
    for index, colour in enumerate(colours):
        row, column = divmod(index, 2)
        image.paste(colour, (column * width // 2, row * height // 2, width, height))
    out = BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


# ── processes ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def running(*command: str, until: str, **environment: str) -> Iterator[tuple[Any, list[str]]]:
    """Run a Python program that says *until* when it is ready; yield it and the lines up to that one."""
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    ) as process:
        try:
            said: list[str] = []
            while until and not (said and until in said[-1]):
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line, "".join(said)
                said.append(line)
            yield process, said
        finally:
            # Some would wait for their peers, which are gone.
            process.kill()


def serving(*options: str) -> Any:
    return running("-m", "plexwire_server", "serve", *options, until="plexwire conform")


def publishing(url: str, key: str, folder: Path) -> Any:
    """Have the SDK send all patterns, and a camera `torn` whose bytes only begin like a JPEG."""
    pictures = {
        **{camera: draw(camera) for camera in PATTERNS},
        "torn": b"\xff\xd8\xff" + bytes(99),
    }
    assignments = []
    for camera, jpeg in pictures.items():
        file = folder / f"{camera}.jpg"
        file.write_bytes(jpeg)
        assignments.append(f"{camera}={file}")
    script = str(EXAMPLES / "sdk_device.py")
    return running(script, url, SOURCE, *assignments, until="", PLEXWIRE_DEVICE_KEY=key)


@frozen
class Place:
    """A gateway with its keys, and a device that publishes to it."""

    url: str
    keys: Mapping[str, str] = field(repr=False)

    @property
    def page(self) -> str:
        return self.url.replace("ws", "http", 1) + "/"

    @property
    def key(self) -> str:
        return self.keys["PLEXWIRE_API_KEY"]

    def link(self, *cameras: str, source: str = SOURCE, timeout: int | None = None) -> str:
        parts = [f"source={source}", *(f"camera={camera}" for camera in cameras)]
        parts += [] if timeout is None else [f"timeout={timeout}"]
        return f"{self.page}#{'&'.join(parts)}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    file = folder / "keys.env"
    with serving("--port", "0", "--write-keys", str(file)):
        keys = dict(line.split("=", 1) for line in file.read_text().splitlines())
        url = keys.pop("PLEXWIRE_URL")
        with publishing(url, keys["PLEXWIRE_DEVICE_KEY"], folder):
            yield Place(url, keys)


@pytest.fixture(scope="module")
def odd_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A gateway that does what a viewer rarely sees."""
    picture = tmp_path_factory.mktemp("odd") / "front.jpg"
    picture.write_bytes(draw("front"))
    with running(str(PAGES / "odd_gateway.py"), str(picture), until="{") as (_, said):
        told = json.loads(said[-1])
        yield Place(told["url"], {"PLEXWIRE_API_KEY": told["key"]})


# ── the visitor ──────────────────────────────────────────────────────────────────────────────

#: Keeps every sentence that the status ever showed, the last picture painted of each camera, how many frames of it came,
#: and how much was sent.
_WITNESS: Final = """
  globalThis.said = [];
  globalThis.painted = {};
  globalThis.arrived = {};
  globalThis.sent = 0;
  const Socket = globalThis.WebSocket;
  globalThis.WebSocket = class extends Socket {
    constructor(...where) {
      super(...where);
      this.addEventListener("message", ({ data }) => {
        const camera = /"video_frame".*?"camera_id": *"(\\w+)"/.exec(data.slice(0, 400))?.[1];
        if (camera !== undefined) arrived[camera] = (arrived[camera] ?? 0) + 1;
      });
    }
  };
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) { sent += 1; send.call(this, data); };
  document.addEventListener("plexwire:painted", ({ detail }) => { painted[detail.camera_id] = detail; });
  document.addEventListener("DOMContentLoaded", () => {
    const status = document.getElementById("status");
    if (status === null) return;
    new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
  });
"""

_QUADRANTS: Final = """
  (canvas) => [0, 1, 2, 3].map((index) => {
    const x = canvas.width * (index % 2 ? 0.75 : 0.25);
    const y = canvas.height * (index < 2 ? 0.25 : 0.75);
    const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
    return [...copy.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  })
"""


@define(eq=False)
class Visit:
    """One person at one page, in a browser that knows nothing of others."""

    page: "Page"
    context: "BrowserContext"
    #: Every error in the console, violations of the policy and failures of scripts among them.
    errors: list[str] = field(factory=list[str])

    def connect(self, link: str, key: str, *, keep: str = "") -> None:
        self.page.goto(link)
        self.page.fill("#key", key)
        self.page.select_option("#keep", keep)
        self.page.click("#connect")

    def wait(self, condition: str, argument: object = None) -> None:
        self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE_MS)

    def wait_for_picture(self, camera: str, *, new: bool = True) -> None:
        """Wait for one that is painted from now on, or was painted already."""
        if new:
            self.page.evaluate("camera => { delete painted[camera]; }", camera)
        self.wait("camera => camera in painted", camera)

    def wait_for_words(self, words: str) -> str:
        """Wait until the status has said *words*, and return the sentence."""
        self.wait("words => said.some((sentence) => sentence.includes(words))", words)
        sentence: str = self.page.evaluate("w => said.find((one) => one.includes(w))", words)
        return sentence

    def text(self, selector: str) -> str:
        return (self.page.text_content(selector) or "").strip()

    def shows(self, camera: str, selector: str) -> bool:
        """Whether the canvas has the size and the colours of *camera*'s picture."""
        canvas = self.page.locator(selector)
        size, colours = PATTERNS[camera]
        seen = canvas.evaluate(_QUADRANTS)
        return [*size] == canvas.evaluate("c => [c.width, c.height]") and all(
            abs(is_ - want) <= TOLERANCE
            for pixel, colour in zip(seen, colours, strict=True)
            for is_, want in zip(pixel, colour, strict=True)
        )


Visitor: TypeAlias = Callable[..., Visit]


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Visitor]:
    """Open pages; at the end none of them may have logged an error but those that were expected."""
    with ExitStack() as stack:

        def come(*expected: str, **options: Any) -> Visit:
            context = browser.new_context(**options)
            stack.callback(context.close)
            context.add_init_script(_WITNESS)
            came = Visit(context.new_page(), context)
            came.page.on(
                "console",
                lambda message: (
                    came.errors.append(message.text)
                    if message.type in ("error", "warning")
                    else None
                ),
            )
            came.page.on("pageerror", lambda error: came.errors.append(str(error)))
            visits.append((came, expected))
            return came

        visits: list[tuple[Visit, tuple[str, ...]]] = []
        yield come
        for came, expected in visits:
            errors = [e for e in came.errors if not any(words in e for words in expected)]
            assert errors == [], errors


def canvas_of(camera: str) -> str:
    return f'canvas[data-camera="{camera}"]'
