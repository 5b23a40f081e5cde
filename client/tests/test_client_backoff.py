"""When to try again: pure, so properties say it all."""

from hypothesis import given, settings
from hypothesis import strategies as st

from plexwire_client import backoff_s
from plexwire_client._backoff import FIRST_PAUSE_S, LONGEST_PAUSE_S, VARIATION, Backoff
from plexwire_protocol import CloseCode

failures = st.integers(0, 10_000)
chances = st.floats(0, 1)
lasting = st.floats(FIRST_PAUSE_S, 1e6)


@settings(deadline=None)
@given(failures, chances)
def test_client_waits_within_a_quarter_of_the_doubled_pause(count: int, chance: float) -> None:
    nominal = LONGEST_PAUSE_S if count > 20 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**count)
    pause = backoff_s(count, chance)
    assert nominal * (1 - VARIATION) <= pause <= nominal * (1 + VARIATION)


@settings(deadline=None)
@given(failures, chances)
def test_client_never_waits_shorter_after_more_failures(count: int, chance: float) -> None:
    assert backoff_s(count, chance) <= backoff_s(count + 1, chance)


def test_client_waits_one_second_doubling_to_sixty() -> None:
    assert [backoff_s(n, 0.5) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (backoff_s(0, 0), backoff_s(0, 1)) == (0.75, 1.25)


@settings(deadline=None)
@given(failures, chances, lasting)
def test_client_begins_anew_after_stream_that_lasted(
    count: int, chance: float, lasted: float
) -> None:
    backoff = Backoff()
    backoff.failures = count
    assert backoff.after_stream(CloseCode.TIMEOUT, lasted, chance) == 0
    assert backoff.failures == 0
    backoff.failures = count
    assert backoff.after_stream(CloseCode.GOING_AWAY, lasted, chance) == backoff_s(0, chance)
    assert backoff.after_failure(chance) == backoff_s(1, chance)


@settings(deadline=None)
@given(st.integers(0, 20), chances)
def test_client_never_reconnects_at_once_for_ever_where_streams_end_as_they_begin(
    count: int, chance: float
) -> None:
    backoff = Backoff()
    pauses = [backoff.after_stream(CloseCode.TIMEOUT, 0, chance) for _ in range(count)]
    assert pauses == [backoff_s(n, chance) for n in range(count)]
