"""The normative text, `video-stream.md`."""

from importlib.resources import files
from pathlib import Path


def specification_text() -> str:
    """Return the whole specification, Markdown."""
    inside = files("plexwire_spec").joinpath("video-stream.md")
    if inside.is_file():
        return inside.read_text("utf-8")
    # In a checkout it lies beside the package; a wheel carries it inside.
    return Path(__file__).parent.with_name("video-stream.md").read_text("utf-8")
