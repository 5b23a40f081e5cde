"""What pauses tell: whether they grow, and whether chance has a hand in them."""

from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.program.pauses import do_grow, do_vary

#: A chance from 0 to 1, as the SDK and the clients draw it.
chances = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def drawn(chosen: list[float]) -> list[float]:
    return [2**n * (1 + 0.25 * (2 * chance - 1)) for n, chance in enumerate(chosen)]


@given(chances)
def test_pauses_that_double_and_vary_grow_whatever_chance_draws(chosen: list[float]) -> None:
    assert do_grow(drawn(chosen))


@given(st.floats(0.5, 2.0), st.lists(st.floats(-0.01, 0.01), min_size=3, max_size=3))
def test_pauses_that_double_exactly_are_not_varied_though_a_machine_is_late(
    first: float, late: list[float]
) -> None:
    found = [first * 2**n * (1 + off) for n, off in enumerate(late)]
    assert not do_vary(found) or max(late) - min(late) > 0.01


def test_pauses_that_vary_are_seen_to() -> None:
    assert do_vary([1.1, 1.8, 4.8])
    assert do_vary([1.0, 2.2, 4.0])
    assert do_vary([1.0, 2.0])  # two of them prove nothing
    assert not do_vary([1.0, 2.0, 4.0])
    assert not do_grow([1.0, 1.0, 1.0])
    assert do_grow([1.0])
