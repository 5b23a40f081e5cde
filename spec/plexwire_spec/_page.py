"""The specification as one self-contained HTML page.

It needs markdown-it-py, which comes with the client extra; nothing is loaded from anywhere when the page is read.
"""

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from itertools import pairwise
from typing import Final

from attrs import define, field
from markdown_it import MarkdownIt
from markdown_it.token import Token

from plexwire_spec._diagram import draw

_COMMENT: Final = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_SECTION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\.? ")
_REFERENCE: Final = re.compile(r"(?<!RFC )\bsection ([0-9]+(?:\.[0-9]+)?)(?![0-9])")
_FOREIGN: Final = re.compile(r"RFC [0-9]+,? section|as RFC [0-9]+ section")
_PARTY: Final = re.compile(r"^( *[0-9.]+  )(\w+)(.*)$")


@define
class _Page:
    """What is found out while the tokens go by."""

    headings: list[tuple[int, str, str]] = field(factory=list[tuple[int, str, str]])
    diagrams: int = 0


def render_page(text: str) -> str:
    """Return the Markdown *text* as a whole HTML page, with a table of contents and its diagrams drawn."""
    page = _Page()
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = markdown.parse(_COMMENT.sub("", text))
    _name_headings(tokens, page)
    for token in tokens:
        if token.type == "fence":
            _replace_fence(token, page)
        elif token.type == "table_open":
            token.attrJoin("class", "wide" if _columns(tokens, token) > 6 else "plain")
    known = {anchor.removeprefix("section-") for _, anchor, _ in page.headings}
    body = _link_sections(markdown.renderer.render(tokens, markdown.options, {}), known)
    body = body.replace("<table", '<div class="table"><table').replace("</table>", "</table></div>")
    style = files("plexwire_spec").joinpath("page.css").read_text("utf-8")
    title = escape(page.headings[0][2])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<nav aria-label="Contents">\n{_contents(page.headings)}</nav>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )


def _name_headings(tokens: Sequence[Token], page: _Page) -> None:
    for token, inner in pairwise(tokens):
        if token.type != "heading_open":
            continue
        match = _SECTION.match(inner.content)
        anchor = f"section-{match[1]}" if match else f"part-{len(page.headings)}"
        token.attrSet("id", anchor)
        page.headings.append((int(token.tag[1]), anchor, inner.content.replace("`", "")))


def _contents(headings: Sequence[tuple[int, str, str]]) -> str:
    lines = [
        f'<a class="level{level}" href="#{anchor}">{escape(words)}</a>'
        for level, anchor, words in headings
        if level in (2, 3)
    ]
    return "\n".join(["<strong>Contents</strong>", *lines]) + "\n"


def _columns(tokens: Sequence[Token], table: Token) -> int:
    begin = tokens.index(table)
    heads = 0
    for token in tokens[begin:]:
        if token.type == "thead_close":
            break
        heads += token.type == "th_open"
    return heads


def _replace_fence(token: Token, page: _Page) -> None:
    match token.info.partition(" ")[0]:
        case "mermaid":
            page.diagrams += 1
            drawn = draw(token.content, "State diagram of the conversation", number=page.diagrams)
            token.content = f"<figure>\n{drawn}\n</figure>\n"
        case "conversation":
            lines = "\n".join(_spoken(line) for line in token.content.splitlines())
            token.content = f'<pre class="conversation"><code>{lines}\n</code></pre>\n'
        case _:
            return
    token.type = "html_block"


def _spoken(line: str) -> str:
    match = _PARTY.match(line)
    if match is None:
        return escape(line)
    party = match[2].rstrip("2")
    return f'{match[1]}<b class="{party}">{match[2]}</b>{escape(match[3])}'


def _link_sections(html: str, known: set[str]) -> str:
    """Make "section 3.2" a link, but not where it is of an RFC."""

    def link(match: re.Match[str]) -> str:
        foreign = _FOREIGN.search(html[max(0, match.start() - 14) : match.start() + 8])
        if foreign or match[1] not in known:
            return match[0]
        return f'<a href="#section-{match[1]}">{match[0]}</a>'

    return _REFERENCE.sub(link, html)
