"""The keys of a run in a file, lines of `NAME=value`, as `plexwire serve --write-keys` writes it."""

from pathlib import Path

from attrs import define

from plexwire_protocol import PlexwireError


@define(eq=False)
class KeysFileError(PlexwireError):
    """The file can't be used; the error never shows what is in it."""

    problem: str

    def __str__(self) -> str:
        return self.problem


def read_keys_file(path: Path) -> dict[str, str]:
    """Return the values of a keys file by their names.

    `export` before a name, quotes around a value and lines that begin with `#` are allowed.

    Raises:
        KeysFileError: it can't be read, or a line is of another form; the error has the line's number, not the line.

    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise KeysFileError(f"can't read the keys file {path}: {error.strerror}") from None
    except UnicodeError:
        raise KeysFileError(f"can't read the keys file {path}: it is not UTF-8") from None
    values = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise KeysFileError(f"line {number} of the keys file {path} is not NAME=value")
        values[name.strip()] = value.strip().strip("\"'")
    return values
