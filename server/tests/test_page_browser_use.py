"""The page in the hands of people: the key, the keyboard, the form, a phone, and what the policy keeps out."""

from typing import Final

import pytest
from page_harness import SOURCE, Place, Visitor

from plexwire_protocol import StreamAddress

pytest_plugins = ("chromium", "page_harness")


# ── the key ──────────────────────────────────────────────────────────────────────────────────

_KEPT: Final = "() => [sessionStorage, localStorage].map((s) => s.getItem('plexwire.key') ?? '')"


@pytest.mark.parametrize("keep", ["", "tab", "browser"])
def test_key_is_kept_where_asked_and_nowhere_else(keep: str, place: Place, visit: Visitor) -> None:
    person = visit()
    requests: list[str] = []
    person.page.on("request", lambda request: requests.append(request.url))
    person.page.on("websocket", lambda socket: requests.append(socket.url))
    person.connect(place.link("front"), place.key, keep=keep)
    person.wait_for_picture("front")
    kept = [place.key if keep == where else "" for where in ("tab", "browser")]
    assert person.page.evaluate(_KEPT) == kept
    assert place.key not in person.page.url
    assert {url.partition(":")[0] for url in requests} == {"http", "ws"}
    assert not any(place.key in url for url in requests)
    assert person.page.evaluate("() => document.cookie") == ""

    # What is kept is taken up again, and can be forgotten.
    person.page.reload()
    if not keep:
        assert person.page.input_value("#key") == ""
        return
    person.wait_for_picture("front")
    person.page.click("summary")
    person.page.click("#forget")
    # Nor does a stream that begins again keep it.
    person.page.click("#look-again")
    person.wait_for_picture("front")
    assert person.page.evaluate(_KEPT) == ["", ""]
    assert person.page.input_value("#key") == ""


@pytest.mark.parametrize("keep", ["", "browser"])
def test_stream_that_begins_anew_does_not_undo_what_another_tab_did_with_the_key(
    keep: str, place: Place, visit: Visitor
) -> None:
    person = visit()
    person.connect(place.link("front", timeout=1), place.key, keep=keep)
    person.wait_for_picture("front")
    other = "" if keep else "plx_of_another_tab"
    person.page.evaluate(
        """(key) => {
          localStorage.clear();
          if (key) localStorage.setItem("plexwire.key", key);
          globalThis.said = [];
        }""",
        other,
    )
    person.wait("() => said.filter((sentence) => sentence.startsWith('Watching')).length >= 2")
    assert person.page.evaluate(_KEPT) == ["", other]


# ── the page itself ──────────────────────────────────────────────────────────────────────────


def test_policy_lets_no_foreign_script_run_and_no_word_out(place: Place, visit: Visitor) -> None:
    person = visit("Content Security Policy")
    person.page.goto(place.page)
    person.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "globalThis.intruded = true";
          document.body.append(script);
        }"""
    )
    assert person.page.evaluate("() => globalThis.intruded") is None
    said = person.page.evaluate("() => fetch('http://127.0.0.2:9').catch((error) => String(error))")
    assert "Failed to fetch" in said
    assert len([error for error in person.errors if "Content Security Policy" in error]) >= 2


def test_page_can_be_used_by_keyboard_alone(place: Place, visit: Visitor) -> None:
    person = visit()
    person.page.goto(place.page)
    keyboard = person.page.keyboard
    # It begins where there is something to type.
    person.wait("() => document.activeElement.id === 'source'")
    keyboard.type(SOURCE)
    keyboard.press("Tab")
    keyboard.type("rear,front")
    keyboard.press("Tab")  # the first chip stands before the field, the time limit behind it
    keyboard.press("Tab")
    keyboard.type(place.key)
    for _ in range(2):
        keyboard.press("Tab")
    assert person.page.evaluate("() => document.activeElement.id") == "connect"
    keyboard.press("Enter")
    person.wait_for_picture("front")
    assert person.page.evaluate("() => document.activeElement.id") == "disconnect"
    keyboard.press("Enter")
    assert person.text("#status") == "Not connected."
    assert person.page.locator("canvas").count() == 0


def test_page_tells_what_it_shows_to_who_does_not_see_it(place: Place, visit: Visitor) -> None:
    person = visit()
    person.connect(place.link("front"), place.key)
    person.wait_for_picture("front")
    page = person.page
    assert page.get_by_role("img", name="Live picture of camera front").count() == 1
    assert page.get_by_role("status").inner_text().startswith("Watching")
    # Numbers that change all the time must not be read out.
    assert page.locator("[aria-live], [role=status], [role=alert]").count() == 1
    for control in page.locator("button:visible, input:visible, select:visible").all():
        assert control.evaluate(
            "c => (c.ariaLabel ?? c.labels?.[0]?.textContent ?? c.textContent).trim()"
        )


def test_form_says_at_the_field_what_is_wrong(place: Place, visit: Visitor) -> None:
    person = visit()
    for link, field_id in (
        (place.page, "source"),
        (place.link("front", source="No!"), "source"),
        (place.link("x" * 256), "camera"),
        (place.link(*map(str, range(65))), "camera"),
        (place.link("front", timeout=0), "timeout"),
        (place.link("front"), "key"),
    ):
        person.page.goto(link)
        person.page.click("#connect")
        assert person.text(f"#{field_id}-problem")
        assert person.page.get_attribute(f"#{field_id}", "aria-invalid") == "true"
        assert person.page.evaluate("() => document.activeElement.id") == field_id
        assert person.page.locator("[aria-invalid=true]").count() == 1


def test_link_and_stream_name_what_the_core_understands(place: Place, visit: Visitor) -> None:
    person = visit()
    person.page.goto(place.page)
    wanted = StreamAddress(source_id="a.b-c_9", cameras=("Füße & co", "a=b#c", "+%41,"), timeout=60)
    url, again = person.page.evaluate(
        """async (address) => {
          const { readFragment, writeFragment } = await import("/page/address.js");
          const { streamUrl } = await import("/page/viewer.js");
          return [streamUrl({ url: "/", ...address }), readFragment(writeFragment(address))];
        }""",
        {"source": wanted.source_id, "cameras": [*wanted.cameras], "timeout": str(wanted.timeout)},
    )
    assert StreamAddress.parse(url.removeprefix(place.url)) == wanted
    assert (again["source"], tuple(again["cameras"]), again["timeout"]) == (
        wanted.source_id,
        wanted.cameras,
        "60",
    )


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://gateway.example/", "wss://gateway.example/"),
        ("wss://gateway.example", "wss://gateway.example/"),
        ("wss://gateway.example:8443/video/?x=1#y", "wss://gateway.example:8443/video/"),
        ("wss://gateway.example:8443/video", "wss://gateway.example:8443/video/"),
        ("http://gateway.example/", "ws://gateway.example/"),
        ("ws://gateway.example:80", "ws://gateway.example/"),
    ],
)
def test_stream_is_encrypted_when_its_base_is(
    base: str, url: str, place: Place, visit: Visitor
) -> None:
    person = visit()
    person.page.goto(place.page)
    found = person.page.evaluate(
        """async (url) => {
          const { streamUrl } = await import("/page/viewer.js");
          return streamUrl({ url, source: "robot-01", cameras: ["front"], timeout: "" });
        }""",
        base,
    )
    assert found == f"{url}v1/sources/robot-01/video/stream?camera_id=front"


def test_page_waits_longer_each_time_but_not_after_a_timeout(place: Place, visit: Visitor) -> None:
    person = visit()
    person.page.goto(place.page)
    pauses, retried = person.page.evaluate(
        """async () => {
          const { backoff, mayRetry } = await import("/page/viewer.js");
          const pause = backoff();
          const pauses = Array.from({ length: 7 }, () => pause(1006, 0, 0.5));
          pauses.push(pause(4008, 60, 0.5), pause(4008, 0.1, 0), pause(1001, 60, 1));
          return [pauses, [1000, 1001, 1006, 1011, 4001, 4002, 4008, 4321].filter(mayRetry)];
        }"""
    )
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 0, 0.75, 1.25]
    assert retried == [1000, 1001, 1006, 1011, 4008, 4321]


def test_page_fits_a_phone_by_day_and_by_night(place: Place, visit: Visitor) -> None:
    person = visit(viewport={"width": 360, "height": 740}, has_touch=True)
    fits = "() => document.documentElement.scrollWidth <= innerWidth"
    person.page.goto(place.link("front", "rear", "a-camera-with-quite-a-long-name-and-more-of-it"))
    assert person.page.evaluate(fits)
    person.page.fill("#key", place.key)
    person.page.tap("#connect")
    person.wait_for_picture("front")
    assert person.page.evaluate(fits)
    for button in person.page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    brightness = """() => getComputedStyle(document.body).backgroundColor
      .match(/[0-9]+/g).reduce((sum, part) => sum + Number(part), 0)"""
    person.page.emulate_media(color_scheme="light")
    assert person.page.evaluate(brightness) > 600
    person.page.emulate_media(color_scheme="dark")
    assert person.page.evaluate(brightness) < 150
