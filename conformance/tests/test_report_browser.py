"""The pages for people in a real browser: from a file, in light and dark, on a desk, a phone and paper."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pytest
import trio
import trio.testing
from attrs import evolve, frozen

from plexwire_conformance.cases.selection import select
from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.report.comparison import render_matrix
from plexwire_conformance.report.html_report import HtmlReport
from plexwire_conformance.report.ndjson import NdjsonReport
from plexwire_conformance.report.stored_runs import parse_run
from plexwire_conformance.run.events import RunEvent
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import memory_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytest_plugins = ("chromium",)

NAMES = ("bad", "good", "observed", "blocked", "matrix")
DESK, PHONE = (1280, 800), (390, 844)
#: Milliseconds that no page takes, on a busy machine.
PATIENCE_MS: Final = 10_000
#: What text needs against its background (WCAG 2.2, AA).
CONTRAST: Final = 4.5

# ── a browser, and pages to look at ──────────────────────────────────────────────────────────


def judge(gateway: FaultyGateway) -> list[RunEvent]:
    """Judge *gateway* in virtual time, without a revoked key."""
    events: list[RunEvent] = []

    async def go() -> None:
        async with memory_gateway(gateway, gateway.given) as memory:
            endpoint = evolve(memory.viewers, url="wss://gateway.test")
            keys = evolve(memory.keys, revoked_key="")
            target = evolve(memory, viewers=endpoint, devices=endpoint, keys=keys)
            cases = select(("auth", "flow"), ())
            settings = Settings(nonce="90551b", unix_ms=1_750_000_000_000)
            await Runner(target, settings).run(cases, events.append)

    trio.run(go, clock=trio.testing.MockClock(autojump_threshold=0))
    return events


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the page of each run, and all runs side by side."""
    folder = tmp_path_factory.mktemp("pages")
    gateways = {
        "bad": FAULTS["auth.deadline-too-long"].build(),
        "good": FaultyGateway(),
        # Not judged by any case of this run: what the monitor sees is an observation.
        "observed": FAULTS["init.cameras-as-objects"].build(),
        "blocked": FAULTS["init.never"].build(),
    }
    runs = []
    for name, gateway in gateways.items():
        events = judge(gateway)
        stored = folder / f"{name}.ndjson"
        with (
            (folder / f"{name}.html").open("w", encoding="utf-8") as page,
            stored.open("w", encoding="utf-8") as lines,
        ):
            listeners = (HtmlReport(page).listen, NdjsonReport(lines).listen)
            for event in events:
                for listen in listeners:
                    listen(event)
        runs.append(parse_run(stored.read_text("utf-8"), stored.name))
    (folder / "matrix.html").write_text(render_matrix(runs), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in (*gateways, "matrix")}


@frozen
class Reader:
    """Somebody who looks at a page, and what the page said or wanted beyond what it shows."""

    page: "Page"
    complaints: list[str]

    def count(self, selector: str) -> int:
        return self.page.locator(f"{selector}:visible").count()

    def sees(self, selector: str) -> bool:
        """Whether the element can be seen without scrolling."""
        seen: bool = self.page.locator(selector).evaluate(
            """(node) => {
                const box = node.getBoundingClientRect();
                return box.height > 0 && box.top >= 0 && box.top < innerHeight;
            }"""
        )
        return seen


@pytest.fixture(scope="module")
def read(browser: "Browser", pages: dict[str, Path]) -> "Iterator[Read]":
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    reader = Reader(page, [])
    page.on("console", lambda message: reader.complaints.append(message.text))
    page.on("pageerror", lambda error: reader.complaints.append(str(error)))
    page.on("request", lambda request: reader.complaints.append(request.url))
    yield Read(reader, pages)
    page.close()


@frozen
class Read:
    """Opens a page of this run, as if for the first time."""

    reader: Reader
    pages: dict[str, Path]

    def __call__(self, name: str, anchor: str = "", size: tuple[int, int] = DESK) -> Reader:
        page = self.reader.page
        page.goto("about:blank")
        page.emulate_media(media="screen", color_scheme="light")
        page.set_viewport_size({"width": size[0], "height": size[1]})
        self.reader.complaints.clear()
        page.goto(f"{self.pages[name].as_uri()}{anchor}")
        return self.reader


# ── by itself ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_page_is_opened_from_a_file_and_complains_of_nothing_and_fetches_nothing(
    name: str, read: Read, pages: dict[str, Path]
) -> None:
    reader = read(name)
    fetched = [said for said in reader.complaints if not said.startswith("data:")]
    assert fetched == [pages[name].as_uri()]


@pytest.mark.parametrize("name", NAMES)
def test_page_on_a_phone_never_scrolls_to_the_side(name: str, read: Read) -> None:
    reader = read(name, size=PHONE)
    # What is folded must fit as well.
    reader.page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    for width in (390, 320):
        reader.page.set_viewport_size({"width": width, "height": 844})
        assert reader.page.evaluate("document.documentElement.scrollWidth") == width


#: Every text that can be seen with too little contrast, on whatever is painted behind it.
PALE = """(least) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((v) => v / 255).map(
            (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return rgba("canvas");
    };
    const pale = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
        if (!own || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
        const style = getComputedStyle(node);
        const colour = rgba(node instanceof SVGElement ? style.fill : style.color);
        const [a, b] = [light(colour), light(behind(node))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < least) pale.push(`${ratio.toFixed(2)} ${node.outerHTML.slice(0, 120)}`);
    }
    return pale;
}"""


@pytest.mark.parametrize("name", ["bad", "observed", "blocked", "matrix"])
def test_page_in_light_and_dark_can_be_read_everywhere(name: str, read: Read) -> None:
    reader = read(name)
    reader.page.evaluate("document.querySelectorAll('details.area').forEach((d) => d.open = true)")
    papers: dict[Literal["light", "dark"], str] = {
        "light": "rgb(255, 255, 255)",
        "dark": "rgb(20, 23, 27)",
    }
    for scheme, paper in papers.items():
        reader.page.emulate_media(color_scheme=scheme)
        painted = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert painted == paper
        assert reader.page.evaluate(PALE, CONTRAST) == []


OVERLAPS = """() => {
    const words = (box) => [box.left, box.right, box.top, box.bottom].map(Math.round).join(" ");
    const wrong = [];
    for (const strip of document.querySelectorAll(".strip")) {
        const frame = strip.getBoundingClientRect();
        if (!frame.width) continue;
        const labels = [...strip.querySelectorAll(".label")]
            .map((label) => [label.textContent, label.getBoundingClientRect()])
            .filter(([, box]) => box.width);
        for (const [text, box] of labels) {
            if (box.left < frame.left - 1 || box.right > frame.right + 1) wrong.push(`${text} leaves`);
            for (const [other, there] of labels) {
                const apart = there === box || box.right <= there.left + 1 || there.right <= box.left + 1
                    || box.bottom <= there.top + 3 || there.bottom <= box.top + 3;
                if (!apart) wrong.push(`${text} on ${other}: ${words(box)}, ${words(there)}`);
            }
        }
    }
    return wrong;
}"""


def test_timelines_name_what_happened_and_no_name_covers_another(read: Read) -> None:
    reader = read("bad")
    reader.page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    for width, height in (DESK, PHONE):
        reader.page.set_viewport_size({"width": width, "height": height})
        assert reader.count(".strip .label") > reader.count(".strip") > 10
        assert reader.page.evaluate(OVERLAPS) == []


# ── looking for something ────────────────────────────────────────────────────────────────────


def test_page_says_first_what_is_wrong_and_leads_there(read: Read) -> None:
    reader = read("bad")
    advice = reader.page.locator(".advice")
    begin = "Begin with PW-AUTH-3/not-closed: After 10 s without an auth, the gateway left the viewer open"
    assert begin in advice.inner_text()
    advice.get_by_text("PW-AUTH-3/not-closed").click()
    assert reader.sees(r"#finding-PW-AUTH-3\/not-closed h3")
    command = reader.page.locator(r"#finding-PW-AUTH-3\/not-closed .command").inner_text()
    assert command == "plexwire replay auth.never --url wss://gateway.test"


def test_filter_leaves_what_was_chosen_and_shows_all_again(read: Read) -> None:
    reader = read("bad")
    everything = reader.count("details.case")
    for verdict in ("info", "pass", "untestable"):
        reader.page.get_by_role("checkbox", name=verdict).uncheck()
    assert reader.count("details.case") == reader.count("details.case.fail") == 3
    assert reader.count(".finding") == 1
    reader.page.get_by_role("combobox", name="Area").select_option("FLOW")
    assert (reader.count("details.case"), reader.count(".finding")) == (0, 0)
    assert reader.count("#findings .empty") == 1
    reader.page.get_by_role("button", name="Show all").click()
    assert reader.count("details.case") == everything
    reader.page.get_by_role("searchbox").fill("never ping")
    assert reader.count("details.case") < everything
    assert reader.count("#case-auth\\.never-but-pings") == 1


def test_observation_has_a_tile_a_place_under_its_clause_and_its_member_marked(read: Read) -> None:
    reader = read("observed")
    tile = reader.page.locator(".tiles .fail")
    assert " ".join(tile.inner_text().split()) == "0 fail + 1 observed"
    tile.locator("a").click()
    assert (reader.count(".finding"), reader.count("details.case")) == (1, 0)
    article = reader.page.locator(".finding")
    assert re.search(r"observation of the run, on \d\d connections", article.inner_text())
    mark = article.locator("mark")
    assert mark.inner_text() == '{"id": "front"}'
    row = mark.locator("xpath=ancestor::tr")
    assert "cameras" in row.inner_text()
    article.locator("h3 .id").click()
    clause = "#PW-INIT-4"
    assert reader.sees(clause)
    assert re.search(r"was observed on \d\d connections", reader.page.locator(clause).inner_text())
    assert "video-stream.md#PW-INIT-4" in reader.page.locator(clause).inner_text()
    reader.page.locator(clause).get_by_text("PW-INIT-4/cameras-not-strings").click()
    assert reader.sees(".finding h3")


def test_blocked_case_leads_to_the_finding_that_blocks_it(read: Read) -> None:
    reader = read("blocked")
    count = int(reader.page.locator(".tiles .blocked b").inner_text())
    blocks = reader.page.locator(".finding .rows details")
    assert blocks.locator("summary").inner_text() == f"{count} cases"
    blocks.locator("summary").click()
    assert blocks.locator("a").count() == count > 10
    blocks.get_by_text("auth.late", exact=True).click()
    case = reader.page.locator("#case-auth\\.late")
    # The page opens it when it has noticed where it is.
    reader.page.wait_for_selector("#case-auth\\.late[open]", state="attached")
    case.get_by_text("PW-INIT-1/").click()
    assert reader.sees(".finding h3")


def test_number_of_a_verdict_leads_to_its_cases_alone(read: Read) -> None:
    reader = read("bad")
    reader.page.locator(".tiles a", has_text="untestable").click()
    assert reader.count("details.case") == reader.count("details.case.untestable") > 0
    assert reader.sees("#cases h2")


def test_link_to_a_case_opens_it_and_marks_it_and_shows_it_though_it_was_filtered(
    read: Read,
) -> None:
    reader = read("bad", "#case-auth.in-time")
    case = "#case-auth\\.in-time"
    assert reader.sees(f"{case} summary >> nth=0")
    reader.page.wait_for_selector(f"{case}[open]", state="attached")
    style = reader.page.locator(case).evaluate("(node) => getComputedStyle(node).outlineStyle")
    assert style == "solid"
    reader.page.locator(".tiles a", has_text="fail").click()
    assert reader.count(case) == 0
    reader.page.evaluate("location.hash = '#case-auth.in-time'")
    reader.page.locator(case).wait_for()
    assert reader.sees(f"{case} summary >> nth=0")


def test_mark_in_a_timeline_leads_to_its_line_though_it_was_folded(read: Read) -> None:
    reader = read("bad", "#case-flow.stalled-viewer")
    case = reader.page.locator("#case-flow\\.stalled-viewer")
    mark = case.locator("a.mark").first
    # In virtual time all marks stand in one place.
    mark.dispatch_event("pointerover")
    assert "GET /" in (mark.locator("title").text_content() or "")
    assert case.locator(".earlier .said tr").first.is_visible() is False
    mark.dispatch_event("click")
    line = case.locator(".earlier .said tr").first
    assert line.is_visible()
    assert line.evaluate("(node) => node.matches(':target')")


def test_keys_open_a_case_and_pass_over_the_marks_of_timelines(read: Read) -> None:
    reader = read("bad")
    summary = reader.page.locator("#case-auth\\.never > summary")
    summary.focus()
    reader.page.keyboard.press("Enter")
    reader.page.wait_for_selector("#case-auth\\.never[open]", state="attached")
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("document.activeElement.textContent").startswith("PW-")
    assert (
        reader.page.evaluate("document.querySelectorAll('a.mark:not([tabindex=\"-1\"])').length")
        == 0
    )


# ── on paper, and several at once ────────────────────────────────────────────────────────────


def test_paper_shows_the_findings_and_nothing_to_press(read: Read) -> None:
    reader = read("bad")
    reader.page.emulate_media(media="print", color_scheme="dark")
    assert reader.count("#filter") == reader.count("button") == 0
    assert reader.count(".finding .said") == 1
    assert reader.page.evaluate(PALE, CONTRAST) == []
    pdf = reader.page.pdf(prefer_css_page_size=True)
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12


def test_runs_side_by_side_keep_the_clauses_in_sight_on_a_phone(read: Read) -> None:
    reader = read("matrix", size=PHONE)
    assert "bad.ndjson breaks PW-AUTH-3" in reader.page.locator(".advice").inner_text()
    reader.page.get_by_role("link", name="What differs").click()
    clause = "#differing tbody th >> nth=0"
    assert reader.sees(clause)
    scrolled = reader.page.locator("#differing .side").evaluate(
        "(node) => { node.scrollLeft = 1000; return node.scrollLeft; }"
    )
    assert scrolled > 0
    box = reader.page.locator(clause).bounding_box()
    assert box is not None
    assert 0 <= box["x"] < PHONE[0]
