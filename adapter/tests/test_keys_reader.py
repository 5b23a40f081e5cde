"""Keys from the environment and from files, whatever surrounds them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_trio import BadKeys, clean_key, find_key, read_keys

KEY = "plx_0123456789abcdef"

keys = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\"'`"), min_size=1
)
#: What copying, editors, CI settings and Windows leave around a key.
litter = st.text("\r\n\t \xa0\u200b\u2060\ufeff\x00\"'`“”‘’", max_size=6)


@given(keys, litter, litter)
def test_reader_returns_key_whatever_surrounds_it(key: str, before: str, after: str) -> None:
    assert clean_key(before + key + after) == key
    assert clean_key(before + after) == ""


@pytest.mark.parametrize(
    ("text", "hinted"),
    [
        (f"{KEY}\r", False),
        (f"{KEY}\n", False),
        (f"  {KEY}\t", False),
        (f"\ufeff{KEY}\u200b", False),
        (f'"{KEY}"', True),
        (f"'{KEY}'\r\n", True),
        (f"“{KEY}”", True),
    ],
)
def test_reader_hints_at_quotes_and_never_shows_the_key(text: str, hinted: bool) -> None:
    hints: list[str] = []
    assert read_keys(["A"], {"A": text, "B": text}, None, hint=hints.append) == {"A": KEY}
    assert [hint.split()[0] for hint in hints] == ["A"] * hinted
    assert KEY not in "".join(hints)


def test_reader_takes_file_instead_of_environment_and_first_name_first(tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    path.write_bytes(b"\xef\xbb\xbf# keys\r\n\r\nexport A=plx_a\r\nB = 'plx_b'\r\nEMPTY=\r\n")
    hints: list[str] = []
    environment = {"A": "plx_env", "C": "plx_env", "EMPTY": "plx_env"}
    names = ("C", "B", "A", "EMPTY")
    assert read_keys(names, environment, path, hint=hints.append) == {"B": "plx_b", "A": "plx_a"}
    assert find_key(names, environment, path, hint=hints.append) == "plx_b"
    assert find_key(names, environment, None, hint=hints.append) == "plx_env"
    assert hints == []


def test_reader_says_where_keys_come_from_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    path.write_text("OTHER=plx_other\n")
    with pytest.raises(BadKeys, match=r"^There is no key: set A or B, or give --keys-file FILE\.$"):
        find_key(("A", "B"), {"A": " '' "}, None, hint=lambda _: None)
    with pytest.raises(BadKeys, match=r"keys\.env has no A\.$"):
        find_key(("A",), {"A": KEY}, path, hint=pytest.fail)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"plx_just_a_key\n", "Line 1 of the keys file "),
        (b"A=plx_a\nnot a name=plx_b\n", "Line 2 of the keys file "),
        (b"A: plx_a\n", "not of the form NAME=value"),
        (b"A=plx_\xff", "not a text file in UTF-8"),
        (None, "can't be read: "),
    ],
)
def test_reader_never_shows_a_key_where_its_file_has_another_form(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "keys.env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadKeys, match=said) as caught:
        read_keys(["A"], {}, path, hint=pytest.fail)
    assert "plx_" not in str(caught.value)
