"""What changed between two timelines, and that a consumer who follows the changes arrives."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.changes import APART, changed
from services.publisher.news import update
from services.publisher.timeline import Timeline, covered
from shared.contracts.values import DAY, Block, Coverage, Status, Window
from tests.unit.publisher.readings import (
    HOUR,
    MONDAY,
    WINDOW,
    Copy,
    busy,
    event,
    hourly,
    lines,
    snapshot,
    timelines,
)


def timeline(*blocks: Block, **rest: object) -> Timeline:
    return covered(snapshot(*blocks, **rest))  # type: ignore[arg-type]


def follow(copy: Copy, old: Timeline | None, new: Timeline) -> None:
    for span in changed(old, new):
        copy.apply(update(new, span))


def assert_same(copy: Copy, told: Timeline) -> None:
    whole = update(told, told.window)
    assert copy.line == hourly(whole.busy)
    order = lambda seen: (seen.start, seen.end, seen.subject)  # noqa: E731 -- read where it is used
    assert (copy.events is None) == (whole.events is None)
    assert sorted(copy.events or [], key=order) == sorted(whole.events or [], key=order)


@given(st.lists(timelines(), min_size=1, max_size=5))
def test_a_consumer_that_replaces_each_range_arrives_at_the_new_timeline(versions: list[Timeline]) -> None:
    copy = Copy()
    old = None
    for new in versions:
        follow(copy, old, new)
        assert_same(copy, new)
        old = new


@given(timelines(), timelines())
def test_a_range_told_twice_changes_nothing(old: Timeline, new: Timeline) -> None:
    copy = Copy()
    follow(copy, None, old)
    follow(copy, old, new)
    follow(copy, old, new)
    assert_same(copy, new)


@given(timelines(), timelines())
def test_ranges_are_sorted_inside_the_new_window_and_far_apart(old: Timeline, new: Timeline) -> None:
    ranges = changed(old, new)
    assert all(new.window.start <= span.start < span.end <= new.window.end for span in ranges)
    assert all(other.start - one.end >= APART for one, other in pairwise(ranges))


@given(timelines())
def test_nothing_changed_is_nothing_told(same: Timeline) -> None:
    later = msgspec.structs.replace(same, version=same.version + 1, as_of=same.as_of + 1)
    assert changed(same, later) == ()


@given(lines(WINDOW))
def test_one_far_change_is_told_to_the_second(one: tuple[Block, ...]) -> None:
    extra = Block(WINDOW.end + DAY, WINDOW.end + DAY + HOUR, Status.OOF)
    wide = Window(WINDOW.start, WINDOW.end + 9 * DAY)
    assert changed(timeline(*one, window=wide), timeline(*one, extra, window=wide)) == (Window(extra.start, extra.end),)


def test_a_first_timeline_is_told_whole() -> None:
    assert changed(None, timeline()) == (WINDOW,)


def test_a_block_made_longer_is_told_as_what_was_added() -> None:
    assert changed(timeline(busy(9, 10)), timeline(busy(9, 11))) == (Window(MONDAY + 10 * HOUR, MONDAY + 11 * HOUR),)


def test_a_block_gone_is_told() -> None:
    assert changed(timeline(busy(9, 10)), timeline()) == (Window(MONDAY + 9 * HOUR, MONDAY + 10 * HOUR),)


def test_a_status_changed_is_told() -> None:
    assert changed(timeline(busy(9, 10)), timeline(busy(9, 10, Status.OOF))) == (
        Window(MONDAY + 9 * HOUR, MONDAY + 10 * HOUR),
    )


def test_changes_less_than_eight_days_apart_are_told_as_one() -> None:
    week = 7 * 24
    assert changed(timeline(), timeline(busy(0, 1), busy(week, week + 1))) == (
        Window(MONDAY, MONDAY + (week + 1) * HOUR),
    )


def test_changes_eight_days_apart_are_told_apart() -> None:
    later = 8 * 24 + 1
    assert len(changed(timeline(), timeline(busy(0, 1), busy(later, later + 1)))) == 2


def test_a_day_newly_covered_is_told_even_where_it_is_empty() -> None:
    moved = Window(WINDOW.start + DAY, WINDOW.end + DAY)
    assert changed(timeline(), timeline(window=moved)) == (Window(WINDOW.end, WINDOW.end + DAY),)


def test_a_window_that_only_shrank_is_told_too() -> None:
    shorter = Window(WINDOW.start + DAY, WINDOW.end)
    assert changed(timeline(busy(1, 2)), timeline(window=shorter)) == (shorter,)


def test_a_block_cut_by_the_moving_window_has_not_changed() -> None:
    moved = Window(WINDOW.start + DAY, WINDOW.end + DAY)
    assert changed(timeline(busy(0, 48)), timeline(busy(24, 48), window=moved)) == (Window(WINDOW.end, moved.end),)


def test_an_event_that_reads_differently_is_told_under_details() -> None:
    old = timeline(busy(9, 10), events=(event(9, 10, "before"),))
    new = timeline(busy(9, 10), events=(event(9, 10, "after"),))
    assert changed(old, new) == (Window(MONDAY + 9 * HOUR, MONDAY + 10 * HOUR),)


@pytest.mark.parametrize(
    "difference",
    [{"generation": 2}, {"events": ()}, {"time_zone": "Europe/Berlin"}, {"address": "person.0002@example.com"}],
)
def test_where_the_same_times_mean_something_else_the_whole_window_is_told(difference: dict[str, object]) -> None:
    old = timeline(busy(9, 10))
    assert changed(old, msgspec.structs.replace(old, **difference)) == (WINDOW,)


def test_coverage_lost_is_told_whole_and_once() -> None:
    old = timeline(busy(9, 10))
    lost = msgspec.structs.replace(old, coverage=Coverage.UNKNOWN, reason="access_denied", blocks=())
    assert changed(old, lost) == (WINDOW,)
    assert changed(lost, msgspec.structs.replace(lost, version=9)) == ()
    assert changed(lost, old) == (WINDOW,)
