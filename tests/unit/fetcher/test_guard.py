from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.guard import FEW, Removals, holds

NOW = 1_790_000_000
counts = st.integers(0, 100_000)


def held(going: int, known: int, *, percent: int = 25, allowed_until: int | None = None) -> bool:
    return holds(Removals(going=going, known=known), percent=percent, allowed_until=allowed_until, now=NOW)


def test_more_than_the_share_waits_and_the_share_itself_goes() -> None:
    assert held(26, 100)
    assert not held(25, 100)


def test_a_few_always_go_so_that_somebody_may_leave_a_small_organisation() -> None:
    assert FEW == 5
    assert not held(1, 3)
    assert not held(5, 5)
    assert held(6, 6)


def test_an_operators_word_lets_all_go_until_it_ends() -> None:
    assert not held(100, 100, allowed_until=NOW + 1)
    assert held(100, 100, allowed_until=NOW)


def test_a_guard_of_a_hundred_percent_holds_nobody() -> None:
    assert not held(1000, 1000, percent=100)


@given(counts, counts, st.integers(0, 100), counts)
def test_a_count_made_again_once_some_have_gone_never_holds_the_rest(
    staying: int, going: int, percent: int, gone: int
) -> None:
    gone = min(gone, going)
    if not held(going, going + staying, percent=percent):
        assert not held(going - gone, going + staying - gone, percent=percent)
