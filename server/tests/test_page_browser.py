"""Device to pixels for real: the SDK from PyPI, the gateway in its own process, the page in headless Chromium."""

import base64
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_harness import (
    PAGES,
    PATIENCE_MS,
    PATTERNS,
    SOURCE,
    Place,
    Visitor,
    canvas_of,
    draw,
    publishing,
    serving,
)

from plexwire_protocol import CloseCode, StreamAddress, describe_close

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Response

pytest_plugins = ("chromium", "page_harness")

#: What Chromium logs when a page lets go of a WebSocket that was still opening.
CLOSED_EARLY = "closed before the connection is established"


# ── from the device to pixels ────────────────────────────────────────────────────────────────


def test_page_shows_each_camera_of_the_sdk_in_its_own_canvas(place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(place.link("front", "rear"), place.key)
    for camera in PATTERNS:
        person.wait_for_picture(camera)
        assert person.shows(camera, canvas_of(camera))
    assert not person.shows("front", canvas_of("rear"))
    assert person.page.locator("canvas").count() == 2
    person.wait("""() => document.querySelector('[data-part="fps"]').textContent > 5""")
    tile = person.page.locator("article", has=person.page.locator(canvas_of("front")))
    assert tile.locator('[data-part="size"]').text_content() == "320 × 240"
    assert re.fullmatch(
        r"[1-9]\d* ms|\d\.\d s", tile.locator('[data-part="latency"]').text_content() or ""
    )
    assert "clock" in person.text("#clock")
    assert person.text("#status") == "Watching 2 cameras of robot-01."


def test_guide_of_a_few_lines_works_from_another_origin(place: Place, visit: Visitor) -> None:
    handler = partial(QuietHandler, directory=str(PAGES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        person = visit()
        person.page.goto(f"http://127.0.0.1:{server.server_port}/guide.html")
        address = StreamAddress(source_id=SOURCE, cameras=("rear",))
        person.page.evaluate(
            "([url, key]) => watch(url, key)", [place.url + address.target(), place.key]
        )
        person.wait("() => seen.painted > 2")
        assert person.shows("rear", "canvas")
        [online] = person.page.evaluate("() => seen.online")
        assert online["source_id"] == SOURCE
        assert "rear" in online["cameras"]
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_picture_that_is_none_is_counted_and_the_stream_goes_on(
    place: Place, visit: Visitor
) -> None:
    person = visit()
    person.connect(place.link("torn", "front"), place.key)
    torn = person.page.locator("article", has=person.page.locator(canvas_of("torn")))
    torn.get_by_text("can’t be decoded").wait_for(timeout=PATIENCE_MS)
    person.wait("""() => document.querySelector('[data-part="broken"]').textContent >= 3""")
    person.wait_for_picture("front")
    assert person.shows("front", canvas_of("front"))


def test_snapshot_is_the_jpeg_as_it_came(place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(place.link("rear"), place.key)
    person.wait_for_picture("rear")
    with person.page.expect_download(timeout=PATIENCE_MS) as expected:
        person.page.get_by_role("button", name="Save this picture, camera rear").click()
    assert Path(expected.value.path()).read_bytes() == draw("rear")
    name, stamp = expected.value.suggested_filename.split("-")
    assert (name, len(stamp)) == ("rear", len("20260102T030405678Z.jpg"))


def test_paused_camera_holds_its_picture_while_newer_ones_come(
    place: Place, visit: Visitor
) -> None:
    person = visit()
    person.connect(place.link("front", "rear"), place.key)
    person.wait_for_picture("front")
    pause = person.page.get_by_role("button", name="Pause, camera front")
    pause.click()
    person.page.get_by_text("Paused").wait_for()
    # One that was being decoded meanwhile may still be painted.
    person.wait_for_picture("rear")
    held, came = person.page.evaluate("() => [painted.front.timestamp, arrived.front]")
    person.wait("came => arrived.front >= came + 3", came)
    person.wait_for_picture("rear")
    assert person.page.evaluate("() => painted.front.timestamp") == held
    pause.click()
    person.wait("held => painted.front.timestamp > held", held)


def test_camera_fills_the_screen_and_gives_it_back(place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(place.link("front"), place.key)
    person.wait_for_picture("front")
    full = person.page.get_by_role("button", name="Full screen, camera front")
    full.click()
    pressed = """document.querySelector('[data-part="fullscreen"]').ariaPressed"""
    person.wait(f"() => document.fullscreenElement?.matches('article') && {pressed} === 'true'")
    full.click()
    person.wait(f"() => document.fullscreenElement === null && {pressed} === 'false'")


def test_camera_that_is_online_is_added_and_taken_out_by_a_click(
    place: Place, visit: Visitor
) -> None:
    person = visit()
    person.connect(place.link("front"), place.key)
    rear = person.page.locator("#online-list button", has_text="rear")
    rear.click()
    person.wait_for_picture("rear")
    assert person.page.url == place.link("front", "rear")
    assert rear.get_attribute("aria-pressed") == "true"
    assert rear.evaluate("button => button === document.activeElement")
    person.page.locator("#online-list button", has_text="front").click()
    person.wait("() => document.querySelectorAll('canvas').length === 1")
    person.wait_for_picture("rear")


def test_picture_does_not_stand_under_the_name_of_another_source(
    place: Place, visit: Visitor
) -> None:
    person = visit()
    person.connect(place.link("front"), place.key)
    person.wait_for_picture("front")
    person.page.click("summary")
    person.page.fill("#source", "nobody-knows")
    person.page.click("#connect")
    person.wait_for_words("Watching 1 camera of nobody-knows")
    person.page.get_by_text("Waiting for the first picture").wait_for(timeout=PATIENCE_MS)
    assert not person.shows("front", canvas_of("front"))
    assert person.page.get_by_role("button", name="Save this picture").is_disabled()


# ── how a stream ends ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "code"), [("PLEXWIRE_REVOKED_KEY", 4001), ("PLEXWIRE_NO_ACCESS_KEY", 4002)]
)
def test_key_that_is_not_accepted_is_told_and_not_tried_again(
    name: str, code: int, place: Place, visit: Visitor
) -> None:
    person = visit()
    person.page.clock.install()
    person.connect(place.link("front"), place.keys[name], keep="browser")
    assert person.wait_for_words(f"[{code}]") == f"{describe_close(code)} [{code}]"
    assert person.page.evaluate("() => document.activeElement.id") == "key"
    assert person.text("#key-problem")
    # Another attempt would show in the status.
    person.page.clock.run_for(60_000)
    assert person.page.evaluate("() => said.length") == 2
    assert person.page.evaluate("() => localStorage.length") == 0


def test_stream_whose_time_has_passed_goes_on_at_once(place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(place.link("front", timeout=1), place.key)
    told = person.wait_for_words("[4008]")
    assert told == f"{describe_close(4008)} [4008] Reconnecting."
    # Meanwhile somebody opens the form, and is left alone in it.
    person.page.click("summary")
    person.page.focus("#timeout")
    person.wait("() => said.filter((sentence) => sentence.startsWith('Watching')).length >= 3")
    assert person.page.evaluate("() => document.activeElement.id") == "timeout"
    assert describe_close(4008) in person.text("#last-end")
    person.wait_for_picture("front")


def test_gateway_that_was_stopped_and_started_again_brings_the_picture_back(
    visit: Visitor, tmp_path: Path
) -> None:
    keys_file = tmp_path / "keys.toml"
    command = ("-m", "plexwire_server", "keys", "add", "--file", str(keys_file))
    names = ("--organisation", "acme", "--name", "both")
    added = subprocess.run(
        [sys.executable, *command, *names], capture_output=True, text=True, check=True
    )
    key = added.stdout.strip()
    person = visit("WebSocket connection to")
    with ExitStack() as device:
        port = "0"
        for number, code in ((signal.SIGTERM, 1001), (signal.SIGKILL, 1006), (None, None)):
            with serving("--port", port, "--keys", str(keys_file)) as (process, said):
                place = Place(said[0].split(" serves at ")[1].split()[0], {"PLEXWIRE_API_KEY": key})
                if port == "0":
                    port = place.url.rpartition(":")[2]
                    device.enter_context(publishing(place.url, key, tmp_path))
                    person.connect(place.link("front"), key)
                person.wait_for_picture("front")
                assert person.shows("front", canvas_of("front"))
                if number is not None and code is not None:
                    process.send_signal(number)
                    sentence = person.wait_for_words(f"[{code}]")
                    assert sentence.startswith(describe_close(code))
                    assert "Trying again in" in sentence
                    process.wait(10)


def test_every_close_is_told_in_a_sentence_and_what_it_said_is_text(
    odd_place: Place, visit: Visitor
) -> None:
    person = visit(CLOSED_EARLY)
    for code in (1000, 1009, 1011, 1013, 4999):
        person.page.evaluate("() => { globalThis.said = []; }")
        person.connect(odd_place.link("front", source=f"leaving-{code}"), odd_place.key)
        person.wait_for_words("Trying again")
        told = person.wait_for_words(describe_close(code))
        assert (f"[{code}]" in told) is (code in set(CloseCode))
        assert ("It said: “<b>so</b>”." in told) is (code != 1000)
        assert told.split(" Trying")[0] in person.text("#last-end")
        person.page.click("#disconnect")


def test_gateway_that_lost_its_own_source_is_waited_for(odd_place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(odd_place.link("front", source="losing"), odd_place.key)
    person.wait_for_picture("front", new=False)
    assert "in 3 seconds (attempt 2 of 5)" in person.wait_for_words("lost its own source")
    # A picture says that it is back.
    assert person.page.evaluate("() => said.map((one) => one.split(' ')[0])") == [
        "Connecting",
        "Watching",
        "The",
        "Watching",
    ]


def test_message_that_nobody_knows_or_can_read_costs_nothing(
    odd_place: Place, visit: Visitor
) -> None:
    person = visit()
    person.connect(odd_place.link("front", source="talking"), odd_place.key)
    person.wait_for_picture("front", new=False)
    assert person.shows("front", canvas_of("front"))
    person.page.get_by_text("could not be read: 4.").wait_for(timeout=PATIENCE_MS)
    assert person.page.evaluate("() => painted.front.broken") == 1
    assert person.text("#status").startswith("Watching")


def test_page_shows_what_a_gateway_that_deviates_has_online(
    odd_place: Place, visit: Visitor
) -> None:
    person = visit()
    noted: list[str] = []
    person.page.on("console", lambda message: noted.append(message.text))
    person.page.add_init_script(
        "globalThis.stamps = [];"
        'document.addEventListener("plexwire:painted", ({ detail }) => stamps.push(detail.timestamp));'
    )
    person.connect(odd_place.link("front", source="published"), odd_place.key)
    person.wait("() => painted.front?.timestamp > 4")
    # A picture of another source is not shown.
    assert {*person.page.evaluate("() => stamps")} <= {1_700_000_000_123, 2, 3}
    assert person.shows("front", canvas_of("front"))
    assert person.page.locator("#online-list button").all_text_contents() == ["front", "rear"]
    assert not person.page.locator("#nobody").is_visible()
    assert person.text("#status") == "Watching 1 camera of published."
    assert person.text("#unreadable") == ""
    deviations = [text.removeprefix("plexwire: the gateway deviates from ") for text in noted]
    assert deviations == [
        "PW-INIT-3: message is a frame before the init",
        "PW-FRAME-1: source_id is missing",
        "PW-INIT-4: online_sources is not a list",
        "PW-INIT-1: message is an init after the first",
        "PW-INIT-4: online_sources[0].cameras[0] is not a string",
        "PW-INIT-4: online_sources[1].cameras is not a list",
    ]
    assert (
        person.page.evaluate("() => said.filter((one) => one.startsWith('Connecting')).length") == 1
    )


def test_page_watches_on_when_the_init_cannot_be_read(odd_place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(odd_place.link("front", source="unreadable"), odd_place.key)
    person.wait_for_picture("front", new=False)
    person.page.get_by_text("could not be read: 1.").wait_for(timeout=PATIENCE_MS)
    assert person.text("#status") == "Watching 1 camera of unreadable."
    assert person.page.locator("#nobody").is_visible()


def test_stream_that_is_silent_while_the_gateway_is_out_of_reach_is_taken_for_lost(
    odd_place: Place, visit: Visitor
) -> None:
    """A network that is gone closes no connection: nothing would ever come, nor an end."""
    person = visit("ERR_FAILED", CLOSED_EARLY)
    person.page.clock.install()
    person.connect(odd_place.link("front", source="talking"), odd_place.key)
    # The last that it will ever say.
    person.wait_for_picture("front", new=False)
    # Every half a minute the page asks for the time.
    with person.page.expect_response("**/page/clock"):
        person.page.clock.run_for(30_500)
    assert person.page.evaluate("() => said.length") == 2
    person.page.route("**/page/clock", lambda route: route.abort())
    person.page.clock.run_for(30_500)
    assert person.wait_for_words("[1006]").startswith(describe_close(1006))


def test_silent_stream_is_kept_while_the_gateway_has_no_room_for_others(
    odd_place: Place, visit: Visitor
) -> None:
    person = visit("503")
    person.page.route("**/page/clock", lambda route: route.fulfill(status=503, body="No room.\n"))
    person.page.clock.install()
    # It asks five times, and would count it against a stream if the clock jumped meanwhile.
    with person.page.expect_response(nth_answer(5)):
        person.connect(odd_place.link("front", source="talking"), odd_place.key)
    person.wait_for_picture("front", new=False)
    for _ in range(2):
        with person.page.expect_response(nth_answer(5)):
            person.page.clock.run_for(30_500)
    assert person.page.evaluate("() => said.length") == 2
    assert person.text("#status").startswith("Watching")
    assert person.text("#clock") == ""


def nth_answer(number: int) -> "Callable[[Response], bool]":
    """Return what is true of the answer with this number to the question for the time."""
    answers = count(1)
    return lambda answer: answer.url.endswith("/page/clock") and next(answers) == number


def test_gateway_that_never_answers_the_key_is_given_up_and_tried_again(
    odd_place: Place, visit: Visitor
) -> None:
    person = visit(CLOSED_EARLY)
    person.page.clock.install()
    person.connect(odd_place.link("front"), odd_place.key + "silent")
    person.wait("() => sent === 1")
    assert len(person.page.evaluate("() => said")) == 1
    person.page.clock.run_for(10_001)
    person.wait_for_words("did not answer the key in time. Trying again in 1 second.")
    person.page.clock.run_for(1_300)
    assert person.page.evaluate("() => said.at(-1)") == "Connecting to robot-01 …"
    person.wait("() => sent === 2")
    person.page.clock.run_for(10_001)
    assert "did not answer the key in time. Trying again in 2 seconds." in person.page.evaluate(
        "() => said.at(-1)"
    )
    person.page.get_by_role("button", name="Try now").click()
    assert person.page.evaluate("() => said.at(-1)").startswith("Connecting")


def test_page_skips_pictures_rather_than_fall_behind(place: Place, visit: Visitor) -> None:
    """A burst of pictures: each that comes while one is decoded replaces the one that waits; the last is shown."""
    person = visit()
    person.connect(place.link("nobody"), place.key)
    person.wait_for_words("Watching")
    jpeg = base64.b64encode(draw("front")).decode()
    painted, skipped = person.page.evaluate(
        """async ([frame, patience]) => {
          const { newestWins } = await import("/page/viewer.js");
          const painted = [];
          let skipped = 0;
          await new Promise((done) => {
            const { take } = newestWins({
              onFrame: (bitmap, { timestamp }) => { painted.push(timestamp); if (timestamp === 199) done(); },
              onSkip: () => { skipped += 1; },
              onBroken: done,
            });
            for (let timestamp = 0; timestamp < 200; timestamp++) take({ frame, timestamp });
            setTimeout(done, patience);
          });
          return [painted, skipped];
        }""",
        [jpeg, PATIENCE_MS],
    )
    assert painted[-1] == 199
    assert painted == [0, 199]
    assert len(painted) + skipped == 200
