"""The keys file: TOML, one [[key]] a key, and never a key in it."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path


class KeyFileError(Exception):
    """A keys file that can't be used; the text is one line and says where."""


def read_tables(path: Path) -> list[dict[str, object]]:
    """Return the [[key]] tables of the file at *path*.

    Raises:
        KeyFileError: there is no such file, or it is no list of keys.

    """
    try:
        members = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise KeyFileError(
            f"{path}: there is no such file; `plexwire keys add` makes one"
        ) from None
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path}: is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise KeyFileError(f"{path}: is not TOML: {error}") from None
    tables = members.pop("key", [])
    if members or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise KeyFileError(f"{path}: must hold [[key]] tables and nothing else")
    return tables


def append_table(path: Path, table: Mapping[str, str | bool | list[str]]) -> None:
    """Append a [[key]] to the file at *path*, which is made for its owner alone if it is not there.

    The strings in *table* need no escaping beyond quotes: see `KeyRecord`.

    Raises:
        KeyFileError: the file can't be written.

    """
    lines = ["[[key]]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    try:
        with open(path, "a", encoding="utf-8", opener=_owner_only) as file:
            file.write(("\n" if file.tell() else "") + "\n".join(lines) + "\n")
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """Write *values* as NAME=value lines to a new file at *path* that its owner alone can read.

    Raises:
        KeyFileError: the file can't be written.

    """
    try:
        # A file that is there may be open to others: it is replaced, not reused.
        path.unlink(missing_ok=True)
        with open(path, "x", encoding="utf-8", opener=_owner_only) as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _toml(value: str | bool | list[str]) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
