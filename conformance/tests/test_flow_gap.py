"""What waited for a stalled viewer, told from what the network held and from an ordinary drop before it was full."""

from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.cases.gateway.slow_viewers import _after_the_gap


@given(
    drops=st.lists(st.booleans(), min_size=1, max_size=30),
    stall=st.integers(3, 200),
    waited=st.integers(1, 10),
)
def test_what_waited_is_after_the_widest_gap_whatever_was_dropped_before(
    drops: list[bool], stall: int, waited: int
) -> None:
    held: list[int] = []
    for dropped in drops:
        held.append(held[-1] + 1 + dropped if held else 0)
    first = held[-1] + stall
    tail = list(range(first, first + waited))
    assert _after_the_gap([*held, *tail]) == tail


@given(count=st.integers(0, 50))
def test_without_a_gap_nothing_waited(count: int) -> None:
    assert _after_the_gap(list(range(count))) == []


def test_every_third_frame_is_a_backlog() -> None:
    assert _after_the_gap([0, 3, 6, 9]) == [3, 6, 9]
