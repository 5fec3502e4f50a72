"""Kept expansions give what looking at every item gives, follow changes, and stay within their bounds."""

from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.calendar import Item, instances, read_calendar
from deploy.sandbox.calendars import Book, from_file
from deploy.sandbox.ews.expansions import Expansions, Listed
from shared.contracts.values import DAY, Window
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.test_books import FIRST, HALF_HOURLY, SPAN

KEY = ("tenant", "person")
UTC = ZoneInfo("UTC")


def book(*items: Item, zone: str = "UTC") -> Book:
    return Book(source=lambda _window, _private: list(items), zone=ZoneInfo(zone))


def items_of(spans: list[tuple[int, int]]) -> list[Item]:
    return [
        Item(item_id=f"{number:03d}", start=NOW + start, end=NOW + start + length)
        for number, (start, length) in enumerate(spans)
    ]


SPANS = st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 60)), max_size=12)
WINDOWS = st.tuples(st.integers(-60, 60), st.integers(1, 60))


@given(spans=SPANS, window=WINDOWS, touching=st.booleans())
def test_what_lies_within_a_window_is_what_overlaps_it(
    spans: list[tuple[int, int]], window: tuple[int, int], *, touching: bool
) -> None:
    asked = Window(NOW + window[0], NOW + window[0] + window[1])
    items = items_of(spans)
    listed = Expansions().listed(KEY, book(*items), asked)
    found = {listed.items[place].item_id for place in listed.spans.within(asked, touching=touching)}
    assert found == {
        item.item_id
        for item in items
        if item.start < asked.end
        and (item.end > asked.start or item.start == asked.start or (touching and item.end == asked.start))
    }


@given(spans=SPANS, window=WINDOWS)
def test_times_are_those_of_the_items(spans: list[tuple[int, int]], window: tuple[int, int]) -> None:
    asked = Window(NOW + window[0], NOW + window[0] + window[1])
    expansions, made = Expansions(), book(*items_of(spans))
    listed, times = expansions.listed(KEY, made, asked), expansions.times(KEY, made, asked)
    by_items = sorted((listed.spans.starts[place], listed.spans.ends[place]) for place in listed.spans.within(asked))
    assert [(times.spans.starts[place], times.spans.ends[place]) for place in times.spans.within(asked)] == by_items


def test_a_change_is_followed_and_so_is_a_calendar_made_anew() -> None:
    expansions, window = Expansions(), Window(NOW, NOW + DAY)
    made = book(Item(item_id="one", start=NOW, end=NOW + 60))
    assert len(expansions.listed(KEY, made, window)) == len(expansions.times(KEY, made, window)) == 1
    made.change(Item(item_id="two", start=NOW, end=NOW + 60))
    assert len(expansions.listed(KEY, made, window)) == len(expansions.times(KEY, made, window)) == 2
    anew = book()
    anew.revision = made.revision
    assert len(expansions.listed(KEY, anew, window)) == len(expansions.times(KEY, anew, window)) == 0


def test_pieces_of_a_window_come_from_what_was_expanded_for_all_of_it() -> None:
    made = Book(source=from_file(partial(instances, read_calendar(HALF_HOURLY)), lambda _: None), zone=UTC)
    expansions = Expansions()
    whole = Window(NOW, NOW + 300 * DAY)
    listed = expansions.listed(KEY, made, whole)
    assert expansions.listed(KEY, made, Window(NOW + DAY, NOW + 2 * DAY)) is listed
    assert {(item.start, item.end) for item in listed.items} >= {(item.start, item.end) for item in made.items(whole)}


def test_long_windows_show_the_instances_that_graph_shows() -> None:
    made = Book(source=from_file(partial(instances, read_calendar(HALF_HOURLY)), lambda _: None), zone=UTC)
    expansions = Expansions()
    for number in range(8):
        window = Window(FIRST + number * SPAN, FIRST + (number + 1) * SPAN)
        listed = expansions.listed(KEY, made, window)
        found = {(listed.items[place].item_id, listed.spans.ends[place]) for place in listed.spans.within(window)}
        assert found == {(item.item_id, item.end) for item in made.items(window)}


def test_an_all_day_item_with_a_time_of_day_is_rounded_outward_to_dates() -> None:
    midnight = NOW - NOW % DAY
    made = book(Item(item_id="day", start=midnight + 60, end=midnight + 120, all_day=True), zone="Asia/Tokyo")
    listed = Expansions().listed(KEY, made, Window(NOW - DAY, NOW + DAY))
    assert (listed.spans.starts[0], listed.spans.ends[0]) == (midnight - 32_400, midnight + 54_000)


@pytest.mark.parametrize(("most", "again"), [(25, True), (5, False)])
def test_no_more_is_kept_than_the_bound_allows(most: int, again: bool) -> None:
    expansions, window = Expansions(most_items=most), Window(NOW, NOW + DAY)
    books = {f"p{number}": book(*items_of([(0, 1)] * 3)) for number in range(8)}
    first = {name: expansions.listed(("t", name), made, window) for name, made in books.items()}
    assert isinstance(first["p0"], Listed)
    assert (expansions.listed(("t", "p7"), books["p7"], window) is first["p7"]) is True
    assert (expansions.listed(("t", "p0"), books["p0"], window) is first["p0"]) is again


def test_an_item_is_found_by_its_id_and_a_series_by_its_own() -> None:
    made = book(
        Item(item_id="a", start=NOW, end=NOW + 1),
        Item(item_id="c", series_id="s", start=NOW + 20, end=NOW + 21),
        Item(item_id="b", series_id="s", start=NOW + 10, end=NOW + 11),
    )
    expansions = Expansions()
    found = {name: expansions.find(KEY, made, name, NOW) for name in ("a", "b", "s", "x")}
    assert {name: item and item.item_id for name, item in found.items()} == {"a": "a", "b": "b", "s": "b", "x": None}
