"""A zone printed as rules gets the name of a zone that keeps them, or none."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from shared import zones
from shared.ews.time_zone import KNOWN, Turn, ZoneRules, zone_name, zone_rules

NEVER = Turn(0, 0, 0, 0, 6)
EUROPE = (Turn(0, 3 * 3600, 5, 10, 6), Turn(-60, 2 * 3600, 5, 3, 6))
AMERICA = (Turn(0, 2 * 3600, 1, 11, 6), Turn(-60, 2 * 3600, 2, 3, 6))


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        (ZoneRules(-60, *EUROPE), "W. Europe Standard Time"),
        (ZoneRules(0, Turn(0, 7200, 5, 10, 6), Turn(-60, 3600, 5, 3, 6)), "GMT Standard Time"),
        (ZoneRules(-120, Turn(0, 4 * 3600, 5, 10, 6), Turn(-60, 3 * 3600, 5, 3, 6)), "GTB Standard Time"),
        (ZoneRules(300, *AMERICA), "Eastern Standard Time"),
        (ZoneRules(360, *AMERICA), "Central Standard Time"),
        (ZoneRules(420, *AMERICA), "Mountain Standard Time"),
        (ZoneRules(480, *AMERICA), "Pacific Standard Time"),
        (ZoneRules(-600, Turn(0, 3 * 3600, 1, 4, 6), Turn(-60, 2 * 3600, 1, 10, 6)), "AUS Eastern Standard Time"),
        (ZoneRules(-330, NEVER, NEVER), "India Standard Time"),
        (ZoneRules(-540, NEVER, NEVER), "Tokyo Standard Time"),
        (ZoneRules(-480, NEVER, NEVER), "China Standard Time"),
        (ZoneRules(0, NEVER, NEVER), "UTC"),
        (ZoneRules(0, Turn(0, 0, 1, 1, 6), Turn(0, 0, 1, 1, 6)), "UTC"),
        (ZoneRules(-17, NEVER, NEVER), ""),
        (ZoneRules(-60, Turn(0, 3 * 3600, 2, 10, 6), Turn(-60, 2 * 3600, 5, 3, 6)), ""),
    ],
)
def test_rules_have_the_best_known_name(rules: ZoneRules, name: str) -> None:
    assert zone_name(rules, 2026) == name


@pytest.mark.parametrize("name", KNOWN)
def test_every_name_on_the_list_is_a_zone(name: str) -> None:
    assert zones.resolve(name) is not None


def printed(bias: str = "-60", time: str = "03:00:00", month: str = "10", day: str = "Sunday") -> etree._Element:
    turn = f"<Bias>0</Bias><Time>{time}</Time><DayOrder>5</DayOrder><Month>{month}</Month><DayOfWeek>{day}</DayOfWeek>"
    return etree.fromstring(
        f"<TimeZone><Bias>{bias}</Bias><StandardTime>{turn}</StandardTime><DaylightTime>{turn}</DaylightTime></TimeZone>"
    )


def test_printed_rules_are_read_and_odd_ones_are_none() -> None:
    assert zone_rules(printed()) == ZoneRules(-60, Turn(0, 10_800, 5, 10, 6), Turn(0, 10_800, 5, 10, 6))
    turned = (
        printed(time="3"),
        printed(time="99:00:00"),
        printed(month="13"),
        printed(month=""),
        printed(day="Sonntag"),
    )
    odd = (printed(bias="x"), printed(bias="99999"), *turned, etree.fromstring("<TimeZone><Bias>0</Bias></TimeZone>"))
    assert [zone_rules(one) for one in odd] == [None] * len(odd)


SECONDS = st.integers(0, 86_399)
TURNS = st.builds(
    Turn, st.integers(-120, 120), st.integers(0, 86_399), st.integers(0, 5), st.integers(0, 12), st.integers(0, 6)
)


@given(st.builds(ZoneRules, st.integers(-840, 840), TURNS, TURNS), st.integers(2020, 2030))
def test_a_name_is_given_only_to_a_zone_that_begins_the_year_alike(rules: ZoneRules, year: int) -> None:
    name = zone_name(rules, year)
    if not name:
        return
    zone = zones.resolve(name)
    assert zone is not None
    shown = {
        (datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)).astimezone(zone).utcoffset()
        for day in range(0, 360, 10)
    }
    biases = {rules.bias + rules.standard.bias, rules.bias + rules.daylight.bias}
    assert shown <= {timedelta(minutes=-bias) for bias in biases}
