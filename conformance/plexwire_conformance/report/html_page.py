"""What every HTML page of ours is made of: templates that load nothing, and text that can't become markup."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from plexwire_conformance.report.summary import plural
from plexwire_conformance.run.findings import Verdict
from plexwire_spec import AREAS, clauses

#: Controls that turn the direction of writing around: a gateway's text must not rearrange ours.
_DIRECTIONS: Final = {
    code: f"⟨U+{code:04X}⟩"
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}

#: Verdicts, each with a sign, so that no colour carries the meaning alone.
SIGNS: Final = {
    Verdict.FAIL: "✕",
    Verdict.ERROR: "‼",
    Verdict.WARN: "!",
    Verdict.BLOCKED: "⊘",
    Verdict.UNTESTABLE: "–",
    Verdict.INFO: "i",
    Verdict.PASS: "✓",
}
_ICON: Final = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<circle cx='8' cy='8' r='7' fill='{}'/></svg>"
)
_ICON_COLOURS: Final = {True: "#15722f", False: "#c4261d"}


def render_page(template: str, *, title: str, good: bool, **data: object) -> str:
    """Return the page that *template* makes of *data*; *good* colours its icon."""
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment()
        .get_template(template)
        .render(
            title=title,
            policy=(
                "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
                f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
            ),
            icon=quote(_ICON.format(_ICON_COLOURS[good]), safe="/:='"),
            # Ours, and the only text that is not escaped.
            style=Markup(_asset("page.css")),
            script=Markup(script),
            **data,
        )
    )


@cache
def environment() -> Environment:
    """Return the templates: whatever they print is escaped, and a name that they do not know is an error."""
    made = Environment(
        loader=PackageLoader("plexwire_conformance.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"SIGNS": SIGNS, "AREAS": AREAS, "clauses": clauses(), "Verdict": Verdict}
    made.filters |= {"prose": prose, "plural": plural, "areas": areas_of, "with_units": with_units}
    made.tests["url"] = is_url
    return made


def readable(text: str) -> str:
    """Return *text* without what a page can't hold, or what would rearrange the text around it."""
    clean = text.encode("utf-8", "replace").decode().translate(_DIRECTIONS)
    return clean.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _printed(value: object) -> object:
    return value if isinstance(value, Markup) else readable(str(value))


def prose(text: str) -> Markup:
    """Return a sentence of the specification, with its code marked as such."""
    parts = [escape(readable(part)) for part in re.split(r"`([^`]+)`", text)]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup("").join(parts)


def areas_of(cited: Iterable[str]) -> str:
    """Return the areas of the clauses *cited*, as the filter wants them."""
    return " ".join(dict.fromkeys(clauses()[clause].area for clause in cited))


def with_units(text: str) -> str:
    """Return *text* with no line break between a number and its unit."""
    return re.sub(r"(\d) (m?s)\b", "\\1\N{NO-BREAK SPACE}\\2", text)


def is_url(text: str) -> bool:
    """Return whether *text* may be a link: an address of the web, and nothing else."""
    return re.fullmatch(r"https?://\S+", text) is not None


@cache
def _asset(name: str) -> str:
    return files("plexwire_conformance.report").joinpath("templates", name).read_text("utf-8")
