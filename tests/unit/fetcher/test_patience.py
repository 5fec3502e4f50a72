from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.failure import LONG_PAUSE
from services.fetcher.patience import Patience

NOW = 1_790_000_000


def test_a_pause_is_waited_for_until_its_end() -> None:
    patience = Patience()
    assert patience.left("org1", NOW + 15, now=NOW, ticks=0.0) == 15.0
    assert patience.left("org1", NOW + 15, now=NOW + 14, ticks=14.0) == 1.0
    assert patience.left("org1", NOW + 15, now=NOW + 15, ticks=15.0) == 0.0
    assert patience.left("org1", 0, now=NOW, ticks=16.0) == 0.0


def test_a_pause_by_a_clock_far_ahead_is_waited_for_no_longer_than_any_ever_set() -> None:
    patience, year = Patience(), 365 * 86_400
    assert patience.left("org1", NOW + year, now=NOW, ticks=0.0) == LONG_PAUSE
    assert patience.left("org1", NOW + year, now=NOW + 599, ticks=599.0) == 1.0
    assert patience.left("org1", NOW + year, now=NOW + 600, ticks=600.0) == 0.0
    assert patience.left("org1", NOW + year + 1, now=NOW + 700, ticks=700.0) == LONG_PAUSE


def test_each_tenant_has_its_own_pause() -> None:
    patience = Patience()
    patience.left("org1", NOW + 9999, now=NOW, ticks=0.0)
    assert patience.left("org2", NOW + 9999, now=NOW, ticks=600.0) == LONG_PAUSE


@given(st.integers(0, 600), st.integers(-300, 300), st.integers(-300, 300))
def test_whatever_the_clocks_say_a_pause_ends(pause: int, setter: int, waiter: int) -> None:
    patience, waited = Patience(), 0.0
    until = NOW + setter + pause
    while (left := patience.left("org1", until, now=NOW + waiter + round(waited), ticks=waited)) > 0:
        waited += max(left, 1.0)
    assert waited <= LONG_PAUSE
