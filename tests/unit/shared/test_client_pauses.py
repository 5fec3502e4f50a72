"""Pauses grow, are bounded, spread, and as long as the other side asks."""

from hypothesis import given
from hypothesis import strategies as st

from shared.client.pauses import FIRST, LONGEST, MOST_ORDERED, pause

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10_000), CHANCE)
def test_a_pause_lies_between_half_of_the_longest_and_the_longest(failures: int, chance: float) -> None:
    most = min(LONGEST, FIRST * 2 ** min(failures, 16))
    assert most / 2 <= pause(failures, chance=chance) <= most


@given(st.integers(0, 20), CHANCE)
def test_pauses_grow(failures: int, chance: float) -> None:
    assert pause(failures, chance=chance) <= pause(failures + 1, chance=chance)


@given(st.integers(0, 20), CHANCE, st.floats(0, 1e9))
def test_what_the_other_side_orders_is_heard_within_bounds(failures: int, chance: float, ordered: float) -> None:
    assert pause(failures, chance=chance, ordered=ordered) >= min(ordered, MOST_ORDERED)
    assert pause(failures, chance=chance, ordered=ordered) <= max(LONGEST, MOST_ORDERED)
