"""Targets that have a name, from `plexwire.toml` or from `[tool.plexwire]` in `pyproject.toml`.

    [targets.staging]                      # in pyproject.toml: [tool.plexwire.targets.staging]
    url = "wss://staging.example.com"
    api_key_env = "STAGING_KEY"

A key never stands in such a file, only the name of the environment variable, or of the file, that holds it.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVarTuple

from attrs import evolve, field, frozen

from plexwire_conformance.cases.selection import NothingSelected, select
from plexwire_conformance.recording.jsonlines import BadFile, read_text
from plexwire_conformance.target.description import (
    LEAST_CONNECTIONS,
    MOST_CONNECTIONS,
    MOST_STREAMS,
    TargetDescription,
    check_header,
    check_proxy,
    looks_like_a_key,
)
from plexwire_conformance.target.target import (
    VARIABLES,
    BadTarget,
    Camera,
    split_url,
    without_login,
)

OWN_FILE: Final = "plexwire.toml"
PROJECT_FILE: Final = "pyproject.toml"

Table: TypeAlias = Mapping[str, Any]
Ts = TypeVarTuple("Ts")

_KEYS: Final = tuple(VARIABLES)
_VARIABLES_OF_KEYS: Final = tuple(f"{name}_env" for name in _KEYS)
_MEMBERS: Final = (
    *("url", "device_url", "source_id", "live", *_VARIABLES_OF_KEYS, "keys_file"),
    *("ca", "client_cert", "client_key", "headers", "proxy"),
    *("max_connections", "streams", "only", "skip", "expected_failures"),
)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@frozen
class Config:
    """The targets of one file; `name` is how messages call it, `table` what its names of members begin with."""

    path: Path
    name: str
    table: str
    targets: Mapping[str, Table] = field(repr=False)

    def description(self, name: str) -> TargetDescription:
        """Return what the file says about the target *name*; its paths are relative to the file.

        Raises:
            BadFile: there is no such target, or something is wrong with it; the text names the member.
        """
        if name not in self.targets:
            known = ", ".join(self.targets) or "none"
            raise BadFile(
                f"{self.name} has no target {without_login(name)!r}; it has {known}{_url_hint(name)}"
            )
        where = f"{self.name}, {self.table}targets.{name}"
        return _Reader(where, self.path.parent, self.targets[name]).description()


def resolve(
    place: str | None, given: TargetDescription, folder: Path | None = None
) -> TargetDescription:
    """Return what there is to know about *place*: a URL, or the name of a target in a file of *folder* or above.

    The working folder stands in for *folder*.

    What is *given* by options stands above what the file says.

    Raises:
        BadFile: there is no such target, or something is wrong with the file.
    """
    if place is None or "://" in place:
        return evolve(given, url=place)
    config = find_config(folder or Path.cwd())
    if config is None:
        raise BadFile(
            f"{without_login(place)!r} is no URL, and no target: there is no {OWN_FILE} and no [tool.plexwire] in a "
            f"{PROJECT_FILE}, here or above{_url_hint(place)}"
        )
    return given.over(config.description(place))


def find_config(folder: Path) -> Config | None:
    """Return what the nearest file says, in *folder* or above it; None where there is none.

    Raises:
        BadFile: it can't be read, or a folder has two.
    """
    for place in (folder, *folder.parents):
        configs = list(_configs_of(place, in_sight=place == folder))
        if len(configs) > 1:
            raise BadFile(f"{configs[0].name} and {configs[1].name} both have targets; keep one")
        if configs:
            return configs[0]
    return None


def _configs_of(folder: Path, *, in_sight: bool) -> Iterator[Config]:
    own, project = folder / OWN_FILE, folder / PROJECT_FILE
    if own.is_file():
        name = own.name if in_sight else str(own)
        yield _config(own, name, "", _read(own, name))
    if project.is_file():
        name = project.name if in_sight else str(project)
        match _read(project, name):
            case {"tool": {"plexwire": table}}:
                yield _config(project, name, "tool.plexwire.", table)


def _read(path: Path, name: str) -> Table:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{name} is no TOML: {error}") from None


def _config(path: Path, name: str, prefix: str, table: Any) -> Config:
    if not isinstance(table, dict):
        raise BadFile(f"{name}, {prefix.rstrip('.')} must be a table")
    for member, text in _texts(table, prefix):
        if looks_like_a_key(text):
            raise BadFile(
                f"{name}, {member} holds a key; keys stand in the environment, and the file names the "
                'variable, such as api_key_env = "STAGING_KEY"'
            )
    if unknown := [member for member in table if member != "targets"]:
        tables = f"[{prefix}targets.NAME]"
        raise BadFile(f"{name}, {prefix}{unknown[0]} is unknown; there are {tables} tables alone")
    targets = table.get("targets", {})
    if not isinstance(targets, dict) or not all(
        isinstance(each, dict) for each in targets.values()
    ):
        raise BadFile(f"{name}: write each target as a table, [{prefix}targets.NAME]")
    return Config(path, name, prefix, targets)


def _texts(value: Any, member: str) -> Iterator[tuple[str, str]]:
    """Yield every text in *value*, names of members too, with the member that it stands in."""
    match value:
        case str():
            yield member, value
        case dict():
            for name, inner in value.items():
                # A name that holds a key must not be repeated either.
                yield f"{member}…", name
                inside = member if member.endswith(".") or not member else f"{member}."
                yield from _texts(inner, f"{inside}{name}")
        case list():
            for inner in value:
                yield from _texts(inner, member)
        case _:
            pass


def _url_hint(name: str) -> str:
    return (
        f". A URL begins with ws:// or wss://: wss://{name.rpartition('@')[2]}"
        if "." in name
        else ""
    )


@frozen
class _Reader:
    """Reads the table of one target."""

    where: str
    folder: Path
    table: Table

    def description(self) -> TargetDescription:
        for name in self.table:
            if name not in _MEMBERS:
                self._refuse_unknown(name)
        if "url" not in self.table:
            raise BadFile(f"{self.where} has no url")
        variables = {
            name: self._variable(f"{name}_env") for name in _KEYS if f"{name}_env" in self.table
        }
        if variables and "keys_file" in self.table:
            self._refuse("keys_file", f"goes without {next(iter(variables))}_env: give one of them")
        if variables and "api_key" not in variables:
            raise BadFile(f"{self.where} has no api_key_env, and that key is needed")
        headers, secret_headers = self._headers()
        return TargetDescription(
            url=self._url("url"),
            device_url=self._url("device_url"),
            source_id=self._text("source_id"),
            live=self._live(),
            key_variables=variables,
            headers=headers,
            header_variables=secret_headers,
            proxy=self._proxy(),
            max_connections=self._connections(),
            streams=self._streams(),
            keys_file=self._path("keys_file"),
            ca=self._path("ca"),
            client_cert=self._path("client_cert"),
            client_key=self._path("client_key"),
            expected_failures=self._path("expected_failures"),
            only=self._words("only"),
            skip=self._words("skip"),
        )

    def _text(self, name: str) -> str | None:
        value = self.table.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            self._refuse(name, "must be a string")
        return value

    def _url(self, name: str) -> str | None:
        url = self._text(name)
        if url is not None:
            self._check(name, split_url, url)
        return url

    def _live(self) -> str | None:
        live = self._text("live")
        if live is not None:
            self._check("live", Camera.parse, live)
        return live

    def _path(self, name: str) -> Path | None:
        text = self._text(name)
        if text is None:
            return None
        path = self.folder / Path(text).expanduser()
        # The list of expected failures may be yet to be written.
        if name != "expected_failures" and not path.is_file():
            self._refuse(name, f"names {path}, and there is no such file")
        return path

    def _variable(self, name: str) -> str:
        text = self._text(name)
        if text is None or _VARIABLE.fullmatch(text) is None:
            self._refuse(name, "must be the name of an environment variable")
        return text

    def _words(self, name: str) -> tuple[str, ...]:
        words = self.table.get(name, [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            self._refuse(name, "must be a list of strings")
        for word in words:
            try:
                select([word], [])
            except NothingSelected as error:
                raise BadFile(f"{self.where}.{name}: {error}") from None
        return tuple(words)

    def _connections(self) -> int | None:
        value = self.table.get("max_connections")
        fits = type(value) is int and LEAST_CONNECTIONS <= value <= MOST_CONNECTIONS
        if value is not None and not fits:
            least, most = LEAST_CONNECTIONS, MOST_CONNECTIONS
            self._refuse("max_connections", f"must be a whole number from {least} to {most}")
        return value

    def _streams(self) -> int | None:
        value = self.table.get("streams")
        if value is not None and not (type(value) is int and 1 <= value <= MOST_STREAMS):
            self._refuse("streams", f"must be a whole number from 1 to {MOST_STREAMS}")
        return value

    def _proxy(self) -> str | None:
        proxy = self._text("proxy")
        if proxy is not None:
            self._check("proxy", check_proxy, proxy)
        return proxy

    def _headers(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers by their values, and those by the variables that hold their values."""
        table = self.table.get("headers", {})
        if not isinstance(table, dict):
            self._refuse("headers", "must be a table")
        values: dict[str, str] = {}
        variables: dict[str, str] = {}
        for name, value in table.items():
            member = f"headers.{name}"
            match value:
                case str():
                    values[name] = value
                case {"env": str() as variable, **others} if not others:
                    variables[name] = variable
                case _:
                    self._refuse(member, 'must be a string, or { env = "VARIABLE" }')
            self._check(member, check_header, name, values.get(name, ""))
        return values, variables

    def _check(self, name: str, check: Callable[[*Ts], object], *value: *Ts) -> None:
        try:
            check(*value)
        except BadTarget as error:
            raise BadFile(f"{self.where}.{name}: {error}") from None

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise BadFile(f"{self.where}.{name} {why}")

    def _refuse_unknown(self, name: str) -> NoReturn:
        if name in _KEYS:
            raise BadFile(
                f"{self.where}.{name}: a key never stands in the file; name the variable that holds it: "
                f'{name}_env = "NAME"'
            )
        close = get_close_matches(name, _MEMBERS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_MEMBERS)}"
        raise BadFile(f"{self.where}.{name} is unknown; {hint}")
