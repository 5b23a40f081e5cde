"""Properties, and the token by which one script of one property can be played again anywhere."""

import base64
import binascii
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import frozen
from hypothesis.strategies import SearchStrategy

from plexwire_conformance.run.case import Need
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial

#: Scripts of one property that are played at once, where the run may open so many connections.
MOST_CONCURRENT: Final = 4

#: One step: its name first, then its arguments; JSON as it stands.
Step: TypeAlias = tuple[Any, ...]
#: A script; any list of steps can be played, so that any can be left out when it is shrunk.
Script: TypeAlias = tuple[Step, ...]


@frozen(kw_only=True)
class Property:
    """Something that must hold whatever the script: drawn by `scripts`, played and judged by `play`.

    `say` puts one step into words, `simpler` gives forms of it that say less.  A script has at most so many `connections`
    open.  `from_silence` are the clauses whose breach shows in something that did not come: found in a shortened time, it has to show
    again in the full time.
    """

    id: str
    title: str
    clauses: tuple[str, ...]
    needs: frozenset[Need]
    scripts: SearchStrategy[Script]
    play: Callable[[Stage, Trial, Script], Awaitable[None]]
    say: Callable[[Step], str]
    connections: int
    simpler: Callable[[Step], Iterable[Step]] = lambda step: ()
    from_silence: frozenset[str] = frozenset()


_properties: dict[str, Property] = {}

#: Every property, by the id of its case.
PROPERTIES: Final[Mapping[str, Property]] = _properties


def register(property_: Property) -> Property:
    """Make *property_* known to replays."""
    _properties[property_.id] = property_
    return property_


class BadToken(Exception):
    """A text is no replay token; the message says why."""


def write_token(property_id: str, script: Script) -> str:
    """Return *script* as one word, to be given to `plexwire replay`."""
    packed = zlib.compress(json.dumps(script, separators=(",", ":")).encode(), 9)
    return f"{property_id}:{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def read_token(token: str) -> tuple[Property, Script]:
    """Return the property and the script that *token* holds.

    Raises:
        BadToken: it holds none.
    """
    property_id, colon, packed = token.partition(":")
    found = PROPERTIES.get(property_id)
    if found is None or not colon:
        known = " or ".join(f"{name}:" for name in PROPERTIES)
        raise BadToken(f"{token[:40]!r} is no script's token, which would begin with {known}")
    try:
        data = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        unpacker = zlib.decompressobj()
        script = json.loads(unpacker.decompress(data, 1_000_000))
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        raise BadToken("the token is damaged; copy it whole") from None
    # A token that was cut may still unpack.
    if not unpacker.eof or not _is_script(script):
        raise BadToken("the token is damaged; copy it whole")
    return found, freeze(script)


def _is_script(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(step, list) and step and isinstance(step[0], str) for step in value
    )


def freeze(script: Sequence[Sequence[Any]]) -> Script:
    """Return a script as JSON gave it, as tuples."""
    return tuple(_frozen(step) for step in script)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list | tuple) else value
