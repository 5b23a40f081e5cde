"""Keys that are nearly a good one, and none of which may open anything.

Each has one thing done to the good key, as a hand, a program or a careless comparison does it.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

from attrs import field, frozen

PREFIX: Final = "plx_"


@frozen
class NearKey:
    """A key that is not the good one; `name` says what was done to that.

    It holds most of the good key, so a recorder has to redact it in the same way.
    """

    name: str
    key: str = field(repr=False)


def near_keys(key: str) -> Sequence[NearKey]:
    """Return every near miss of *key*, in a fixed order: no two alike, and none equal to *key*.

    Raises:
        ValueError: *key* is empty.
    """
    found: dict[str, str] = {}
    for name, edited in _edits(key):
        if edited != key:
            found.setdefault(edited, name)
    return tuple(NearKey(name, edited) for edited, name in found.items())


def _edits(key: str) -> Iterator[tuple[str, str]]:
    if not key:
        raise ValueError("a key is not empty")
    prefix = PREFIX if key.startswith(PREFIX) else ""
    body = key[len(prefix) :]
    yield "empty", ""
    yield from _case(key, prefix, body)
    yield from _space(key, body)
    yield from _shorter(key, body)
    yield from _longer(key)
    yield from _characters(key, prefix, body)
    yield from _prefixes(key, body)
    yield from _look_alikes(key, prefix, body)
    yield from _other_forms(key, prefix)


def _places(body: str) -> Sequence[tuple[str, int]]:
    """The start, the middle and the end of *body*, as far as it has them."""
    places = {0: "start", len(body) // 2: "middle", len(body) - 1: "end"}
    return [(name, index) for index, name in places.items() if 0 <= index < len(body)]


def _case(key: str, prefix: str, body: str) -> Iterator[tuple[str, str]]:
    yield "in upper case", key.upper()
    yield "in lower case", key.lower()
    yield "with every case swapped", key.swapcase()
    yield "with the prefix in upper case", prefix.upper() + body
    yield "with the prefix capitalised", prefix.capitalize() + body
    yield "with the body in upper case", prefix + body.upper()
    yield "with the body in lower case", prefix + body.lower()
    letters = [index for index, one in enumerate(body) if one.swapcase() != one]
    for place, index in _places("x" * len(letters)):
        at = letters[index]
        swapped = body[:at] + body[at].swapcase() + body[at + 1 :]
        yield f"with the case of one letter swapped at the {place}", prefix + swapped


#: What callers trim, and what gets into a key when it is copied.
SPACES: Final = {
    "a space": " ",
    "a tab": "\t",
    "a line feed": "\n",
    "a carriage return": "\r",
    "a carriage return and a line feed": "\r\n",
    "a vertical tab": "\v",
    "a form feed": "\f",
    "a zero character": "\0",
    "a no-break space": "\u00a0",
    "an ideographic space": "\u3000",
    "a line separator": "\u2028",
    "a zero-width space": "\u200b",
    "a byte order mark": "\ufeff",
}


def _space(key: str, body: str) -> Iterator[tuple[str, str]]:
    middle = len(key) - len(body) + len(body) // 2
    for name, space in SPACES.items():
        yield f"with {name} before it", space + key
        yield f"with {name} after it", key + space
    for name in ("a space", "a zero character", "a zero-width space", "a line feed"):
        yield f"with {name} in the middle", key[:middle] + SPACES[name] + key[middle:]
    yield "with spaces around it", f" {key} "


def _shorter(key: str, body: str) -> Iterator[tuple[str, str]]:
    yield "without its last character", key[:-1]
    yield "without its first character", key[1:]
    yield "without its last four characters", key[:-4]
    yield "without the second half of its body", key[: len(key) - (len(body) + 1) // 2]
    yield "cut after 8 characters", key[:8]
    yield "cut after 12 characters", key[:12]
    yield "cut after 16 characters", key[:16]
    yield "cut after 32 characters", key[:32]
    yield "of the prefix alone", PREFIX
    middle = len(key) - len(body) + len(body) // 2
    yield "without a character in the middle", key[:middle] + key[middle + 1 :]


def _longer(key: str) -> Iterator[tuple[str, str]]:
    yield "with a digit after it", f"{key}0"
    yield "with a letter after it", f"{key}a"
    yield "with its last character twice", key + key[-1]
    yield "with an equals sign after it", f"{key}="
    yield "with a zero character and more after it", f"{key}\0more"
    yield "with a line and more after it", f"{key}\nmore"
    yield "with a comma and more after it", f"{key},more"
    yield "with a colon and more after it", f"{key}:more"
    yield "with a slash after it", f"{key}/"
    yield "extended to 73 characters", key.ljust(73, "x")
    yield "extended to 300 characters", key.ljust(300, "x")
    yield "doubled", key + key
    yield "doubled with a comma", f"{key},{key}"


def _other(character: str) -> str:
    """A character of the same kind: another digit, another letter of the same case."""
    for alphabet in ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        if character in alphabet:
            return alphabet[(alphabet.index(character) + 1) % len(alphabet)]
    return "-" if character != "-" else "_"


def _characters(key: str, prefix: str, body: str) -> Iterator[tuple[str, str]]:
    for place, index in _places(body):
        before, after = prefix + body[:index], body[index + 1 :]
        yield f"with another character at the {place}", before + _other(body[index]) + after
        yield f"with a character twice at the {place}", before + 2 * body[index] + after
        if index + 1 < len(body):
            turned = before + body[index + 1] + body[index] + body[index + 2 :]
            yield f"with two characters turned round at the {place}", turned
    yield "with its body turned round", prefix + body[::-1]
    for name, wildcard in (("percent sign", "%"), ("underscore", "_"), ("star", "*"), ("dot", ".")):
        yield f"with a {name} for its last character", key[:-1] + wildcard
        yield f"of its prefix and a {name}", prefix + wildcard
        yield f"of one {name}", wildcard


def _prefixes(key: str, body: str) -> Iterator[tuple[str, str]]:
    yield "without its prefix", body
    yield "with its prefix twice", PREFIX + key
    for other in ("plx", "plx-", "plx:", "plx__", "pl_", "px_", "lx_", "_", "sk_", "plexus_"):
        yield f"with {other} for its prefix", other + body
    yield "with Bearer before it", f"Bearer {key}"
    yield "with api_key= before it", f"api_key={key}"


#: Letters that look like one of ASCII: Cyrillic, Greek, and others.
LOOK_ALIKES: Final = {
    "a": "\u0430",
    "c": "\u0441",
    "e": "\u0435",
    "i": "\u0456",
    "j": "\u0458",
    "l": "\u04cf",
    "o": "\u043e",
    "p": "\u0440",
    "s": "\u0455",
    "x": "\u0445",
    "y": "\u0443",
    "A": "\u0391",
    "B": "\u0392",
    "E": "\u0395",
    "H": "\u041d",
    "K": "\u212a",
    "O": "\u041e",
    "P": "\u0420",
    "T": "\u0422",
    "X": "\u0425",
    "0": "\u041e",
    "1": "\u04cf",
    "_": "\uff3f",
}

#: Letters that fold or upper-case to one of ASCII.
FOLDING: Final = {"k": "\u212a", "s": "\u017f", "i": "\u0131", "K": "\u212a", "I": "\u0130"}


def _look_alikes(key: str, prefix: str, body: str) -> Iterator[tuple[str, str]]:
    yield from _swapped("a look-alike", LOOK_ALIKES, prefix, body)
    yield "with a look-alike in its prefix", key.replace("p", LOOK_ALIKES["p"], 1)
    yield from _swapped("a letter that folds to it", FOLDING, prefix, body)
    for place, index in _places(body):
        wide = _full_width(body[index])
        yield (
            f"with a full-width form at the {place}",
            prefix + body[:index] + wide + body[index + 1 :],
        )
    yield "in full-width forms", "".join(map(_full_width, key))
    yield "with a combining accent after it", f"{key}\u0301"
    yield "with a combining accent after it, composed", unicodedata.normalize("NFC", f"{key}\u0301")
    yield "with a composed accent at the end", _accented(key, "NFC")
    yield "with a decomposed accent at the end", _accented(key, "NFD")
    middle = len(prefix) + len(body) // 2
    for name, invisible in (
        ("a zero-width joiner", "\u200d"),
        ("a soft hyphen", "\u00ad"),
        ("a variation selector", "\ufe0f"),
        ("a direction mark", "\u200e"),
    ):
        yield f"with {name} in the middle", key[:middle] + invisible + key[middle:]


def _swapped(name: str, table: dict[str, str], prefix: str, body: str) -> Iterator[tuple[str, str]]:
    """The first and the last character of *body* that *table* has another for."""
    known = [index for index, one in enumerate(body) if one in table]
    for place, at in zip(("first", "last"), (known[:1], known[-1:]), strict=True):
        for index in at:
            edited = body[:index] + table[body[index]] + body[index + 1 :]
            yield f"with {name} for the {place} character that has one", prefix + edited


def _full_width(character: str) -> str:
    return chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character


def _accented(key: str, form: str) -> str:
    """*key* with an accented letter for its last letter; NFC and NFD write it in one or in two code points."""
    return key[:-1] + ("\u00e9" if form == "NFC" else "e\u0301")


def _other_forms(key: str, prefix: str) -> Iterator[tuple[str, str]]:
    yield "in quotes", f'"{key}"'
    yield "in single quotes", f"'{key}'"
    yield "percent-encoded at the start", f"%{ord(key[0]):02x}{key[1:]}" if key.isascii() else key
    yield "percent-encoded in its prefix", key.replace("_", "%5F", 1) if prefix else key
    yield "percent-encoded whole", "".join(f"%{byte:02X}" for byte in key.encode())
    yield "quoted for an address", quote(key, safe="")
    yield "with an escape of JSON as text", f"\\u{ord(key[0]):04x}{key[1:]}"
    yield "as its SHA-256 in hexadecimal", hashlib.sha256(key.encode()).hexdigest()
    yield "as its SHA-256 after the prefix", prefix + hashlib.sha256(key.encode()).hexdigest()
