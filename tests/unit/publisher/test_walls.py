"""Times by the clock on the wall, and the instants they are."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.moments import moment
from services.publisher.walls import instant_at, wall
from shared.contracts.values import EARLIEST, LATEST

NEW_YORK = ZoneInfo("America/New_York")
ZONES = [ZoneInfo(name) for name in ("UTC", "Asia/Kolkata", "Europe/Berlin", "Pacific/Apia", "America/New_York")]


@given(st.integers(EARLIEST, LATEST), st.sampled_from(ZONES))
def test_every_instant_is_shown_and_one_shown_with_its_offset_is_that_instant(instant: int, zone: ZoneInfo) -> None:
    assert instant_at(wall(instant, zone), zone) == instant


@given(st.datetimes(), st.sampled_from(ZONES))
def test_a_time_is_an_instant_or_refused_never_a_fault(shown: datetime, zone: ZoneInfo) -> None:
    try:
        instant = instant_at(shown, zone)
    except ValueError:
        assert shown.year in (1, 9999)
    else:
        assert EARLIEST <= instant <= LATEST


def test_a_time_that_occurs_twice_is_the_first_and_one_left_out_counts_from_before_the_gap() -> None:
    assert moment(instant_at(datetime.fromisoformat("2026-11-01T01:30:00"), NEW_YORK)) == "2026-11-01T05:30:00Z"
    assert moment(instant_at(datetime.fromisoformat("2026-03-08T02:30:00"), NEW_YORK)) == "2026-03-08T07:30:00Z"


@pytest.mark.parametrize("text", ["2026-03-01T09:00:00+02:00", "2026-03-01T07:00:00Z"])
def test_an_offset_of_its_own_goes_before_the_zone(text: str) -> None:
    assert moment(instant_at(datetime.fromisoformat(text), NEW_YORK)) == "2026-03-01T07:00:00Z"


def test_parts_of_a_second_are_left_off() -> None:
    shown = datetime.fromisoformat("2026-03-01T09:00:00.999999")
    assert moment(instant_at(shown, ZONES[0])) == "2026-03-01T09:00:00Z"
