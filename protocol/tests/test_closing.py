"""Close codes and the closes that carry them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_protocol import (
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DeviceSession,
    ErrorReport,
    describe_close,
    encode,
)

ANY_CODE = st.integers(0, 65_535) | st.sampled_from(CloseCode)
#: What a close frame has room for: 125 bytes of payload, two of them the code (RFC 6455).
ROOM = 123


@given(ANY_CODE, st.text(st.characters(), max_size=2 * ROOM))
@example(4001, "€" * 41)
@example(4001, "€" * 42)
@example(4001, "x" * 122 + "😀")
@example(4001, "\ud800" * 200)
def test_close_always_fits_into_a_close_frame(code: int, reason: str) -> None:
    close = Close(code, reason)
    carried = close.reason.encode()

    assert len(carried) <= ROOM
    if not any("\ud800" <= character <= "\udfff" for character in reason):
        assert reason.startswith(close.reason)
        # No more is cut than has to be: one more character would not fit.
        assert close.reason == reason or len(reason[: len(close.reason) + 1].encode()) > ROOM
    assert Close(close.code, close.reason) == close


@given(ANY_CODE)
def test_close_knows_the_codes_of_this_protocol_and_keeps_the_others(code: int) -> None:
    assert Close(code).code == code
    assert isinstance(Close(int(code)).code, CloseCode) is (code in set(CloseCode))


@given(ANY_CODE)
def test_every_code_has_one_plain_sentence(code: int) -> None:
    sentence = describe_close(code)

    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert (str(int(code)) in sentence) is (code not in set(CloseCode))


def test_sentences_are_all_different() -> None:
    assert len({describe_close(code) for code in CloseCode}) == len(CloseCode)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (CloseCode.UNAUTHORIZED, 4001),
        (CloseCode.NO_API_ACCESS, 4002),
        (CloseCode.TIMEOUT, 4008),
        (CloseCode.INTERNAL_ERROR, 1011),
    ],
)
def test_codes_have_the_published_numbers(code: CloseCode, number: int) -> None:
    """PW-CLOSE-1, PW-CLOSE-2."""
    assert code == number


@given(ANY_CODE)
def test_reconnecting_makes_sense_unless_the_key_was_refused(code: int) -> None:
    """PW-VIEW-2."""
    refused = code in (CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS)

    assert Close(code).may_retry is not refused


@pytest.mark.parametrize(
    "code", ["unauthorized", "no_api_access", "internal_error", "try_again_later"]
)
def test_device_that_was_refused_for_its_key_need_not_try_again(code: str) -> None:
    """PW-VIEW-2, PW-DEV-5: the close of a device is 1000, but the `error` before it said why."""
    session = DeviceSession(now=0.0)
    session.send(DeviceAuth(api_key="plx_a", source_id="drone-01"), now=0.0)

    *_, closed = session.receive(encode(ErrorReport(code=code)), now=0.0)

    assert isinstance(closed, ConversationClosed)
    assert closed.close == Close(CloseCode.NORMAL, "refused")
    assert closed.close.may_retry is (code in ("internal_error", "try_again_later"))
