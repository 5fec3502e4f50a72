"""Zones as EWS writes them give the same clock as the zones themselves, for the year they were read in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.ews.zone_rules import Rules, Turn, ahead, instant_of, rules_of, wall_of

ZONES = (
    "Europe/Berlin", "America/New_York", "UTC", "Asia/Calcutta", "Europe/London", "Europe/Dublin", "Asia/Tokyo",
    "Australia/Sydney", "America/Sao_Paulo", "Europe/Kyiv", "America/St_Johns", "Pacific/Auckland", "Asia/Jerusalem",
    "America/Santiago", "Australia/Lord_Howe", "Pacific/Chatham",
)  # fmt: skip
YEARS = st.integers(2024, 2037)


def start_of(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@given(zone=st.sampled_from(ZONES), year=YEARS, share=st.floats(0, 1, exclude_max=True))
def test_rules_give_the_zones_own_clock(zone: str, year: int, share: float) -> None:
    # where it is a new year already the rules of the next one hold
    first, last = start_of(year) + 86_400, start_of(year + 1) - 86_400
    instant = first + int(share * (last - first))
    really = datetime.fromtimestamp(instant, ZoneInfo(zone)).utcoffset()
    assert really is not None
    assert ahead(rules_of(ZoneInfo(zone), year), instant) == really.total_seconds()


@given(zone=st.sampled_from(ZONES), instant=st.integers(start_of(2026), start_of(2027)))
def test_a_time_on_the_clock_is_read_back_as_an_instant_that_shows_it(zone: str, instant: int) -> None:
    rules = rules_of(ZoneInfo(zone), 2026)
    wall = wall_of(rules, instant)
    assert wall_of(rules, instant_of(rules, wall)) == wall
    assert instant_of(rules, wall) <= instant  # the first of two


def test_a_time_that_is_left_out_is_read_as_one_that_is_not() -> None:
    rules = rules_of(ZoneInfo("Europe/Berlin"), 2026)
    missing = int(datetime(2026, 3, 29, 2, 30, tzinfo=UTC).timestamp())
    assert wall_of(rules, instant_of(rules, missing)) == missing + 3600


@pytest.mark.parametrize(("zone", "bias"), [("UTC", 0), ("Asia/Tokyo", -540), ("America/Sao_Paulo", 180)])
def test_a_zone_that_never_turns_has_a_bias_only(zone: str, bias: int) -> None:
    assert rules_of(ZoneInfo(zone), 2026) == Rules(bias=bias)


def test_a_turn_of_one_year_is_on_the_day_it_says() -> None:
    daylight = Turn(bias=-60, time=7200, order=29, month=3, year=2026)
    rules = Rules(daylight=daylight, standard=Turn(time=10_800, order=25, month=10, year=2026))
    turns = int(datetime(2026, 3, 29, 2, tzinfo=UTC).timestamp())
    assert (ahead(rules, turns - 1), ahead(rules, turns)) == (0, 3600)
