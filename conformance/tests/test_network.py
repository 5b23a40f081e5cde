"""What the network did to a run decides how often a case must show what it found after a loss."""

from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.run.network import Network

CASES = [f"area.case-{number}" for number in range(10)]
losses = st.dictionaries(st.sampled_from(CASES), st.integers(1, 9))


def network(broken: dict[str, int]) -> Network:
    made = Network(lambda: 0.0)
    made.broken.update(broken)
    return made


@given(losses, st.sampled_from(CASES))
def test_case_plays_more_often_the_more_other_cases_lost_connections(
    broken: dict[str, int], case: str
) -> None:
    others = {other: count for other, count in broken.items() if other != case}
    needed = network(broken).plays_needed(case)
    assert needed == network(others).plays_needed(case)
    assert needed >= 2
    worse = network({**broken, "area.another": 1})
    assert worse.plays_needed(case) >= needed
    assert worse.losses_beside(case) == len(others) + 1


def test_case_that_alone_lost_connections_plays_twice() -> None:
    assert network({CASES[0]: 40}).plays_needed(CASES[0]) == 2
