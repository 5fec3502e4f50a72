"""Which zone a name means, and when a civil date begins there."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.zones import iana_name, local_midnight, resolve, windows_name

NAMES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})
DAY = 86_400


def seconds(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("name", "iana"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("w. europe standard time", "Europe/Berlin"),
        (" UTC ", "UTC"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("Coordinated Universal Time", "UTC"),
        ("Z", "UTC"),
        ("US/Eastern", "US/Eastern"),
    ],
)
def test_iana_and_windows_names_and_utc_are_known_in_any_case(name: str, iana: str) -> None:
    assert iana_name(name) == iana
    zone = resolve(name)
    assert zone is not None
    assert zone.key == iana


@pytest.mark.parametrize(
    "name",
    ["", "Customized Time Zone", "tzone://Microsoft/Custom", "../etc/passwd", "Nowhere/X", "localtime", "factory"],
)
def test_an_unknown_name_is_no_zone(name: str) -> None:
    assert resolve(name) is None
    assert iana_name(name) is None


def test_a_zone_goes_by_its_windows_name_only_where_that_leads_back() -> None:
    assert windows_name("Europe/Berlin") == "W. Europe Standard Time"
    assert windows_name("Europe/Vienna") == "Europe/Vienna"
    assert windows_name("Nowhere/X") == "Nowhere/X"


@given(st.sampled_from(NAMES))
def test_no_zone_is_lost_on_the_way_through_its_printed_name(name: str) -> None:
    assert iana_name(windows_name(name)) == name


@pytest.mark.parametrize(
    ("zone", "date", "begins"),
    [
        ("UTC", (2026, 3, 29), seconds(2026, 3, 29)),
        ("Europe/Berlin", (2026, 3, 29), seconds(2026, 3, 28, 23)),
        ("Europe/Berlin", (2026, 3, 30), seconds(2026, 3, 29, 22)),
        ("America/Sao_Paulo", (2018, 11, 4), seconds(2018, 11, 4, 3)),  # 00:00 does not exist: 01:00 is first
        ("America/Havana", (2020, 11, 1), seconds(2020, 11, 1, 4)),  # 00:00 occurs twice
        ("Pacific/Apia", (2011, 12, 30), seconds(2011, 12, 30, 10)),  # the whole date does not exist
    ],
)
def test_a_date_begins_at_its_first_instant(zone: str, date: tuple[int, int, int], begins: int) -> None:
    assert local_midnight(seconds(*date), ZoneInfo(zone)) == begins


@given(st.sampled_from(NAMES), st.integers(-40_000, 60_000))
def test_the_instant_before_a_date_begins_belongs_to_an_earlier_date(name: str, number: int) -> None:
    zone, date = ZoneInfo(name), number * DAY
    begins = local_midnight(date, zone)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    civil = (epoch + timedelta(seconds=date)).date()

    assert (epoch + timedelta(seconds=begins)).astimezone(zone).date() >= civil
    assert (epoch + timedelta(seconds=begins - 1)).astimezone(zone).date() < civil


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("year", [1, 9999])
def test_the_first_and_the_last_year_have_midnights_too(zone: str, year: int) -> None:
    month_day = (1, 1) if year == 1 else (12, 31)
    date = seconds(year, *month_day)
    assert abs(local_midnight(date, ZoneInfo(zone)) - date) < DAY
