"""Base64 by the standard library and by pybase64: whichever is there, the same texts are pictures."""

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_protocol._codec import _stdlib_b64decode, _stdlib_b64encode, b64decode

_BASE64 = st.one_of(
    st.binary(max_size=12).map(lambda data: _stdlib_b64encode(data).decode()),
    st.text("AQgw+/=-_ \n\0é", max_size=12),
)


@example("AAAA=", "", 5, 0)
@given(_BASE64, _BASE64, st.integers(0, 12), st.integers(0, 12))
def test_fast_and_slow_base64_take_the_same_texts(
    one: str, other: str, begin: int, end: int
) -> None:
    text = one[:begin] + other[end:]

    def read_by(decode: Callable[[str], bytes]) -> bytes | None:
        try:
            return decode(text)
        except ValueError:
            return None

    assert read_by(b64decode) == read_by(_stdlib_b64decode)


def test_slow_base64_has_no_line_ends() -> None:
    assert _stdlib_b64encode(b"\xff" * 300) == b"////" * 100
