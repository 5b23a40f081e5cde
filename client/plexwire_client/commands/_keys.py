"""Where the commands get their key: the environment or a file, never the command line, which others can read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import define

from plexwire_protocol import PlexwireError

#: The viewer's key.
API_KEY: Final = "PLEXWIRE_API_KEY"
#: The device's key, where it is another than the viewer's.
DEVICE_KEY: Final = "PLEXWIRE_DEVICE_KEY"


@define(eq=False)
class NoKey(PlexwireError):
    """There is no key to be had; the error never shows one."""

    problem: str

    def __str__(self) -> str:
        return self.problem


def find_key(names: Iterable[str], environ: Mapping[str, str], keys_file: Path | None) -> str:
    """Return the first of *names* that *keys_file* has, else the first that *environ* has.

    Raises:
        NoKey: neither has any, or the file can't be read.

    """
    names = tuple(names)
    places = [environ] if keys_file is None else [read_keys(keys_file), environ]
    for place in places:
        for name in names:
            if value := place.get(name, "").strip():
                return value
    file = "" if keys_file is None else f" {keys_file} has none either."
    raise NoKey(f"There is no key: set {' or '.join(names)}, or give --keys-file FILE.{file}")


def read_keys(path: Path) -> dict[str, str]:
    """Read a file of lines `NAME=value`, as `plexwire serve --write-keys` writes it; `#` begins a comment line.

    Raises:
        NoKey: it can't be read, or a line is of another form; the line's number is told, not the line.

    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise NoKey(f"The keys file {path} can't be read: {error.strerror}.") from None
    except UnicodeError:
        raise NoKey(f"The keys file {path} is not a text file.") from None
    keys = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise NoKey(f"Line {number} of the keys file {path} is not of the form NAME=value.")
        keys[name.strip()] = value.strip().strip("\"'")
    return keys
