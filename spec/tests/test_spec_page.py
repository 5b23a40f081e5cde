"""The HTML page: one file, every anchor, the diagrams drawn."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    render_mermaid,
)
from plexwire_spec import clauses, specification_text
from plexwire_spec._diagram import draw, read_mermaid
from plexwire_spec._page import render_page
from plexwire_spec.cli import spec

PAGE = render_page(specification_text())

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Collects ids and links, and sees to it that tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if "id" in named:
            self.ids[named["id"] or ""] += 1
        if tag == "a" and named.get("href"):
            self.links.append(named["href"] or "")
        self.loaded += [value or "" for name, value in attrs if name in ("src", "srcset")]
        if tag == "link":
            self.loaded.append(named.get("href") or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


@pytest.fixture(scope="module")
def read() -> Reader:
    reader = Reader()
    reader.feed(PAGE)
    return reader


def test_page_is_whole_and_its_tags_nest(read: Reader) -> None:
    assert read.open == []
    assert PAGE.startswith("<!DOCTYPE html>")


def test_page_has_an_anchor_for_every_clause_and_none_twice(read: Reader) -> None:
    assert set(clauses()) <= set(read.ids)
    assert [anchor for anchor, count in read.ids.items() if count > 1] == []


def test_page_has_no_link_that_leads_nowhere(read: Reader) -> None:
    assert {link for link in read.links if link[1:] not in read.ids} == set()


def test_page_loads_nothing(read: Reader) -> None:
    assert read.loaded == []
    assert "<script" not in PAGE
    assert not re.search(r"@import|url\((?!#)", PAGE)


def test_page_lists_every_section_in_its_contents(read: Reader) -> None:
    headings = re.findall(r"^##+ (\d+(?:\.\d+)?)\.? ", specification_text(), re.MULTILINE)
    contents = PAGE[PAGE.index("<nav") : PAGE.index("</nav>")]
    assert all(f'href="#section-{number}"' in contents for number in headings)


def test_page_leaves_no_markdown_and_no_mermaid_behind() -> None:
    assert "```" not in PAGE
    assert "stateDiagram" not in PAGE
    assert "<!-- " not in PAGE
    assert not re.search(r"\[PW-[A-Z]+-[0-9]+\](?![^<]*</code>)", PAGE)


def test_page_knows_dark_screens_and_paper() -> None:
    assert "prefers-color-scheme: dark" in PAGE
    assert "@media print" in PAGE


@pytest.mark.parametrize(
    "conversation", [VIEWER_CONVERSATION, DEVICE_CONVERSATION], ids=lambda c: str(c.name)
)
def test_diagram_shows_every_state_and_every_arrow(conversation: ConversationTable) -> None:
    block = render_mermaid(conversation)
    states, arrows = read_mermaid(block)
    assert len(arrows) == len(conversation.edges)
    drawing = ElementTree.fromstring(draw(block, "A diagram & more", number=1))
    words = [" ".join("".join(text.itertext()).split()) for text in drawing.iter("text")]
    assert {state.replace("_", " ").lower() for state in states} <= set(words)
    for arrow in arrows:
        assert f"{arrow.sender} {arrow.what} {arrow.clause}" in words


def test_diagram_given_something_else_refuses() -> None:
    with pytest.raises(ValueError, match="is no arrow"):
        read_mermaid("stateDiagram-v2\n    note left of A\n")


def test_command_writes_the_page(tmp_path: Path) -> None:
    target = tmp_path / "spec.html"
    result = CliRunner(catch_exceptions=False).invoke(spec, ["--html", str(target)])
    assert result.exit_code == 0
    assert target.read_text("utf-8") == PAGE
