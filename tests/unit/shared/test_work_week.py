"""Stretches of work become a week: sorted, joined, the same minutes; what is odd is nothing."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.values import WorkingHours, WorkPeriod
from shared.work_week import MIDNIGHT, MOST, stretch, working_hours

BERLIN = "W. Europe Standard Time"
stretches = st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440)).map(
    lambda drawn: WorkPeriod(drawn[0], min(drawn[1:]), max(drawn[1:]) + (drawn[1] == drawn[2]))
)


def minutes(periods: tuple[WorkPeriod, ...]) -> set[tuple[int, int]]:
    return {(each.day, minute) for each in periods for minute in range(each.start, each.end)}


@given(st.lists(stretches, max_size=12))
def test_the_same_minutes_are_kept_in_stretches_that_neither_overlap_nor_touch(found: list[WorkPeriod]) -> None:
    hours = working_hours(BERLIN, found)
    if hours is None:
        assert not found
        return
    kept = hours.periods
    assert minutes(kept) == minutes(tuple(found))
    assert sorted((each.day, each.start, each.end) for each in kept) == [(e.day, e.start, e.end) for e in kept]
    assert all(one.day < other.day or one.end < other.start for one, other in pairwise(kept))
    assert working_hours(BERLIN, kept) == hours
    assert msgspec.json.decode(msgspec.json.encode(hours), type=WorkingHours) == hours


def test_hours_without_a_zone_that_is_known_or_without_a_stretch_are_not_known() -> None:
    week = [WorkPeriod(0, 480, 1020)]
    for zone in ("", "Customized Time Zone", "W. Europe Standard Time" * 9):
        assert working_hours(zone, week) is None
    assert working_hours(BERLIN, []) is None


def test_more_stretches_than_a_message_carries_are_nothing() -> None:
    many = [WorkPeriod(day, 20 * place, 20 * place + 10) for day in range(7) for place in range(10)]
    assert working_hours(BERLIN, many) is None
    assert working_hours(BERLIN, many[:MOST]) is not None


def test_an_end_at_midnight_is_the_end_of_the_day() -> None:
    assert stretch(4, 960, 0) == stretch(4, 960, MIDNIGHT) == WorkPeriod(4, 960, 1440)


@pytest.mark.parametrize(
    "odd", [(7, 0, 60), (-1, 0, 60), (0, 60, 60), (0, 120, 60), (0, 0, 0), (0, -1, 60), (0, 0, 1441)]
)
def test_a_stretch_that_is_none_is_refused(odd: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="stretch"):
        stretch(*odd)
