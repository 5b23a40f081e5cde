"""The keys of every command: from a file or the environment, never from the command line, which others can read."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import define

from plexwire_protocol import PlexwireError

#: The viewer's key.
API_KEY: Final = "PLEXWIRE_API_KEY"
#: The device's key, if it is not the viewer's.
DEVICE_KEY: Final = "PLEXWIRE_DEVICE_KEY"

_QUOTES: Final = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"


@define(eq=False)
class BadKeys(PlexwireError):
    """A key is missing, or the file of keys can't be read; the error never shows a key."""

    problem: str

    def __str__(self) -> str:
        return self.problem


def read_keys(
    names: Iterable[str],
    environment: Mapping[str, str],
    keys_file: Path | None,
    *,
    hint: Callable[[str], None],
) -> dict[str, str]:
    """Return those of *names* that have a key: in *keys_file* if there is one, else in *environment*.

    A file is not mixed with the environment, whose keys may be another gateway's.  White space and invisible characters
    at the ends of a key are removed, and so are quotes: of those in the environment, *hint* gets a sentence.

    Raises:
        BadKeys: *keys_file* can't be read.

    """
    if keys_file is not None:
        held = read_keys_file(keys_file)
        return {name: held[name] for name in names if held.get(name)}
    keys = {}
    for name in names:
        text = _visible(environment.get(name, ""))
        key = clean_key(text)
        if key != text:
            hint(f"{name} is in quotes, which are not part of a key: plexwire leaves them out.")
        if key:
            keys[name] = key
    return keys


def find_key(
    names: Iterable[str],
    environment: Mapping[str, str],
    keys_file: Path | None,
    *,
    hint: Callable[[str], None],
) -> str:
    """Return the key of the first of *names* that has one, as `read_keys` reads it.

    Raises:
        BadKeys: none has, or *keys_file* can't be read.

    """
    names = tuple(names)
    keys = read_keys(names, environment, keys_file, hint=hint)
    for name in names:
        if name in keys:
            return keys[name]
    wanted = " or ".join(names)
    if keys_file is not None:
        raise BadKeys(f"The keys file {keys_file} has no {wanted}.")
    raise BadKeys(f"There is no key: set {wanted}, or give --keys-file FILE.")


def read_keys_file(path: Path) -> dict[str, str]:
    """Read a file of lines `NAME=value`, as `plexwire serve --write-keys` writes it; `#` begins a comment line.

    Raises:
        BadKeys: it can't be read, or a line has another form; the error has the line's number, not the line.

    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise BadKeys(f"The keys file {path} can't be read: {error.strerror}.") from None
    except (UnicodeError, ValueError):
        raise BadKeys(f"The keys file {path} is not a text file in UTF-8.") from None
    keys = {}
    for number, line in enumerate(lines, 1):
        text = _visible(line).removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise BadKeys(f"Line {number} of the keys file {path} is not of the form NAME=value.")
        keys[name.strip()] = clean_key(value)
    return keys


def clean_key(text: str) -> str:
    """Return *text* without white space, invisible characters and quotes at its ends."""
    cleaned = _visible(text)
    while (stripped := _visible(cleaned.strip(_QUOTES))) != cleaned:
        cleaned = stripped
    return cleaned


def _visible(text: str) -> str:
    begin, end = 0, len(text)
    while begin < end and _is_invisible(text[begin]):
        begin += 1
    while begin < end and _is_invisible(text[end - 1]):
        end -= 1
    return text[begin:end]


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
