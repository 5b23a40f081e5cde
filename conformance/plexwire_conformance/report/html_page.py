"""What every HTML page of ours is made of: one file that loads nothing, and text that can't become markup."""

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from plexwire_conformance.run.findings import Verdict

#: Controls that turn the direction of writing around: a gateway's text must not rearrange ours.
_DIRECTIONS: Final = {
    code: f"⟨U+{code:04X}⟩"
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)
}

#: Verdicts, each with a sign, so that no colour carries the meaning alone.
SIGNS: Final = {
    Verdict.FAIL: "✕",
    Verdict.ERROR: "‼",
    Verdict.WARN: "!",
    Verdict.UNTESTABLE: "–",
    Verdict.INFO: "i",
    Verdict.PASS: "✓",
}
_ICON: Final = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<circle cx='8' cy='8' r='7' fill='{}'/></svg>"
)
_ICON_COLOURS: Final = {True: "#15722f", False: "#c4261d"}


def h(text: object) -> str:
    """Return *text* as it may stand anywhere in a page, attributes included."""
    clean = str(text).encode("utf-8", "replace").decode().translate(_DIRECTIONS)
    return escape(clean.replace("\0", "\N{REPLACEMENT CHARACTER}"), quote=True)


def prose(text: str) -> str:
    """Return a sentence of the specification, with its code marked as such."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", h(text))


def badge(verdict: Verdict) -> str:
    """Return a verdict as a coloured word with its sign."""
    return (
        f'<span class="badge {verdict}"><i aria-hidden="true">{SIGNS[verdict]}</i>{verdict}</span>'
    )


def page(title: str, body: str, *, good: bool) -> str:
    """Return a whole page; *good* colours its icon."""
    style, script = _asset("page.css"), _asset("page.js")
    icon = quote(_ICON.format(_ICON_COLOURS[good]), safe="/:='")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:image/svg+xml,{icon}">\n'
        f"<title>{h(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def _asset(name: str) -> str:
    return files("plexwire_conformance.report").joinpath(name).read_text("utf-8")
