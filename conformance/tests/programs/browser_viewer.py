"""A viewer in a real Chromium, until it is ended: `browser_viewer.py guide`, or `module` for the one that the gateway serves.

`guide` does what the published guide shows: it opens the address, sends `auth`, reads `init`, and draws each frame.
"""

import json
import os
import sys
from pathlib import Path

from chromium import CHROMIUM, CHROMIUM_OPTIONS
from playwright.sync_api import Page, sync_playwright

MODULE = Path(__file__).parents[3] / "server" / "plexwire_server" / "page" / "viewer.js"

GUIDE = """
const canvas = document.querySelector("canvas");
const socket = new WebSocket(place.stream);
socket.addEventListener("open", () => {
  socket.send(JSON.stringify({ type: "auth", api_key: place.key }));
});
socket.addEventListener("message", ({ data }) => {
  const heard = JSON.parse(data);
  if (heard.type === "init") console.log("online", JSON.stringify(heard.online_sources));
  if (heard.type !== "video_frame") return;
  const picture = new Image();
  picture.onload = () => {
    canvas.width = heard.width;
    canvas.height = heard.height;
    canvas.getContext("2d").drawImage(picture, 0, 0);
  };
  picture.src = "data:image/jpeg;base64," + heard.frame;
});
"""

WATCHING = """
const { watch } = await import(URL.createObjectURL(new Blob([place.module], { type: "text/javascript" })));
watch({
  url: place.url, source: place.source, cameras: [place.camera], key: place.key,
  onFrame: (frame) => console.log("frame", frame.camera_id ?? frame.camera),
  onEnd: (end) => console.log("end", JSON.stringify(end)),
});
"""


def main(kind: str) -> None:
    """Watch in a browser until SIGTERM."""
    place = {
        "url": os.environ["PLEXWIRE_URL"],
        "stream": os.environ["PLEXWIRE_STREAM_URL"],
        "key": os.environ["PLEXWIRE_API_KEY"],
        "source": os.environ["PLEXWIRE_SOURCE_ID"],
        "camera": os.environ["PLEXWIRE_CAMERA_ID"],
        "module": MODULE.read_text("utf-8"),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*CHROMIUM_OPTIONS])
        page = browser.new_page()
        page.on("console", lambda message: print(message.text))
        page.on("pageerror", lambda error: print(f"uncaught: {error}"))
        script = GUIDE if kind == "guide" else WATCHING
        page.set_content(
            f"<canvas></canvas><script>globalThis.place = {json.dumps(place)}</script>"
            f"<script type=module>{script}</script>"
        )
        _stay(page)


def _stay(page: Page) -> None:
    while True:
        page.wait_for_timeout(1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
