"""The specification as one self-contained HTML page.

It needs jinja2 and markdown-it-py, which come with the tools extra; nothing is loaded when the page is read.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from typing import Final

from attrs import define, field, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from plexwire_spec._diagram import draw

_COMMENT: Final = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_SECTION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\.? ")
_REFERENCE: Final = re.compile(r"(?<!RFC )\bsection ([0-9]+(?:\.[0-9]+)?)(?![0-9])")
_FOREIGN: Final = re.compile(r"RFC [0-9]+,? section|as RFC [0-9]+ section")
_PARTY: Final = re.compile(r"^( *[0-9.]+  )(\w+)(.*)$")


@frozen
class _Heading:
    level: int
    anchor: str
    words: str


@define
class _Page:
    """What is found while the tokens are read."""

    headings: list[_Heading] = field(factory=list[_Heading])
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
    known = {heading.anchor.removeprefix("section-") for heading in page.headings}
    body = _link_sections(markdown.renderer.render(tokens, markdown.options, {}), known)
    body = body.replace("<table", '<div class="table"><table').replace("</table>", "</table></div>")
    style = files("plexwire_spec").joinpath("page.css").read_text("utf-8")
    templates = Environment(
        loader=PackageLoader("plexwire_spec", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("page.html").render(
        title=page.headings[0].words,
        headings=page.headings,
        # Both are ours: the style sheet, and what the Markdown renderer made of our text.
        style=Markup(style),
        body=Markup(body),
    )


def _name_headings(tokens: Sequence[Token], page: _Page) -> None:
    for token, inner in pairwise(tokens):
        if token.type != "heading_open":
            continue
        match = _SECTION.match(inner.content)
        anchor = f"section-{match[1]}" if match else f"part-{len(page.headings)}"
        token.attrSet("id", anchor)
        words = inner.content.replace("`", "")
        page.headings.append(_Heading(int(token.tag[1]), anchor, words))


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
            lines = Markup("\n").join(_spoken(line) for line in token.content.splitlines())
            token.content = _CONVERSATION.format(lines)
        case _:
            return
    token.type = "html_block"


_CONVERSATION: Final = Markup('<pre class="conversation"><code>{}\n</code></pre>\n')
_SPOKEN: Final = Markup('{}<b class="{}">{}</b>{}')


def _spoken(line: str) -> Markup:
    match = _PARTY.match(line)
    if match is None:
        return escape(line)
    return _SPOKEN.format(match[1], match[2].rstrip("2"), match[2], match[3])


def _link_sections(html: str, known: set[str]) -> str:
    """Make "section 3.2" a link, but not where it is of an RFC."""

    def link(match: re.Match[str]) -> str:
        foreign = _FOREIGN.search(html[max(0, match.start() - 14) : match.start() + 8])
        if foreign or match[1] not in known:
            return match[0]
        return f'<a href="#section-{match[1]}">{match[0]}</a>'

    return _REFERENCE.sub(link, html)
