"""Which form of an answer a client wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.negotiation import preferred, takes_gzip

OFFERS = ("application/json", "text/calendar")
JSON, CALENDAR = OFFERS


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/calendar", CALENDAR),
        ("Text/Calendar; charset=utf-8", CALENDAR),
        ("text/*", CALENDAR),
        ("text/calendar, */*;q=0.1", CALENDAR),
        ("text/calendar;q=0.5, application/json;q=0.4", CALENDAR),
        ("text/calendar;q=0.5, application/json", JSON),
        ("text/*;q=0.9, text/calendar;q=0, */*;q=0.1", JSON),
        ("application/json;q=0, */*", CALENDAR),
        ("text/html", None),
        ("*/*;q=0", None),
        ("text/calendar;q=0.000", None),
        ("text/calendar;q=much", None),
        ("text/html, text/calendar;q=0.2", CALENDAR),
        (",,", JSON),
    ],
)
def test_the_media_type_wanted_most_is_given(accept: str, wanted: str | None) -> None:
    assert preferred(accept, OFFERS) == wanted


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.1", True),
        ("x-gzip", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("br, deflate", False),
    ],
)
def test_gzip_is_used_only_for_who_takes_it(header: str, taken: bool) -> None:
    assert takes_gzip(header) is taken


@given(st.text(max_size=60))
def test_no_header_is_too_odd_to_be_read(header: str) -> None:
    assert preferred(header, OFFERS) in (*OFFERS, None)
    assert takes_gzip(header) in (True, False)
