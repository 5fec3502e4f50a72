from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher import selection
from shared.contracts.policy import Detail, Policy, Scope, Status
from shared.contracts.values import DAY, Window

PRIVATE = {
    "id", "iCalUId", "subject", "organizer", "attendees", "location", "locations", "body", "bodyPreview", "categories",
    "onlineMeeting", "onlineMeetingUrl", "webLink", "sensitivity",
}  # fmt: skip

policies = st.builds(
    Policy,
    detail=st.sampled_from(Detail),
    show_free=st.booleans(),
    conferencing=st.booleans(),
    tentative=st.sampled_from(Status),
    scope=st.builds(Scope, rooms=st.booleans()),
)
windows = st.builds(
    lambda start, length: Window(start, start + length),
    st.integers(-(10**10), 10**10),
    st.integers(1, 36_525 * DAY),
)


@given(policies)
def test_under_free_busy_nothing_private_is_named_whatever_else_the_policy_says(policy: Policy) -> None:
    if policy.detail is Detail.FREE_BUSY:
        assert not PRIVATE & set(selection.fields(policy))


def test_the_details_policy_names_what_is_published_and_no_more() -> None:
    assert set(selection.fields(Policy(detail=Detail.DETAILS))) - set(selection.fields(Policy())) == {
        "id", "sensitivity", "subject", "organizer", "attendees", "location", "bodyPreview",
    }  # fmt: skip


def test_join_links_are_asked_for_only_where_the_policy_publishes_them() -> None:
    assert "onlineMeeting" not in selection.fields(Policy(detail=Detail.DETAILS))
    assert "onlineMeeting" in selection.fields(Policy(detail=Detail.DETAILS, conferencing=True))
    assert "onlineMeeting" not in selection.fields(Policy(conferencing=True))


@given(windows)
def test_spans_cover_the_window_without_gap_or_overlap_and_graph_takes_each(window: Window) -> None:
    spans = selection.spans(window)
    assert (spans[0].start, spans[-1].end) == (window.start, window.end)
    assert all(left.end == right.start for left, right in pairwise(spans))
    assert all(span.end - span.start <= selection.MOST_DAYS * DAY for span in spans)
    assert all(span.start % DAY == 0 for span in spans[1:])


@given(windows, st.integers(-(10**11), 10**11))
def test_every_start_belongs_to_exactly_one_span(window: Window, start: int) -> None:
    spans = selection.spans(window)
    assert sum(selection.belongs(start, span, window) for span in spans) == 1


@given(windows, st.integers(-3, 20 * 1825), st.integers(1, 4000), st.integers(-12 * 3600, 14 * 3600))
def test_an_all_day_event_is_returned_by_the_span_it_belongs_to_in_every_zone(
    window: Window, day: int, days: int, offset: int
) -> None:
    dates = (window.start - window.start % DAY + day * DAY, window.start - window.start % DAY + (day + days) * DAY)
    true = (dates[0] - offset, dates[1] - offset)
    if true[0] < window.end and true[1] > window.start:
        span = next(span for span in selection.spans(window) if selection.belongs(dates[0], span, window))
        assert true[0] < span.end
        assert true[1] > span.start


def test_the_default_window_is_one_span() -> None:
    assert len(selection.spans(Policy().window_at(1_790_000_000))) == 1


@pytest.mark.parametrize("detail", Detail)
def test_the_first_page_names_window_selection_and_size(detail: Detail) -> None:
    policy = Policy(detail=detail)
    path = selection.first_page("id-1", Window(1_790_000_000, 1_790_086_400), policy)
    assert path.startswith(
        "/users/id-1/calendarView?startDateTime=2026-09-21T14:13:20Z&endDateTime=2026-09-22T14:13:20Z&$select=start,end,"
    )
    assert path.endswith("&$top=999")
