"""No part of a key that tells something stays in a report, however a gateway spells it."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.recording.redaction import redact
from plexwire_conformance.stimuli.near_keys import near_keys

KEY = "plx_7Hq2nVd9xRfTzLw4KsYbGmJ3pC"
OTHER = "plx_Zt8bWy1vQe6uNj5rMc0aXk2hDg"
BODY = KEY.removeprefix("plx_")
SECRETS = (KEY, OTHER)
#: Characters from which on a part of a key tells something.
TELLING = 8


def shown(text: str, secret: str) -> list[str]:
    """Every part of *secret* of 8 characters that *text* has, in whatever case."""
    parts = (secret[at : at + TELLING].lower() for at in range(len(secret) - TELLING + 1))
    return [part for part in parts if part in text.lower()]


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        BODY,
        KEY[-20:],
        KEY.upper(),
        KEY.lower(),
        BODY.swapcase(),
        BODY[3:11],
        quote(KEY, safe="").replace("_", "%5F"),
        "".join(f"{character}" for character in KEY[::1]),
    ],
)
def test_recorder_takes_out_a_key_however_it_is_spelled(spelled: str) -> None:
    for text in (spelled, f"reason: '{spelled}'.", json.dumps({"key": spelled}), spelled + spelled):
        assert shown(redact(text, SECRETS), KEY) == []


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", '{"type":"auth","api_key":"'])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("part", [KEY, BODY, KEY[-20:]])
def test_recorder_takes_out_a_key_in_base64(before: str, encode: object, part: str) -> None:
    assert callable(encode)
    for after in ("", "x", '"}'):
        letters = encode(f"{before}{part}{after}".encode()).decode()
        kept = redact(f"close reason {letters}", (part,) if part == KEY else (KEY,))
        inner = encode(f"{'.' * (len(before) % 3)}{part}".encode()).decode()[4:-4]
        assert shown(kept, inner) == []


def test_recorder_takes_out_a_key_in_hexadecimal_digits() -> None:
    assert shown(redact(f"<{KEY.encode().hex()}>", SECRETS), KEY.encode().hex()) == []


@pytest.mark.parametrize("near", near_keys(KEY), ids=lambda near: near.name)
def test_recorder_takes_out_what_is_nearly_a_key(near: object) -> None:
    text = getattr(near, "key")  # noqa: B009 - the ids are made before the type is known
    assert shown(redact(f"no such key: {text}", SECRETS), KEY) == []


@given(
    st.integers(0, len(KEY) - TELLING),
    st.integers(TELLING, len(KEY)),
    st.lists(st.booleans(), min_size=len(KEY), max_size=len(KEY)),
    st.text(),
    st.text(),
    st.sampled_from([0, 10_000]),
)
def test_recorder_takes_out_any_part_that_tells_something(
    begin: int, length: int, upper: list[bool], before: str, after: str, padding: int
) -> None:
    part = KEY[begin : begin + length]
    cased = "".join(c.upper() if up else c.lower() for c, up in zip(part, upper, strict=False))
    kept = redact("·" * padding + before + cased + after, SECRETS)
    assert shown(kept, part) == []


@given(st.text(max_size=400))
def test_recorder_leaves_alone_what_holds_no_key(text: str) -> None:
    if "plx_" not in text.lower():
        assert redact(text, SECRETS) == text


def test_recorder_takes_out_a_key_of_a_long_text_and_keeps_the_rest() -> None:
    text = "ordinary words, " * 40_000
    assert redact(text + BODY.upper() + text, SECRETS) == f"{text}plx_•••{text}"


def test_recorder_takes_short_secrets_out_whole() -> None:
    assert redact("hunter2 hunter", ("hunter2",)) == "plx_••• hunter"
    assert redact("8letters 8let 8letter", ("8letters",)) == "plx_••• 8let plx_•••"
