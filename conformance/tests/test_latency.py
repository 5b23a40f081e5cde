"""Latency: who waits is given the time that a busy machine took, and none that passed before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.run.latency import Latency


class Clock:
    """A clock that is put forward by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pulse_allows_twice_what_the_judge_lost_while_somebody_waited() -> None:
    clock = Clock()
    latency = Latency(clock)
    clock.now = 12.0
    latency.overslept(0.5)
    assert latency.slack(11.0) == pytest.approx(1.0)


def test_pulse_allows_nothing_for_moments_that_no_machine_keeps() -> None:
    latency = Latency(Clock())
    latency.overslept(0.01)
    assert latency.slack(-1.0) == 0.0


def test_pulse_allows_nothing_for_what_was_lost_before_the_wait() -> None:
    # The judge lay still from 2 to 12; whoever asks right after it has missed nothing.
    clock = Clock()
    latency = Latency(clock)
    clock.now = 12.0
    latency.overslept(10.0)
    assert latency.slack(12.0) == 0.0
    assert latency.slack(11.5) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=9), st.integers(0, 40))
def test_pulse_never_finds_more_time_lost_than_has_passed(
    moments: list[tuple[int, int]], since: int
) -> None:
    clock = Clock()
    latency = Latency(clock)
    for awake, asleep in moments:
        clock.now += awake + asleep
        latency.overslept(asleep)
    assert latency.lost_time(since) <= max(0, clock.now - since)
