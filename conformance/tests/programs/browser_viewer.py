"""A viewer in a real Chromium, until it is ended: `browser_viewer.py guide`, `module` or `page`.

`guide` does what the published guide shows: it opens the address, sends `auth`, reads `init`, and draws each frame.
`module` is the viewer module that a gateway serves, and `page` its viewer page, both from the files of the package.
"""

import json
import os
import sys
from pathlib import Path

from chromium import CHROMIUM, CHROMIUM_OPTIONS
from playwright.sync_api import Page, Route, sync_playwright

from plexwire_server.http._viewer_page import clock_response, page_responses

MODULE = Path(__file__).parents[3] / "server" / "plexwire_server" / "page" / "viewer.js"

#: What no socket served counts as public, and may then not reach this machine.
SERVED_FROM_HERE = "--disable-features=LocalNetworkAccessChecks"

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
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*CHROMIUM_OPTIONS, SERVED_FROM_HERE]
        )
        page = browser.new_page()
        page.on("console", lambda message: print(message.text))
        page.on("pageerror", lambda error: print(f"uncaught: {error}"))
        if kind == "page":
            _open_page(page, place)
        else:
            script = GUIDE if kind == "guide" else WATCHING
            page.set_content(
                f"<canvas></canvas><script>globalThis.place = {json.dumps(place)}</script>"
                f"<script type=module>{script}</script>"
            )
        _stay(page)


def _open_page(page: Page, place: dict[str, str]) -> None:
    """Open the viewer page as if the gateway served it, and have it watch."""
    origin = place["url"].replace("ws://", "http://", 1)
    responses = page_responses()

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(origin).partition("?")[0]
        answer = responses[path]() if path in responses else clock_response(1_750_000_000_000)
        headers = dict(answer.headers) | {"Content-Type": answer.content_type}
        route.fulfill(status=answer.status, body=answer.body, headers=headers)

    page.route(f"{origin}/**", serve)
    page.goto(f"{origin}/#source={place['source']}&camera={place['camera']}")
    page.fill("#key", place["key"])
    page.click("#connect")


def _stay(page: Page) -> None:
    while True:
        page.wait_for_timeout(1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
