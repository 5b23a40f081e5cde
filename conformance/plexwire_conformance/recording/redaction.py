"""Keys are taken out of everything that is kept, however a gateway spells them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from attrs import frozen

_REDACTED: Final = b"plx_\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
#: Whatever looks like a key is one, whoever sent it.
_ANY_KEY: Final = re.compile(rb"plx_[a-z0-9_\-]+")
#: Characters from which on a part of a secret tells something, and is not a word by chance.
_TELLING: Final = 8
#: Every run of a secret that is long enough to tell something has one of its pieces of so many bytes, each cut where
#: the last one ends.
_PIECE: Final = _TELLING // 2
#: What is left between two parts of a secret, and tells more than it hides.
_GAP: Final = 2
#: Bytes from which on it is faster to look for each piece than at each byte.
_LONG: Final = 8192


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return *text* without what looks like a key, and without any part of *secrets* of 8 or more characters.

    Their case makes no difference, and neither do base64, hexadecimal digits and the escapes of JSON, URLs and Python.
    A secret of fewer characters is only taken out whole.
    """
    data = text.encode("utf-8", "surrogatepass")
    # The case of ASCII only: every byte stays where it is.
    lowered = data.lower()
    known = _known(tuple(secrets))
    spans = [*_found(lowered, known), *(match.span() for match in _ANY_KEY.finditer(lowered))]
    if not spans:
        return text
    parts, at = [], 0
    for begin, end in _merged(spans):
        parts += [data[at:begin], _REDACTED]
        at = end
    return b"".join([*parts, data[at:]]).decode("utf-8", "replace")


@frozen
class _Known:
    """Spellings of secrets, and where the pieces of the long ones are in them."""

    short: tuple[bytes, ...]
    #: The places of each piece: a spelling and an offset.
    pieces: dict[bytes, tuple[tuple[bytes, int], ...]]


@lru_cache(maxsize=64)
def _known(secrets: tuple[str, ...]) -> _Known:
    short: list[bytes] = []
    pieces: dict[bytes, list[tuple[bytes, int]]] = {}
    for secret in filter(None, secrets):
        if len(secret) < _TELLING:
            short.append(secret.encode("utf-8", "replace").lower())
            continue
        for spelling in {each.lower() for each in _spellings(secret)}:
            for at in range(0, len(spelling) - _PIECE + 1, _PIECE):
                pieces.setdefault(spelling[at : at + _PIECE], []).append((spelling, at))
    return _Known(tuple(short), {piece: tuple(places) for piece, places in pieces.items()})


def _spellings(secret: str) -> Iterator[bytes]:
    """Yield *secret* as texts, URLs, timelines and encoders spell it."""
    escaped = json.dumps(secret)[1:-1]
    for text in (
        secret,
        escaped,
        json.dumps(escaped)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        repr(secret.encode("utf-8", "replace"))[2:-1],
    ):
        yield text.encode("utf-8", "replace")
    data = secret.encode("utf-8", "replace")
    yield data.hex().encode()
    # Which letters stand for it depends on what was encoded before it; those at the ends stand for that as well.
    for before in range(3):
        letters = base64.b64encode(bytes(before) + data).rstrip(b"=")
        inner = letters[-(-before * 4 // 3) : len(letters) - ((before + len(data)) % 3 != 0)]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _found(text: bytes, known: _Known) -> Iterator[tuple[int, int]]:
    for secret in known.short:
        yield from _places(text, secret)
    last = done = 0
    for at, piece in _pieces_in(text, known):
        if at < last:
            done = 0  # The next piece begins at the front again.
        last = at
        if at < done:
            continue
        for spelling, offset in known.pieces[piece]:
            begin, end = _widened(text, at, spelling, offset)
            if end - begin >= min(_TELLING, len(spelling) - 1):
                yield begin, end
                done = max(done, end - _PIECE + 1)


def _pieces_in(text: bytes, known: _Known) -> Iterator[tuple[int, bytes]]:
    if len(text) < _LONG:
        for at in range(len(text) - _PIECE + 1):
            if (piece := text[at : at + _PIECE]) in known.pieces:
                yield at, piece
    else:
        for piece in known.pieces:
            for at, _ in _places(text, piece):
                yield at, piece


def _places(text: bytes, part: bytes) -> Iterator[tuple[int, int]]:
    at = text.find(part)
    while at >= 0:
        yield at, at + len(part)
        at = text.find(part, at + 1)


def _widened(text: bytes, at: int, spelling: bytes, offset: int) -> tuple[int, int]:
    """Return from where to where *text* is the same as *spelling*, around a piece that is in both."""
    begin, first = at, offset
    while begin and first and text[begin - 1] == spelling[first - 1]:
        begin, first = begin - 1, first - 1
    end, last = at + _PIECE, offset + _PIECE
    while end < len(text) and last < len(spelling) and text[end] == spelling[last]:
        end, last = end + 1, last + 1
    return begin, end


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *spans* in order, with those in one that overlap or nearly meet."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1] + _GAP:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
