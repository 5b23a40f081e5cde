"""The names of options as pytest's users know them."""

import re
from typing import Final

_OPTION: Final = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")
_OPTIONS: Final = ("url", "device-url", "source-id", "live", "keys-file")
#: Options of `plexwire conform` that are members of a target in a file.
_MEMBERS: Final = (
    "ca",
    "client-cert",
    "client-key",
    "proxy",
    "max-connections",
    "streams",
    "only",
    "skip",
)


def in_pytest(text: str) -> str:
    """Return *text* with each option of `plexwire conform` named as pytest's, or as a member of a target in plexwire.toml."""
    return _OPTION.sub(_renamed, text)


def _renamed(match: "re.Match[str]") -> str:
    name = match[1]
    if name in _OPTIONS:
        return f"--plexwire-{name}"
    if name in _MEMBERS:
        return f"`{name.replace('-', '_')}` of a target in plexwire.toml (--plexwire-target)"
    return match[0]
