"""Where the commands get their key: the environment or a file, never the command line, which others can read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import define

from plexwire_client.keys_file import KeysFileError, read_keys_file
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
    try:
        places = [environ] if keys_file is None else [read_keys_file(keys_file), environ]
    except KeysFileError as error:
        problem = str(error)
        raise NoKey(f"{problem[0].upper()}{problem[1:]}.") from None
    for place in places:
        for name in names:
            if value := place.get(name, "").strip():
                return value
    file = "" if keys_file is None else f" {keys_file} has none either."
    raise NoKey(f"There is no key: set {' or '.join(names)}, or give --keys-file FILE.{file}")
