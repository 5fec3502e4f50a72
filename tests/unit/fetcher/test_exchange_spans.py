from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.exchange_spans import LONG_DAYS, SHORT_DAYS, allowed_days, halves, spans
from shared.contracts.values import DAY, Window

STARTS = st.integers(min_value=-(10**9), max_value=10**9)


@given(STARTS, st.integers(min_value=1, max_value=40 * 365 * DAY), st.sampled_from([1, 7, SHORT_DAYS, LONG_DAYS, 700]))
def test_spans_cover_the_window_without_gap_or_overlap(start: int, length: int, days: int) -> None:
    window = Window(start, start + length)
    found = spans(window, days)
    assert (found[0].start, found[-1].end) == (window.start, window.end)
    assert all(before.end == after.start for before, after in pairwise(found))


@given(STARTS, st.integers(min_value=DAY, max_value=40 * 365 * DAY), st.sampled_from([2, 7, SHORT_DAYS, LONG_DAYS]))
def test_no_span_is_longer_than_allowed_or_shorter_than_a_day(start: int, length: int, days: int) -> None:
    lengths = [span.end - span.start for span in spans(Window(start, start + length), days)]
    assert max(lengths) <= days * DAY
    assert min(lengths) >= DAY, "a server refuses less than 24 hours"


def test_the_default_window_takes_four_spans_where_62_days_are_allowed_and_six_where_42_are() -> None:
    window = Window(0, 244 * DAY)
    assert (len(spans(window, LONG_DAYS)), len(spans(window, SHORT_DAYS))) == (4, 6)


@given(STARTS, st.integers(min_value=1, max_value=900 * DAY), st.sampled_from([1, 60, DAY]))
def test_halves_are_two_parts_of_the_whole_none_too_short(start: int, length: int, shortest: int) -> None:
    found = halves(Window(start, start + length), shortest)
    if found is None:
        assert length < 2 * shortest
        return
    first, second = found
    assert (first.start, first.end, second.end) == (start, second.start, start + length)
    assert min(first.end - first.start, second.end - second.start) >= shortest


@given(STARTS, st.integers(min_value=4 * DAY, max_value=900 * DAY))
def test_long_spans_are_halved_at_a_midnight(start: int, length: int) -> None:
    found = halves(Window(start, start + length), DAY)
    assert found is not None
    assert found[0].end % DAY == 0


@pytest.mark.parametrize(
    ("days", "told", "next_days"),
    [(62, "", 42), (62, "42", 42), (62, "31", 31), (62, "x", 42), (42, "", None), (42, "30", 30), (42, "42", None)],
)
def test_a_server_that_refuses_a_window_is_asked_for_less(days: int, told: str, next_days: int | None) -> None:
    assert allowed_days(days, told) == next_days
